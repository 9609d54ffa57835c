"""The formulas of docs/explanation hold for the code that they explain, and can be shown as MathML."""

import ast
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from photochrom.core import degradation
from photochrom.core.color import ab_bins
from photochrom.core.degradation import Degradation, interpolate
from photochrom.core.sampling import diffusion
from photochrom.core.sampling.cold import Cold
from photochrom.models import _losses, ddpm, pix2pix
from photochrom.models._denoiser import Prediction

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "explanation").glob("*.md"))
GAMMAS = diffusion.linear_schedule(4, 0.1, 0.6)  # few large steps, so that nothing holds only in the limit
GRID = np.linspace(-12, 12, 4801)


def density(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def moments(weights):
    """Mean and variance over the grid of a density that need not be normalized."""
    weights = weights / weights.sum()
    mean = (weights * GRID).sum()
    return mean, (weights * (GRID - mean) ** 2).sum()


def image(values):
    """Numbers as an image of one row, the type that the code takes."""
    return np.atleast_1d(values).astype(float)[None, None, None]


ONE, NOTHING = image(1.0), image(0.0)


# diffusion.md


@pytest.mark.parametrize("t", [1, 2, 4])
def test_steps_of_noise_are_one_step_with_the_product_of_alphas(t):
    mean, variance = 1.0, 0.0  # relative to the clean value
    for before, gamma in pairwise(GAMMAS[: t + 1]):
        alpha = gamma / before
        mean, variance = mean * alpha**0.5, variance * alpha + 1 - alpha
    assert mean == pytest.approx(diffusion.add_noise(ONE, NOTHING, GAMMAS[t]).item())
    assert variance**0.5 == pytest.approx(diffusion.add_noise(NOTHING, ONE, GAMMAS[t]).item())


@pytest.mark.parametrize("t", [2, 3, 4])
def test_posterior_is_the_product_of_two_densities(t):
    clean, noisy, gamma, before = 0.7, -0.4, GAMMAS[t], GAMMAS[t - 1]
    alpha = gamma / before
    forward = density(noisy, alpha**0.5 * GRID, 1 - alpha)
    mean, variance = moments(forward * density(GRID, before**0.5 * clean, 1 - before))
    expected = diffusion.posterior_mean(image(noisy), image(clean), gamma, before)
    assert mean == pytest.approx(expected.item(), abs=1e-6)
    assert variance == pytest.approx(diffusion.step_variance(gamma, before), rel=1e-6)


def test_best_noise_prediction_is_the_score():
    colors, gamma = np.array([-1.0, 0.2, 1.5]), GAMMAS[2]
    shares = density(GRID, gamma**0.5 * colors[:, None], 1 - gamma)
    slope = np.gradient(np.log(shares.sum(0)), GRID)
    noises = [diffusion.noise_from(image(GRID), image(GRID * 0 + color), gamma).ravel() for color in colors]
    expected_noise = (np.array(noises) * shares).sum(0) / shares.sum(0)
    middle = abs(GRID) < 4
    np.testing.assert_allclose(slope[middle], (-expected_noise / (1 - gamma) ** 0.5)[middle], atol=1e-3)


@pytest.mark.parametrize(
    ("prediction", "factor"), [("noise", lambda snr: snr), ("clean", lambda snr: 1), ("velocity", lambda snr: 1 + snr)]
)
def test_errors_of_predictions_differ_by_the_signal_to_noise_ratio(prediction, factor):
    gamma, clean, noise, error = GAMMAS[2], image(0.3), image(-1.1), 0.01
    noisy = diffusion.add_noise(clean, noise, gamma)
    target = diffusion.prediction_target(prediction, clean, noise, gamma)
    implied = diffusion.clean_from(prediction, noisy, target + error, gamma)
    squared = ((implied - clean) ** 2).item()
    assert factor(gamma / (1 - gamma)) * squared == pytest.approx(error**2)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_keeps_the_distribution_at_each_level(eta):
    gamma, before, clean = GAMMAS[3], GAMMAS[2], image(0.6)

    def step(noise, fresh):
        noisy = diffusion.add_noise(clean, noise, gamma)
        return diffusion.ddim_step(noisy, clean, gamma, before, lambda like: fresh, eta).item()

    mean = step(NOTHING, NOTHING)
    variance = (step(ONE, NOTHING) - mean) ** 2 + (step(NOTHING, ONE) - mean) ** 2
    assert mean == pytest.approx(before**0.5 * 0.6)
    assert variance == pytest.approx(1 - before)


def test_dpm_solver_of_first_order_is_ddim():
    step = {"noisy": image(0.8), "clean": image(-0.2), "gamma": GAMMAS[3], "before": GAMMAS[2]}
    ddim = diffusion.ddim_step(noise=lambda like: NOTHING, **step)
    np.testing.assert_allclose(diffusion.dpm_solver_step(last=None, **step), ddim)


# diffusion-bound.md


def flawed(clean):
    """A prediction with an error that depends on the level, so that no term is 0."""
    return lambda noisy, gamma: 0.5 * clean + 0.3 * noisy * gamma**0.5


def mean_step_cost(clean, noisy, estimate, t):
    noisy, estimate = torch.from_numpy(image(noisy)), torch.from_numpy(image(estimate))
    prediction = Prediction(noisy, noisy, noisy, estimate, share=0.0)
    levels = torch.tensor([GAMMAS[t], GAMMAS[t - 1]], dtype=torch.float64)[:, None]
    return ddpm.step_cost(prediction, torch.full_like(noisy, clean), estimate, *levels).mean().item()


def terms_of_code(clean, predict, values, unit):
    """The bound in nats, for the density of a value, as the code estimates its three kinds of terms."""
    sampling = diffusion.Diffusion(prediction="clean", gain=100.0)
    gammas = torch.tensor(GAMMAS, dtype=torch.float64)
    images = torch.full((400, 1, 1, values), clean, dtype=torch.float64)

    def net(noisy, condition, t):
        return predict(noisy, t[:, None, None, None] ** 2)

    parts = ddpm.variational_bound(net, sampling, gammas, images, images, unit)
    return sum(part.mean().item() for part in parts) / values + math.log(unit)


def test_the_three_kinds_of_terms_are_the_bound():
    torch.manual_seed(0)
    generator, clean, steps = np.random.default_rng(0), 0.9, len(GAMMAS) - 1
    predict, paths = flawed(clean), 400_000
    path, log_forward = [np.full(paths, clean)], 0.0
    for before, gamma in pairwise(GAMMAS):
        alpha = gamma / before
        path.append(path[-1] * alpha**0.5 + generator.normal(size=paths) * (1 - alpha) ** 0.5)
        log_forward = log_forward + np.log(density(path[-1], path[-2] * alpha**0.5, 1 - alpha))
    log_backward = np.log(density(path[-1], 0, 1))
    for t in range(steps, 0, -1):
        estimate = predict(path[t], GAMMAS[t])
        if t == 1:
            mean, variance = estimate, 1 - GAMMAS[1]
        else:
            mean = diffusion.posterior_mean(image(path[t]), image(estimate), GAMMAS[t], GAMMAS[t - 1]).ravel()
            variance = diffusion.step_variance(GAMMAS[t], GAMMAS[t - 1])
        log_backward = log_backward + np.log(density(path[t - 1], mean, variance))
    ratios = log_forward - log_backward
    assert ratios.mean() == pytest.approx(terms_of_code(clean, predict, 2000, 1e-3), abs=0.008)


def test_the_bound_is_above_the_negative_log_likelihood_of_a_model_that_can_be_integrated():
    """One step: p(x_0) is a mixture over x_1, which the grid integrates."""
    clean, predict, variance = 0.9, flawed(0.9), 1 - GAMMAS[1]
    likelihood = (density(GRID, 0, 1) * density(clean, predict(GRID, GAMMAS[1]), variance)).sum() * (GRID[1] - GRID[0])
    weights = density(GRID, GAMMAS[1] ** 0.5 * clean, variance)
    weights /= weights.sum()
    decoder = -(weights * np.log(density(clean, predict(GRID, GAMMAS[1]), variance))).sum()
    bound = 0.5 * (GAMMAS[1] * clean**2 - GAMMAS[1] - math.log1p(-GAMMAS[1])) + decoder
    assert bound > -math.log(likelihood)


@pytest.mark.parametrize("t", [2, 4])
def test_a_step_costs_its_weight_times_the_error(t):
    gamma, before = GAMMAS[t], GAMMAS[t - 1]
    alpha, beta = gamma / before, 1 - gamma / before
    noise, error = -0.8, 0.05
    noisy = diffusion.add_noise(image(0.4), image(noise), gamma)
    estimate = diffusion.clean_from("noise", noisy, image(noise + error), gamma).item()
    cost = mean_step_cost(0.4, noisy.item(), estimate, t)
    variance = diffusion.step_variance(gamma, before)
    assert cost == pytest.approx(beta**2 / (2 * variance * alpha * (1 - gamma)) * error**2)
    ratios = [level / (1 - level) for level in (before, gamma)]
    assert cost == pytest.approx((ratios[0] - ratios[1]) / 2 * (estimate - 0.4) ** 2)


# cold.md


@pytest.mark.parametrize("solver", ["improved", "naive"])
def test_algorithm_2_is_exact_for_any_restorer_if_all_images_degrade_alike(solver, monkeypatch):
    generator = np.random.default_rng(0)
    clean, direction = generator.uniform(-1, 1, (2, 1, 3, 4, 4))
    drift = Degradation(lambda image, share, noise: image + share * direction)
    monkeypatch.setitem(degradation.DEGRADATIONS, "drift", drift)
    *_, result = Cold("drift", steps=10, solver=solver).states(
        lambda state, t: generator.uniform(-1, 1, state.shape), clean + direction
    )
    assert np.allclose(result, clean) == (solver == "improved")


def test_error_of_algorithm_2_in_a_latent_is_the_mean_error_of_the_predictions():
    generator, predictions = np.random.default_rng(0), []
    clean, gray = generator.uniform(-1, 1, (2, 1, 4, 3, 3))

    def restorer(state, t):
        predictions.append(generator.uniform(-1, 1, state.shape))
        return predictions[-1]

    *_, result = Cold(latent=True, levels=20, steps=20).states(restorer, interpolate(clean, gray, 1.0))
    np.testing.assert_allclose(result - clean, np.mean(predictions, 0) - clean, atol=1e-12)


def test_cold_diffusion_of_the_noise_in_the_image_is_ddim():
    noisy, clean, gamma, before = image(0.9), image(-0.3), GAMMAS[3], GAMMAS[2]
    noise = diffusion.noise_from(noisy, clean, gamma)
    difference = diffusion.add_noise(clean, noise, before) - diffusion.add_noise(clean, noise, gamma)
    ddim = diffusion.ddim_step(noisy, clean, gamma, before, lambda like: NOTHING)
    np.testing.assert_allclose(noisy + difference, ddim)


# index.md, unet.md, losses.md, classify.md, pix2pix.md, claims.md


def test_gray_beats_a_sample_where_the_squared_mean_is_less_than_the_variance():
    colors = np.random.default_rng(0).normal([3.0, -2.0], 10.0, (200_000, 2))
    shuffled = np.random.default_rng(1).permutation(colors)
    variance, mean = colors.var(0).sum(), colors.mean(0)
    assert (colors**2).sum(1).mean() == pytest.approx(variance + (mean**2).sum())
    assert ((colors - shuffled) ** 2).sum(1).mean() == pytest.approx(2 * variance, rel=0.01)


def test_medians_of_three_colors_are_none_of_them_and_the_geometric_median_is_closer_in_distance():
    colors = torch.tensor([[60.0, 40.0], [20.0, -60.0], [-50.0, 30.0]], dtype=torch.float64) / 110
    medians = colors.median(0).values
    assert (medians * 110).round().tolist() == [20, 30]
    answer = medians.clone().requires_grad_()
    optimizer = torch.optim.Adam([answer], 0.05)
    losses = []
    for _ in range(30):
        loss = _losses.distance(answer[None, :, None].expand(3, 2, 1), colors[:, :, None], 1e-6)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1e-3


def test_gradient_of_huber_is_the_error_in_units_of_delta_up_to_one():
    errors = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    (_losses.huber(errors, torch.zeros_like(errors), 0.5) * len(errors)).backward()
    torch.testing.assert_close(errors.grad, (errors.detach() / 0.5).clamp(-1, 1))


def test_a_temperature_sharpens_towards_the_mode():
    bins = np.array(ab_bins())
    logits = np.random.default_rng(0).normal(0, 1, len(bins))
    distances = []
    for temperature in (1.0, 0.38, 0.02):
        shares = np.exp((logits - logits.max()) / temperature)
        distances.append(np.linalg.norm(shares @ bins / shares.sum() - bins[logits.argmax()]))
    assert distances == sorted(distances, reverse=True)


def test_value_of_the_game_at_the_best_discriminator_is_the_divergence():
    p, q = torch.tensor([0.5, 0.3, 0.2, 0.0]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    best = p / (p + q)
    value = (p * best.clamp(min=1e-30).log()).sum() + (q * (1 - best).log())[1:].sum() + q[0] * (1 - best[0]).log()
    middle = (p + q) / 2
    divergence = sum(torch.where(x > 0, x * (x / middle).clamp(min=1e-30).log(), 0.0).sum() for x in (p, q)) / 2
    assert value == pytest.approx((2 * divergence - math.log(4)).item(), abs=1e-6)
    scores = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([scores], 0.2)
    for _ in range(300):
        loss = (p * F.softplus(-scores) + q * F.softplus(scores)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(scores.detach()[:3].sigmoid(), best[:3], atol=1e-3, rtol=0)
    assert scores.detach()[3].sigmoid() < 0.01


def test_the_discriminators_loss_begins_at_log_2():
    model = pix2pix.Model(pix2pix.Model.Config(net=pix2pix.Generator.Config(downs=2, filters=4, dropped=0)))
    nothing = torch.zeros(5)
    for real in (True, False):
        assert model.objective(nothing, real).item() == pytest.approx(math.log(2))


def test_absolute_error_of_guessing_no_noise():
    noise = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    assert noise.abs().mean().item() == pytest.approx((2 / math.pi) ** 0.5, abs=2e-3)


# The pages


def formulas_of(text):
    blocks = re.findall(r"^```math\n(.*?)^```$", text, flags=re.M | re.S)
    prose = re.sub(r"^```.*?^```$|`[^`]*`", "", text, flags=re.M | re.S)
    return blocks, re.findall(r"\$([^$]+)\$", prose)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_formulas_can_be_shown_here_and_on_github(page):
    convert = pytest.importorskip("latex2mathml.converter").convert
    blocks, inline = formulas_of(page.read_text(encoding="utf-8"))
    for formula in blocks + inline:
        shown = re.sub(r"<[^>]*>", "", convert(formula.strip()))
        assert "\\" not in shown, formula  # a command that is not known stays as it is
    for formula in inline:  # Markdown takes away a backslash before punctuation, and columns end at |
        assert not re.search(r"\n|\\[^a-zA-Z]|\|", formula), formula


def test_formulas_are_found():
    blocks, inline = formulas_of("a $x_t$ and `$y`\n\n```math\nz\n```\n")
    assert (blocks, inline) == (["z\n"], ["x_t"])


def names_in_pages():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    return sorted(set(re.findall(r"`([a-z_0-9/]+\.py):([\w.]+)`", text)))


@pytest.mark.parametrize(("path", "name"), names_in_pages())
def test_functions_that_the_pages_name_exist(path, name):
    nodes = ast.parse((ROOT / "src" / "photochrom" / path).read_text(encoding="utf-8")).body
    for part in name.split("."):
        (node,) = [node for node in nodes if getattr(node, "name", None) == part]
        nodes = getattr(node, "body", [])
