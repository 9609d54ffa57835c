"""The command that lists models."""

import json
from typing import Annotated

import typer


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
