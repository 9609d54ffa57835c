"""The network of diffusion: a U-Net that sees a noisy image, what it is conditioned on, and the noise level."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.sampling import Diffusion, diffusion
from ._settings import Count, Share
from .family import Network

FREQUENCIES = 64  # of the embedding of the noise level
Resize = Literal["shrink", "grow"]  # to half or twice the sides


class Denoiser(Network):
    """Residual blocks with scale and shift by noise level, and attention at chosen sizes (Dhariwal & Nichol 2021).

    ``t`` is the square root of gamma: 1 is clean, 0 is noise. Since the level is embedded and not the index of a step,
    a network can be sampled on another schedule than it was trained on (Palette, section 3).
    """

    @dataclass(frozen=True)
    class Config:
        channels: Count = 64  # channels of a scale, before its multiplier
        # Factors on the channels of scales, each half as large as the one before.
        multipliers: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 3)
        blocks: Count = 2  # residual blocks of each scale
        resolution: int = 64  # side of images for which ``attention`` is meant
        attention: tuple[int, ...] = (16,)  # sides of the feature maps with attention
        head: Count = 32  # width of an attention head
        dropout: Share = 0.0  # share of features left out in residual blocks
        # Between scales: a convolution, or a residual block that changes the size (BigGAN, guided diffusion, Palette).
        resize: Literal["convolution", "residual"] = "convolution"

        def __post_init__(self) -> None:
            sides = [self.resolution // 2**scale for scale in range(len(self.multipliers))]
            missing = sorted(set(self.attention) - set(sides))
            if missing:
                raise ValueError(f"attention at {missing}: the feature maps are {sides} pixels wide")
            for width, head in self.scales():
                if head and width % head:
                    raise ValueError(f"head {head}: must divide the {width} channels")

        def scales(self) -> Iterator[tuple[int, int]]:
            """Yield the width of each scale and the width of its attention heads, 0 for none."""
            for scale, multiplier in enumerate(self.multipliers):
                attends = self.resolution // 2**scale in self.attention
                yield self.channels * multiplier, self.head if attends else 0

    def __init__(self, config: Config, channels: int, condition: int, learned_variance: bool = False) -> None:
        super().__init__()
        self.inputs = {"noisy": (channels, "h", "w"), "condition": (condition, "h", "w"), "t": ()}
        self.size_multiple = 2 ** (len(config.multipliers) - 1)
        scales = list(config.scales())
        width, level = scales[0][0], 4 * config.channels
        self.level = nn.Sequential(nn.Linear(2 * FREQUENCIES, level), nn.SiLU(), nn.Linear(level, level), nn.SiLU())
        self.entry = nn.Conv2d(channels + condition, width, 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        skips = [width]
        for scale, (width_out, head) in enumerate(scales):
            if scale:
                self.shrink.append(_resizer(config, width, level, "shrink"))
                skips.append(width)
            blocks = nn.ModuleList()
            for _ in range(config.blocks):
                blocks.append(Block(width, width_out, level, head, config.dropout))
                width = width_out
                skips.append(width)
            self.down.append(blocks)
        heads = (scales[-1][1], 0)
        self.middle = nn.ModuleList(Block(width, width, level, head, config.dropout) for head in heads)
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for width_out, head in reversed(scales):
            if self.up:
                self.grow.append(_resizer(config, width, level, "grow"))
            blocks = nn.ModuleList()
            for _ in range(config.blocks + 1):
                blocks.append(Block(width + skips.pop(), width_out, level, head, config.dropout))
                width = width_out
            self.up.append(blocks)
        last = _near_zero(nn.Conv2d(width, channels * (1 + learned_variance), 3, padding=1))
        self.exit = nn.Sequential(_norm(width), nn.SiLU(), last)

    def forward(self, noisy: Tensor, condition: Tensor | None, t: Tensor) -> Tensor:
        """Noisy (b, c, h, w), condition (b, k, h, w) or None, sqrt gamma (b,) -> (b, c or 2 c, h, w)."""
        level = self.level(level_embedding(t, FREQUENCIES))
        x = self.entry(noisy if condition is None else torch.cat([noisy, condition], 1))
        skips = [x]
        for scale, blocks in enumerate(self.down):
            if scale:
                x = self.shrink[scale - 1](x, level)
                skips.append(x)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, level)
                skips.append(x)
        for block in self.middle:
            x = block(x, level)
        for scale, blocks in enumerate(self.up):
            if scale:
                x = self.grow[scale - 1](x, level)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(torch.cat([x, skips.pop()], 1), level)
        return self.exit(x)


def _resizer(config: Denoiser.Config, width: int, level: int, resize: Resize) -> nn.Module:
    if config.resize == "residual":
        return Block(width, width, level, 0, config.dropout, resize)
    return Shrink(width, width, 3, 2, 1) if resize == "shrink" else Grow(width, width, 3, 1, 1)


class Shrink(nn.Conv2d):
    """A convolution that halves both sides, whatever the noise level."""

    def forward(self, x: Tensor, level: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class Grow(nn.Conv2d):
    """Each pixel repeated as 2 x 2, then a convolution, whatever the noise level."""

    def forward(self, x: Tensor, level: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(F.interpolate(x, scale_factor=2.0))


class Block(nn.Module):
    """A residual block whose second norm is scaled and shifted by the noise level, then attention if it has a head.

    ``resize``: both paths ``shrink`` (means of 2 x 2 pixels) or ``grow`` (each pixel repeated) before they convolve.
    """

    def __init__(
        self, channels: int, width: int, level: int, head: int, dropout: float, resize: Resize | None = None
    ) -> None:
        super().__init__()
        resizer: dict[Resize | None, list[nn.Module]]
        resizer = {None: [], "shrink": [nn.AvgPool2d(2)], "grow": [nn.Upsample(scale_factor=2.0)]}
        convolution = nn.Conv2d(channels, width, 3, padding=1)
        self.before = nn.Sequential(_norm(channels), nn.SiLU(), *resizer[resize], convolution)
        self.modulate = nn.Linear(level, 2 * width)
        self.norm = _norm(width)
        last = _near_zero(nn.Conv2d(width, width, 3, padding=1))
        self.after = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), last)
        self.shortcut = nn.Conv2d(channels, width, 1) if channels != width else nn.Sequential(*resizer[resize])
        self.attention = Attention(width, head) if head else nn.Identity()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.modulate(level)[:, :, None, None].chunk(2, 1)
        residual = self.after(self.norm(self.before(x)) * (1 + scale) + shift)
        return self.attention(self.shortcut(x) + residual)


class Attention(nn.Module):
    """Residual self-attention over all positions of a feature map, in heads of a given width."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.head = head
        self.norm = _norm(width)
        self.ask = nn.Conv2d(width, 3 * width, 1)
        self.answer = _near_zero(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        _, c, h, w = x.shape
        qkv = self.ask(self.norm(x)).reshape(-1, 3, c // self.head, self.head, h * w).transpose(3, 4)
        query, key, value = qkv.unbind(1)
        values = F.scaled_dot_product_attention(query, key, value)
        return x + self.answer(values.transpose(2, 3).reshape(-1, c, h, w))


class Prediction(NamedTuple):
    """A network's ``output`` for noisy images (b, c, h, w), its ``target``, and the ``clean`` images that it means.

    ``share``: of the variance, as `Diffusion.split_output` gives it.
    """

    noisy: Tensor
    output: Tensor
    target: Tensor
    clean: Tensor
    share: Tensor | float

    def simple_loss(self, power: int) -> Tensor:
        """Return the mean of |output - target|^power (Ho et al. 2020, equation 14)."""
        return (self.output - self.target).abs().pow(power).mean()


def predict(net: nn.Module, sampling: Diffusion, clean: Tensor, condition: Tensor, gammas: Tensor) -> Prediction:
    """Add noise to clean images (b, c, h, w) down to gammas (b,) and return what the network predicts for them."""
    noise, gamma = torch.randn_like(clean), gammas[:, None, None, None]
    noisy = diffusion.add_noise(clean, noise, gamma)
    output, share = sampling.split_output(net(noisy, condition, gammas.sqrt()))
    target = diffusion.prediction_target(sampling.prediction, clean, noise, gamma)
    estimate = diffusion.clean_from(sampling.prediction, noisy, output, gamma).clip(-sampling.gain, sampling.gain)
    return Prediction(noisy, output, target, estimate, share)


def level_embedding(t: Tensor, frequencies: int) -> Tensor:
    """Levels (b,) in [0, 1] -> sines and cosines (b, 2 f), from one period over the range to a thousand."""
    rates = torch.exp(torch.linspace(0, math.log(1000), frequencies, device=t.device)) * math.tau
    angles = t[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def _norm(width: int) -> nn.GroupNorm:
    # Groups have several channels: a norm of each channel alone would lose its mean.
    groups = math.gcd(width, 32)
    return nn.GroupNorm(groups if groups < width else max(1, width // 4), width)


def _near_zero(layer: nn.Conv2d) -> nn.Conv2d:
    # The block that ends with this layer starts as its shortcut.
    nn.init.normal_(layer.weight, std=1e-5)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
