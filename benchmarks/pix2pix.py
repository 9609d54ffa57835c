"""A training step of pix2pix compared with a plain implementation of the same losses.

    python benchmarks/pix2pix.py [--recipe recipes/pix2pix.toml] [--batch 16] [--repeats 10] [--threads N]

The plain one is that of a tutorial: standard modules of the same sizes, torch's own dropout and losses; the generator
runs once, then the discriminator is updated, then the generator. Ours is what the training loop calls. Neither clips
gradients or averages weights.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch
from timing import alternate
from torch import Tensor, nn

from photochrom.models.pix2pix import Discriminator, Generator, Model
from photochrom.training.recipe import read


class Plain(nn.Module):
    """The generator of a tutorial."""

    def __init__(self, config: Generator.Config) -> None:
        super().__init__()
        widths = [config.filters * min(2**level, 8) for level in range(config.downs)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            inner = 0 < level < config.downs - 1
            conv = nn.Conv2d(widths[level - 1] if level else 1, width, 4, 2, 1, bias=not inner)
            before = [nn.LeakyReLU(0.2)] if level else []
            self.down.append(nn.Sequential(*before, conv, *([nn.BatchNorm2d(width)] if inner else [])))
        for block, level in enumerate(range(config.downs - 1, 0, -1)):
            wide = widths[level] * (2 if block else 1)
            grow = nn.ConvTranspose2d(wide, widths[level - 1], 4, 2, 1, bias=False)
            drops = [nn.Dropout(0.5)] if 1 <= block <= config.dropped else []
            self.up.append(nn.Sequential(nn.ReLU(), grow, nn.BatchNorm2d(widths[level - 1]), *drops))
        self.exit = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * widths[0], 2, 4, 2, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.up:
            x = torch.cat([up(x), skips.pop()], 1)
        output: Tensor = self.exit(x)
        return output


def plain(config: Model.Config, gray: Tensor, color: Tensor) -> Callable[[], object]:
    generator, discriminator = Plain(config.net), Discriminator(2, config.width, config.patch)
    generator_optimizer = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))
    cross_entropy, absolute_error = nn.BCEWithLogitsLoss(), nn.L1Loss()

    def adversarial(ab: Tensor, real: bool) -> Tensor:
        logits = discriminator(gray, ab)
        loss: Tensor = cross_entropy(logits, torch.full_like(logits, float(real)))
        return loss

    def step() -> None:
        output = generator(gray)
        discriminator.requires_grad_(True)
        discriminator_optimizer.zero_grad()
        ((adversarial(output.detach(), False) + adversarial(color, True)) / 2).backward()
        discriminator_optimizer.step()
        discriminator.requires_grad_(False)
        generator_optimizer.zero_grad()
        (adversarial(output, True) + 100 * absolute_error(output, color)).backward()
        generator_optimizer.step()

    return step


def ours(config: Model.Config, gray: Tensor, color: Tensor) -> Callable[[], object]:
    model = Model(config).to(memory_format=torch.channels_last)
    gray, color = (x.contiguous(memory_format=torch.channels_last) for x in (gray, color))
    optimizers = {
        name: torch.optim.AdamW(getattr(model, name).parameters(), 2e-4, (0.5, 0.999), fused=True)
        for name in model.trainable
    }

    def step() -> None:
        for name, optimizer in optimizers.items():
            for other in model.trainable:
                getattr(model, other).requires_grad_(other == name)
            optimizer.zero_grad()
            model.loss(name, gray, color)["total"].backward()
            optimizer.step()

    return step


def main() -> None:
    """Print photos per second of both, and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", type=Path, default=Path("recipes/pix2pix.toml"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    recipe = read(options.recipe)
    gray, color = (torch.rand(options.batch, n, recipe.data.size, recipe.data.size) * 2 - 1 for n in (1, 2))
    pair = (recipe.model, gray, color)
    seconds = alternate(options.repeats, {"ours": ours(*pair), "plain": plain(*pair)})
    print("| implementation | photos/s | speed of ours relative to it |\n|---|---|---|")
    for name, duration in seconds.items():
        print(f"| {name} | {options.batch / duration:.1f} | {duration / seconds['ours']:.2f} |")


if __name__ == "__main__":
    main()
