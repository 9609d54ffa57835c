"""The seed document's table of latent cold diffusion, in latents and in RGB, for each solver.

    python benchmarks/cold.py RUN [RUN...] [--photos 256] [--steps 1 2 5 10 25 50]

Each run is of the family `cold` with loss of color, and is measured on photos that it held out. MAPE is a ratio, not a
percentage, as in the document's own code; values near 0 dominate it. The row ``grayscale`` is the start of sampling.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from photochrom.core.color import AB_SCALE, signed_rgb_to_ab
from photochrom.core.sampling.cold import Cold
from photochrom.training import checkpoint
from photochrom.training.crops import middle_squares
from photochrom.training.dataset import gather
from photochrom.training.validation import torch_nets, torch_noise

TINY = 1e-6


def errors(output: Tensor, truth: Tensor) -> list[float]:
    """Return the mean squared error and the mean of absolute error over true value."""
    difference = output - truth
    squared = difference.square().mean().item()
    relative = (difference.abs() / truth.abs().clamp(min=TINY)).mean().item()
    return [squared, relative]


def solvers(procedure: Cold, steps: list[int]) -> Iterator[Cold]:
    """Yield the procedure with each solver and number of steps."""
    yield replace(procedure, solver="one-shot")
    for solver in ("naive", "improved"):
        for count in steps:
            yield replace(procedure, solver=solver, steps=count)


def codebook_lines(model: Any, images: Tensor) -> Iterator[str]:
    """Yield sentences about the reconstruction by the autoencoder and the use of its codebooks."""
    encoder, decoder = model.net["encoder"], model.net["decoder"]
    entries = len(encoder.books[0].vectors)
    grayscale = images.mean(1, keepdim=True).expand_as(images)
    for name, x in (("color", images), ("grayscale", grayscale)):
        usage = []
        for level in encoder.levels(x):
            counts = torch.bincount(level.indices.flatten(), minlength=entries)
            effective = torch.special.entr(counts / counts.sum()).sum().exp()
            usage.append(f"{(counts > 0).sum()} of {entries} (perplexity {effective:.0f})")
        squared, _ = errors(decoder(encoder(x)), x)
        yield f"{name} reconstructed: MSE {squared:.4f} in [-1, 1]; codebook entries used: {', '.join(usage)}"


def rows(model: Any, color: Tensor, steps: list[int]) -> Iterator[list[str]]:
    """Yield a row for each solver: errors in the latent, of RGB in [0, 1] and of ab, chroma, and time for one photo."""
    nets = torch_nets(model)
    start, noise = model.degraded_input(color.mean(1, keepdim=True), color, torch_noise(0))
    in_latents = model.procedure.latent
    target, state = color, start
    if in_latents:
        target, state = nets["encoder"](color=color), nets["encoder"](color=start)
    true_ab = signed_rgb_to_ab(color) * AB_SCALE
    true_chroma = true_ab.norm(dim=1).mean()

    def row(name: str, state: Tensor, seconds: float) -> list[str]:
        rgb = (nets["decoder"](latent=state) if in_latents else state).clip(-1, 1)
        ab = signed_rgb_to_ab(rgb) * AB_SCALE
        cells = [f"{error:.4f}" for error in errors(state, target) + errors(rgb / 2 + 0.5, color / 2 + 0.5)]
        cells.append(f"{(ab - true_ab).norm(dim=1).mean():.2f}")
        cells.append(f"{ab.norm(dim=1).mean() / true_chroma:.2f}")
        cells.append(f"{1000 * seconds / len(color):.1f}")
        return [name, *cells]

    yield row("grayscale", state, 0.0)
    for procedure in solvers(model.procedure, steps):
        begin = time.perf_counter()
        *_, restored = procedure.states(nets["restorer"], state, noise)
        seconds = time.perf_counter() - begin
        name = procedure.solver if procedure.solver == "one-shot" else f"{procedure.solver}, {procedure.steps}"
        yield row(name, restored, seconds)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2, 5, 10, 25, 50])
    options = parser.parse_args()
    for run in options.runs:
        try:
            model, recipe, _ = checkpoint.load(run)
            if not (isinstance(model.procedure, Cold) and model.procedure.capabilities.colorizes):
                raise ValueError(f"{run}: not a run of the family cold with loss of color")
            for count in options.steps:
                replace(model.procedure, steps=count)
        except ValueError as error:
            parser.error(str(error))
        photos = gather(recipe.data).validation[: options.photos]
        color = middle_squares(photos, recipe.data.size) / 127.5 - 1
        print(f"## {run.name}: {len(color)} held-out photos\n")
        if model.procedure.latent:
            print("\n".join(codebook_lines(model, color)) + "\n")
        print(
            "| solver, steps | latent MSE | latent MAPE | RGB MSE | RGB MAPE | ab error | chroma / ground truth | ms |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for cells in rows(model, color, options.steps):
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
