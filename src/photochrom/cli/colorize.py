"""The command that colours photographs."""

from pathlib import Path
from typing import Annotated

import typer

from .console import fail, loading, needs_extra, report
from .options import Model, Size


def colorize(  # noqa: PLR0913 - each is an option of the command
    photos: Annotated[list[str], typer.Argument(help="Photographs, or folders of them, searched through.")],
    out: Annotated[str | None, typer.Option("-o", "--out", help="Folder for the copies, or the file for one.")] = None,
    model: Model = "default",
    seed: Annotated[int, typer.Option(min=0, help="Which of the possible pictures, for models that draw.")] = 0,
    saturation: Annotated[float, typer.Option(min=0, max=3, help="Of the colours: 0 gray, 1 as the model says.")] = 1.0,
    size: Size = None,
    variants: Annotated[int, typer.Option(min=1, max=1000, help="Copies, and a sheet of them; seeds count up.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Of sampling; the model's own if not given.")] = None,
    solver: Annotated[
        str | None,
        typer.Option(help="Of sampling: ddim, ancestral, dpm-solver; one-shot, naive, improved; sample, greedy."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of drawing: below 1 surer colours, above 1 bolder.")
    ] = None,
    hint: Annotated[list[str] | None, typer.Option(help="x,y,#rrggbb pins a colour to a pixel; repeatable.")] = None,
    hints: Annotated[Path | None, typer.Option(help="A text file with one such hint to a line.")] = None,
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help="Map where variants disagree.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Show the way to the colours as a strip.")] = False,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Batches of photographs worked on at once.")] = 1,
    max_pixels: Annotated[int, typer.Option(min=1, help="Larger photographs are refused.")] = 250_000_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make copies again that are there already.")] = False,
    cluster: Annotated[
        str | None, typer.Option(help="Have a Dask cluster do it: local, local:2, or the address of a scheduler.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="With --cluster: where it is written what was done with each.")
    ] = None,
) -> None:
    """Colour photographs; the originals are never touched.

    A file's copy is NAME-color.EXT beside it; a folder's copies are in FOLDER-color. Stop at any moment and run again:
    copies that are there are skipped. Exit code 1 when a photograph failed, each named with its reason.
    Variants are NAME-color-SEED.EXT, what shows them NAME-color-SEEDS-sheet.jpg, -uncertainty.jpg and -trace.jpg.
    """
    with loading():
        from .._processes import available_processors
        from ..inference.batch import ABOUT, Settings, check, colorize_all, plan
        from ..inference.colorizer import Colorizer
        from ..inference.hints import read_hints
        from ..inference.options import Hint

    asked = {"steps": steps, "solver": solver, "temperature": temperature}
    sampling = {name: value for name, value in asked.items() if value is not None}
    about = [kind for kind, asked in zip(ABOUT, (variants > 1, uncertainty, trace), strict=True) if asked]
    seeds = range(seed, seed + variants)
    try:
        pins = [Hint.parse(text) for text in hint or ()] + (read_hints(hints) if hints else [])
        settings = Settings(saturation, size, tuple(pins), overwrite, max_pixels)
        if cluster:
            needs_extra("cluster")
            if jobs > 1:
                raise ValueError(f"jobs {jobs}: is for one process: --cluster local:{jobs} begins as many workers")
            from ..cluster.run import colorize_archive

            return colorize_archive(photos, out, model, sampling, settings, seeds, about, cluster, manifest)
        if manifest or any("://" in text for text in [*photos, out or ""]):
            raise ValueError(f"{manifest or 'addresses'}: is for a cluster: give --cluster local")
        tasks = plan([Path(photo) for photo in photos], Path(out) if out else None, seeds, about)
        colorizer = Colorizer(model, threads=max(1, available_processors() // jobs), **sampling)
        check(colorizer, settings, len(tasks), seeds, about)
    except ValueError as error:
        fail(str(error), 2)
    if not tasks:
        fail(f"no photographs in {', '.join(photos)}", 1)
    try:
        report(tasks, colorize_all(colorizer, tasks, settings, jobs))
    except KeyboardInterrupt:
        fail("stopped; the same command goes on with what is missing", 130)
