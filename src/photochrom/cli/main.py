"""The ``photochrom`` command; what a command needs is imported when it runs, so that ``--help`` is quick."""

import json
import logging
import os
import shlex
import signal
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._version import __version__
from .console import fail, loading, needs_extra, progress, report, writable, write
from .train import Size, export, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..evaluation.run import Found

app = typer.Typer(
    help="Put colour into black-and-white photographs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[str, typer.Option(help="A name that `photochrom models` lists, or the path of a bundle.")]


def main() -> None:
    """The entry point: a user's mistake ends in one sentence, Ctrl-C or a request to end in exit code 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("pyvips").setLevel(logging.ERROR)  # its warnings reach the user as our own sentences
    app()


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"photochrom {__version__}")
        raise typer.Exit


@app.callback()
def _photochrom(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Put colour into black-and-white photographs."""


@app.command()
def colorize(  # noqa: PLR0913 - each is an option of the command
    photos: Annotated[list[str], typer.Argument(help="Photographs, or folders of them, searched through.")],
    out: Annotated[str | None, typer.Option("-o", "--out", help="Folder for the copies, or the file for one.")] = None,
    model: Model = "default",
    seed: Annotated[int, typer.Option(min=0, help="Which of the possible pictures, for models that draw.")] = 0,
    strength: Annotated[float, typer.Option(min=0, max=3, help="Of the colours: 0 gray, 1 as the model says.")] = 1.0,
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
        from ..inference.hints import Hint, read_hints

    asked = {"steps": steps, "solver": solver, "temperature": temperature}
    sampling = {name: value for name, value in asked.items() if value is not None}
    about = [kind for kind, asked in zip(ABOUT, (variants > 1, uncertainty, trace), strict=True) if asked]
    seeds = range(seed, seed + variants)
    try:
        pins = [Hint.read(text) for text in hint or ()] + (read_hints(hints) if hints else [])
        settings = Settings(strength, size, tuple(pins), overwrite, max_pixels)
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


@app.command()
def models(as_json: Annotated[bool, typer.Option("--json", help="Everything each bundle says.")] = False) -> None:
    """List the models that are installed."""
    from dataclasses import asdict

    from ..inference.bundle import DEFAULT, INSTALLED, cards

    if as_json:
        typer.echo(json.dumps({name: asdict(card) for name, card in cards()}, indent=2))
        return
    for name, card in cards():
        megabytes = sum(f.stat().st_size for f in (INSTALLED / name).iterdir()) / 1e6
        default = "  (default)" if name == DEFAULT else ""
        typer.echo(f"{name}{default}\n  {card.family}, {megabytes:.1f} MB, {card.licence}\n  {card.summary}")
        for protocol, scores in card.scores.items():
            said = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in scores.items())
            typer.echo(f"  {protocol}: {said}")


@app.command()
def web(  # noqa: PLR0913 - each is an option of the command
    model: Annotated[
        list[str] | None, typer.Option(help="A name, or the path of a bundle; repeatable, the first is chosen.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    allow: Annotated[list[str] | None, typer.Option(help="Name by which it may be asked; repeatable.")] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Photographs worked on at once.")] = 1,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Larger files are refused.")] = 200,
    max_pixels: Annotated[int, typer.Option(min=1, help="Larger photographs are refused.")] = 250_000_000,
    max_seconds: Annotated[float, typer.Option(min=1, help="Of work on one photograph.")] = 600,
    queue: Annotated[int, typer.Option(min=1, help="Photographs that may wait.")] = 64,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page on which photographs are dropped and coloured, and an HTTP interface (/openapi.json).

    Photographs stay on this machine, in a private folder that is gone when it stops (Ctrl-C).
    """
    needs_extra("web")
    with loading():
        from ..server.app import serve
        from ..server.jobs import Limits

    limits = Limits(max_megabytes << 20, max_pixels, queue, max_seconds)
    try:
        serve(model or ["default"], limits, (host, port), allow or (), jobs, browser)
    except (ValueError, OSError) as error:
        fail(str(error), 2)


app.command()(train)
app.command()(export)


@app.command()
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


@app.command()
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
    strength: Annotated[float, typer.Option(min=0, max=3, help="Of the colours.")] = 1.0,
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
    request = Request(data, models, sampling, images or (), protocol, lists, size, strength, seed, samples, force)
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
