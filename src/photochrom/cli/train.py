"""The command that trains a model."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from .._signals import INTERRUPTED
from .console import exit_on, fail, loading
from .export import export
from .options import Out, Sets

DATA = "Color photos: folder (images, or .npy arrays), zip, or folder in a zip; repeatable."
RECIPE = "Recipe (TOML); see the folder recipes. With --resume and --out, the run has its own."
INIT = "Run, model, bundle, hf://owner/name or .safetensors file whose weights to start from."


class StderrHandler(logging.Handler):
    """Prints messages on what is stderr at the time: a progress bar replaces it, so that they appear above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        print(self.format(record), file=sys.stderr)  # noqa: T201 - `typer.echo` would pass by the bar


def train(  # noqa: PLR0913 - each is an option of the command
    recipe: Annotated[Path | None, typer.Argument(help=RECIPE)] = None,
    data: Annotated[list[Path] | None, typer.Option(help=DATA)] = None,
    out: Out = None,
    sets: Sets = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a stopped run with its own recipe.")] = False,
    init: Annotated[str | None, typer.Option(help=INIT)] = None,
    bundle: Annotated[Path | None, typer.Option("--export", help="Bundle to write of the best checkpoint.")] = None,
) -> None:
    """Train a model on your own color photos; the run is written to runs/RECIPE-NAME, or to --out.

    Stop at any moment (exit code 130, or 143 after SIGTERM) and continue with --resume.
    """
    with loading("train"):
        from ..training.export import require_complete
        from ..training.loop import Stopped
        from ..training.loop import train as train_recipe
        from ..training.processes import is_main_process
        from ..training.recipe import read
    logging.basicConfig(
        level=logging.INFO if is_main_process() else logging.ERROR, format="%(message)s", handlers=[StderrHandler()]
    )
    if recipe is None and not (resume and out):
        fail("name a recipe; or, to continue a run, its folder with --resume and --out", 2)
    run = out or Path("runs") / (recipe.stem if recipe else "")
    if bundle and bundle.exists():
        fail(f"{bundle} exists: name another folder or remove it", 2)
    stored = run / "recipe.json"
    with exit_on(Stopped, code=INTERRUPTED), exit_on(ValueError, OSError, FloatingPointError, ModuleNotFoundError):
        settings = read(stored if resume and stored.exists() else recipe or stored, sets or (), data or ())
        if bundle:
            require_complete(settings)
        train_recipe(settings, run, resume, init)
    typer.echo(run)
    if bundle:
        export([run], bundle)
