"""Which directions of an autoencoder's latent hold color.

    python benchmarks/latents.py RUN [--photos 512] [--picture PATH]

The run is of the family `vqvae`. Of its held-out photos, the first half is for fitting and the second half for every
figure. A place of the latent has one vector and covers a patch of the photo. ``--picture`` decodes photos of
scikit-image from the latents of their grayscale versions, moved along the first directions.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import skimage.data
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from photochrom.core.color import rgb_to_lab
from photochrom.models._autoencoder import Autoencoder
from photochrom.training import checkpoint
from photochrom.training.crops import middle_squares
from photochrom.training.dataset import gather

RIDGE = 1e-3  # relative to the mean square of the inputs, which are standardized
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
AMOUNTS = (-2, -1, 0, 1, 2)  # standard deviations
DIRECTIONS = 3
ENLARGED = 2


def grayscale(color: Tensor) -> Tensor:
    return color.mean(1, keepdim=True).expand_as(color)


def encode(net: Autoencoder, images: Tensor) -> Tensor:
    return torch.cat([net.encoder(batch) for batch in images.split(32)])


def decode_moved(net: Autoencoder, latents: Tensor, step: Tensor) -> Tensor:
    """Return the images of latents after the same ``step`` at every place; the result is not quantized again."""
    return torch.cat([net.decoder.decode(batch + step[:, None, None]) for batch in latents.split(32)])


def places(maps: Tensor) -> Tensor:
    """Maps (b, c, h, w) -> the vector of each place (b h w, c)."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def patch_lab(color: Tensor, stride: int) -> Tensor:
    """sRGB (b, 3, h, w) in [-1, 1] -> the mean Lab of the patch of each place (b h w / stride^2, 3)."""
    return places(F.avg_pool2d(rgb_to_lab(color / 2 + 0.5), stride))


def probe(inputs: Tensor, targets: Tensor) -> Tensor:
    """Fit a ridge regression on the first half of the places; return its R^2 on the second, for each target."""
    half = len(inputs) // 2
    x = (inputs - inputs[:half].mean(0)) / inputs[:half].std(0).clamp(min=1e-6)
    y = targets - targets[:half].mean(0)
    penalty = RIDGE * half * torch.eye(x.shape[1])
    weights = torch.linalg.solve(x[:half].T @ x[:half] + penalty, x[:half].T @ y[:half])
    errors = x[half:] @ weights - y[half:]
    return 1 - errors.square().mean(0) / y[half:].var(0, correction=0)


def principal_directions(differences: Tensor) -> Tensor:
    """Return the principal directions of the first half of the places, (c, c), one a column."""
    _, directions = torch.linalg.eigh(torch.cov(differences[: len(differences) // 2].T))
    return directions.flip(1)


def probe_lines(color: Tensor, gray: Tensor, directions: Tensor, ab: Tensor) -> Iterator[str]:
    """Yield a table: how well a linear probe predicts the color of a patch from several inputs."""
    inputs = {"grayscale latent (baseline)": gray, "color latent": color, "color - grayscale": color - gray}
    for count in (1, 2, 3, 8):
        inputs[f"color - grayscale, first {count} principal directions"] = (color - gray) @ directions[:, :count]
    yield "| input of the probe | R² of a | R² of b |\n|---|---|---|"
    for name, values in inputs.items():
        a, b = probe(values, ab)
        yield f"| {name} | {a:.3f} | {b:.3f} |"


def square(name: str, side: int) -> Tensor:
    """Return the center square of a photo of scikit-image, (1, 3, side, side) in [-1, 1]."""
    photo = Image.fromarray(getattr(skimage.data, name)())
    cut = min(photo.size)
    left, top = (photo.width - cut) // 2, (photo.height - cut) // 2
    small = photo.resize((side, side), Image.Resampling.BOX, (left, top, left + cut, top + cut))
    return torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 127.5 - 1


def draw(net: Autoencoder, steps: Tensor, side: int, path: Path) -> None:
    """Write a picture: a row for each photo; for each direction a column for each amount; reconstruction and photo."""
    rows, gap = [], torch.ones(1, 3, side, 4)
    for name in PHOTOS:
        photo = square(name, side)
        latent = net.encoder(grayscale(photo))
        columns: list[Tensor] = []
        for step in steps.T:
            columns += [*(decode_moved(net, latent, amount * step) for amount in AMOUNTS), gap]
        rows.append(torch.cat([*columns, net.decoder(net.encoder(photo)), photo], 3))
    pixels = ((torch.cat(rows, 2)[0].movedim(0, 2) + 1) * 127.5).round().byte()
    picture = Image.fromarray(pixels.numpy())
    picture.resize([n * ENLARGED for n in picture.size], Image.Resampling.BICUBIC).save(path, quality=88)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--photos", type=int, default=512)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    model, recipe, _ = checkpoint.load(options.run)
    if recipe.family != "vqvae":
        parser.error(f"{options.run}: not a run of the family vqvae")
    net, settings = cast(Autoencoder, model.net), recipe.model.net
    stride = 2 ** len(settings.hidden)
    photos = gather(recipe.data).validation
    count = min(options.photos, len(photos)) // 2 * 2
    images = middle_squares(photos[:count], recipe.data.size) / 127.5 - 1
    latents, gray_latents = encode(net, images), encode(net, grayscale(images))
    color, gray = places(latents), places(gray_latents)
    differences, lab = color - gray, patch_lab(images, stride)
    directions = principal_directions(differences)

    print(f"{len(images)} held-out photos, {len(color)} places of {color.shape[1]} values")
    for level, part in enumerate(differences.split(settings.dim, 1), 1):
        print(f"level {level}: {(part != 0).any(1).float().mean():.0%} of the codes differ between color and grayscale")
    ratio = differences.var(0).sum() / color.var(0).sum()
    print(f"variance of color - grayscale: {ratio:.2f} of that of the color latent\n")
    print("\n".join(probe_lines(color, gray, directions, lab[:, 1:])))
    half = len(images) // 2
    decoded = decode_moved(net, latents[half:], torch.zeros(color.shape[1]))
    rebuilt, truth = patch_lab(decoded, stride)[:, 1:], lab[len(lab) // 2 :, 1:]
    a, b = 1 - (rebuilt - truth).square().mean(0) / truth.var(0)
    print(f"| reconstruction (no probe) | {a:.3f} | {b:.3f} |")
    correlations = [torch.corrcoef(ab.T)[0, 1] for ab in (truth, rebuilt)]
    print("\ncorrelation of a and b: {:.2f} in photos, {:.2f} in reconstructions".format(*correlations))

    variances = (differences @ directions)[len(differences) // 2 :].var(0)
    steps = (directions * variances.sqrt())[:, :DIRECTIONS]
    finest = directions[-settings.dim :].square().sum(0)  # share of the squared length
    print("\n| direction | explained variance | in the finest level | L | a | b |\n|---|---|---|---|---|---|")
    for index, step in enumerate(steps.T):
        ends = [patch_lab(decode_moved(net, gray_latents[half:], sign * step), stride).mean(0) for sign in (-1, 1)]
        changes = " | ".join(f"{value:+.1f}" for value in (ends[1] - ends[0]) / 2)
        print(f"| {index + 1} | {variances[index] / variances.sum():.1%} | {finest[index]:.0%} | {changes} |")
    if options.picture:
        draw(net, steps, recipe.data.size, options.picture)


if __name__ == "__main__":
    main()
