"""The command that evaluates models."""

import os
import shlex
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import fail, loading, needs_extra, progress, writable, write
from .options import Size

if TYPE_CHECKING:
    from rich.progress import TaskID


def evaluate(  # noqa: C901, PLR0913 - each is an option of the command
    data: Annotated[
        list[Path], typer.Option(help="Color photos as ground truth: folder, zip, folder in a zip; repeatable.")
    ],
    model: Annotated[list[str] | None, typer.Option(help="A name, or the path of a bundle; repeatable.")] = None,
    images: Annotated[
        list[Path] | None, typer.Option(help="Images colorized elsewhere, with the names of the photos; repeatable.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="How photos are prepared and compared; see docs/metrics.md.")
    ] = "native",
    lists: Annotated[Path | None, typer.Option(help="Folder of the lists of names that a protocol needs.")] = None,
    size: Size = None,
    saturation: Annotated[
        float, typer.Option("--saturation", "--strength", help="Color saturation: 0 = grayscale, 1 = model output.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Random seed of the first sample (stochastic models only).")] = 0,
    steps: Annotated[
        list[int] | None, typer.Option(help="Number of sampling steps; repeatable, a row for each.")
    ] = None,
    solver: Annotated[list[str] | None, typer.Option(help="Sampler to use; repeatable, a row for each.")] = None,
    temperature: Annotated[
        list[float] | None, typer.Option(help="Randomness of sampling; repeatable, a row for each.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=64, help="Samples of each photo, with consecutive seeds.")] = 1,
    held_out: Annotated[
        float, typer.Option(min=0, max=1, help="Only photos that a training with this data.validation holds out.")
    ] = 1.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all metrics to this JSON file.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write all metrics to this CSV file.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a report with photos to this file.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Save the metrics in each model's model.json.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Overwrite existing reports and saved metrics.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Measure photos that do not fit the protocol, marked.")
    ] = False,
) -> None:
    """Measure models, or images colorized elsewhere, against the ground truth of color photos.

    Measurements are cached (PHOTOCHROM_CACHE): interrupt at any time and run again to continue. Exit code 1 when a
    photo cannot be read.
    """
    needs_extra("evaluate")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # photos are measured in parallel: more threads would only wait
    with loading():
        from ..evaluation.report import as_csv, as_html, as_json, as_markdown
        from ..evaluation.run import Request, record_scores, run
        from ..inference.options import ColorOptions

    writable([path for path in (json_file, csv_file, html_file) if path], overwrite)
    try:
        request = Request(
            data=data,
            models=model or ([] if images else ["default"]),
            samplers=_combine(steps=steps, solver=solver, temperature=temperature),
            images=images or [],
            protocol=protocol,
            lists=lists,
            color=ColorOptions(saturation=saturation, size=size, seed=seed, variants=samples),
            held_out=held_out,
            force=force,
            contact_sheets=html_file is not None,
            record=record,
            overwrite=overwrite,
            command=shlex.join(["photochrom", *sys.argv[1:]]),
        )
        with progress() as bar:
            stages: dict[str, TaskID] = {}

            def advance(stage: str, done: int, total: int) -> None:
                if stage not in stages:
                    stages[stage] = bar.add_task(stage, total=total)
                bar.update(stages[stage], completed=done)

            result = run(request, advance)
    except (ValueError, ModuleNotFoundError, OSError) as error:
        fail(str(error), 2)
    report = result.report
    typer.echo(f"{report.photos}, protocol {protocol}\n{as_markdown(report)}")
    for sentence in (*report.verdicts, *report.warnings):
        typer.echo(sentence, err=True)
    files: list[tuple[Path, str]] = []
    if json_file:
        files.append((json_file, as_json(report)))
    if csv_file:
        files.append((csv_file, as_csv(report)))
    if html_file:
        files.append((html_file, as_html(report, result.histograms, result.contact_sheets)))
    try:
        write(files)
        if record:
            record_scores(result)
    except ValueError as error:
        fail(str(error), 1)
    if result.unreadable:
        count = len(result.unreadable)
        summary = f"{count} {'photo' if count == 1 else 'photos'} could not be measured"
        fail("\n".join([*result.unreadable.values(), summary]), 1)


def _combine(**choices: list[Any] | None) -> list[dict[str, Any]]:
    """Every combination of the values of repeatable options; those that are not given are left out."""
    given = {name: values for name, values in choices.items() if values}
    return [dict(zip(given, values, strict=True)) for values in product(*given.values())]
