"""The networks of a bundle, each in an ONNX session of its own, ready for a procedure to call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .._processes import available_processors, return_free_memory
from ..core.sampling.procedure import Procedure
from .bundle import BundleError, ModelCard, load

CPU = "CPUExecutionProvider"
DEVICES = {
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": CPU,
}
AUTO = ("cuda", "rocm", "directml", "cpu")  # the others come with ordinary installs and may be slower


def find_provider(device: str) -> str:
    """Return the execution provider of a device; of ``auto`` that of an installed GPU runtime, else the CPU.

    Raises ValueError for a device that the installed ONNX Runtime does not have.
    """
    available = onnxruntime.get_available_providers()
    installed = {name: provider for name, provider in DEVICES.items() if provider in available}
    if device == "auto":
        return next(installed[name] for name in AUTO if name in installed)
    if device not in installed:
        choices = ", ".join(["auto", *installed])
        raise ValueError(f"device {device}: not in the installed ONNX Runtime (a GPU needs its own): choose {choices}")
    return installed[device]


class OnnxNet:
    """One exported network, called with keyword inputs: arrays, or floats for the whole batch."""

    def __init__(self, content: bytes, threads: int, provider: str = CPU) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_cpu_mem_arena = False  # photos differ in size: an arena would only grow
        providers = [CPU] if provider == CPU else [provider, CPU]
        self.session = onnxruntime.InferenceSession(content, options, providers=providers)
        self.names = [graph_input.name for graph_input in self.session.get_inputs()]

    def feeds(self, **inputs: Any) -> dict[str, Any]:
        """Return float32 arrays by the names of the graph's inputs; floats are repeated over the batch."""
        if "channel" in inputs and "channel" not in self.names:
            inputs["t"] = inputs.pop("channel")  # bundles of version 0.1 call ColTran's channel "t"
        batch = next(len(value) for value in inputs.values() if not isinstance(value, float))
        feeds = {}
        for name in self.names:
            value = inputs[name]
            array = np.full(batch, value) if isinstance(value, float) else value
            feeds[name] = array.astype(np.float32, copy=False)
        return feeds

    def __call__(self, **inputs: Any) -> Any:
        """Return the network's output, or the list of its outputs if there are several."""
        outputs = self.session.run(None, self.feeds(**inputs))
        return outputs[0] if len(outputs) == 1 else outputs


class SeededNoise:
    """``noise(like)`` with one generator for each image of a batch, so that no result depends on its batch.

    ``near``: a seed whose noise that of all images is to be like; ``distance``: from 0, where it is the same, to 1.
    """

    def __init__(self, seeds: Sequence[int], near: int | None = None, distance: float = 1.0) -> None:
        self.generators = [np.random.default_rng(seed) for seed in seeds]
        self.near = None if near is None else np.random.default_rng(near)
        self.distance = distance

    def __call__(self, like: Any, kind: str = "normal") -> Any:
        """Return ``normal`` or ``gumbel`` noise of the shape (b, ...) of an array."""
        method = np.random.Generator.gumbel if kind == "gumbel" else np.random.Generator.standard_normal
        images = [method(generator, size=like.shape[1:]) for generator in self.generators]
        if self.near:
            common = method(self.near, size=like.shape[1:])
            images = [self._mix(common, own, generator) for own, generator in zip(images, self.generators, strict=True)]
        return np.stack(images).astype(np.float32)

    def _mix(self, common: Any, own: Any, generator: np.random.Generator) -> Any:
        """Return noise of the same distribution as both: some of the values are its own, the others in common."""
        return np.where(generator.random(common.shape) < self.distance, own, common)


def load_model(
    model: str | Path, threads: int | None, device: str, sampler: Mapping[str, Any]
) -> tuple[ModelCard, Procedure, dict[str, OnnxNet]]:
    """Return card, procedure with these options, and networks of a bundle. Raises BundleError, ValueError."""
    bundle = load(model)
    procedure = with_options(bundle.card.name, bundle.procedure, sampler)
    threads = threads or available_processors()
    provider = find_provider(device)
    try:
        nets = {name: OnnxNet(content, threads, provider) for name, content in bundle.networks.items()}
    except Exception as error:  # the runtime has a dozen classes of its own
        raise BundleError(f"{model}: a network cannot be run ({error}); export the bundle again") from None
    return_free_memory()  # ONNX Runtime leaves twice the size of the weights behind
    if device != "auto" and any(provider not in net.session.get_providers() for net in nets.values()):
        raise ValueError(f"device {device}: cannot be started by ONNX Runtime; install its drivers, or choose cpu")
    return bundle.card, procedure, nets


def with_options(name: str, procedure: Procedure, sampler: Mapping[str, Any]) -> Procedure:
    """Return the procedure with the options that are not None. Raises ValueError that names the model."""
    options = {option: value for option, value in sampler.items() if value is not None}
    try:
        return procedure.with_options(**options)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
