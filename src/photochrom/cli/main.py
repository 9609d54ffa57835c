"""The ``photochrom`` command; what a command needs is imported when it runs, so that ``--help`` is fast."""

import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from .._signals import INTERRUPTED, exit_code
from .._version import __version__
from .colorize import colorize
from .compare import compare
from .console import fail
from .evaluate import evaluate
from .export import export
from .inspect import inspect
from .models import models
from .survey import survey
from .train import train
from .web import web


class Commands(typer.core.TyperGroup):
    """The commands; a photo in the place of a command is answered with the command for it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first argument names, and the other arguments."""
        if args[0] not in self.commands and Path(args[0]).exists():
            fail(f"{args[0]}: to colorize it: photochrom colorize {shlex.join(args)}", 2)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; a wrong call ends in one sentence, Ctrl-C in exit code 130 and SIGTERM in 143."""
    logging.getLogger("pyvips").setLevel(logging.ERROR)  # users get its warnings as messages of our own
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed: else the first file to be opened would take its place
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    try:
        app()
    except SystemExit as end:
        raise SystemExit(exit_code() if end.code == INTERRUPTED else end.code) from None
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python writes the rest to stdout when it ends
        reason = error.strerror or error
        fail(f"{error.filename}: {reason}" if error.filename else f"input or output failed ({reason})", 1)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"photochrom {__version__}")
        raise typer.Exit


@app.callback()
def _photochrom(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Colorize black-and-white photos."""


app.command()(colorize)
app.add_typer(models, name="models")
for _command in (web, train, export, inspect, evaluate, compare, survey):
    app.command()(_command)
