"""A measurement of a study: ``python -m photochrom.study.measurement``, a process of its own for each model.

Takes JSON: the ``task``, what to measure, the files to write, and the settings of the test. The task ``measure``
exports points of a training and writes the metrics of each, with one value for each photo in an ``.npz`` of the same
name; ``finish`` writes what a photo costs, and a strip of some photos colorized by a bundle.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.cost import model_cost
from ..evaluation.measure import BASELINES, GRAY, TRUTH, read_pixels
from ..evaluation.protocols import RGB8
from ..evaluation.report import EvaluationResult, draw_contact_sheet
from ..evaluation.run import Request, find_photos, run
from ..imaging.atomic import atomic_write
from ..inference.colorizer import Colorizer
from ..inference.options import ColorOptions
from ..training.checkpoint import load, point_name
from ..training.export import export
from ..training.recipe import Recipe

STRIP = 12  # photos
END = point_name(1)

Training = tuple[Recipe, dict[str, Any]]  # a recipe and the record of a checkpoint


def main() -> None:
    """Do the task that the first argument describes; a wrong call or photo ends with exit code 1 and its reason."""
    arguments = json.loads(sys.argv[1])
    os.environ["PHOTOCHROM_CACHE"] = arguments["cache"]
    tasks = {"measure": measure, "finish": finish}
    try:
        tasks[arguments["task"]](arguments)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(str(error))


def request(arguments: Mapping[str, Any], *bundles: str) -> Request:
    """Return the request of an evaluation of bundles."""
    return Request(
        data=[Path(source) for source in arguments["sources"]],
        models=bundles,
        protocol=arguments["protocol"],
        color=ColorOptions(variants=arguments["samples"]),
        held_out=arguments["held_out"],
        photos=arguments["photos"],
        cost=False,
    )


def measure(arguments: Mapping[str, Any]) -> None:
    """Export the models of a training, and write the metrics of each and of the baselines.

    ``earlier``: runs that the model was trained from and that are no part of it.
    """
    runs = [Path(run) for run in arguments["runs"]]
    bundles = [model["bundle"] for model in arguments["models"]]
    for model in arguments["models"]:
        if not Path(model["bundle"]).exists():
            export(runs, Path(model["bundle"]), checkpoint=model["checkpoint"])
    result = run(request(arguments, *bundles))
    if result.unreadable:
        raise ValueError("; ".join(result.unreadable.values()))
    names = {source: name for name, source in result.models.items()}
    for model in arguments["models"]:
        name, out = names[model["bundle"]], Path(model["out"])
        with atomic_write(out.with_suffix(".npz"), overwrite=True) as file:
            np.savez(file, allow_pickle=False, **_columns(result, name))
        trainings = [load(Path(run), END)[1:] for run in arguments["earlier"]]
        trainings += [load(run, model["checkpoint"])[1:] for run in runs]
        _write_json(out, _describe(result, name, trainings))


def _describe(result: EvaluationResult, name: str, trainings: Sequence[Training]) -> dict[str, Any]:
    """Return what was measured about a model, and what its training took, all its stages together."""
    totals = {
        "steps": sum(record["step"] for _, record in trainings),
        "images_seen": sum(record["step"] * recipe.trainer.batch for recipe, record in trainings),
        "seconds": sum(record["seconds"] for _, record in trainings),
    }
    _, last = trainings[-1]
    return {
        "n": result.n,
        "data": result.data,
        "training": totals,
        "device": last["device"],
        "training_images": last["photographs"]["training"],
        "training_digest": last["photographs"]["digest"],
        "warnings": result.warnings,
        "metrics": _estimates(result, name),
        "baselines": {baseline: _estimates(result, baseline) for baseline in BASELINES},
    }


def _estimates(result: EvaluationResult, name: str) -> dict[str, Any]:
    """Return the metrics of a row as JSON."""
    estimates = {}
    for metric, estimate in result.rows[name].items():
        estimates[metric] = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return estimates


def _columns(result: EvaluationResult, model: str) -> dict[str, np.ndarray]:
    """Return the values of each metric for each photo, or for each group of photos of a metric of the whole set."""
    columns = {name: column for name, column in result.columns[model].items() if column.ndim == 1}
    for metric, estimate in result.rows[model].items():
        if estimate.groups is not None:
            columns[metric] = estimate.groups
    return columns


def finish(arguments: Mapping[str, Any]) -> None:
    """Write what it costs to colorize a photo with a bundle, and strips of some photos: its own, and of baselines."""
    protocol, photos = find_photos(request(arguments))
    names = np.random.default_rng(0).permutation(sorted(photos))[:STRIP]
    truths = [protocol.prepare(read_pixels(photos[name])) for name in names]
    colorizer = Colorizer(arguments["bundle"], threads=1)
    strip = Path(arguments["strip"])
    _write_strip(strip, list(map(colorizer, truths)))
    _write_strip(strip.with_name(f"{GRAY}.jpg"), [colorizer(truth, saturation=0.0) for truth in truths])
    _write_strip(strip.with_name(f"{TRUTH}.jpg"), truths)
    _write_json(Path(arguments["out"]), model_cost(arguments["bundle"], {}, colorizer, None, "auto", truths[0]))


def _write_strip(path: Path, images: Sequence[RGB8]) -> None:
    with atomic_write(path, overwrite=True) as file:
        file.write(draw_contact_sheet([images]))


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path, overwrite=True) as file:
        file.write(json.dumps(content, indent=1).encode())


if __name__ == "__main__":
    main()
