"""Color as classification over ab bins (Zhang, Isola & Efros 2016): soft targets, rebalancing, annealed mean.

The mean of many possible colors is gray; a distribution over them is not. ``temperature`` and ``chroma`` set how vivid
the image made from it is, without training again.
"""

from dataclasses import field
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from ..core.color import AB_SCALE, ab_bins
from ..core.sampling import AnnealedMean
from ._blocks import ColorNet, downsample
from ._settings import NonNegative, Positive
from .family import Family


class Model(Family):
    """Gray in, a distribution over color bins out, one network."""

    bins: Tensor  # (q, 2), Lab units
    prior: Tensor  # (q,), the frequency of each bin

    @dataclass(frozen=True)
    class Config:
        net: ColorNet.Config = field(default_factory=ColorNet.Config)
        neighbors: Annotated[int, Field(ge=1, le=len(ab_bins()))] = 5  # number of bins of a soft target
        sigma: Positive = 5.0  # standard deviation of a soft target, in Lab units
        # Share of the uniform distribution in the prior that losses are divided by; 1 switches rebalancing off.
        uniform: Annotated[float, Field(gt=0, le=1)] = 0.5
        temperature: float = 0.38  # temperature of the annealed mean: 1 = plain mean, towards 0 the likeliest color
        chroma: float = 1.0  # factor on predicted colors
        solver: Literal["mean", "sample"] = "mean"  # one answer, or another one for each seed
        noise: NonNegative = 0.7  # standard deviation of the noise of the solver sample

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = AnnealedMean(config.temperature, config.chroma, config.solver, config.noise)
        self.net = ColorNet(config.net, channels=len(ab_bins()))
        self.register_buffer("bins", torch.tensor(ab_bins()), persistent=False)
        self.register_buffer("prior", torch.full((len(ab_bins()),), 1 / len(ab_bins())))

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the soft cross-entropy, weighted by the rarity of the nearest bin, and the unweighted one."""
        logits = self.net(gray)
        truth = downsample(color, logits).movedim(1, -1).reshape(-1, 2) * AB_SCALE
        nearest, shares = soft_encode(truth, self.bins, self.config.neighbors, self.config.sigma)
        log_probabilities = F.log_softmax(logits.movedim(1, -1).reshape(-1, len(self.bins)), 1)
        entropy = -(log_probabilities.gather(1, nearest) * shares).sum(1)
        if self.training:
            counts = torch.zeros_like(self.prior).scatter_add_(0, nearest.ravel(), shares.ravel())
            self.prior.lerp_(counts / counts.sum(), 0.01)  # a moving average
        weights = rarity(self.prior, self.config.uniform)[nearest[:, 0]]
        return {"total": (entropy * weights).mean(), "entropy": entropy.mean()}


def soft_encode(ab: Tensor, bins: Tensor, neighbors: int, sigma: Positive) -> tuple[Tensor, Tensor]:
    """Return the nearest bins (n, k) of colors (n, 2), nearest first, and Gaussian shares (n, k) that sum to 1."""
    distance, nearest = torch.cdist(ab, bins).topk(neighbors, 1, largest=False)
    return nearest, torch.softmax(distance.square() / (-2 * sigma**2), 1)


def rarity(prior: Tensor, uniform: float) -> Tensor:
    """Return each bin's weight, 1 / ((1 - u) prior + u / Q), scaled to a mean of 1 under the prior (equation 4)."""
    weights = 1 / ((1 - uniform) * prior + uniform / len(prior))
    return weights / (prior * weights).sum()
