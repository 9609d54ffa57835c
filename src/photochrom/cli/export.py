"""The command that makes a bundle of a run."""

from pathlib import Path
from typing import Annotated

import typer

from .console import fail, loading, needs_extra
from .options import Out, Sets, Size


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
