"""The command that evaluates models."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import count, exit_on, fail, loading, progress, writable
from .options import Device, Saturation, Seed, Size, Strength, limited

DATA = "Color photos as ground truth: folder (images, or .npy arrays), zip, or folder in a zip; repeatable."
IMAGES = "Images colorized elsewhere, with the names of the photos; repeatable."
STEPS = "Number of sampling steps; repeatable, a row for each."
ETA = "Noise of each step of ddim; repeatable, a row for each."
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
    strength: Strength = None,
    seed: Seed = 0,
    steps: Annotated[list[int] | None, limited("steps", STEPS)] = None,
    solver: Annotated[list[str] | None, typer.Option(help="Sampler to use; repeatable, a row for each.")] = None,
    eta: Annotated[list[float] | None, limited("eta", ETA)] = None,
    temperature: Annotated[list[float] | None, limited("temperature", TEMPERATURE)] = None,
    samples: Annotated[int, limited("variants", "Samples of each photo, with consecutive seeds.")] = 1,
    held_out: Annotated[float, typer.Option(min=0, max=1, help=HELD_OUT)] = 1.0,
    device: Device = "auto",
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
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # photos are measured in parallel: more threads would only wait
    with loading("evaluate"):
        from ..evaluation.report import as_markdown, write_reports
        from ..evaluation.run import Request, combine_options, record_scores, run
        from ..inference.options import ColorOptions

    writable((json_file, csv_file, html_file), overwrite)
    saturation = saturation if strength is None else strength

    def advance(stage: str, done: int, total: int) -> None:
        stages = {task.description: task.id for task in bar.tasks}
        if stage not in stages:
            stages[stage] = bar.add_task(stage, total=total)
        bar.update(stages[stage], completed=done)

    with exit_on(ValueError, ModuleNotFoundError, OSError), progress() as bar:
        request = Request(
            data=data,
            models=model or ([] if images else ["default"]),
            samplers=combine_options(solver=solver, eta=eta, temperature=temperature, steps=steps),
            images=images or [],
            protocol=protocol,
            lists=lists,
            color=ColorOptions(saturation=saturation, size=size, seed=seed, variants=samples),
            held_out=held_out,
            device=device,
            force=force,
            contact_sheets=html_file is not None,
            record=record,
            overwrite=overwrite,
            command=shlex.join(["photochrom", *sys.argv[1:]]),
        )
        result = run(request, advance)
    typer.echo(f"{count(result.n, 'photo')}, protocol {protocol}\n{as_markdown(result)}")
    for comparison in result.comparisons:
        typer.echo(comparison.verdict, err=True)
    for warning in result.warnings:
        typer.echo(warning, err=True)
    with exit_on(ValueError, code=1):
        write_reports(result, json_file, csv_file, html_file)
        if record:
            record_scores(result)
    if result.unreadable:
        summary = f"{count(len(result.unreadable), 'photo')} could not be measured"
        fail("\n".join([*result.unreadable.values(), summary]), 1)
