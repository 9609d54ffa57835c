"""The command that tells what colours photographs hold."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .console import fail, loading, progress, writable, write


def inspect(
    photos: Annotated[list[Path], typer.Argument(help="Colour photographs: folders, zips, or folders in a zip.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write the picture to this SVG file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write all figures to this file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over files that are there.")] = False,
) -> None:
    """Tell what colours a set of photographs holds, and what training on it will do.

    Exit code 1 when a photograph was left out, each named with its reason.
    """
    with loading():
        from ..evaluation.dataset_colors import picture
        from ..evaluation.inspection import Inspection, table

    if out and out.suffix.lower() != ".svg":
        fail(f"{out}: the picture is an SVG; name a file that ends in .svg", 2)
    writable([path for path in (out, json_file) if path], overwrite)
    try:
        inspection = Inspection(photos)
    except ValueError as error:
        fail(str(error), 2)
    with progress() as bar:
        running = bar.add_task("looking at photographs", total=len(inspection.photographs))
        try:
            colors = inspection.run(lambda: bar.advance(running))
        except ValueError as error:
            fail("\n".join([*inspection.unread, str(error)]), 1)
    typer.echo(table(colors))
    for sentence in colors.warnings():
        typer.echo(sentence, err=True)
    made = [(out, picture(colors)), (json_file, json.dumps(colors.figures() | colors.histograms()) + "\n")]
    try:
        write([(path, text) for path, text in made if path])
    except OSError as error:
        fail(f"{error.filename}: cannot be written ({error.strerror})", 1)
    if inspection.unread:
        fail("\n".join([*inspection.unread, f"{len(inspection.unread)} photographs were left out"]), 1)
