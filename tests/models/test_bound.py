"""The variational bound against closed forms and an outside reference."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from photochrom.core.sampling import Diffusion
from photochrom.core.sampling import diffusion_steps as diffusion
from photochrom.models._bound import bits, bound, divergence, surprise

UNIT = 0.01


class Right(nn.Module):
    """Knows the clean picture."""

    def __init__(self, clean, off=0.0):
        super().__init__()
        self.clean, self.off = clean, off

    def forward(self, noisy, condition, t):
        return self.clean + self.off


def of(net, clean, **settings):
    sampling = Diffusion(prediction="clean", gain=3.0, steps=1, **settings)
    torch.manual_seed(0)
    return sampling, bound(net, sampling, torch.tensor(sampling.gammas()), clean, clean[:, :1], UNIT)


@pytest.fixture
def clean():
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(64, 2, 6, 6, generator=generator) / UNIT).round() * UNIT


def test_a_network_that_is_right_pays_for_nothing_but_the_last_level(clean):
    _, found = of(Right(clean), clean.clip(-3, 3), levels=50)
    assert found.steps.abs().max() < 1e-2
    assert (found.prior > 0).all()
    assert bits(found.prior, 72).max() < 0.01


def test_an_error_costs_half_the_fall_of_the_ratio_of_signal_to_noise(clean):
    """Kingma et al. 2021, equation 13: over all steps but the first, from any network that is off by a constant."""
    clean = clean.clip(-2, 2)
    sampling, found = of(Right(clean, 0.3), clean, levels=40)
    ratios = [g / (1 - g) for g in sampling.gammas()[1:]]
    right = 0.5 * (ratios[0] - ratios[-1]) * 0.3**2 * 72
    assert found.steps.mean().item() == pytest.approx(right, rel=0.2)  # few of the levels are drawn
    # exactly, with every level drawn once
    gammas = sampling.gammas()
    total = 0.0
    for before, now in pairwise(gammas[1:]):
        apart = diffusion.posterior(clean, clean, now, before) - diffusion.posterior(clean, clean + 0.3, now, before)
        true = torch.tensor((1 - now / before) * (1 - before) / (1 - now))
        total += divergence(apart[0], true, true).sum().item()
    assert total == pytest.approx(right, rel=1e-3)


def test_every_photograph_is_seen_at_every_level():
    """Photographs that differ, and a network that is wrong at some levels only: means over many bounds are right."""
    clean = torch.zeros(8, 1, 1, 1)

    class Wrong(nn.Module):
        def forward(self, noisy, condition, t):
            off = torch.where(t > 0.9, 0.3, 0.0) * (torch.arange(len(t)) == 2)
            return off[:, None, None, None].expand_as(noisy)

    sampling = Diffusion(prediction="clean", gain=3.0, steps=1, levels=40)
    gammas = torch.tensor(sampling.gammas())
    torch.manual_seed(0)
    steps = torch.stack([bound(Wrong(), sampling, gammas, clean, clean, UNIT).steps for _ in range(300)]).mean(0)
    ratios = gammas / (1 - gammas)
    right = 0.5 * (ratios[1:-1] - ratios[2:])[gammas[2:].sqrt() > 0.9].sum() * 0.3**2
    assert steps[2].item() == pytest.approx(right.item(), rel=0.1)
    assert steps[[0, 1, 3, 4, 5, 6, 7]].abs().max() < 1e-3


def test_the_prior_is_what_torch_says(clean):
    sampling, found = of(Right(clean), clean, schedule="linear", levels=100)
    gamma = sampling.gammas()[-1]
    told = torch.distributions.Normal(clean * gamma**0.5, (1 - gamma) ** 0.5)
    right = torch.distributions.kl_divergence(told, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(found.prior, right, rtol=1e-3, atol=1e-3)


def test_divergence_is_what_torch_says():
    apart, true, told = torch.randn(20), torch.rand(20) + 0.1, torch.rand(20) + 0.1
    normal = torch.distributions.Normal
    right = torch.distributions.kl_divergence(normal(apart, true.sqrt()), normal(torch.zeros(20), told.sqrt()))
    torch.testing.assert_close(divergence(apart, true, told), right)


def test_surprise_is_that_of_a_distribution():
    """Over all values it sums to 1, and far from the mean it stays finite."""
    values = torch.arange(-1000, 1001, dtype=torch.float64) * UNIT
    given = torch.exp(-surprise(values, torch.tensor(0.123), torch.tensor(0.5), UNIT))
    assert given.sum().item() == pytest.approx(1, abs=1e-6)
    assert math.isfinite(surprise(torch.tensor(3.0), torch.tensor(0.0), torch.tensor(0.01), UNIT).item())


def test_steps_of_another_variance_cost_no_less_than_right_ones(clean):
    kinds = ("posterior", "forward")
    own, forward = (of(Right(clean), clean.clip(-3, 3), levels=50, variance=kind)[1] for kind in kinds)
    assert forward.steps.mean() > own.steps.mean()
