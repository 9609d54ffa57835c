"""Export: one run, or one run for each stage of a model, becomes a bundle that needs no PyTorch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import models
from .._version import __version__
from ..core.sampling import describe
from ..imaging.sources import source_title
from ..inference.bundle import ModelCard
from ..models.family import Family
from .bundle_writer import require_free, save_bundle
from .checkpoint import load
from .graph import export_network
from .pretrained import blend
from .recipe import Recipe, override, parse, resolved


def export(  # noqa: PLR0913 - each is an option of the command
    runs: Sequence[Path],
    out: Path,
    sets: Iterable[str] = (),
    size: int | None = None,
    sources: str = "",
    blended: tuple[Path, float] | None = None,
    checkpoint: str = "best",
    **card: Any,
) -> ModelCard:
    """Write a checkpoint of a run, or of the runs of a model's stages, as a bundle; return its card.

    Args:
        runs: the folder that `train` wrote, or several, one for each stage.
        out: the bundle to write, a folder or a ``.zip``; its name is the model's name.
        sets: ``model.key=value`` over the recipe's, for settings that need no other weights (a temperature).
        size: inference size in pixels (short side); the training crop's by default.
        sources: whose photos the model was trained on, and under which terms.
        blended: other weights of the same networks (see `pretrained.load_weights`) and their share, 0 to 1: the
            networks get weights between the run's and these.
        checkpoint: see `checkpoint.load`; that of every stage.
        card: further entries of the card (``summary``, ``limitations``, ``use``, ``licence``, ``scores``).

    Raises ExportError when ONNX and torch differ, ValueError when runs or settings do not fit, FileExistsError.
    """
    require_free(out)
    sets = tuple(sets)
    model, recipe, record, stages = merge_runs(runs, checkpoint)
    model, recipe = change_settings(model, recipe, sets)
    if model.image_size and size not in (None, model.image_size):
        raise ValueError(f"size {size}: this model works only with images of {model.image_size} pixels")

    extra: dict[str, Any] = {"stages": stages} if stages else {}
    if blended:
        path, share = blended
        blend(model, path, share)
        extra["blend"] = {"weights": path.name, "share": share}
    # The metrics of validation hold for one run with the weights and settings of its training.
    validation = None if sets or extra else record["validation"]
    networks, parameters = {}, {}
    for name, net in model.networks().items():
        networks[name], parameters[name] = export_network(net)
    model_card = ModelCard(
        name=out.stem if out.suffix.lower() == ".zip" else out.name,
        family=recipe.family,
        procedure=describe(model.procedure),
        networks={},
        size=size or recipe.data.size,
        square=model.image_size is not None,
        multiple=model.size_multiple,
        gray=recipe.data.gray,
        recipe=portable(resolved(recipe)) | extra,
        data={**record["photographs"], "sources": sources},
        training=_training_record(recipe, record),
        parameters=parameters,
        version=__version__,
        **{"scores": {"validation": validation} if validation else {}, **card},
    )
    return save_bundle(out, model_card, networks)


def _training_record(recipe: Recipe, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a training took, for the card: steps, images seen (with repetitions), seconds and device."""
    step = record["step"]
    return {
        "steps": step,
        "images_seen": step * recipe.trainer.batch,
        "seconds": round(record["seconds"], 1),
        "device": record.get("device", ""),
    }


def merge_runs(
    runs: Sequence[Path], checkpoint: str = "best"
) -> tuple[Family, Recipe, dict[str, Any], dict[str, dict[str, Any]]]:
    """Load one run, or the runs of a model's stages, as one model, with recipe and record of the first stage's run.

    Then, for the other stages, their recipes, images and steps. Raises ValueError when the runs make no model.
    """
    loaded = {str(run): load(run, checkpoint) for run in runs}  # a run that is named twice is one run
    _require_equal_data(loaded)
    parts = {run: part for run, (part, _, _) in loaded.items()}
    model = type(next(iter(parts.values()))).merge_stages(parts)
    first = next(run for run, part in parts.items() if model.trainable[0] in part.trainable)
    _, recipe, record = loaded.pop(first)
    stages = {}
    for part, stage_recipe, stage_record in loaded.values():
        stages[", ".join(part.trainable)] = {
            **portable(resolved(stage_recipe)),
            "photographs": stage_record["photographs"],
            "training": _training_record(stage_recipe, stage_record),
        }
    return model, replace(recipe, model=model.config), record, stages


def require_complete(recipe: Recipe) -> None:
    """Raise ValueError for a recipe of a stage, whose run alone makes no bundle."""
    family = models.load_family(recipe.family)
    family.merge_stages({"this recipe": family(recipe.model)})


def change_settings(model: Family, recipe: Recipe, sets: Iterable[str]) -> tuple[Family, Recipe]:
    """Return the model with the same weights and other settings, and its recipe. Raises ValueError."""
    tables = resolved(recipe)
    for assignment in sets:
        override(tables, assignment)
    changed = parse(tables, "--set")
    result: Family = models.load_family(changed.family)(changed.model)
    try:
        result.load_state_dict(model.state_dict())
    except RuntimeError:
        raise ValueError(f"--set {' '.join(sets)}: needs other weights; train with this setting") from None
    return result.eval(), changed


def portable(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved recipe without the folders of the machine that it ran on."""
    photos = list(map(source_title, tables["data"]["photos"]))
    return {**tables, "data": {**tables["data"], "photos": photos}}


def _require_equal_data(loaded: Mapping[str, tuple[Family, Recipe, dict[str, Any]]]) -> None:
    (first_run, (_, first, _)), *others = loaded.items()
    for run, (_, recipe, _) in others:
        for key, expected, value in (
            ("model.family", first.family, recipe.family),
            ("data.size", first.data.size, recipe.data.size),
            ("data.gray", first.data.gray, recipe.data.gray),
        ):
            if value != expected:
                difference = f"{key} = {value}, but {expected} in {first_run}"
                raise ValueError(f"{run}: {difference}: stages of one model must agree")
