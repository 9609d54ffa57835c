"""The networks of a bundle, each in an ONNX session of its own, ready for a procedure to call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .._processes import available_processors
from ..core.sampling.procedure import Procedure
from . import bundle


class OnnxNet:
    """One exported network, called with keyword inputs: arrays, or floats for the whole batch."""

    def __init__(self, content: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_cpu_mem_arena = False  # photographs differ in size: an arena would only grow
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.names = [i.name for i in self.session.get_inputs()]

    def feeds(self, **inputs: Any) -> dict[str, Any]:
        """Returns float32 arrays by the names of the graph's inputs; floats are repeated over the batch."""
        if "channel" in inputs and "channel" not in self.names:
            inputs["t"] = inputs.pop("channel")  # bundles of version 0.1 call ColTran's channel "t"
        batch = next(len(value) for value in inputs.values() if not isinstance(value, float))
        feeds = {}
        for name in self.names:
            value = inputs[name]
            feeds[name] = np.full(batch, value, np.float32) if isinstance(value, float) else value
        return {name: value.astype(np.float32, copy=False) for name, value in feeds.items()}

    def __call__(self, **inputs: Any) -> Any:
        """Returns the network's output, or the list of all where it has several."""
        outputs = self.session.run(None, self.feeds(**inputs))
        return outputs[0] if len(outputs) == 1 else outputs


class SeededNoise:
    """``noise(like)`` with one generator for each photograph, so that no photograph depends on its batch."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.generators = [np.random.default_rng(seed) for seed in seeds]

    def __call__(self, like: Any, kind: str = "normal") -> Any:
        """Array (b, ...) -> ``normal`` or ``gumbel`` noise of its shape."""
        draw = {"normal": "standard_normal", "gumbel": "gumbel"}[kind]
        return np.stack([getattr(g, draw)(size=like.shape[1:]) for g in self.generators]).astype(np.float32)


def opened(
    model: str | Path, threads: int | None, sampling: Mapping[str, Any]
) -> tuple[bundle.ModelCard, Procedure, dict[str, OnnxNet]]:
    """A bundle's card, its procedure with the settings that are asked for, and its networks.

    ``threads``: the processors this process may use, when None. Raises BundleError for a bundle that will not do,
    ValueError for a setting that its procedure does not have or allow.
    """
    found = bundle.load(model)
    procedure = with_options(found.card.name, found.procedure, sampling)
    try:
        nets = {name: OnnxNet(content, threads or available_processors()) for name, content in found.networks.items()}
    except Exception as error:  # the runtime has a dozen of its own
        raise bundle.BundleError(f"{model}: a network cannot be run ({error}): export the bundle again") from None
    return found.card, procedure, nets


def with_options(name: str, procedure: Procedure, sampling: Mapping[str, Any]) -> Procedure:
    """Returns the procedure of the model ``name`` with these options. Raises ValueError, naming the model."""
    try:
        return procedure.with_options(**sampling)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
