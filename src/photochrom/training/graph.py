"""ONNX graphs of networks: traced, folded, their larger weights in half precision, checked against torch."""

import logging
import warnings
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer
from torch import Tensor, nn
from torch.export import Dim

TOLERANCE = 1e-3  # of the largest value: ONNX Runtime sums in another order than torch
DISCRETE_TOLERANCE = 0.05  # share of the values of a discrete output that may differ: two choices may be as near
FOLDING_LIMIT = 10**9  # bytes of the largest constant that is folded
HALF_MINIMUM = 256  # values in a weight; a smaller one stays float32
HALF = ".half"  # ends the graph's name of a weight that is stored in half precision
# Ends the name of a parameter that the graph holds as its transpose, in `ModelCard.parameters` (and, in bundles
# without it, in the graph itself).
TRANSPOSED = ".T"
RESHAPES = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")  # keep the order of the values


class ExportError(RuntimeError):
    """The exported network does not compute what the trained one does."""


@dataclass(frozen=True)
class ExportedNetwork:
    """A network as ONNX bytes, and which of its parameters and buffers each graph initializer holds."""

    content: bytes
    parameters: dict[str, str]


def export_network(net: nn.Module) -> ExportedNetwork:
    """Export a network as ONNX, with its larger weights in half precision and its arithmetic in single precision.

    The weights of ``net`` are rounded to half precision first, so the graph must agree with torch but for the order
    of sums.

    Raises:
        ExportError: when it does not.
    """
    round_weights(net)
    traced = trace(net)
    parameters = follow_parameters(traced, net.state_dict())
    graph = halve_weights(fold_constants(traced))
    content = graph.SerializeToString()
    check(net, content)
    names = {}
    for weight in graph.graph.initializer:
        parameter = parameters.get(weight.name.removesuffix(HALF))
        if parameter is not None:
            names[weight.name] = parameter
    return ExportedNetwork(content, names)


def network_bytes(net: nn.Module) -> bytes:
    """Return the ONNX of `export_network`."""
    return export_network(net).content


def round_weights(net: nn.Module) -> None:
    """Round each larger weight to a value that half precision can hold."""
    for weight in (*net.parameters(), *net.buffers()):
        if weight.is_floating_point() and weight.numel() >= HALF_MINIMUM:
            weight.data = weight.data.half().float()


def trace(net: nn.Module) -> onnx.ModelProto:
    """Return the network's graph before any optimization, dynamic in batch, height and width."""
    inputs = example_inputs(net, batch=2, side=64)
    free = {"h": Dim.DYNAMIC, "w": Dim.DYNAMIC}
    shapes = []
    for dims in _input_dims(net).values():
        dynamic = {axis: free[dim] for axis, dim in enumerate(dims, 1) if isinstance(dim, str)}
        shapes.append({0: Dim.DYNAMIC, **dynamic})
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that are not used here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        program = torch.onnx.export(
            net.eval(), tuple(inputs.values()), input_names=list(inputs),
            dynamic_shapes=tuple(shapes), opset_version=18, dynamo=True, optimize=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    return program.model_proto


def follow_parameters(graph: onnx.ModelProto, names: Container[str]) -> dict[str, str]:
    """Return the parameter that each value of an unfolded graph holds, by following names from the initializers.

    Folding later turns such values (the transpose of a matrix, a norm's weight with more axes) into initializers of
    their own, under the same names.

    Args:
        graph: as `trace` gives it, where initializers still have the names of parameters.
        names: the parameters and buffers of the network.

    Returns:
        {value: parameter}, with `TRANSPOSED` after the parameter where the value is its transpose.
    """
    holds = {weight.name: weight.name for weight in graph.graph.initializer if weight.name in names}
    for node in graph.graph.node:  # in topological order
        source = holds.get(node.input[0]) if node.input else None
        if source is None:
            continue
        if node.op_type in RESHAPES:
            holds[node.output[0]] = source
        elif node.op_type == "Transpose" and _swaps_two_axes(node):
            transposed = source.endswith(TRANSPOSED)
            holds[node.output[0]] = source.removesuffix(TRANSPOSED) if transposed else source + TRANSPOSED
    return holds


def _swaps_two_axes(node: onnx.NodeProto) -> bool:
    return any(list(attribute.ints) == [1, 0] for attribute in node.attribute)


def fold_constants(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with constant expressions evaluated, without the exporter's notes.

    Only then does ONNX Runtime see which norms it can merge into convolutions, which makes it twice as fast. The
    norms are not merged here, so that weights are rounded to half precision once, not twice.
    """
    model = onnx_ir.from_proto(graph)
    optimizer.fold_constants(model, input_size_limit=FOLDING_LIMIT, output_size_limit=FOLDING_LIMIT)
    optimizer.remove_unused_nodes(model)
    folded = onnx_ir.to_proto(model)
    # The notes name folders of the machine that exported.
    inside = folded.graph
    for part in (folded, inside, *inside.node, *inside.value_info, *inside.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return folded


def halve_weights(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store each larger weight as float16 with a cast before its use, which ONNX Runtime folds when it loads."""
    casts = []
    for weight in graph.graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < HALF_MINIMUM:
            continue
        name, half = weight.name, weight.name + HALF
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(graph)
    return graph


def check(net: nn.Module, content: bytes) -> None:
    """Compare ONNX with torch at other sizes and batches than those traced.

    Raises:
        ExportError: when they differ. A few values of a network with ``discrete_output`` may differ, by any amount.
    """
    allowed = DISCRETE_TOLERANCE if getattr(net, "discrete_output", False) else 0.0
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for batch, side in ((1, 96), (3, 32)):
        inputs = example_inputs(net, batch, side)
        with torch.no_grad():
            result = net.eval()(*inputs.values())
        expected = result if isinstance(result, tuple) else (result,)
        feeds = {node.name: inputs[node.name].numpy() for node in session.get_inputs()}
        for actual, tensor in zip(session.run(None, feeds), expected, strict=True):
            _compare(actual, tensor.numpy(), allowed, f"{batch} x {side} px")


def _compare(actual: np.ndarray, expected: np.ndarray, allowed: float, where: str) -> None:
    if actual.shape != expected.shape:
        raise ExportError(f"ONNX gives {actual.shape}, torch {expected.shape} at {where}")
    error = np.abs(actual - expected) / max(1.0, np.abs(expected).max(initial=0))
    wrong = ~(error < TOLERANCE)  # so written, it counts NaN as wrong
    if wrong.sum() > allowed * error.size:
        raise ExportError(f"ONNX and torch differ by {error.max():.1e} at {where}, more than {TOLERANCE}")


def example_inputs(net: nn.Module, batch: int, side: int) -> dict[str, Tensor]:
    """Return random inputs in [-1, 1] by name, shaped as the network's ``inputs`` says, at ``side`` pixels."""
    generator = torch.Generator().manual_seed(0)
    inputs = {}
    for name, dims in _input_dims(net).items():
        shape = [side if isinstance(dim, str) else dim for dim in dims]
        inputs[name] = torch.rand(batch, *shape, generator=generator) * 2 - 1
    return inputs


def _input_dims(net: nn.Module) -> Mapping[str, tuple[Any, ...]]:
    return cast(Mapping[str, tuple[Any, ...]], net.inputs)
