"""What a network costs to run: its weights, and its operations on a photograph of a size."""

import math
from collections.abc import Iterable, Mapping

import onnx
from onnx import shape_inference


def parameters(networks: Iterable[bytes]) -> int:
    """Numbers that are learnt, over all networks (ONNX files)."""
    graphs = (onnx.load_from_string(content).graph for content in networks)
    return sum(math.prod(weight.dims) for graph in graphs for weight in graph.initializer if len(weight.dims) > 0)


def operations(network: bytes, side: int) -> int:
    """Multiplications and additions of convolutions and matrix products in one pass over a square of ``side`` pixels.

    A multiplication with its addition is two. Nothing is computed: shapes are inferred. Raises ValueError where a shape
    cannot be told.
    """
    model = onnx.load_from_string(network)
    for given in model.graph.input:
        for place, dim in enumerate(given.type.tensor_type.shape.dim):
            if not dim.dim_value:
                dim.dim_value = 1 if place == 0 else side
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return sum(_of(node, shapes) for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul"))


def _of(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    made, weight = shapes[node.output[0]], shapes[node.input[1]]
    if not made or not all(made):
        raise ValueError(f"{node.name or node.op_type}: the shape {made} of what it makes cannot be told")
    shared = math.prod(weight[1:]) if node.op_type == "Conv" else shapes[node.input[0]][-1]
    return 2 * math.prod(made) * shared
