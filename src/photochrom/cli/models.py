"""The command that lists models."""

import json
from typing import Annotated

import typer


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print complete model cards as JSON.")] = False,
) -> None:
    """List the installed models."""
    from dataclasses import asdict

    from ..inference.bundle import DEFAULT, installed, read_card

    cards = {name: asdict(read_card(path)) for name, path in installed().items()}
    if as_json:
        typer.echo(json.dumps(cards, indent=2))
        return
    for name, card in cards.items():
        megabytes = sum(file.stat().st_size for file in (INSTALLED / name).iterdir()) / 1e6
        default = "  (default)" if name == DEFAULT else ""
        typer.echo(f"{name}{default}\n  {card['family']}, {megabytes:.1f} MB, {card['licence']}\n  {card['summary']}")
        for protocol, scores in card["scores"].items():
            # Texts say how the scores were measured; they are in the card, see --json.
            numbers = {metric: score for metric, score in scores.items() if not isinstance(score, str)}
            texts = [f"{metric} {score:.4g}" for metric, score in numbers.items()]
            typer.echo(f"  {protocol}: {', '.join(texts)}")
    typer.echo("Other bundles are given by their path: --model bundles/classify.zip")
