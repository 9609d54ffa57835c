"""The command that turns a run into a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from .console import exit_on, fail, loading
from .options import Out, Sets, Size

CHECKPOINT = "Checkpoint of the run: best, last, or at-SHARE for one of trainer.points."
BLEND = "Run, bundle or .safetensors file of the same network, between whose weights and the run's to interpolate."


def export(  # noqa: PLR0913 - each is an option of the command
    runs: Annotated[list[Path], typer.Argument(help="Run of `photochrom train`; one for each stage of the model.")],
    out: Out = None,
    size: Size = None,
    sources: Annotated[str, typer.Option(help="Whose photos the model was trained on, and their terms of use.")] = "",
    summary: Annotated[str, typer.Option(help="Description of the model in a sentence.")] = "",
    limitations: Annotated[str, typer.Option(help="What the model does badly, in sentences.")] = "",
    study: Annotated[bool, typer.Option("--study", help="The model is for study: too weak for old photos.")] = False,
    blend: Annotated[Path | None, typer.Option(help=BLEND)] = None,
    share: Annotated[float | None, typer.Option(min=0, max=1, help="Share of --blend's weights (0.5).")] = None,
    checkpoint: Annotated[str, typer.Option(help=CHECKPOINT)] = "best",
    sets: Sets = None,
) -> None:
    """Turn a run into a bundle, which `photochrom colorize --model` takes: RUN/bundle/NAME, or --out (or NAME.zip).

    For a model that is trained in stages, give the run of each stage, and --out.

    --blend interpolates between the weights of the run and of another model, such as a more faithful one.

    --set model.KEY=VALUE changes a sampling setting (a temperature) without training again.
    """
    with loading("train"):
        from ..training.export import export as write_bundle
        from ..training.graph import ExportError
    texts = {"summary": summary, "limitations": limitations}
    for name, text in texts.items():
        if not text.isprintable():
            fail(f"--{name} {text!r}: write it in one line, without control characters", 2)
    if share is not None and not blend:
        fail(f"--share {share:g}: is the share of --blend; name a model with it", 2)
    if len(runs) > 1 and not out:
        fail(f"{len(runs)} runs: name their common bundle with --out", 2)
    out = out or runs[0] / "bundle" / runs[0].resolve().name
    blended = (blend, 0.5 if share is None else share) if blend else None
    with exit_on(ValueError, OSError, ExportError):
        write_bundle(
            runs, out, sets or (), size, sources, blended, checkpoint, use="study" if study else "photos", **texts
        )
    typer.echo(out)
