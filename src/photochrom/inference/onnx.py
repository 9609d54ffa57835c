"""The networks of a bundle, each in an ONNX session of its own, ready for a procedure to call."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .._processes import available_processors
from ..core.sampling.autoregressive import Autoregressive
from ..core.sampling.cold import RESTORERS, Cold
from ..core.sampling.procedure import Procedure
from . import bundle


class OnnxNet:
    """One exported network as ``net(t, **arrays)`` on float32 arrays."""

    def __init__(self, content: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_cpu_mem_arena = False  # photographs differ in size: an arena would only grow
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.names = [i.name for i in self.session.get_inputs()]

    def __call__(self, t: float, **arrays: Any) -> Any:
        """Batch of arrays -> the network's output, or all of several; t is given to each of the batch."""
        batch = len(next(iter(arrays.values())))
        feeds = {"t": np.full(batch, t, np.float32), **arrays}
        made = self.session.run(None, {name: feeds[name].astype(np.float32, copy=False) for name in self.names})
        return made[0] if len(made) == 1 else made


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
) -> tuple[bundle.Card, Procedure, dict[str, OnnxNet]]:
    """A bundle's card, its procedure with the settings that are asked for, and its networks.

    ``threads``: the processors this process may use, when None. Raises BundleError for a bundle that will not do,
    ValueError for a setting that its procedure does not have or allow.
    """
    found = bundle.load(model)
    procedure = resampled(found.card.name, found.procedure, sampling)
    try:
        nets = {name: OnnxNet(content, threads or available_processors()) for name, content in found.networks.items()}
    except Exception as error:  # the runtime has a dozen of its own
        raise bundle.BundleError(f"{model}: a network cannot be run ({error}): export the bundle again") from None
    return found.card, procedure, nets


def tellable(procedure: Procedure, sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that a procedure can be told, once it has the solver that is among them."""
    if "solver" in procedure.option_names and "solver" in sampling:  # which decides what else can be told
        procedure = replace(procedure, solver=sampling["solver"])  # type: ignore[type-var]
    return {name: value for name, value in sampling.items() if name in procedure.option_names}


def resampled(name: str, procedure: Procedure, sampling: Mapping[str, Any]) -> Procedure:
    """The procedure of the model ``name`` with these settings. Raises ValueError for one it does not have or allow."""
    if not sampling:
        return procedure
    if not procedure.option_names:
        raise ValueError(f"{', '.join(sampling)}: {name} paints in one pass; only a model of several can be told how")
    told = tellable(procedure, sampling)
    if unknown := sorted(set(sampling) - set(told)):
        if unknown == ["steps"] and isinstance(procedure, Cold):
            others = " or ".join(solver for solver in RESTORERS if solver != "one-shot")
            raise ValueError(f"steps: one-shot takes one: choose another solver with it, {others}")
        if unknown == ["temperature"] and isinstance(procedure, Autoregressive):
            raise ValueError("temperature: greedy draws nothing: leave one of the two out")
        raise ValueError(f"{', '.join(unknown)}: {name} can be told {', '.join(procedure.option_names)}")
    return replace(procedure, **told)  # type: ignore[type-var]
