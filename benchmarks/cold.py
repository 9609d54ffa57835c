"""The seed document's table of latent cold diffusion, in the latent and in the picture, solver by solver.

    python benchmarks/cold.py RUN [RUN...] [--photos 256] [--steps 1 2 5 10 25 50]

Each run is of the family cold, on colour loss; it is measured on photographs that it held out. MAPE is a ratio, not a
percentage, as the document's own code prints it: numbers near 0 decide it. ``gray`` is what there is to start from.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from photochrom.core.color import AB_SCALE, signed_rgb_to_ab
from photochrom.core.sampling.cold import Cold
from photochrom.models._autoencoder import perplexity
from photochrom.training import checkpoint
from photochrom.training.dataset import ValidationPairs, gather
from photochrom.training.validation import torch_nets, torch_noise

TINY = 1e-6


def error(found: Tensor, truth: Tensor) -> tuple[float, float]:
    """Mean squared error, and mean absolute error over the true value."""
    apart = found - truth
    return apart.square().mean().item(), (apart.abs() / truth.abs().clamp(min=TINY)).mean().item()


def ways(procedure: Cold, steps: list[int]) -> Iterator[Cold]:
    yield replace(procedure, solver="one-shot")
    for solver in ("naive", "improved"):
        for count in steps:
            yield replace(procedure, solver=solver, steps=count)


def codes(model: Any, pictures: Tensor) -> Iterator[str]:
    """How an autoencoder gives pictures back, and how many of its codes it needs for them."""
    encoder, decoder = model.net["encoder"], model.net["decoder"]
    for name, x in (("colour", pictures), ("gray", pictures.mean(1, keepdim=True).expand_as(pictures))):
        levels = encoder.levels(x)
        counts = [torch.bincount(q.indices.flatten(), minlength=len(encoder.books[0].vectors)) for q in levels]
        used = ", ".join(f"{(c > 0).sum()} of {len(c)} (perplexity {perplexity(c / c.sum()):.0f})" for c in counts)
        yield f"{name} given back: MSE {error(decoder(encoder(x)), x)[0]:.4f} in [-1, 1]; codes used: {used}"


def rows(model: Any, color: Tensor, steps: list[int]) -> Iterator[list[str]]:
    """Of each way: errors in the latent, of RGB in [0, 1], in the ab plane, chroma, and time for one photograph."""
    nets, (start, dirt) = torch_nets(model), model.start(color.mean(1, keepdim=True), color, torch_noise(0))
    latent = model.procedure.latent
    whole, end = (nets["encoder"](color=x) if latent else x for x in (color, start))
    truth = signed_rgb_to_ab(color) * AB_SCALE

    def row(name: str, state: Tensor, seconds: float) -> list[str]:
        picture = (nets["decoder"](latent=state) if latent else state).clip(-1, 1)
        ab = signed_rgb_to_ab(picture) * AB_SCALE
        in_latent, in_picture = error(state, whole), error(picture / 2 + 0.5, color / 2 + 0.5)
        plane, chroma = (
            (ab - truth).norm(dim=1).mean().item(),
            (ab.norm(dim=1).mean() / truth.norm(dim=1).mean()).item(),
        )
        figures = [*(f"{x:.4f}" for x in in_latent), *(f"{x:.4f}" for x in in_picture), f"{plane:.2f}", f"{chroma:.2f}"]
        return [name, *figures, f"{1000 * seconds / len(color):.1f}"]

    yield row("gray", end, 0.0)
    for way in ways(model.procedure, steps):
        begun = time.perf_counter()
        *_, state = way.states(nets["restorer"], end, dirt)
        seconds = time.perf_counter() - begun
        yield row(way.solver if way.solver == "one-shot" else f"{way.solver}, {way.steps}", state, seconds)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2, 5, 10, 25, 50])
    given = parser.parse_args()
    for run in given.runs:
        try:
            model, recipe, _ = checkpoint.load(run)
            if not (isinstance(model.procedure, Cold) and model.procedure.colorizes):
                raise ValueError(f"{run}: no run of the family cold on colour loss")
            for count in given.steps:
                replace(model.procedure, steps=count)
        except ValueError as error:
            parser.error(str(error))
        photos = gather(recipe.data, run / "photos.json").validation[: given.photos]
        color = torch.cat([x[1] for x in DataLoader(ValidationPairs(photos, recipe.data, "rgb"), batch_size=32)])
        print(f"## {run.name}: {len(color)} photographs that it held out\n")
        if model.procedure.latent:
            print("\n".join(codes(model, color)) + "\n")
        print("| way, steps | latent MSE | latent MAPE | RGB MSE | RGB MAPE | ab error | chroma, of the truth's | ms |")
        print("|---|---|---|---|---|---|---|---|")
        for row in rows(model, color, given.steps):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
