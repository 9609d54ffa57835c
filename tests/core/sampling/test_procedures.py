"""Procedures: numpy equals torch, ends meet, descriptions round-trip."""

import json

import numpy as np
import pytest
import torch

from photochrom.core import color, sampling
from photochrom.core.sampling import diffusion
from photochrom.core.sampling.one_pass import noise_of_bins

GRAY = np.random.default_rng(0).uniform(-1, 1, (2, 1, 8, 12)).astype(np.float32)
LOGITS = np.random.default_rng(1).normal(0, 4, (2, len(color.ab_bins()), 4, 6)).astype(np.float32)
RGB = np.random.default_rng(2).uniform(-1, 1, (2, 3, 8, 12)).astype(np.float32)
AB = RGB[:, :2]

CASES = [
    (sampling.Direct(), {"colors": AB}),
    (sampling.Direct("rgb"), {"colors": RGB}),
    (sampling.AnnealedMean(), {"logits": LOGITS}),
    (sampling.AnnealedMean(0.1, 1.5), {"logits": LOGITS}),
    (sampling.AnnealedMean(solver="sample"), {"logits": LOGITS}),
    (sampling.Diffusion(steps=5, gain=4.0), {"denoiser": AB}),
    (sampling.Diffusion(steps=5, solver="dpm-solver", prediction="noise"), {"denoiser": AB}),
    (
        sampling.Diffusion("rgb", "linear", 100, (1e-4, 0.09), "clean", "ancestral", 5, variance="forward"),
        {"denoiser": RGB},
    ),
    (
        sampling.Diffusion(solver="ancestral", variance="learned", steps=5),
        {"denoiser": np.concatenate([AB, RGB[:, 1:]], 1)},
    ),
    (sampling.Diffusion(guided=True, solver="ancestral", steps=3), {"guide": LOGITS, "denoiser": AB[:, :, :4, :6]}),
]


def run(procedure, outputs, to_array):
    nets = {name: lambda out=out, **inputs: to_array(out) for name, out in outputs.items()}
    return np.asarray(procedure(nets, to_array(GRAY), lambda like: like))


@pytest.mark.parametrize(("procedure", "outputs"), CASES)
def test_numpy_equals_torch(procedure, outputs):
    in_numpy, in_torch = (run(procedure, outputs, to_array) for to_array in (np.asarray, torch.from_numpy))
    assert in_numpy.dtype == np.float32
    assert in_numpy.shape[1] == 2
    assert abs(in_numpy).max() <= 1
    np.testing.assert_allclose(in_numpy, in_torch, atol=1e-4)


def test_rgb_target_gives_the_ab_of_the_prediction():
    ab = run(sampling.Direct("rgb"), {"colors": RGB}, np.asarray)
    np.testing.assert_allclose(ab * 110, color.rgb_to_lab(RGB / 2 + 0.5)[:, 1:], atol=1e-2)


def test_annealed_mean_at_temperature_one_is_the_mean():
    p = torch.softmax(torch.from_numpy(LOGITS), 1)
    mean = torch.einsum("bqhw,qc->bchw", p, torch.tensor(color.ab_bins())) / color.AB_SCALE
    np.testing.assert_allclose(run(sampling.AnnealedMean(1.0), {"logits": LOGITS}, np.asarray), mean, atol=1e-5)


def test_annealed_mean_near_zero_is_the_mode():
    mode = np.array(color.ab_bins(), np.float32)[LOGITS.argmax(1)].transpose(0, 3, 1, 2) / color.AB_SCALE
    ab = run(sampling.AnnealedMean(1e-3), {"logits": LOGITS}, np.asarray)
    np.testing.assert_allclose(ab, mode, atol=1e-4)


def test_noise_of_bins_is_standard_normal_and_smooth_over_the_ab_plane():
    rng = np.random.default_rng(0)
    values = noise_of_bins(np.zeros((4000, 1, 8, 8), np.float32), lambda like: rng.standard_normal(like.shape))
    assert values.shape == (4000, len(color.ab_bins()))
    assert abs(values.mean(0)).max() < 0.08
    assert abs(values.std(0) - 1).max() < 0.08
    distance = np.hypot(*(np.array(color.ab_bins())[:, None] - np.array(color.ab_bins())).transpose(2, 0, 1))
    correlation = np.corrcoef(values.T)
    assert correlation[distance == 10].min() > 0.9
    assert abs(correlation[distance > 110]).max() < 0.1


def test_samples_differ_where_several_colors_are_likely_and_are_the_same_at_all_pixels():
    bins = color.ab_bins()
    logits = np.full((1, len(bins), 4, 6), -20.0, np.float32)
    logits[:, bins.index((50, 0))] = logits[:, bins.index((-50, 0))] = 0  # red or green
    logits[:, bins.index((50, 0)), 2:] = 20  # red for certain
    samples = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        procedure = sampling.AnnealedMean(solver="sample", noise=3.0)
        noise = lambda like, rng=rng: rng.standard_normal(like.shape).astype(np.float32)  # noqa: E731
        samples.append(procedure({"logits": lambda gray: logits}, GRAY[:1], noise)[0, 0] * color.AB_SCALE)
    uncertain, certain = np.array(samples)[:, :2], np.array(samples)[:, 2:]
    np.testing.assert_allclose(certain, 50, atol=0.5)
    np.testing.assert_allclose(uncertain, uncertain[:, :1, :1].repeat(2, 1).repeat(6, 2), atol=1e-4)
    assert {round(float(sample) / 50) for sample in uncertain[:, 0, 0]} >= {-1, 1}
    assert not sampling.AnnealedMean().capabilities.stochastic
    assert sampling.AnnealedMean(solver="sample").capabilities.stochastic


@pytest.mark.parametrize(
    ("kind", "outputs"), [(sampling.AnnealedMean, {"logits": LOGITS}), (sampling.Direct, {"colors": AB / 2})]
)
def test_chroma_multiplies(kind, outputs):
    once, twice = (run(kind(chroma=c), outputs, np.asarray) for c in (0.5, 1.0))
    np.testing.assert_allclose(once * 2, twice, atol=1e-5)


@pytest.mark.parametrize("procedure", [p for p, _ in CASES])
def test_description_round_trip(procedure):
    assert sampling.load_procedure(json.loads(json.dumps(sampling.describe(procedure)))) == procedure


@pytest.mark.parametrize(
    ("description", "sentence"),
    [({"kind": "wish"}, "'wish'.*direct"), ({}, "None"), ({"kind": "direct", "depth": 3}, "depth")],
)
def test_unknown_descriptions_are_refused(description, sentence):
    with pytest.raises(ValueError, match=sentence):
        sampling.load_procedure(description)


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match=r"temperature 0.0: must be above 0"):
        sampling.AnnealedMean(0.0)


@pytest.mark.parametrize("solver", sampling.Diffusion.solvers)
@pytest.mark.parametrize("prediction", diffusion.PREDICTIONS)
def test_an_exact_denoiser_leads_to_the_ground_truth(solver, prediction):
    """With the exact prediction at every level, every solver ends at the clean image, in any number of steps."""
    clean = AB * np.float32(0.9)

    def exact(t, noisy, condition):
        noise = diffusion.noise_from(noisy, clean, t**2)
        return diffusion.prediction_target(prediction, clean, noise, t**2)

    procedure = sampling.Diffusion(solver=solver, prediction=prediction, steps=4)
    draw = np.random.default_rng(5)
    ab = procedure({"denoiser": exact}, GRAY, lambda like: draw.standard_normal(like.shape).astype(np.float32))
    np.testing.assert_allclose(ab, clean, atol=2e-3)


def test_the_guide_runs_once_for_all_steps():
    calls = []
    nets = {"guide": lambda gray: calls.append(gray) or gray, "denoiser": lambda t, noisy, condition: noisy}
    sampling.Diffusion(guided=True, steps=7)(nets, GRAY, lambda like: like)
    assert len(calls) == 1


def test_few_steps_keep_both_ends_of_the_schedule():
    procedure = sampling.Diffusion(steps=5)
    assert procedure.timesteps()[0] == 1
    assert procedure.timesteps()[-1] == procedure.gammas()[-1]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"schedule": "quadratic"}, "choose one of linear, cosine"),
        ({"prediction": "score"}, "prediction 'score': choose one of noise, clean, velocity"),
        ({"solver": "euler"}, "choose one of ancestral, ddim, dpm-solver"),
        ({"variance": "own"}, "choose one of posterior, forward, learned"),
        ({"steps": 1001}, "choose from 1 to 1000"),
        ({"eta": 2.0}, "from 0"),
        ({"betas": (0.02, 2.0)}, "must rise, from above 0 to below 1"),
        ({"betas": (0.0, 0.02)}, "must rise, from above 0 to below 1"),
        ({"gain": 0.0}, "above 0"),
        ({"target": "hsv"}, "choose one of ab, rgb"),
    ],
)
def test_wrong_settings_of_diffusion_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        sampling.Diffusion(**settings)
