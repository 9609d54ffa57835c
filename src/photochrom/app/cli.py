"""The ``photochrom`` command; what a command needs is imported when it runs, so that ``--help`` is quick."""

import json
import logging
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from .. import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from ..engine.album import Outcome, Task

app = typer.Typer(
    help="Put colour into black-and-white photographs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SHEET = 120  # photographs on a contact sheet
Sets = Annotated[list[str] | None, typer.Option("--set", help="TABLE.KEY=VALUE over the recipe's; repeatable.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="What to write; named after the input if not given.")]
Size = Annotated[int | None, typer.Option(min=32, max=2048, help="Short side, in pixels, that the model sees.")]
Model = Annotated[str, typer.Option(help="A name that `photochrom models` lists, or the path of a bundle.")]


def main() -> None:
    """The entry point: a user's mistake ends in one sentence, Ctrl-C in exit code 130."""
    logging.getLogger("pyvips").setLevel(logging.ERROR)  # its warnings reach the user as our own sentences
    try:
        app()
    except KeyboardInterrupt:
        fail("stopped", 130)


def fail(message: str, code: int) -> NoReturn:
    """Say why on stderr and leave."""
    typer.echo(f"photochrom: {message}", err=True)
    raise SystemExit(code)


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
    photos: Annotated[list[Path], typer.Argument(help="Photographs, or folders of them, searched through.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the copies, or the file for one.")] = None,
    model: Model = "default",
    seed: Annotated[int, typer.Option(min=0, help="Which of the possible pictures, for models that draw.")] = 0,
    strength: Annotated[float, typer.Option(min=0, max=3, help="Of the colours: 0 gray, 1 as the model says.")] = 1.0,
    size: Size = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Batches of photographs worked on at once.")] = 1,
    max_pixels: Annotated[int, typer.Option(min=1, help="Larger photographs are refused.")] = 250_000_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make copies again that are there already.")] = False,
) -> None:
    """Colour photographs; the originals are never touched.

    A file's copy is NAME-color.EXT beside it; a folder's copies are in FOLDER-color. Stop at any moment and run again:
    copies that are there are skipped. Exit code 1 when a photograph failed, each named with its reason.
    """
    from ..engine.album import Settings, colorize_all, plan
    from ..engine.colorizer import Colorizer, processors

    try:
        tasks = plan(photos, out)
        colorizer = Colorizer(model, threads=max(1, processors() // jobs))
    except ValueError as error:
        fail(str(error), 2)
    if not tasks:
        fail(f"no photographs in {', '.join(map(str, photos))}", 1)
    settings = Settings(seed, strength, size, overwrite, max_pixels)
    report(tasks, colorize_all(colorizer, tasks, settings, jobs))


def report(tasks: "list[Task]", outcomes: "Iterator[Outcome]") -> None:
    """Print the path of each copy, each failure, and how it ended; exit code 1 when a photograph failed."""
    counts = {"written": 0, "skipped": 0, "failed": 0}
    with progress() as bar:
        running = bar.add_task("colouring", total=len(tasks))
        for outcome in outcomes:
            counts[outcome.state] += 1
            bar.advance(running)
            if outcome.state == "failed":
                bar.console.print(outcome.reason, style="red", highlight=False, markup=False, soft_wrap=True)
            elif outcome.state == "written":
                typer.echo(outcome.task.target)
    if counts["skipped"]:
        typer.echo(f"{counts['skipped']} there already, left as they are (--overwrite makes them again)", err=True)
    if counts["failed"]:
        fail(f"{counts['failed']} of {len(tasks)} photographs failed", 1)


def progress() -> "Progress":
    """A bar with the time left on stderr; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


@app.command()
def models(as_json: Annotated[bool, typer.Option("--json", help="Everything each bundle says.")] = False) -> None:
    """List the models that are installed."""
    from dataclasses import asdict

    from ..engine.bundle import DEFAULT, INSTALLED, cards

    if as_json:
        typer.echo(json.dumps({name: asdict(card) for name, card in cards()}, indent=2))
        return
    for name, card in cards():
        megabytes = sum(f.stat().st_size for f in (INSTALLED / name).iterdir()) / 1e6
        default = "  (default)" if name == DEFAULT else ""
        typer.echo(f"{name}{default}\n  {card.family}, {megabytes:.1f} MB, {card.licence}\n  {card.summary}")
        for protocol, scores in card.scores.items():
            said = ", ".join(f"{k} {v}" for k, v in scores.items())
            typer.echo(f"  {protocol}: {said}")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML recipe; see the folder recipes.")],
    data: Annotated[list[Path] | None, typer.Option(help="Folder or zip of colour photographs; repeatable.")] = None,
    out: Out = None,
    sets: Sets = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run, as if it had never stopped.")] = False,
    init: Annotated[Path | None, typer.Option(help="A run whose weights to start from.")] = None,
) -> None:
    """Train a model on your own colour photographs; the run goes to runs/NAME-OF-THE-RECIPE unless -o names it."""
    _needs_extra()
    from ..train.recipe import read
    from ..train.training import train as run_training

    logging.basicConfig(level=logging.WARNING if sys.stderr.isatty() else logging.INFO, format="%(message)s")
    run = out or Path("runs") / recipe.stem
    try:
        run_training(read(recipe, sets or (), data or ()), run, resume, init)
    except (ValueError, FloatingPointError) as error:
        fail(str(error), 2)
    typer.echo(run)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder that `photochrom train` wrote.")],
    out: Out = None,
    size: Size = None,
    sources: Annotated[str, typer.Option(help="Whose photographs it learnt from, under which terms.")] = "",
    summary: Annotated[str, typer.Option(help="What the model is good at, in a sentence.")] = "",
    sets: Sets = None,
) -> None:
    """Turn a run into a bundle that `photochrom colorize --model` takes: RUN/bundle/NAME unless -o names it.

    --set model.KEY=VALUE changes how it decodes (a temperature) without training again.
    """
    _needs_extra()
    from ..train.export import ExportError
    from ..train.export import export as write_bundle

    out = out or run / "bundle" / run.name
    try:
        write_bundle(run, out, sets or (), size, sources, summary=summary)
    except (ValueError, OSError, ExportError) as error:
        fail(str(error), 2)
    typer.echo(out)


@app.command()
def evaluate(
    data: Annotated[list[Path], typer.Option(help="Folder or zip of colour photographs; repeatable.")],
    model: Model = "default",
    size: Size = None,
    strength: Annotated[float, typer.Option(min=0, max=3, help="Of the colours.")] = 1.0,
    file: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also write a contact sheet of the photographs to this file.")
    ] = None,
) -> None:
    """Measure a model on colour photographs: their gray is coloured again, beside a gray picture and the truth."""
    from ..engine.album import pixels
    from ..engine.colorizer import Colorizer
    from ..evaluate import sheet as contact
    from ..evaluate.report import compare, gray, planes, table

    def pairs() -> "Iterator[tuple[Any, Any]]":
        for truth in (p for source in data for p in pixels(source)):
            yield planes(colorizer(truth, strength=strength, size=size)), planes(truth)

    try:
        colorizer = Colorizer(model)
        with progress() as bar:
            rows = compare(bar.track(pairs(), description="measuring", total=None))
        if sheet:
            shown = islice(pairs(), SHEET)
            contact.write(((gray(truth), ours, truth) for ours, truth in shown), sheet)
    except ValueError as error:
        fail(str(error), 2)
    typer.echo(
        f"{colorizer.card.name}, {rows['truth']['n']} photographs as they are, seen at {size or colorizer.card.size} px"
    )
    typer.echo(table(rows))
    if file:
        file.write_text(json.dumps(rows, indent=2) + "\n")


def _needs_extra() -> None:
    import importlib.util

    if any(importlib.util.find_spec(name) is None for name in ("torch", "pytorch_lightning", "pydantic", "onnx")):
        fail("training needs more: pip install 'photochrom[train]' 'torch>=2.6,<2.14'", 2)
