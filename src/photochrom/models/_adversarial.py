"""The two players of pix2pix: a U-Net with skips at every level, and a discriminator of patches (Isola et al. 2017)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .family import Network

TESTS = ("paper", "eval")
LEAK = 0.2


class Norm(nn.BatchNorm2d):
    """Batch norm; out of training, by the statistics of each photograph (``own``) or by those met in training.

    The paper tests with the statistics of the batch, a batch of one photograph. With ``own``, of any batch.
    """

    def __init__(self, channels: int, own: bool) -> None:
        super().__init__(channels)
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not self.own:
            return super().forward(x)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class Generator(Network):
    """The paper's U-Net: ``downs`` halvings and as many doublings, each but the last beside a shortcut.

    It drops where the authors' PyTorch code does: in the blocks after the innermost (their Lua code drops there too).
    Dropout is part of how it is used in ``paper`` mode, so what it drops is drawn from a noise that it is given.
    """

    @dataclass(frozen=True)
    class Config:
        """``filters`` at the first scale, doubled up to eight times as many.

        Of the ``dropped`` decoder blocks after the innermost, each feature is left out with a chance of a half.
        ``test`` says what is done outside training: ``paper`` drops features there too and takes each photograph's
        own statistics, ``eval`` drops nothing and takes the running ones.
        """

        downs: int = 8
        filters: int = 64
        dropped: int = 3
        test: str = "paper"

        def __post_init__(self) -> None:
            if self.downs < 2 or self.filters < 1:
                raise ValueError(f"downs {self.downs}, filters {self.filters}: at least 2, and 1")
            if not 0 <= self.dropped <= self.downs - 2:
                raise ValueError(f"dropped {self.dropped}: must be from 0 to {self.downs - 2}, the blocks between")
            if self.test not in TESTS:
                raise ValueError(f"test {self.test!r}: choose one of {', '.join(TESTS)}")

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.config, own = config, config.test == "paper"
        widths = [config.filters * min(2**level, 8) for level in range(config.downs)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            inner = 0 < level < config.downs - 1
            conv = nn.Conv2d(widths[level - 1] if level else 1, width, 4, 2, 1, bias=not inner)
            self.down.append(nn.Sequential(conv, Norm(width, own)) if inner else conv)
        for level in range(config.downs - 1, 0, -1):
            wide = widths[level] * (1 if level == config.downs - 1 else 2)
            grow = nn.ConvTranspose2d(wide, widths[level - 1], 4, 2, 1, bias=False)
            self.up.append(nn.Sequential(grow, Norm(widths[level - 1], own)))
        self.exit = nn.ConvTranspose2d(2 * widths[0], channels, 4, 2, 1)
        # Blocks 1, 2, ... after the innermost drop; block i gives out maps 2^(downs - 1 - i) times smaller.
        self.drops = [(widths[config.downs - 2 - i], 2 ** (config.downs - 1 - i)) for i in range(1, config.dropped + 1)]
        planes = sum(self._share(width, stride) for width, stride in self.drops)
        self.planes, self.drawn = planes, planes if own else 0
        self.inputs = {"gray": (1, "h", "w"), **({"noise": (planes, "h", "w")} if self.drawn else {})}

    def forward(self, gray: Tensor, noise: Tensor | None = None) -> Tensor:
        """Gray (b, 1, h, w), and where it has ``drawn`` planes, that much normal noise -> (b, channels, h, w).

        Sides that do not divide are made longer by mirroring until they do, and cut again.
        """
        h, w = gray.shape[-2:]
        many = 2**self.config.downs
        x, skips = mirrored(gray, many), []
        if noise is None and self.planes and (self.training or self.drawn):
            noise = torch.randn(len(x), self.planes, h, w, device=x.device)
        kept = [] if noise is None else self._kept(mirrored(noise, many))
        for level, down in enumerate(self.down):
            x = down(F.leaky_relu(x, LEAK) if level else x)
            skips.append(x)
        skips.pop()
        for block, up in enumerate(self.up):
            x = up(F.relu(x))
            if kept and 1 <= block <= len(kept):
                x = x * kept[block - 1]
            x = torch.cat([x, skips.pop()], 1)
        return torch.tanh(self.exit(F.relu(x)))[:, :, :h, :w]

    def _kept(self, noise: Tensor) -> list[Tensor]:
        """For each block that drops, 2 for the features that stay and 0 for the others, (b, width, h', w')."""
        shares = noise.split([self._share(width, stride) for width, stride in self.drops], 1)
        found = (
            F.pixel_unshuffle(share, stride)[:, :width]
            for share, (width, stride) in zip(shares, self.drops, strict=True)
        )
        return [(x > 0).to(noise.dtype) * 2 for x in found]

    @staticmethod
    def _share(width: int, stride: int) -> int:
        """How many planes of noise have a number for each feature."""
        return math.ceil(width / stride**2)


def mirrored(x: Tensor, multiple: int) -> Tensor:
    """Maps (b, c, h, w) made as high and wide as the next multiples, by what lies this side of the edge."""
    for axis in (2, 3):
        side = x.shape[axis]
        places = torch.arange(side + -side % multiple, device=x.device)
        x = x.index_select(axis, torch.where(places < side, places, 2 * (side - 1) - places).clamp(min=0))
    return x


class Discriminator(nn.Module):
    """Patches of gray and colour together -> how true each is, before any squashing (70 px: the paper's C64-...-C512).

    ``patch`` is the side of what each output sees, one of those that `field_of` gives.
    """

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        halvings = next(n for n in range(10) if field_of(n) == patch)
        widths = [width * min(2**level, 8) for level in range(halvings + 1)]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(zip((channels, *widths), widths, strict=False)):
            stride = 2 if level < halvings else 1
            layers.append(nn.Conv2d(before, after, 4, stride, 1, bias=level == 0))
            layers += [nn.BatchNorm2d(after)] if level else []
            layers.append(nn.LeakyReLU(LEAK))
        self.minimum_size = 3 * 2**halvings  # of which the last two layers leave one judgement
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, pair: Tensor) -> Tensor:
        """Gray and colour (b, 1 + channels, h, w) in [-1, 1] -> (b, 1, h', w').

        Raises ValueError for pictures that are too small.
        """
        h, w = pair.shape[-2:]
        if min(h, w) < self.minimum_size:
            raise ValueError(
                f"{w} x {h} px to be judged: too small for patches of {self.patch}: choose a smaller model.patch, or a "
                f"larger data.size, until sides are {self.minimum_size} or more"
            )
        return self.layers(pair)


def field_of(halvings: int) -> int:
    """The side in pixels of what a discriminator of so many halvings sees: 7, 16, 34, 70, 142, ..."""
    field = 1
    for stride in (1, 1, *[2] * halvings):
        field = (field - 1) * stride + 4
    return field


def log_loss(judged: Tensor, true: bool) -> Tensor:
    """The mean of -log of the chance given to what is said; the generator says that its pictures are true."""
    return F.softplus(-judged if true else judged).mean()


def least_squares(judged: Tensor, true: bool) -> Tensor:
    """The mean squared distance from 1 for what should pass as true, from 0 for the rest (Mao et al. 2017)."""
    return (judged - float(true)).square().mean()


OBJECTIVES = {"log": log_loss, "least-squares": least_squares}


def start(layer: nn.Module) -> None:
    """Give a layer the paper's first weights: normal with a deviation of 0.02, those of norms about 1."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
