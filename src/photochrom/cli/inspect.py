"""The command that shows the colors of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from .console import count, exit_on, fail, loading, progress, writable


def inspect(
    photos: Annotated[
        list[Path], typer.Argument(help="Color photos: folders (images, or .npy arrays), zips, or folders in a zip.")
    ],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write a chart to this SVG file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all values to this JSON file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Show the colors of a data set, and warn of problems in a training on it.

    Exit code 1 when a photo was left out.
    """
    with loading():
        from ..evaluation.dataset_colors import count_colors, read_small, write_colors
        from ..imaging.sources import Passed, describe_passed, find_images

    if out and out.suffix.lower() != ".svg":
        fail(f"{out}: the chart is an SVG file; name a file that ends in .svg", 2)
    writable((out, json_file), overwrite)
    passed = Passed()
    with exit_on(ValueError):
        # Files with the same content count once.
        images = {image.key: image for source in photos for image in find_images(source, passed)}
    if passed:
        typer.echo(f"passed over: {describe_passed(passed)}", err=True)
    if not images:
        fail(f"no photos in {', '.join(map(str, photos))}", 2)
    with exit_on(ValueError, code=1), progress() as bar:
        photos_read = read_small(list(images.values()))
        colors = count_colors(bar.track(photos_read, len(images), description="reading photos"))
    for line in colors.lines():
        typer.echo(line)
    for sentence in colors.warnings():
        typer.echo(sentence, err=True)
    with exit_on(ValueError, code=1):
        write_colors(colors, out, json_file)
    if colors.left_out:
        verb = "was" if len(colors.left_out) == 1 else "were"
        fail("\n".join([*colors.left_out, f"{count(len(colors.left_out), 'photo')} {verb} left out"]), 1)
