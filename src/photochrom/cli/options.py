"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..inference.options import LIMITS


def limited(name: str, help: str, *flags: str, hidden: bool = False) -> Any:
    """Return a command-line option for a color setting, with the limits that the setting has everywhere."""
    low, high = LIMITS[name]
    return typer.Option(*flags, min=low, max=high, help=help, hidden=hidden)


MODEL = "Name of an installed model (see `photochrom models`), path of a bundle, or hf://owner/name."
Model = Annotated[str, typer.Option(help=MODEL)]
Device = Annotated[str, typer.Option(help="Device of the networks: auto, cpu, cuda, or another of ONNX Runtime.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="TABLE.KEY=VALUE over the recipe's; repeatable.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Output path; named after the input by default.")]
Size = Annotated[int | None, limited("size", "Inference size: short side in pixels at which the model works.")]
Saturation = Annotated[float, limited("saturation", "Color saturation: 0 = grayscale, 1 = model output.")]
Warmth = Annotated[float, limited("warmth", "Above 0 warmer (more yellow), below 0 cooler (more blue).")]
LocalSaturation = Annotated[
    float, limited("local_saturation", "Difference of colors from their surroundings: 1 = model output.")
]
Strength = Annotated[float | None, limited("saturation", "Alias of --saturation.", hidden=True)]
Seed = Annotated[int, limited("seed", "Random seed (stochastic models only).")]
