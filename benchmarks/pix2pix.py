"""A training step of pix2pix beside the same game written the straightforward way, one run.

    python benchmarks/pix2pix.py [--recipe recipes/pix2pix.toml] [--batch 16] [--repeats 10] [--threads N]

The other one is what a tutorial has: plain modules of the same sizes, torch's own dropout and losses, the picture
painted once, the discriminator stepped on it, then the generator. Ours is what the training loop calls; neither clips
or averages.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch
from timing import in_turn
from torch import Tensor, nn

from photochrom.models.pix2pix import Discriminator, Generator, Model
from photochrom.training.recipe import read


class Plain(nn.Module):
    """The generator as a tutorial has it."""

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
        found: Tensor = self.exit(x)
        return found


def straightforward(config: Model.Config, gray: Tensor, color: Tensor) -> Callable[[], object]:
    painter, judge = Plain(config.net), Discriminator(3, config.width, config.patch)
    players = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (painter, judge)]
    passes, differs = nn.BCEWithLogitsLoss(), nn.L1Loss()

    def says(ab: Tensor, true: bool) -> Tensor:
        judged = judge(torch.cat([gray, ab], 1))
        found: Tensor = passes(judged, torch.full_like(judged, float(true)))
        return found

    def step() -> None:
        painted = painter(gray)
        judge.requires_grad_(True)
        players[1].zero_grad()
        ((says(painted.detach(), False) + says(color, True)) / 2).backward()
        players[1].step()
        judge.requires_grad_(False)
        players[0].zero_grad()
        (says(painted, True) + 100 * differs(painted, color)).backward()
        players[0].step()

    return step


def ours(config: Model.Config, gray: Tensor, color: Tensor) -> Callable[[], object]:
    model = Model(config).to(memory_format=torch.channels_last)
    gray, color = (x.contiguous(memory_format=torch.channels_last) for x in (gray, color))
    players = {
        name: torch.optim.AdamW(getattr(model, name).parameters(), 2e-4, (0.5, 0.999), fused=True)
        for name in model.trainable
    }

    def step() -> None:
        for name, optimizer in players.items():
            for other in model.trainable:
                getattr(model, other).requires_grad_(other == name)
            optimizer.zero_grad()
            model.loss(name, gray, color)["total"].backward()
            optimizer.step()

    return step


def main() -> None:
    """Print photographs a second of each, and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", type=Path, default=Path("recipes/pix2pix.toml"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    recipe = read(asked.recipe)
    gray, color = (torch.rand(asked.batch, n, recipe.data.size, recipe.data.size) * 2 - 1 for n in (1, 2))
    pair = (recipe.model, gray, color)
    seconds = in_turn(asked.repeats, {"ours": ours(*pair), "straightforward": straightforward(*pair)})
    print("| way | photos/s | ours over it |\n|---|---|---|")
    for name, taken in seconds.items():
        print(f"| {name} | {asked.batch / taken:.1f} | {taken / seconds['ours']:.2f} |")


if __name__ == "__main__":
    main()
