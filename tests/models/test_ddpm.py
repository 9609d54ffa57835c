"""The variational bound against closed forms and an independent reference."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from photochrom.core.sampling import Diffusion
from photochrom.models._denoiser import Prediction
from photochrom.models.ddpm import interval_nll, step_cost, variational_bound

UNIT = 0.01


class Oracle(nn.Module):
    """Predicts the clean image, plus a constant."""

    def __init__(self, clean, error=0.0):
        super().__init__()
        self.clean, self.error = clean, error

    def forward(self, noisy, condition, t):
        return self.clean + self.error


def bound_of(net, clean, **settings):
    sampling = Diffusion(prediction="clean", gain=3.0, steps=1, **settings)
    torch.manual_seed(0)
    return sampling, *variational_bound(net, sampling, torch.tensor(sampling.gammas()), clean, clean[:, :1], UNIT)


def cost_of_error(clean, error, now, before, share):
    prediction = Prediction(noisy=clean, output=clean, target=clean, clean=clean + error, share=share)
    return step_cost(prediction, clean, prediction.clean, torch.tensor([now]), torch.tensor([before]))


@pytest.fixture
def clean():
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(64, 2, 6, 6, generator=generator) / UNIT).round() * UNIT


def test_oracle_has_no_cost_but_the_prior_and_the_decoder(clean):
    _, prior, steps, _ = bound_of(Oracle(clean), clean.clip(-3, 3), levels=50)
    assert steps.abs().max() < 1e-2
    assert (prior > 0).all()
    assert (prior / (72 * math.log(2))).max() < 0.01  # bits per dimension


def test_error_costs_half_the_change_of_the_signal_to_noise_ratio(clean):
    """Kingma et al. 2021, equation 13: over all steps but the first, for a network with a constant error."""
    clean = clean.clip(-2, 2)
    sampling, _, steps, _ = bound_of(Oracle(clean, 0.3), clean, levels=40)
    ratios = [g / (1 - g) for g in sampling.gammas()[1:]]
    expected = 0.5 * (ratios[0] - ratios[-1]) * 0.3**2 * 72
    assert steps.mean().item() == pytest.approx(expected, rel=0.2)  # an estimate from a few levels
    # The sum over all levels is exact.
    gammas = sampling.gammas()
    total = 0.0
    for before, now in pairwise(gammas[1:]):
        total += cost_of_error(clean[:1], 0.3, now, before, share=0.0).sum().item()
    assert total == pytest.approx(expected, rel=1e-3)


def test_step_cost_is_the_divergence_of_two_gaussians(clean):
    """The closed formula, for a share of 0.5: the variance is the geometric mean of both bounds."""
    now, before, error = 0.3, 0.5, 0.2
    forward = 1 - now / before
    posterior = forward * (1 - before) / (1 - now)
    variance = math.sqrt(forward * posterior)
    difference = error * math.sqrt(before) * forward / (1 - now)
    expected = 0.5 * (posterior / variance - 1 - math.log(posterior / variance) + difference**2 / variance)
    cost = cost_of_error(clean, error, now, before, share=0.5)
    torch.testing.assert_close(cost, torch.full_like(clean, expected), rtol=1e-3, atol=0)


def test_every_image_is_sampled_at_every_level():
    """The mean of many estimates is right for a network that is wrong for one image and at some levels only."""
    clean = torch.zeros(8, 1, 1, 1)

    class Wrong(nn.Module):
        def forward(self, noisy, condition, t):
            error = torch.where(t > 0.9, 0.3, 0.0) * (torch.arange(len(t)) == 2)
            return error[:, None, None, None].expand_as(noisy)

    sampling = Diffusion(prediction="clean", gain=3.0, steps=1, levels=40)
    gammas = torch.tensor(sampling.gammas())
    torch.manual_seed(0)
    estimates = [variational_bound(Wrong(), sampling, gammas, clean, clean, UNIT) for _ in range(300)]
    steps = torch.stack([steps for _, steps, _ in estimates]).mean(0)
    ratios = gammas / (1 - gammas)
    expected = 0.5 * (ratios[1:-1] - ratios[2:])[gammas[2:].sqrt() > 0.9].sum() * 0.3**2
    assert steps[2].item() == pytest.approx(expected.item(), rel=0.1)
    assert steps[[0, 1, 3, 4, 5, 6, 7]].abs().max() < 1e-3


def test_prior_equals_that_of_torch(clean):
    sampling, prior, *_ = bound_of(Oracle(clean), clean, schedule="linear", levels=100)
    gamma = sampling.gammas()[-1]
    predicted = torch.distributions.Normal(clean * gamma**0.5, (1 - gamma) ** 0.5)
    expected = torch.distributions.kl_divergence(predicted, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(prior, expected, rtol=1e-3, atol=1e-3)


def test_interval_nll_is_that_of_a_distribution():
    """Probabilities sum to 1, and the logarithm is finite far from the mean."""
    values = torch.arange(-1000, 1001, dtype=torch.float64) * UNIT
    probabilities = torch.exp(-interval_nll(values, torch.tensor(0.123), torch.tensor(0.5), UNIT))
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-6)
    assert math.isfinite(interval_nll(torch.tensor(3.0), torch.tensor(0.0), torch.tensor(0.01), UNIT).item())


def test_another_variance_costs_more(clean):
    kinds = ("posterior", "forward")
    own, forward = (bound_of(Oracle(clean), clean.clip(-3, 3), levels=50, variance=kind)[2] for kind in kinds)
    assert forward.mean() > own.mean()
