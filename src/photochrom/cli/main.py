"""The ``photochrom`` command; what a command needs is imported when it runs, so that ``--help`` is quick."""

import logging
import signal
from typing import Annotated

import typer

from .._version import __version__
from .colorize import colorize
from .evaluate import evaluate
from .export import export
from .inspect import inspect
from .models import models
from .train import train
from .web import web

app = typer.Typer(
    help="Put colour into black-and-white photographs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


for _command in (colorize, models, web, train, export, inspect, evaluate):
    app.command()(_command)
