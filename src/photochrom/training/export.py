"""A trained run -> a bundle that the light engine reads: ONNX with half-size weights, checked against torch."""

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer
from torch.export import Dim

from .. import models
from .._version import __version__
from ..core.sampling import describe
from ..imaging.sources import source_title
from ..inference import bundle as bundles
from ..models.family import Family, Network
from .checkpoint import TRANSPOSED, load
from .recipe import Recipe, override, parse, resolved

TOLERANCE = 1e-3  # of the largest value: sums are added up in another order
CHOSEN = 0.05  # of the values of a network that ``discrete_output``: where two are as near, it may take the other
LARGEST = 10**9  # bytes of a constant that is still worked out
WORTH_HALVING = 256  # numbers in a weight; a smaller one is kept as float32


class ExportError(RuntimeError):
    """An exported network that does not compute what the trained one does."""


def export(
    runs: Path | Sequence[Path],
    out: Path,
    sets: Iterable[str] = (),
    size: int | None = None,
    sources: str = "",
    **card: Any,
) -> bundles.ModelCard:
    """The best checkpoint of a run, or of several that each trained a stage of a model -> a bundle folder; its card.

    Args:
        runs: the folder that `train` wrote, or several.
        out: the bundle to write; its name is the model's.
        sets: ``model.key=value`` over the recipe's, for settings that need no other weights (a temperature).
        size: short side in pixels at which photographs are seen; the training crop's when None.
        sources: whose photographs it was trained on, and under which terms.
        card: further entries of the card (``summary``, ``licence``, ``scores``).

    Raises ExportError when ONNX and torch differ, FileExistsError when ``out`` is there already, ValueError for runs
    or settings that do not fit.
    """
    model, recipe, record, stages = joined([runs] if isinstance(runs, Path) else runs)
    sets = tuple(sets)
    model, recipe = tuned(model, recipe, sets)
    side = model.image_size
    if side and size not in (None, side):
        raise ValueError(f"size {size}: this model sees {side} pixels and nothing else")
    alone = not (sets or stages) and record["validation"]  # figures are of the model as it was trained, whole
    seen = {"validation": record["validation"]} if alone else {}
    said = bundles.ModelCard(
        name=out.name,
        family=recipe.family,
        procedure=describe(model.procedure),
        networks={},
        size=size or recipe.data.size,
        square=side is not None,
        multiple=model.size_multiple,
        gray=recipe.data.gray,
        recipe=_portable(resolved(recipe)) | ({"stages": stages} if stages else {}),
        data={**record["photographs"], "sources": sources},
        version=__version__,
        **{"scores": seen, **card},
    )
    return bundles.save(out, said, {name: network_bytes(net) for name, net in model.networks().items()})


def joined(runs: Sequence[Path]) -> tuple[Family, Recipe, dict[str, Any], dict[str, dict[str, Any]]]:
    """What runs trained together, as `load` gives one: with the recipe and the record of the run of the first player.

    And the recipe and the photographs of every other run, by what it trained. Raises ValueError for runs that do not
    belong together.
    """
    loaded = {str(run): load(run) for run in runs}
    _same(loaded)
    model, recipe, record = next(iter(loaded.values()))
    model = type(model).merge_stages({run: part for run, (part, *_) in loaded.items()})
    leader = next(run for run, (part, *_) in loaded.items() if model.trainable[0] in part.trainable)
    _, recipe, record = loaded.pop(leader)
    others = {
        ", ".join(part.trainable): {
            **_portable(resolved(own)),
            "photographs": papers["photographs"],
            "step": papers["step"],
        }
        for part, own, papers in loaded.values()
    }
    return model, recipe.model_copy(update={"model": model.config}), record, others


def alone(recipe: Recipe) -> None:
    """Raises ValueError for a recipe whose run makes no bundle by itself."""
    family = models.load_family(recipe.family)
    family.merge_stages({"this recipe": family(recipe.model)})


def _same(loaded: Mapping[str, tuple[Family, Recipe, dict[str, Any]]]) -> None:
    """Raises ValueError where runs differ in what all stages of a model see."""
    (first, (_, own, _)), *others = loaded.items()
    for run, (_, recipe, _) in others:
        for name, one, other in (
            ("model.family", own.family, recipe.family),
            ("data.size", own.data.size, recipe.data.size),
            ("data.gray", own.data.gray, recipe.data.gray),
        ):
            if one != other:
                raise ValueError(f"{run}: {name} = {other}, but {one} in {first}: stages of one model must agree")


def _portable(tables: dict[str, Any]) -> dict[str, Any]:
    """The recipe without the folders of the machine it was followed on."""
    return {**tables, "data": {**tables["data"], "photos": [source_title(p) for p in tables["data"]["photos"]]}}


def tuned(model: Family, recipe: Recipe, sets: Iterable[str]) -> tuple[Family, Recipe]:
    """The model with the same weights under other settings. Raises ValueError when the weights do not fit them."""
    tables = resolved(recipe)
    for assignment in sets:
        override(tables, assignment)
    changed = parse(tables, "--set")
    made = models.load_family(changed.family)(changed.model).eval()
    try:
        made.load_state_dict(model.state_dict())
    except RuntimeError:
        raise ValueError(f"--set {' '.join(sets)}: needs other weights; train with it") from None
    return made, changed


def network_bytes(net: Network) -> bytes:
    """One network as ONNX with its larger weights in half precision and arithmetic in single.

    The weights of ``net`` are rounded to half precision first, so that the check against torch is exact in kind.
    """
    halve(net)
    content = halve_weights(trace(net))
    check(net, content)
    return content


def halve(net: Network) -> None:
    """Round each larger weight to what half precision can hold."""
    for weight in (*net.parameters(), *net.buffers()):
        if weight.is_floating_point() and weight.numel() >= WORTH_HALVING:
            weight.data = weight.data.half().float()


def shapes_of(net: Network) -> Mapping[str, tuple[Any, ...]]:
    """What a network says of its inputs: sizes, or names of sizes that may vary."""
    return net.inputs


def example(net: Network, batch: int, side: int) -> dict[str, torch.Tensor]:
    """Random inputs in [-1, 1] as the network's ``inputs`` describes them, named dimensions at ``side`` pixels."""
    generator = torch.Generator().manual_seed(0)
    shapes = {name: [side if isinstance(d, str) else d for d in dims] for name, dims in shapes_of(net).items()}
    return {name: torch.rand(batch, *shape, generator=generator) * 2 - 1 for name, shape in shapes.items()}


def trace(net: Network) -> onnx.ModelProto:
    """The network's graph, free in batch, height and width."""
    inputs = example(net, batch=2, side=64)
    free = {"h": Dim.DYNAMIC, "w": Dim.DYNAMIC}
    shapes = tuple(
        {0: Dim.DYNAMIC, **{i + 1: free[d] for i, d in enumerate(dims) if isinstance(d, str)}}
        for dims in shapes_of(net).values()
    )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that we do not use
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own deprecations
        program = torch.onnx.export(
            net.eval(), tuple(inputs.values()), input_names=list(inputs),
            dynamic_shapes=shapes, opset_version=18, dynamo=True, optimize=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    return named(folded(program.model_proto), net)


def folded(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its constants worked out: only so does the runtime see that norms can join convolutions.

    Twice as quick as without. Norms stay where they are here, so that weights are rounded to half once, not twice.
    """
    model = onnx_ir.from_proto(graph)
    optimizer.fold_constants(model, input_size_limit=LARGEST, output_size_limit=LARGEST)
    optimizer.remove_unused_nodes(model)
    return _portable_graph(onnx_ir.to_proto(model))


def named(graph: onnx.ModelProto, net: Network) -> onnx.ModelProto:
    """The graph with the names of parameters that were lost when they were folded into another shape, as norms' are.

    Those of matrices that were folded into their transpose end in `TRANSPOSED`.
    """
    weights = {weight.name: weight for weight in graph.graph.initializer}
    own = {name: p.detach().numpy() for name, p in net.named_parameters()}
    lost = {name: values for name, values in own.items() if name not in weights}
    for weight in (weights[name] for name in weights if name not in own):
        name = _told(numpy_helper.to_array(weight), lost)
        if name is None:
            continue
        del lost[name.removesuffix(TRANSPOSED)]
        for node in graph.graph.node:
            node.input[:] = [name if i == weight.name else i for i in node.input]
        weight.name = name
    return graph


def _told(values: np.ndarray, among: Mapping[str, np.ndarray]) -> str | None:
    """The name of these values, whatever their shape."""
    for name, known in among.items():
        if known.size == values.size:
            if np.array_equal(known.ravel(), values.ravel()):
                return name
            if known.ndim == 2 and known.T.shape == values.shape and np.array_equal(known.T, values):
                return name + TRANSPOSED
    return None


def _portable_graph(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the exporter's notes, which hold the folders of the machine it ran on."""
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return graph


def halve_weights(graph: onnx.ModelProto) -> bytes:
    """Store each larger weight as float16 with a cast in front of its use; the runtime unfolds it when it loads."""
    weights = list(graph.graph.initializer)
    casts = []
    for weight in weights:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < WORTH_HALVING:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def check(net: Network, content: bytes) -> None:
    """Raises ExportError unless ONNX equals torch on another size and batch than those traced.

    Of a network that ``discrete_output``, a few values may differ, and by any amount.
    """
    allowed = CHOSEN if net.discrete_output else 0.0
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for batch, side in ((1, 96), (3, 32)):
        inputs = example(net, batch, side)
        with torch.no_grad():
            made = net.eval()(*inputs.values())
        asked = {given.name: inputs[given.name].numpy() for given in session.get_inputs()}
        outputs = made if isinstance(made, tuple) else (made,)
        for found, tensor in zip(session.run(None, asked), outputs, strict=True):
            expected = tensor.numpy()
            if found.shape != expected.shape:
                raise ExportError(f"ONNX gives {found.shape}, torch {expected.shape} at {batch} x {side} px")
            error = np.abs(found - expected) / max(1.0, np.abs(expected).max(initial=0))
            if not np.sum(~(error < TOLERANCE)) <= allowed * error.size:
                raise ExportError(
                    f"ONNX and torch differ by {error.max():.1e} at {batch} x {side} px, more than {TOLERANCE}"
                )
