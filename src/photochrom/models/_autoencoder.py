"""An autoencoder whose latent is made of codes: a VQ-VAE (van den Oord et al. 2017), or two levels of it (VQ-VAE-2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from .family import Network

LEARNING = ("ema", "loss")
CODE = 1e-5  # added to each count, so that none is divided by nothing


class Quantised(NamedTuple):
    """Places (b, d, h, w) as the encoder has them, the code nearest to each, and its number (b, h, w)."""

    places: Tensor
    codes: Tensor
    numbers: Tensor

    @property
    def straight(self) -> Tensor:
        """The codes, with the gradient of the places: quantising is passed straight through."""
        return self.places + (self.codes - self.places).detach()


class Codebook(nn.Module):
    """So many vectors of ``dim``, learnt by a loss or as running means of the places nearest to each.

    ``counts`` are the running means of places per code and batch, from none; ``decay`` is theirs. A code of fewer than
    ``revive`` of them is dead, as all are at first: where means are learnt, it becomes a place drawn from the batch.
    """

    counts: Tensor
    sums: Tensor

    def __init__(self, codes: int, dim: int, learning: str, decay: float, revive: float) -> None:
        super().__init__()
        self.decay, self.revive, self.learning = decay, revive, learning
        vectors = torch.empty(codes, dim).uniform_(-1 / codes, 1 / codes)
        self.vectors: Tensor
        if learning == "loss":
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)
            self.register_buffer("sums", torch.zeros_like(vectors))
        self.register_buffer("counts", torch.zeros(codes))

    def forward(self, places: Tensor) -> Quantised:
        """Places (b, d, h, w) -> the code nearest to each, in single precision whatever the rest is in."""
        with torch.autocast(places.device.type, enabled=False):
            places = places.float()
            flat = places.permute(0, 2, 3, 1)
            distances = self.vectors.square().sum(1) - 2 * (flat @ self.vectors.t())  # less |place|^2, equal for all
            numbers = distances.argmin(-1)
        return Quantised(places, F.embedding(numbers, self.vectors).permute(0, 3, 1, 2), numbers)

    @torch.no_grad()
    def follow(self, found: Quantised) -> None:
        """Move counts, and codes that are means, towards what a batch was coded as; over all devices together."""
        places = found.places.permute(0, 2, 3, 1).reshape(-1, found.places.shape[1])
        counts = torch.bincount(found.numbers.flatten(), minlength=len(self.counts)).to(self.counts)
        sums = torch.zeros_like(self.vectors).index_add_(0, found.numbers.flatten(), places)
        if spread := distributed.is_available() and distributed.is_initialized():
            for each in (counts, sums):
                distributed.all_reduce(each)
        self.counts.lerp_(counts, 1 - self.decay)
        if self.learning == "loss":
            return
        self.sums.lerp_(sums, 1 - self.decay)
        whole = self.counts.sum()
        smooth = (self.counts + CODE) / (whole + CODE * len(self.counts)) * whole
        self.vectors.copy_(torch.where(self.counts[:, None] > 0, self.sums / smooth[:, None], self.vectors))
        self._revive(places, spread)

    def _revive(self, places: Tensor, spread: bool) -> None:
        dead = self.counts < self.revive
        chosen = places[torch.randint(len(places), (len(self.vectors),), device=places.device)]
        if spread:
            distributed.broadcast(chosen, 0)
        self.vectors.copy_(torch.where(dead[:, None], chosen, self.vectors))
        self.sums.copy_(torch.where(dead[:, None], chosen, self.sums))
        self.counts.copy_(torch.where(dead, 1.0, self.counts))

    @property
    def shares(self) -> Tensor:
        """Of all places, by code, lately."""
        return self.counts / self.counts.sum().clamp(min=1e-9)


def perplexity(shares: Tensor) -> Tensor:
    """Of a distribution over codes: how many codes, used evenly, would tell as much."""
    return torch.special.entr(shares).sum().exp()


class Residual(nn.Module):
    """What a 3 x 3 and a 1 x 1 convolution add to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.added = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.ReLU(True), nn.Conv2d(width, width, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w) -> the same."""
        return x + self.added(x)


def _stack(*layers: nn.Module) -> nn.Sequential:
    """Layers with a leaky rectifier after each."""
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.LeakyReLU())))


def _down(wide: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(wide, width, 4, stride=2, padding=1)


def _up(wide: int, width: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(wide, width, 4, stride=2, padding=1)


def _same(wide: int, width: int, residual: int) -> Iterable[nn.Module]:
    return (nn.Conv2d(wide, width, 3, padding=1), nn.Sequential(*(Residual(width) for _ in range(residual))))


class Autoencoder(nn.Module):
    """``encoder`` and ``decoder``, which share their codebooks."""

    @dataclass(frozen=True)
    class Config:
        """``hidden`` widths, each at half the size of the one before; ``residual`` layers; codes of ``dim`` numbers.

        ``levels`` 2 adds a coarser latent at half the size, which the finer one is told (Razavi et al. 2019).
        ``learning`` of the codes is by ema (``decay``, ``revive``: see `Codebook`) or by loss. The defaults are the
        seed document's, but for the codebook, which it learns by loss.
        """

        hidden: tuple[int, ...] = (128, 256)
        residual: int = 6
        codes: int = 512
        dim: int = 32
        levels: int = 1
        learning: str = "ema"
        decay: float = 0.99
        revive: float = 0.5

        def __post_init__(self) -> None:
            if not self.hidden or min(*self.hidden, self.codes, self.dim) < 1 or self.residual < 0:
                raise ValueError("hidden, codes and dim: each must be at least 1, and residual at least 0")
            if self.levels not in (1, 2):
                raise ValueError(f"levels {self.levels}: must be 1, or 2 for a hierarchy")
            if self.learning not in LEARNING:
                raise ValueError(f"learning {self.learning!r}: choose one of {', '.join(LEARNING)}")
            if not (0 <= self.decay < 1 and self.revive >= 0):
                raise ValueError(f"decay {self.decay}, revive {self.revive}: from 0 to below 1, and at least 0")

        @property
        def channels(self) -> int:
            """Of the latent."""
            return self.dim * self.levels

        @property
        def stride(self) -> int:
            """Side of a photograph over that of its latent."""
            return int(2 ** len(self.hidden))

        @property
        def size_multiple(self) -> int:
            """What the sides of a photograph must divide by: the second level halves the latent once more."""
            return self.stride * self.levels

    def __init__(self, config: Config) -> None:
        super().__init__()
        books = nn.ModuleList(
            Codebook(config.codes, config.dim, config.learning, config.decay, config.revive)
            for _ in range(config.levels)
        )
        self.encoder, self.decoder = Encoder(config, books), Decoder(config, books)


class Encoder(Network):
    """A picture as codes."""

    inputs = {"color": (3, "h", "w")}  # noqa: RUF012
    discrete_output = True

    def __init__(self, config: Autoencoder.Config, books: nn.ModuleList) -> None:
        super().__init__()
        self.size_multiple = config.size_multiple
        self.books = books
        width = config.hidden[-1]
        downs = (_down(i, o) for i, o in zip((3, *config.hidden), config.hidden, strict=False))
        self.body = _stack(*downs, *_same(width, width, config.residual))
        if config.levels == 2:
            self.coarse = _stack(_down(width, width), *_same(width, width, config.residual))
            self.coarse_place = nn.Conv2d(width, config.dim, 1)
        self.place = nn.Conv2d(width + config.dim * (config.levels - 1), config.dim, 1)

    def levels(self, color: Tensor) -> list[Quantised]:
        """sRGB (b, 3, h, w) in [-1, 1] -> codes, the coarser level first where there are two."""
        features = self.body(color)
        if len(self.books) == 1:
            return [self.books[0](self.place(features))]
        coarse = self.books[0](self.coarse_place(self.coarse(features)))
        return [coarse, self.books[1](self.place(torch.cat([features, _doubled(coarse.straight)], 1)))]

    def forward(self, color: Tensor) -> Tensor:
        """sRGB (b, 3, h, w) in [-1, 1] -> the codes of every level, side by side: (b, channels, h / f, w / f)."""
        return joined([level.codes for level in self.levels(color)])


class Decoder(Network):
    """A picture from codes."""

    discrete_output = True

    def __init__(self, config: Autoencoder.Config, books: nn.ModuleList) -> None:
        super().__init__()
        self.inputs = {"latent": (config.channels, "h", "w")}
        self.size_multiple = config.levels
        self.books = books
        self.dim = config.dim
        width = config.hidden[-1]
        *ups, last = zip(config.hidden[::-1], (*config.hidden[-2::-1], 3), strict=True)
        self.body = _stack(*_same(config.channels, width, config.residual), *(_up(i, o) for i, o in ups))
        self.exit = nn.Sequential(_up(*last), nn.Tanh())

    def paint(self, latent: Tensor) -> Tensor:
        """Codes (b, channels, h, w) as they are -> sRGB (b, 3, f h, f w) in [-1, 1]."""
        return self.exit(self.body(latent))

    def forward(self, latent: Tensor) -> Tensor:
        """Any latent (b, channels, h, w), brought to the codes nearest to it -> sRGB (b, 3, f h, f w) in [-1, 1]."""
        if len(self.books) == 1:
            return self.paint(self.books[0](latent).codes)
        coarse, fine = F.avg_pool2d(latent[:, : self.dim], 2), latent[:, self.dim :]
        return self.paint(joined([self.books[0](coarse).codes, self.books[1](fine).codes]))


def joined(levels: list[Tensor]) -> Tensor:
    """Levels side by side, the coarser one (which comes first) at the size of the finer."""
    return levels[0] if len(levels) == 1 else torch.cat([_doubled(levels[0]), levels[1]], 1)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
