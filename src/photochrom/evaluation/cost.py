"""Computational cost of models: parameters, operations, latency and memory."""

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyvips

from ..core.sampling.procedure import Net
from ..inference import bundle
from ..inference.colorizer import Colorizer
from ..inference.onnx import SeededNoise
from .protocols import RGB8

REPEATS = 3  # colorizations of a photo, of which the fastest counts
COUNTED = ("Conv", "Gemm", "MatMul")


def model_cost(
    source: str, sampler: Mapping[str, Any], colorizer: Colorizer, size: int | None, device: str, photo: RGB8
) -> dict[str, float]:
    """Return the cost of a model (``source``: name or path) for a photo at an inference size, by name and unit."""
    content = pyvips.Image.new_from_array(photo).write_to_buffer(".png")
    arguments = json.dumps([source, sampler, REPEATS, size, device])
    command = [sys.executable, "-m", "photochrom.evaluation.latency", arguments]
    process = subprocess.run(command, input=content, capture_output=True, check=True)
    networks = bundle.load(source).networks
    multiple = colorizer.card.multiple
    side = max(1, round(colorizer.card.inference_size(size) / multiple)) * multiple
    return {
        "parameters M": count_parameters(networks.values()) / 1e6,
        f"GFLOPs a photo at {side} px": _count_all_operations(networks, colorizer, side) / 1e9,
        **json.loads(process.stdout),
    }


def _count_all_operations(networks: Mapping[str, bytes], colorizer: Colorizer, side: int) -> int:
    count_once = cache(count_operations)  # most steps of a sampler call a network with the same shapes
    total = 0

    def counting(name: str) -> Net:
        def net(**inputs: Any) -> Any:
            nonlocal total
            feeds = colorizer.nets[name].feeds(**inputs)
            total += count_once(networks[name], **{key: array.shape for key, array in feeds.items()})
            return colorizer.nets[name](**inputs)

        return net

    gray = np.zeros((1, 1, side, side), np.float32)
    colorizer.procedure({name: counting(name) for name in networks}, gray, SeededNoise([0]))
    return total


def count_parameters(networks: Iterable[bytes]) -> int:
    """Return the number of weights in all networks (ONNX files); scalar constants do not count."""
    total = 0
    for content in networks:
        for weight in onnx.load_from_string(content).graph.initializer:
            total += math.prod(weight.dims) if len(weight.dims) > 0 else 0
    return total


def count_operations(network: bytes, /, **inputs: tuple[int, ...]) -> int:
    """Return the operations of convolutions and matrix products in one forward pass of a network (ONNX file).

    A multiplication and its addition count as two. The network runs once on inputs of the given shapes, because shapes
    inside attention depend on its input; the profile of the run has the shapes of every operation.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    with TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        session.run(None, {name: np.zeros(shape, np.float32) for name, shape in inputs.items()})
        profile = json.loads(Path(session.end_profiling()).read_text())
    total = 0
    for event in profile:
        details = event.get("args", {})
        if event["name"].endswith("_kernel_time") and details["op_name"] in COUNTED:
            tensors = [*details["input_type_shape"], *details["output_type_shape"]]  # such as {"float": [1, 3, 8, 8]}
            first, second, *_, output = [shape for (shape,) in map(dict.values, tensors)]
            inner = math.prod(second[1:]) if details["op_name"] == "Conv" else first[-1]
            total += 2 * math.prod(output) * inner
    return total
