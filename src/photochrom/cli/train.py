"""The command that trains a model."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import fail, loading, needs_extra
from .export import export
from .options import Out, Sets


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
