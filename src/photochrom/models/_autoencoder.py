"""An autoencoder with a discrete latent: a VQ-VAE (van den Oord et al. 2017), or two levels of it (VQ-VAE-2)."""

from itertools import pairwise
from typing import Annotated, Literal, NamedTuple, cast

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from ._settings import Count, Natural, NonNegative, Share
from .family import Network

SMOOTHING = 1e-5  # added to each count, so that no code divides by zero


class Quantized(NamedTuple):
    """The encoder's ``latents`` (b, d, h, w), the ``codes`` nearest to them, and their ``indices`` (b, h, w)."""

    latents: Tensor
    codes: Tensor
    indices: Tensor

    @property
    def straight_through(self) -> Tensor:
        """The codes, with the gradient of the latents."""
        return self.latents + (self.codes - self.latents).detach()


class Codebook(nn.Module):
    """Code vectors, learned by a loss or as moving averages of the latents nearest to each.

    ``counts``: moving averages, with this ``decay``, of the latents per code and batch. A code with fewer than
    ``revive`` is dead, as all are at first; with averages it is replaced by a random latent of the batch.
    """

    counts: Tensor
    sums: Tensor
    vectors: Tensor

    def __init__(self, codes: int, dim: int, learning: str, decay: float, revive: float) -> None:
        super().__init__()
        self.decay, self.revive, self.learning = decay, revive, learning
        vectors = torch.empty(codes, dim).uniform_(-1 / codes, 1 / codes)
        if learning == "loss":
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)
            self.register_buffer("sums", torch.zeros_like(vectors))
        self.register_buffer("counts", torch.zeros(codes))

    def forward(self, latents: Tensor) -> Quantized:
        """Latents (b, d, h, w) -> the code nearest to each; in single precision, since distances are differences."""
        with torch.autocast(latents.device.type, enabled=False):
            latents = latents.float()
            flat = latents.permute(0, 2, 3, 1)
            # Squared distance without |latent|^2, which is the same for all codes.
            distances = self.vectors.square().sum(1) - 2 * (flat @ self.vectors.t())
            indices = distances.argmin(-1)
        return Quantized(latents, F.embedding(indices, self.vectors).permute(0, 3, 1, 2), indices)

    @torch.no_grad()
    def update(self, batch: Quantized) -> None:
        """Update the counts, and codes that are averages, with a batch; over all devices together."""
        latents = batch.latents.permute(0, 2, 3, 1).reshape(-1, batch.latents.shape[1])
        indices = batch.indices.flatten()
        # Not `bincount`, which waits for the GPU.
        counts = torch.zeros_like(self.counts).index_add_(0, indices, torch.ones_like(latents[:, 0]))
        sums = torch.zeros_like(self.vectors).index_add_(0, indices, latents)
        shared = distributed.is_available() and distributed.is_initialized()
        if shared:
            distributed.all_reduce(counts)
            distributed.all_reduce(sums)
        self.counts.lerp_(counts, 1 - self.decay)
        if self.learning == "loss":
            return
        self.sums.lerp_(sums, 1 - self.decay)
        total = self.counts.sum()
        smooth = (self.counts + SMOOTHING) / (total + SMOOTHING * len(self.counts)) * total
        self.vectors.copy_(torch.where(self.counts[:, None] > 0, self.sums / smooth[:, None], self.vectors))
        dead = self.counts < self.revive
        candidates = latents[torch.randint(len(latents), (len(self.vectors),), device=latents.device)]
        if shared:
            distributed.broadcast(candidates, 0)
        self.vectors.copy_(torch.where(dead[:, None], candidates, self.vectors))
        self.sums.copy_(torch.where(dead[:, None], candidates, self.sums))
        self.counts.copy_(torch.where(dead, 1.0, self.counts))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.added = nn.Sequential(conv, nn.ReLU(True), nn.Conv2d(width, width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.added(x)


def _stack(*layers: nn.Module) -> nn.Sequential:
    stack = nn.Sequential()
    for layer in layers:
        stack.append(layer).append(nn.LeakyReLU())
    return stack


def _same_size(channels: int, width: int, residual: int) -> tuple[nn.Module, nn.Module]:
    entry = nn.Conv2d(channels, width, 3, padding=1)
    return entry, nn.Sequential(*(Residual(width) for _ in range(residual)))


class Autoencoder(nn.Module):
    """``encoder`` and ``decoder``, which share their codebooks."""

    @dataclass(frozen=True)
    class Config:
        hidden: Annotated[tuple[Count, ...], Field(min_length=1)] = (128, 256)  # channels of scales that halve the size
        residual: Natural = 6  # number of residual layers
        codes: Count = 512  # number of codes
        dim: Count = 32  # numbers in a code
        levels: Literal[1, 2] = 1  # 2 adds a coarser latent, which the finer one is conditioned on (Razavi et al. 2019)
        learning: Literal["ema", "loss"] = "ema"  # how codes are learned: moving averages of latents, or a loss
        decay: Share = 0.99  # decay of the moving averages
        revive: NonNegative = 0.5  # latents per batch, on average, below which a code is replaced (ema)

        @property
        def channels(self) -> int:
            return self.dim * self.levels

        @property
        def size_multiple(self) -> int:
            return int(2 ** len(self.hidden)) * self.levels

    def __init__(self, config: Config) -> None:
        super().__init__()
        settings = (config.codes, config.dim, config.learning, config.decay, config.revive)
        books = nn.ModuleList(Codebook(*settings) for _ in range(config.levels))
        self.encoder, self.decoder = Encoder(config, books), Decoder(config, books)


class Encoder(Network):
    inputs = {"color": (3, "h", "w")}  # noqa: RUF012
    discrete_output = True

    def __init__(self, config: Autoencoder.Config, books: nn.ModuleList) -> None:
        super().__init__()
        self.size_multiple = config.size_multiple
        self.books = cast(list[Codebook], books)
        width = config.hidden[-1]
        channels = (3, *config.hidden)
        downs = [nn.Conv2d(before, after, 4, 2, 1) for before, after in pairwise(channels)]
        self.body = _stack(*downs, *_same_size(width, width, config.residual))
        if config.levels == 2:
            self.coarse = _stack(nn.Conv2d(width, width, 4, 2, 1), *_same_size(width, width, config.residual))
            self.coarse_place = nn.Conv2d(width, config.dim, 1)
        self.place = nn.Conv2d(width + config.dim * (config.levels - 1), config.dim, 1)

    def levels(self, color: Tensor) -> list[Quantized]:
        """sRGB (b, 3, h, w) in [-1, 1] -> codes, the coarser level first if there are two."""
        features = self.body(color)
        if len(self.books) == 1:
            return [self.books[0](self.place(features))]
        coarse = self.books[0](self.coarse_place(self.coarse(features)))
        fine = self.place(torch.cat([features, F.interpolate(coarse.straight_through, scale_factor=2.0)], 1))
        return [coarse, self.books[1](fine)]

    def forward(self, color: Tensor) -> Tensor:
        """sRGB (b, 3, h, w) in [-1, 1] -> the codes of all levels, concatenated: (b, channels, h / f, w / f)."""
        return concatenate_levels([level.codes for level in self.levels(color)])


class Decoder(Network):
    discrete_output = True

    def __init__(self, config: Autoencoder.Config, books: nn.ModuleList) -> None:
        super().__init__()
        self.inputs = {"latent": (config.channels, "h", "w")}
        self.size_multiple = config.levels
        self.books = books
        self.dim = config.dim
        width = config.hidden[-1]
        entry = _same_size(config.channels, width, config.residual)
        channels = (*config.hidden[::-1], 3)
        *ups, last = [nn.ConvTranspose2d(before, after, 4, 2, 1) for before, after in pairwise(channels)]
        self.body = _stack(*entry, *ups)
        self.exit = nn.Sequential(last, nn.Tanh())

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (b, channels, h, w) -> sRGB (b, 3, f h, f w) in [-1, 1]."""
        return self.exit(self.body(codes))

    def forward(self, latent: Tensor) -> Tensor:
        """Any latent (b, channels, h, w), quantized first -> sRGB (b, 3, f h, f w) in [-1, 1]."""
        if len(self.books) == 1:
            return self.decode(self.books[0](latent).codes)
        coarse, fine = F.avg_pool2d(latent[:, : self.dim], 2), latent[:, self.dim :]
        return self.decode(concatenate_levels([self.books[0](coarse).codes, self.books[1](fine).codes]))


def concatenate_levels(levels: list[Tensor]) -> Tensor:
    """Return the levels, coarser first, side by side at the size of the finer."""
    if len(levels) == 1:
        return levels[0]
    coarse, fine = levels
    return torch.cat([F.interpolate(coarse, scale_factor=2.0), fine], 1)
