"""The commands that train a model and make a bundle of it."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import fail, loading, needs_extra

Sets = Annotated[list[str] | None, typer.Option("--set", help="TABLE.KEY=VALUE over the recipe's; repeatable.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="What to write; named after the input if not given.")]
Size = Annotated[int | None, typer.Option(min=32, max=2048, help="Short side, in pixels, that the model sees.")]


def train(  # noqa: PLR0913 - each is an option of the command
    recipe: Annotated[Path, typer.Argument(help="A TOML recipe; see the folder recipes.")],
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder, zip, or folder in a zip, of colour photographs; repeatable.")
    ] = None,
    out: Out = None,
    sets: Sets = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run, by its own recipe and --set.")] = False,
    init: Annotated[Path | None, typer.Option(help="A run, or a bundle, whose weights to start from.")] = None,
    bundle: Annotated[Path | None, typer.Option("--export", help="At the end, write the best as this bundle.")] = None,
) -> None:
    """Train a model on your own colour photographs; the run goes to runs/NAME-OF-THE-RECIPE unless -o names it.

    Stop at any moment (exit code 130) and go on with --resume.
    """
    needs_extra("train")
    with loading():
        from pytorch_lightning.utilities import rank_zero_only

        from ..training.export import alone
        from ..training.loop import Stopped
        from ..training.loop import train as run_training
        from ..training.recipe import read

    said = logging.WARNING if sys.stderr.isatty() else logging.INFO
    logging.basicConfig(level=logging.ERROR if rank_zero_only.rank else said, format="%(message)s")  # type: ignore[attr-defined]
    run = out or Path("runs") / recipe.stem
    if bundle and bundle.exists():
        fail(f"{bundle} exists: name another folder or remove it", 2)
    try:
        own = run / "recipe.json"
        followed = own if resume and own.exists() else recipe
        followed_recipe = read(followed, sets or (), data or ())
        if bundle:
            alone(followed_recipe)
        run_training(followed_recipe, run, resume, init)
    except Stopped as stop:
        fail(str(stop), 130)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        fail(str(error), 2)
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        return
    typer.echo(run)
    if bundle:
        export([run], bundle)


def export(
    runs: Annotated[
        list[Path], typer.Argument(help="The folder that `photochrom train` wrote; one for each stage of a model.")
    ],
    out: Out = None,
    size: Size = None,
    sources: Annotated[str, typer.Option(help="Whose photographs it learnt from, under which terms.")] = "",
    summary: Annotated[str, typer.Option(help="What the model is good at, in a sentence.")] = "",
    sets: Sets = None,
) -> None:
    """Turn a run into a bundle that `photochrom colorize --model` takes: RUN/bundle/NAME unless -o names it.

    Of a model that is trained in stages, give the run of each, and -o.

    --set model.KEY=VALUE changes how it decodes (a temperature) without training again.
    """
    needs_extra("train")
    with loading():
        from ..training.export import ExportError
        from ..training.export import export as write_bundle

    if len(runs) > 1 and not out:
        fail(f"{len(runs)} runs: name the bundle that they make with -o", 2)
    out = out or runs[0] / "bundle" / runs[0].resolve().name
    if out.exists():
        fail(f"{out} exists: name another folder or remove it", 2)
    try:
        write_bundle(runs, out, sets or (), size, sources, summary=summary)
    except (ValueError, OSError, ExportError) as error:
        fail(str(error), 2)
    typer.echo(out)
