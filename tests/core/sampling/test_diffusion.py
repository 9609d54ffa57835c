"""Formulas of diffusion against diffusers, numpy against torch, and exact cases."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from hypothesis import given
from hypothesis import strategies as st

from photochrom.core.sampling import Diffusion, diffusion
from photochrom.core.sampling.diffusion import (
    add_noise,
    clean_from,
    cosine_schedule,
    ddim_step,
    linear_schedule,
    noise_from,
    posterior_mean,
    prediction_target,
)

RNG = np.random.default_rng(0)
CLEAN, NOISE, NOISY, PREDICTED = (torch.from_numpy(RNG.normal(size=(2, 2, 6, 5))) for _ in range(4))
SCHEDULES = {"linear": linear_schedule(1000, 1e-4, 0.02), "squaredcos_cap_v2": cosine_schedule(1000)}
GAMMAS = st.floats(1e-4, 0.9999)


def diffusers_scheduler(kind, name="linear", **settings):
    return kind(1000, beta_start=1e-4, beta_end=0.02, beta_schedule=name, **settings)


def seeded(like):
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(7), dtype=like.dtype)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_match_diffusers(name):
    expected = diffusers_scheduler(DDPMScheduler, name).alphas_cumprod
    np.testing.assert_allclose(SCHEDULES[name][1:], expected, rtol=2e-3, atol=1e-7)
    assert SCHEDULES[name][0] == 1
    assert all(a > b > 0 for a, b in zip(SCHEDULES[name], SCHEDULES[name][1:], strict=False))


def test_schedules_of_palette_end_as_in_the_paper():
    assert linear_schedule(2000, 1e-6, 0.01)[-1] == pytest.approx(4.39e-5, rel=0.01)
    assert linear_schedule(1000, 1e-4, 0.09)[-1] == pytest.approx(6.6e-21, rel=0.05)


@given(st.integers(1, 300), st.data())
def test_respacing_keeps_both_ends_and_the_order(steps, data):
    schedule = cosine_schedule(steps)
    few = Diffusion(levels=steps, steps=data.draw(st.integers(1, steps))).timesteps()
    assert (few[0], few[-1]) == (1, schedule[-1])
    assert set(few) <= set(schedule)
    assert list(few) == sorted(few, reverse=True)
    assert Diffusion(levels=steps, steps=steps).timesteps() == schedule


@pytest.mark.parametrize("steps", [0, 11])
def test_more_steps_than_the_schedule_has_are_refused(steps):
    with pytest.raises(ValueError, match=f"{steps} steps: the noise schedule has 10, choose from 1 to 10"):
        Diffusion(levels=10, steps=steps)


def test_added_noise_matches_diffusers():
    expected = diffusers_scheduler(DDPMScheduler).add_noise(CLEAN, NOISE, torch.tensor([400]))
    torch.testing.assert_close(add_noise(CLEAN, NOISE, SCHEDULES["linear"][401]), expected, atol=1e-5, rtol=1e-4)


@given(GAMMAS, st.sampled_from(diffusion.PREDICTIONS))
def test_the_prediction_target_implies_the_clean_image(gamma, prediction):
    noisy = add_noise(CLEAN, NOISE, gamma)
    goal = prediction_target(prediction, CLEAN, NOISE, gamma)
    torch.testing.assert_close(clean_from(prediction, noisy, goal, gamma), CLEAN, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(noise_from(noisy, CLEAN, gamma), NOISE, atol=1e-6, rtol=1e-6)


@given(GAMMAS, st.floats(0.01, 0.99))
def test_the_posterior_mean_is_that_of_algorithm_2_of_palette(before, alpha):
    gamma = before * alpha
    clean = clean_from("noise", NOISY, PREDICTED, gamma)
    direct = (NOISY - (1 - alpha) / math.sqrt(1 - gamma) * PREDICTED) / math.sqrt(alpha)
    torch.testing.assert_close(posterior_mean(NOISY, clean, gamma, before), direct, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("at", [999, 400, 1, 0])
@pytest.mark.parametrize(("share", "name"), [(0.0, "fixed_small"), (1.0, "fixed_large")])
def test_ancestral_steps_match_diffusers(at, share, name):
    scheduler = diffusers_scheduler(DDPMScheduler, variance_type=name, clip_sample=False)
    expected = scheduler.step(PREDICTED, at, NOISY, generator=torch.Generator().manual_seed(7)).prev_sample
    gamma, before = SCHEDULES["linear"][at + 1], SCHEDULES["linear"][at]
    ours = diffusion.ancestral_step(NOISY, clean_from("noise", NOISY, PREDICTED, gamma), gamma, before, seeded, share)
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("at", [999, 400, 1, 0])
def test_steps_of_learned_variance_match_diffusers(at):
    scheduler = diffusers_scheduler(DDPMScheduler, variance_type="learned_range", clip_sample=False)
    output = torch.cat([PREDICTED, NOISE.tanh()], 1)
    expected = scheduler.step(output, at, NOISY, generator=torch.Generator().manual_seed(7)).prev_sample
    gamma, before = SCHEDULES["linear"][at + 1], SCHEDULES["linear"][at]
    predicted, share = Diffusion(variance="learned").split_output(output)
    ours = diffusion.ancestral_step(NOISY, clean_from("noise", NOISY, predicted, gamma), gamma, before, seeded, share)
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("at", [950, 500, 50])
def test_ddim_steps_match_diffusers(at, eta):
    scheduler = diffusers_scheduler(DDIMScheduler, clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(20)
    settings = {"eta": eta, "generator": torch.Generator().manual_seed(7)}
    expected = scheduler.step(PREDICTED, at, NOISY, **settings).prev_sample
    gamma, before = SCHEDULES["linear"][at + 1], SCHEDULES["linear"][at - 49]
    ours = ddim_step(NOISY, clean_from("noise", NOISY, PREDICTED, gamma), gamma, before, seeded, eta)
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=2e-4)


def test_ddim_with_eta_1_is_ancestral():
    schedule = SCHEDULES["linear"]
    clean = clean_from("noise", NOISY, PREDICTED, schedule[500])
    one = ddim_step(NOISY, clean, schedule[500], schedule[499], seeded, 1.0)
    torch.testing.assert_close(one, diffusion.ancestral_step(NOISY, clean, schedule[500], schedule[499], seeded))


@pytest.mark.parametrize("steps", [3, 10, 25])
def test_dpm_solver_steps_match_diffusers(steps):
    scheduler = diffusers_scheduler(
        DPMSolverMultistepScheduler, algorithm_type="dpmsolver++", solver_type="midpoint", final_sigmas_type="zero"
    )
    scheduler.set_timesteps(steps)
    walk = [1 / (1 + float(sigma) ** 2) for sigma in scheduler.sigmas]
    x = y = NOISY
    last = None
    for at, gamma, before in zip(scheduler.timesteps, walk, walk[1:], strict=False):
        x = scheduler.step(0.4 * x.tanh(), at, x).prev_sample
        clean = clean_from("noise", y, 0.4 * y.tanh(), gamma)
        y, last = diffusion.dpm_solver_step(y, clean, last, gamma, before), (clean, gamma)
        torch.testing.assert_close(y, x, atol=1e-4, rtol=1e-3)


def sample_with_exact_denoiser(x, steps, sampler):
    """Sampling with a denoiser that always predicts 0.25."""
    schedule, last = Diffusion(levels=100, steps=steps).timesteps(), None
    for before, gamma in reversed(list(pairwise(schedule))):
        clean = x * 0 + 0.25
        if sampler == "ddim":
            x = ddim_step(x, clean, gamma, before, lambda like: like * 0)
        elif sampler == "ancestral":
            x = diffusion.ancestral_step(x, clean, gamma, before, lambda like: like * 0)
        else:
            x, last = diffusion.dpm_solver_step(x, clean, last, gamma, before), (clean, gamma)
    return x


@pytest.mark.parametrize("sampler", ["ddim", "ancestral", "dpm-solver"])
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_an_exact_denoiser_gives_its_image_and_numpy_equals_torch(sampler, steps):
    x = NOISY.float()
    torch.testing.assert_close(
        sample_with_exact_denoiser(x, steps, sampler), torch.full_like(x, 0.25), atol=1e-5, rtol=0
    )
    in_numpy = sample_with_exact_denoiser(x.numpy(), steps, sampler)
    assert in_numpy.dtype == np.float32
    np.testing.assert_allclose(in_numpy, sample_with_exact_denoiser(x, steps, sampler), atol=1e-4)
