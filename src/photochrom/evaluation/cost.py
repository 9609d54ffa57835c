"""What a network costs to run: its weights, and its operations in a pass."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import onnx
import onnxruntime


def parameters(networks: Iterable[bytes]) -> int:
    """Numbers that are learnt, over all networks (ONNX files)."""
    graphs = (onnx.load_from_string(content).graph for content in networks)
    return sum(math.prod(weight.dims) for graph in graphs for weight in graph.initializer if len(weight.dims) > 0)


def operations(network: bytes, inputs: Mapping[str, tuple[int, ...]]) -> int:
    """Multiplications and additions of convolutions and matrix products in one pass over inputs of these shapes.

    A multiplication with its addition is two. The pass is run, since attention takes its shapes from what it is given.
    """
    model = onnx.load_from_string(network)
    counted = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    weights = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    asked = {name for node in counted for name in (node.output[0], *node.input[:2])} - weights.keys() - inputs.keys()
    shown = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(asked - shown))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    zeros = {given.name: np.zeros(inputs[given.name], np.float32) for given in session.get_inputs()}
    made = session.run(sorted(asked), zeros) if asked else []  # asked for nothing, the runtime gives every output
    shapes = {**weights, **inputs, **{name: array.shape for name, array in zip(sorted(asked), made, strict=True)}}
    return sum(_of(node, shapes) for node in counted)


def _of(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    shared = math.prod(shapes[node.input[1]][1:]) if node.op_type == "Conv" else shapes[node.input[0]][-1]
    return 2 * math.prod(shapes[node.output[0]]) * shared
