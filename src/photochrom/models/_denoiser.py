"""The network of diffusion: a U-Net that sees a noisy picture, what it is conditioned on, and how noisy it is."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.sampling import Diffusion
from ..core.sampling import diffusion_steps as diffusion
from .family import Network

FREQUENCIES = 64  # of the embedding of the noise level


class Denoiser(Network):
    """Residual blocks with scale and shift by noise level, and attention at named resolutions (Dhariwal & Nichol 2021).

    ``t`` is the square root of gamma: 1 is clean, 0 is noise. It is the level that is embedded, not the number of a
    step, so that a network sees any schedule it was not trained on as noise it knows (Palette, section 3). Sides of
    pictures divide by ``size_multiple``.
    """

    @dataclass(frozen=True)
    class Config:
        """``channels`` times each of ``multipliers`` wide, ``blocks`` per scale, each scale half the one before it.

        ``attention`` names the sides of the feature maps that attend to themselves, for pictures of ``resolution``
        pixels; ``head`` is the width of one head. ``dropout`` is the residual blocks'.
        """

        channels: int = 64
        multipliers: tuple[int, ...] = (1, 2, 3)
        blocks: int = 2
        resolution: int = 64
        attention: tuple[int, ...] = (16,)
        head: int = 32
        dropout: float = 0.0

        def __post_init__(self) -> None:
            if min(self.multipliers, default=0) < 1 or min(self.channels, self.blocks, self.head) < 1:
                raise ValueError("channels, multipliers, blocks and head: each must be at least 1")
            if not 0 <= self.dropout < 1:
                raise ValueError(f"dropout {self.dropout}: must be at least 0 and below 1")
            sides = [self.resolution // 2**level for level in range(len(self.multipliers))]
            if missing := set(self.attention) - set(sides):
                raise ValueError(f"attention at {sorted(missing)}: the feature maps are {sides} pixels wide")
            for side, multiplier in zip(sides, self.multipliers, strict=True):
                if side in self.attention and self.channels * multiplier % self.head:
                    raise ValueError(f"head {self.head}: must divide the {self.channels * multiplier} channels")

    def __init__(self, config: Config, channels: int, condition: int, learned: bool = False) -> None:
        """``learned``: gives as many planes again, of the variance (see `Diffusion`)."""
        super().__init__()
        self.inputs = {"noisy": (channels, "h", "w"), "condition": (condition, "h", "w"), "t": ()}
        self.size_multiple = 2 ** (len(config.multipliers) - 1)
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        attends = [config.resolution // 2**level in config.attention for level in range(len(widths))]
        level = 4 * config.channels
        self.level = nn.Sequential(nn.Linear(2 * FREQUENCIES, level), nn.SiLU(), nn.Linear(level, level), nn.SiLU())
        self.entry = nn.Conv2d(channels + condition, widths[0], 3, padding=1)

        def block(wide: int, width: int, attend: bool) -> Block:
            return Block(wide, width, level, config.head if attend else 0, config.dropout)

        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        skips, wide = [widths[0]], widths[0]
        for scale, (width, attend) in enumerate(zip(widths, attends, strict=True)):
            if scale:
                self.shrink.append(nn.Conv2d(wide, wide, 3, stride=2, padding=1))
                skips.append(wide)
            self.down.append(nn.ModuleList(block(w, width, attend) for w in (wide, *[width] * (config.blocks - 1))))
            wide = width
            skips += [width] * config.blocks
        self.middle = nn.ModuleList([block(wide, wide, attends[-1]), block(wide, wide, False)])
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for scale, (width, attend) in reversed(list(enumerate(zip(widths, attends, strict=True)))):
            wides = (wide, *[width] * config.blocks)
            self.up.append(nn.ModuleList(block(w + skips.pop(), width, attend) for w in wides))
            wide = width
            if scale:
                self.grow.append(nn.Conv2d(wide, wide, 3, padding=1))
        self.exit = nn.Sequential(
            _norm(wide), nn.SiLU(), _zero(nn.Conv2d(wide, channels * (1 + learned), 3, padding=1))
        )

    def forward(self, noisy: Tensor, condition: Tensor | None, t: Tensor) -> Tensor:
        """Noisy (b, c, h, w), condition (b, k, h, w) if any, sqrt gamma (b,) -> (b, c or 2 c, h, w)."""
        level = self.level(waves(t, FREQUENCIES))
        x = self.entry(noisy if condition is None else torch.cat([noisy, condition], 1))
        skips = [x]
        for scale, blocks in enumerate(self.down):
            if scale:
                x = self.shrink[scale - 1](x)
                skips.append(x)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, level)
                skips.append(x)
        for block in self.middle:
            x = block(x, level)
        for scale, blocks in enumerate(self.up):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(torch.cat([x, skips.pop()], 1), level)
            if scale < len(self.grow):
                x = self.grow[scale](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.exit(x)


class Block(nn.Module):
    """Two convolutions around a shortcut; the second norm is scaled and shifted by the level; then attention."""

    def __init__(self, wide: int, width: int, level: int, head: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.Sequential(_norm(wide), nn.SiLU(), nn.Conv2d(wide, width, 3, padding=1))
        self.modulate = nn.Linear(level, 2 * width)
        self.norm = _norm(width)
        self.after = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), _zero(nn.Conv2d(width, width, 3, padding=1)))
        self.shortcut = nn.Conv2d(wide, width, 1) if wide != width else nn.Identity()
        self.attention = Attention(width, head) if head else nn.Identity()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.modulate(level)[:, :, None, None].chunk(2, 1)
        changed = self.after(self.norm(self.before(x)) * (1 + scale) + shift)
        return self.attention(self.shortcut(x) + changed)


class Attention(nn.Module):
    """Every place of a feature map looks at every other, in heads of a set width, around a shortcut."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.head = head
        self.norm = _norm(width)
        self.ask = nn.Conv2d(width, 3 * width, 1)
        self.answer = _zero(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        _, c, h, w = x.shape
        parts = self.ask(self.norm(x)).reshape(-1, 3, c // self.head, self.head, h * w).transpose(3, 4)
        query, key, value = parts.unbind(1)
        found = F.scaled_dot_product_attention(query, key, value)
        return x + self.answer(found.transpose(2, 3).reshape(-1, c, h, w))


class Guess(NamedTuple):
    """What a network makes of clean pictures (b, c, h, w) that were noised: its prediction, and what it ought to be.

    ``found`` are the clean pictures that the prediction means, ``share`` as `Diffusion.read` gives it.
    """

    noisy: Tensor
    predicted: Tensor
    wanted: Tensor
    found: Tensor
    share: Tensor | float


def guess(net: nn.Module, sampling: Diffusion, clean: Tensor, condition: Tensor, gammas: Tensor) -> Guess:
    """Clean pictures (b, c, h, w) noised to gammas (b,), as the network sees them."""
    noise, gamma = torch.randn_like(clean), gammas[:, None, None, None]
    noisy = diffusion.noised(clean, noise, gamma)
    predicted, share = sampling.read(net(noisy, condition, gammas.sqrt()))
    found = diffusion.clean_of(sampling.prediction, noisy, predicted, gamma).clip(-sampling.gain, sampling.gain)
    return Guess(noisy, predicted, diffusion.target(sampling.prediction, clean, noise, gamma), found, share)


def simple_loss(guessed: Guess, power: int) -> Tensor:
    """The mean of |prediction - target|^power (Ho et al. 2020, equation 14).

    An untrained network that predicts noise sits at 0.798 for a power of 1, and at 1 for 2.
    """
    return (F.l1_loss if power == 1 else F.mse_loss)(guessed.predicted, guessed.wanted)


def waves(t: Tensor, frequencies: int) -> Tensor:
    """Levels (b,) in [0, 1] -> sines and cosines (b, 2 f), from one turn over the range to a thousand."""
    rates = torch.exp(torch.linspace(0, math.log(1000), frequencies, device=t.device)) * math.tau
    angles = t[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def _norm(width: int) -> nn.GroupNorm:
    """Groups of several channels: one by one, what a channel is on the whole would be lost."""
    groups = math.gcd(width, 32)
    return nn.GroupNorm(groups if groups < width else max(1, width // 4), width)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    """A layer that at first gives next to nothing, so that what it is part of starts as its shortcut."""
    nn.init.normal_(layer.weight, std=1e-5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
