"""The command that shows the colors of a data set."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import count, exit_on, fail, loading, progress, writable, write

if TYPE_CHECKING:
    from ..evaluation.dataset_colors import RGB

SHARES = ("near-gray photos", "kinds")  # values that are shares of 1


def inspect(  # noqa: C901 - one step after another
    photos: Annotated[list[Path], typer.Argument(help="Color photos: folders, zips, or folders in a zip.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write a chart to this SVG file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all values to this JSON file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Show the colors of a data set, and warn of problems in a training on it.

    Exit code 1 when a photo was left out.
    """
    with loading():
        from ..evaluation.dataset_colors import count_colors, draw_chart, read_small
        from ..imaging.errors import PhotoError
        from ..imaging.sources import find_images

    if out and out.suffix.lower() != ".svg":
        fail(f"{out}: the chart is an SVG file; name a file that ends in .svg", 2)
    writable((out, json_file), overwrite)
    left_out: list[str] = []

    def readable() -> "Iterator[RGB]":
        for result in read_small(list(images.values())):
            bar.advance(task)
            if isinstance(result, PhotoError):
                left_out.append(str(result))
            else:
                yield result

    with exit_on(ValueError):
        # Files with the same content count once.
        images = {image.key: image for source in photos for image in find_images(source)}
    if not images:
        fail(f"no photos in {', '.join(map(str, photos))}", 2)
    with progress() as bar:
        task = bar.add_task("reading photos", total=len(images))
        try:
            colors = count_colors(readable())
        except ValueError as error:
            fail("\n".join([*left_out, str(error)]), 1)
    for name, value in colors.summary().items():
        parts = value if isinstance(value, dict) else {"": value}
        texts = [f"{part} {_format(name, number)}".strip() for part, number in parts.items()]
        typer.echo(f"{name}: {', '.join(texts)}")
    for sentence in colors.warnings():
        typer.echo(sentence, err=True)
    with exit_on(ValueError, code=1):
        if out:
            write(out, draw_chart(colors))
        if json_file:
            write(json_file, json.dumps(colors.summary() | colors.histograms()) + "\n")
    if left_out:
        verb = "was" if len(left_out) == 1 else "were"
        fail("\n".join([*left_out, f"{count(len(left_out), 'photo')} {verb} left out"]), 1)


def _format(name: str, value: float) -> str:
    if name in SHARES:
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}"
