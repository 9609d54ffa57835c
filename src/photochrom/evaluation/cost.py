"""Computational cost of models: parameters, operations, latency and memory."""

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping
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

Shapes = Mapping[str, tuple[int, ...]]


def model_cost(
    source: str, sampler: Mapping[str, Any], colorizer: Colorizer, photo: RGB8, size: int | None
) -> dict[str, float]:
    """Return the cost of a model (``source``: name or path) for a photo at an inference size, by name and unit."""
    content = pyvips.Image.new_from_array(photo).write_to_buffer(".png")
    arguments = json.dumps([source, sampler, REPEATS, size])
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
    counts: dict[tuple[str, str], int] = {}  # by network and shapes: each is counted once
    total = 0

    def counting(name: str) -> Net:
        def net(**inputs: Any) -> Any:
            nonlocal total
            shapes = {key: array.shape for key, array in colorizer.nets[name].feeds(**inputs).items()}
            key = (name, str(shapes))
            if key not in counts:
                counts[key] = count_operations(networks[name], shapes)
            total += counts[key]
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


def count_operations(network: bytes, inputs: Shapes) -> int:
    """Return the operations of convolutions and matrix products in one forward pass of a network (ONNX file).

    A multiplication and its addition count as two. The network runs once on inputs of the given shapes, because shapes
    inside attention depend on its input.
    """
    model = onnx.load_from_string(network)
    graph, shapes = model.graph, dict(inputs)
    for weight in graph.initializer:
        shapes[weight.name] = tuple(weight.dims)
    nodes = [node for node in graph.node if node.op_type in COUNTED]
    names: set[str] = set()
    for node in nodes:
        names.update((node.output[0], *node.input[:2]))
    needed = sorted(names - shapes.keys())
    for name in names - shapes.keys() - {value.name for value in graph.output}:
        graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {value.name: np.zeros(shapes[value.name], np.float32) for value in session.get_inputs()}
    # With an empty list of names the runtime would return every output.
    results = session.run(needed, feeds) if needed else []
    for name, array in zip(needed, results, strict=True):
        shapes[name] = array.shape
    total = 0
    for node in nodes:
        first, second = shapes[node.input[0]], shapes[node.input[1]]
        inner = math.prod(second[1:]) if node.op_type == "Conv" else first[-1]
        total += 2 * math.prod(shapes[node.output[0]]) * inner
    return total
