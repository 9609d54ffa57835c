"""What a diffusion model knows about true colours, in bits: the variational bound (Ho et al. 2020, equation 5)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.sampling import Diffusion
from ..core.sampling import diffusion_steps as diffusion
from ._denoiser import Guess, guess

DRAWS = 8  # of the level, for each photograph


@dataclass(frozen=True)
class Bound:
    """Nats of each photograph (b,): telling the noisiest level, each step back from it, and the colours from the last.

    The means over photographs of their sum, over dimensions and ln 2, are bits per dimension.
    """

    prior: Float[Tensor, "b"]
    steps: Float[Tensor, "b"]
    decoder: Float[Tensor, "b"]


@torch.no_grad()
def bound(
    net: nn.Module,
    sampling: Diffusion,
    gammas: Float[Tensor, "levels"],
    clean: Float[Tensor, "b c h w"],
    condition: Float[Tensor, "b k h w"],
    unit: float,
) -> Bound:
    """The bound on -log p of clean pictures that are whole multiples of ``unit``.

    The steps, one of each photograph's L_1 ... L_T-1 for each of `DRAWS`, are drawn evenly over log SNR: the sum is
    right on the mean. The colours from level 1 are told by a Gaussian, cut into units, with that level's variance.
    """
    count, levels = len(clean), len(gammas) - 1
    gamma = gammas[-1]
    prior = 0.5 * (gamma * clean**2 - gamma - torch.log1p(-gamma))

    steps = torch.zeros(count, device=clean.device)
    shares = torch.logit(gammas[1:].cpu().double()).diff().neg()  # of the fall of log SNR: there, colours are told
    shares /= shares.sum()
    edges = shares.cumsum(0)
    for _ in range(DRAWS if levels > 1 else 0):
        place = (torch.arange(count).double() / count + torch.rand(1)) % 1  # even over photographs, and for each
        drawn = torch.searchsorted(edges, place).clamp(max=levels - 2)
        step = (drawn + 2).to(clean.device)
        guessed = guess(net, sampling, clean, condition, gammas[step])
        cost = _sum(step_back(guessed, clean, guessed.found, gammas[step], gammas[step - 1]))
        steps += cost / (shares[drawn].float() * DRAWS).to(clean.device)

    first = torch.ones(count, dtype=torch.long, device=clean.device)
    found = guess(net, sampling, clean, condition, gammas[first]).found
    return Bound(_sum(prior), steps, _sum(surprise(clean, found, _wide((1 - gammas[first]).sqrt()), unit)))


def step_back(
    guessed: Guess, clean: Float[Tensor, "b c h w"], found: Tensor, gammas: Float[Tensor, "b"], before: Tensor
) -> Float[Tensor, "b c h w"]:
    """What the step from gammas to those before costs, in nats, if ``found`` are believed to be clean."""
    now, before = _wide(gammas), _wide(before)
    apart = diffusion.posterior(guessed.noisy, clean, now, before)
    apart = apart - diffusion.posterior(guessed.noisy, found, now, before)
    return divergence(apart, diffusion.variance(now, before), diffusion.variance(now, before, guessed.share))


def divergence(apart: Tensor, true: Tensor, told: Tensor) -> Tensor:
    """Of a Gaussian of variance ``told`` from one of variance ``true``, their means ``apart``, in nats."""
    ratio = true / told
    return 0.5 * (ratio - 1 - ratio.log() + apart**2 / told)


def surprise(value: Tensor, mean: Tensor, deviation: Tensor, unit: float) -> Tensor:
    """-log of what a Gaussian gives to the ``unit`` around a value, in nats."""
    near, far = ((abs(value - mean) + side * unit / 2) / deviation for side in (-1, 1))
    log_near, log_far = torch.special.log_ndtr(-near), torch.special.log_ndtr(-far)
    return -(log_near + torch.log(-torch.expm1(log_far - log_near)))


def _wide(levels: Tensor) -> Tensor:
    return levels[:, None, None, None]


def _sum(each: Tensor) -> Tensor:
    return each.flatten(1).sum(1)


def bits(nats: Tensor, dimensions: int) -> Tensor:
    """Nats (b,) -> bits per dimension (b,)."""
    return nats / (dimensions * math.log(2))
