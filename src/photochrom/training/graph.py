"""ONNX graphs of networks: traced, folded, their larger weights in half precision, checked against torch."""

import logging
import warnings
from collections.abc import Container

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer
from torch import Tensor, nn
from torch.export import Dim

from ..models.family import Network

TOLERANCE = 1e-3  # of the largest value: ONNX Runtime sums in another order than torch
# Of a discrete output, where two choices may be as near: the share of the values that may differ by any amount, or the
# mean error, since the codes of a codebook that is hardly trained are so alike that many are as near.
DISCRETE_SHARE, DISCRETE_ERROR = 0.05, 0.005
FOLDING_LIMIT = 10**9  # bytes of the largest constant that is folded
HALF_MINIMUM = 256  # values in a weight; a smaller one stays float32
HALF = ".half"  # ends the graph's name of a weight that is stored in half precision
TRANSPOSED = ".T"  # ends the name of a parameter whose transpose is in the graph, in `ModelCard.parameters`
RESHAPES = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")  # keep the order of the values


class ExportError(RuntimeError):
    """The exported network does not compute what the trained one does."""


def export_network(net: Network) -> tuple[bytes, dict[str, str]]:
    """Return a network as ONNX, its larger weights in half precision, and {graph initializer: parameter}.

    The weights of ``net`` are rounded first, so the graph agrees with torch but for the order of sums. Raises
    ExportError when it does not.
    """
    round_weights(net)
    traced = trace(net)
    parameters = follow_parameters(traced, net.state_dict())
    graph = halve_weights(fold_constants(traced))
    content = graph.SerializeToString()
    check(net, content)
    stored = {}
    for weight in graph.graph.initializer:
        name = weight.name.removesuffix(HALF)
        if name in parameters:
            stored[weight.name] = parameters[name]
    return content, stored


def round_weights(net: nn.Module) -> None:
    """Round each larger weight to a value that half precision can hold."""
    for weight in (*net.parameters(), *net.buffers()):
        if weight.is_floating_point() and weight.numel() >= HALF_MINIMUM:
            weight.data = weight.data.half().float()


def trace(net: Network) -> onnx.ModelProto:
    """Return the network's graph before any optimization, dynamic in batch, height and width."""
    inputs = example_inputs(net, batch=2, side=64)
    shapes = []
    for dims in net.inputs.values():
        shapes.append({axis: Dim.DYNAMIC for axis, dim in enumerate(("batch", *dims)) if isinstance(dim, str)})
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
    """Return {value: parameter} for a graph as `trace` gives it, where initializers are named after parameters.

    Folding turns values such as the transpose of a matrix, or a norm's weight with more axes, into initializers of
    their own, under the same names. `TRANSPOSED` ends the parameter where the value is its transpose.
    """
    holds = {weight.name: weight.name for weight in graph.graph.initializer if weight.name in names}
    for node in graph.graph.node:  # in topological order
        source = holds.get(node.input[0]) if node.input else None
        if source is None:
            continue
        transposed = source.endswith(TRANSPOSED)
        if node.op_type == "Transpose" and [1, 0] in [list(attribute.ints) for attribute in node.attribute]:
            holds[node.output[0]] = source.removesuffix(TRANSPOSED) if transposed else source + TRANSPOSED
        elif node.op_type in RESHAPES and not transposed:
            holds[node.output[0]] = source
    return holds


def fold_constants(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with constant expressions evaluated, without the exporter's notes.

    Only then can ONNX Runtime merge norms into convolutions, which makes it twice as fast. They are not merged here,
    so that weights are rounded to half precision once, not twice.
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


def check(net: Network, content: bytes) -> None:
    """Raise ExportError where ONNX differs from torch, at other sizes and batches than those traced.

    One with ``discrete_output`` may choose otherwise: few values may differ by any amount, or more by very little.
    """
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for batch, side in ((1, 96), (3, 32)):
        inputs = example_inputs(net, batch, side)
        with torch.no_grad():
            result = net.eval()(*inputs.values())
        expected = result if isinstance(result, tuple) else (result,)
        feeds = {node.name: inputs[node.name].numpy() for node in session.get_inputs()}
        for actual, tensor in zip(session.run(None, feeds), expected, strict=True):
            values = tensor.numpy()
            if actual.shape != values.shape:
                raise ExportError(f"ONNX gives {actual.shape}, torch {values.shape} at {batch} x {side} px")
            error = np.abs(actual - values) / max(1.0, np.abs(values).max(initial=0))
            wrong = ~(error < TOLERANCE)  # so written, it counts NaN as wrong
            excused = net.discrete_output and (wrong.mean() <= DISCRETE_SHARE or error.mean() <= DISCRETE_ERROR)
            if wrong.any() and not excused:
                size = f"{batch} x {side} px"
                raise ExportError(f"ONNX and torch differ by {error.max():.1e} at {size}, more than {TOLERANCE}")


def example_inputs(net: Network, batch: int, side: int) -> dict[str, Tensor]:
    """Return random inputs in [-1, 1] by name, shaped as the network's ``inputs`` says, at ``side`` pixels."""
    generator = torch.Generator().manual_seed(0)
    inputs = {}
    for name, dims in net.inputs.items():
        shape = [side if isinstance(dim, str) else dim for dim in dims]
        inputs[name] = torch.rand(batch, *shape, generator=generator) * 2 - 1
    return inputs
