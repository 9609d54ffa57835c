"""Colour as classification over ab bins (Zhang, Isola & Efros 2016): soft targets, rebalancing, annealed mean.

A mean of many possible colours is gray; a distribution over them is not. How vivid the picture made from it is, is
then a dial (`temperature`, `chroma`), turned without training again.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.color import AB_SCALE, ab_bins
from ..core.sampling import AnnealedMean
from ._blocks import ColorNet, at_size
from .family import Family, Network


class Model(Family):
    """Gray in, a distribution over colour bins out, one network."""

    trainable = ("net",)
    bins: Tensor  # (q, 2), Lab units
    prior: Tensor  # (q,), how frequent each bin is

    @dataclass(frozen=True)
    class Config:
        """The network (see `ColorNet`) and how it learns and decodes.

        ``neighbors`` and ``sigma`` (Lab units) shape the soft targets; ``uniform`` is the share of the uniform
        distribution mixed into the colours' frequencies before they are divided away: the paper has 0.5, and 1
        switches the rebalancing off. ``temperature`` and ``chroma`` are `AnnealedMean`'s.
        """

        net: ColorNet.Config = field(default_factory=lambda: ColorNet.Config())
        neighbors: int = 5
        sigma: float = 5.0
        uniform: float = 0.5
        temperature: float = 0.38
        chroma: float = 1.0

        def __post_init__(self) -> None:
            if not 0 < self.uniform <= 1:
                raise ValueError(f"uniform {self.uniform}: must be above 0 (all rebalanced) and at most 1 (none)")
            if not 1 <= self.neighbors <= len(ab_bins()):
                raise ValueError(f"neighbors {self.neighbors}: must be from 1 to {len(ab_bins())}, the number of bins")
            if not self.sigma > 0:
                raise ValueError(f"sigma {self.sigma}: must be above 0")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = AnnealedMean(config.temperature, config.chroma)
        self.net = ColorNet(config.net, channels=len(ab_bins()))
        self.register_buffer("bins", torch.tensor(ab_bins()), persistent=False)
        self.register_buffer("prior", torch.full((len(ab_bins()),), 1 / len(ab_bins())))

    def networks(self) -> dict[str, Network]:
        """The network that `AnnealedMean` calls."""
        return {"logits": self.net}

    def learning_rates(self, part: str) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return self.net.learning_rates()

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray (b, 1, h, w), ab (b, 2, h, w) -> soft cross-entropy, weighted by the rarity of the nearest bin."""
        logits = self.net(gray)
        truth = at_size(color, logits).movedim(1, -1).reshape(-1, 2) * AB_SCALE
        nearest, shares = soft_encode(truth, self.bins, self.config.neighbors, self.config.sigma)
        logs = F.log_softmax(logits.movedim(1, -1).reshape(-1, len(self.bins)), 1)
        entropy = -(logs.gather(1, nearest) * shares).sum(1)
        if self.training:
            self._count(nearest, shares)
        weights = rarity(self.prior, self.config.uniform)[nearest[:, 0]]
        return {"total": (entropy * weights).mean(), "entropy": entropy.mean()}

    def _count(self, nearest: Tensor, shares: Tensor, momentum: float = 0.99) -> None:
        """Follow how frequent each bin is in the training photographs."""
        counts = torch.zeros_like(self.prior).scatter_add_(0, nearest.ravel(), shares.ravel())
        self.prior.lerp_(counts / counts.sum(), 1 - momentum)


def soft_encode(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Colours (n, 2) -> their nearest bins (n, k), nearest first, and Gaussian shares (n, k) that sum to 1."""
    distance, nearest = torch.cdist(ab, bins).topk(neighbors, 1, largest=False)
    return nearest, torch.softmax(distance.square() / (-2 * sigma**2), 1)


def rarity(prior: Tensor, uniform: float) -> Tensor:
    """Weight of each bin: 1 / ((1 - u) prior + u / Q), scaled to a mean of 1 under the prior (equation 4)."""
    weights = 1 / ((1 - uniform) * prior + uniform / len(prior))
    return weights / (prior * weights).sum()
