"""The command that evaluates models."""

import os
import shlex
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import count, fail, loading, needs_extra, progress, writable, write
from .options import Saturation, Seed, Size, limited

if TYPE_CHECKING:
    from rich.progress import TaskID

DATA = "Color photos as ground truth: folder, zip, or folder in a zip; repeatable."
IMAGES = "Images colorized elsewhere, with the names of the photos; repeatable."
TEMPERATURE = "Randomness of sampling; repeatable, a row for each."
HELD_OUT = "Only photos that a training with this data.validation holds out."


def evaluate(  # noqa: PLR0913 - each is an option of the command
    data: Annotated[list[Path], typer.Option(help=DATA)],
    model: Annotated[list[str] | None, typer.Option(help="A name, or the path of a bundle; repeatable.")] = None,
    images: Annotated[list[Path] | None, typer.Option(help=IMAGES)] = None,
    protocol: Annotated[str, typer.Option(help="How photos are prepared and compared.")] = "native",
    lists: Annotated[Path | None, typer.Option(help="Folder of the lists of names that a protocol needs.")] = None,
    size: Size = None,
    saturation: Saturation = 1.0,
    strength: Annotated[float | None, limited("saturation", "Alias of --saturation.", hidden=True)] = None,
    seed: Seed = 0,
    steps: Annotated[
        list[int] | None, limited("steps", "Number of sampling steps; repeatable, a row for each.")
    ] = None,
    solver: Annotated[list[str] | None, typer.Option(help="Sampler to use; repeatable, a row for each.")] = None,
    eta: Annotated[
        list[float] | None, limited("eta", "Noise of each step of ddim; repeatable, a row for each.")
    ] = None,
    temperature: Annotated[list[float] | None, limited("temperature", TEMPERATURE)] = None,
    samples: Annotated[int, limited("variants", "Samples of each photo, with consecutive seeds.")] = 1,
    held_out: Annotated[float, typer.Option(min=0, max=1, help=HELD_OUT)] = 1.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all metrics to this JSON file.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write all metrics to this CSV file.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a report with photos to this file.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Save the metrics in each model's model.json.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing reports and saved metrics.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure photos that do not fit the protocol.")] = False,
) -> None:
    """Measure models, or images colorized elsewhere, against the ground truth of color photos.

    Measurements are cached (PHOTOCHROM_CACHE): stop at any time and run again to continue. Exit code 1 when a photo
    cannot be read.
    """
    needs_extra("evaluate")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # photos are measured in parallel: more threads would only wait
    with loading():
        from ..evaluation.report import as_csv, as_html, as_json, as_markdown
        from ..evaluation.run import Request, record_scores, run
        from ..inference.options import ColorOptions

    writable([path for path in (json_file, csv_file, html_file) if path], overwrite)
    saturation = saturation if strength is None else strength
    stages: dict[str, TaskID] = {}
    try:
        request = Request(
            data,
            model or ([] if images else ["default"]),
            _combine(solver=solver, eta=eta, temperature=temperature, steps=steps),
            images or [],
            protocol,
            lists,
            ColorOptions(saturation=saturation, size=size, seed=seed, variants=samples),
            held_out,
            force=force,
            contact_sheets=html_file is not None,
            record=record,
            overwrite=overwrite,
            command=shlex.join(["photochrom", *sys.argv[1:]]),
        )
        with progress() as bar:

            def advance(stage: str, done: int, total: int) -> None:
                if stage not in stages:
                    stages[stage] = bar.add_task(stage, total=total)
                bar.update(stages[stage], completed=done)

            result = run(request, advance)
    except (ValueError, ModuleNotFoundError, OSError) as error:
        fail(str(error), 2)
    typer.echo(f"{count(result.n, 'photo')}, protocol {protocol}\n{as_markdown(result)}")
    for sentence in (*result.verdicts, *result.warnings):
        typer.echo(sentence, err=True)
    outputs = ((json_file, as_json), (csv_file, as_csv), (html_file, as_html))
    try:
        write([(path, render(result)) for path, render in outputs if path])
        if record:
            record_scores(result)
    except ValueError as error:
        fail(str(error), 1)
    if result.unreadable:
        summary = f"{count(len(result.unreadable), 'photo')} could not be measured"
        fail("\n".join([*result.unreadable.values(), summary]), 1)


def _combine(**choices: list[Any] | None) -> list[dict[str, Any]]:
    """Every combination of the values of repeatable options, without those that are not given."""
    names = [name for name in choices if choices[name]]
    return [dict(zip(names, values, strict=True)) for values in product(*(choices[name] or () for name in names))]
