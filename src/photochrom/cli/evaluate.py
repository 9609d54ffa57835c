"""The command that measures models."""

import os
import shlex
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import fail, loading, needs_extra, progress, writable, write
from .options import Size

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..evaluation.run import Found


def evaluate(  # noqa: PLR0913 - each is an option of the command
    data: Annotated[list[Path], typer.Option(help="Folder, zip, or folder in a zip: the truth; repeatable.")],
    model: Annotated[list[str] | None, typer.Option(help="A name, or the path of a bundle; repeatable.")] = None,
    images: Annotated[
        list[Path] | None, typer.Option(help="Folder of pictures made elsewhere, named as the photographs; repeatable.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="How photographs are prepared and compared: docs/metrics.md.")
    ] = "native",
    lists: Annotated[Path | None, typer.Option(help="Folder of the lists of names that a protocol asks for.")] = None,
    size: Size = None,
    saturation: Annotated[float, typer.Option(min=0, max=3, help="Of the colours.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the first picture, for models that draw.")] = 0,
    steps: Annotated[list[int] | None, typer.Option(min=1, help="Of sampling; repeatable, a row for each.")] = None,
    solver: Annotated[list[str] | None, typer.Option(help="Of sampling; repeatable, a row for each.")] = None,
    temperature: Annotated[list[float] | None, typer.Option(help="Of drawing; repeatable, a row for each.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=64, help="Pictures of each photograph, by seeds one apart.")] = 1,
    held_out: Annotated[
        float, typer.Option(min=0, max=1, help="Only those that a training with this data.validation holds out.")
    ] = 1.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write all figures to this file.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Also write all figures to this file.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Also write the report, with pictures.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Write the figures into each model's own card.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over reports and figures that are there.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Measure too few photographs all the same, marked.")] = False,
) -> None:
    """Measure models, or folders of pictures, on colour photographs: gray is coloured again and set beside the truth.

    What is measured is kept (PHOTOCHROM_CACHE): stop at any moment and run again to go on. Exit code 1 when a
    photograph could not be read, each named.
    """
    needs_extra("evaluate")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # photographs go on in parallel: inside one, threads only wait
    from dataclasses import replace

    with loading():
        from ..evaluation import page, report
        from ..evaluation.run import Evaluation, Request

    written: list[tuple[Path | None, Callable[[Found], str]]] = [
        (json_file, lambda found: report.as_json(found.report)),
        (csv_file, lambda found: report.as_csv(found.report)),
        (html_file, lambda found: page.page(found.report, found.histograms, found.sheets)),
    ]
    writable([path for path, _ in written if path], overwrite)
    models = tuple(model or (() if images else ("default",)))
    asked = {"solver": solver, "temperature": temperature, "steps": steps}
    ways = [[{name: value} for value in values or ()] or [{}] for name, values in asked.items()]
    sampling = [{name: value for one in way for name, value in one.items()} for way in product(*ways)]
    request = Request(data, models, sampling, images or (), protocol, lists, size, saturation, seed, samples, force)
    request = replace(
        request,
        held_out=held_out,
        pictures=html_file is not None,
        record=record,
        overwrite=overwrite,
        command=_command(),
    )
    try:
        with progress() as bar:
            looking = bar.add_task("looking at photographs", total=None)
            evaluation = Evaluation(request, lambda done: bar.update(looking, completed=done))
            running = bar.add_task("measuring", total=None)
            for done, total in evaluation:
                bar.update(running, completed=done, total=total)
    except (ValueError, ModuleNotFoundError, OSError) as error:
        fail(str(error), 2)
    found = evaluation.found
    typer.echo(
        f"{found.report.n} photographs, protocol {found.report.protocol.name}\n{report.as_markdown(found.report)}"
    )
    for sentence in (*report.sentences(found.report), *found.report.warnings):
        typer.echo(sentence, err=True)
    try:
        write([(path, made(found)) for path, made in written if path])
        if record:
            evaluation.record()
    except OSError as error:
        fail(f"{error.filename}: cannot be written ({error.strerror})", 1)
    if found.unread:
        fail("\n".join([*found.unread.values(), f"{len(found.unread)} photographs could not be measured"]), 1)


def _command() -> str:
    """The command as it was called."""
    return shlex.join(["photochrom", *sys.argv[1:]])
