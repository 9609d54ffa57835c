"""Invariants of cold diffusion, which hold for any restorer."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.core.color import rgb_to_lab
from photochrom.core.sampling.cold import Cold
from photochrom.core.sampling.one_pass import Reconstruction

CLEAN = np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 12))  # float64, so that exact results are exact
GRAY = CLEAN.mean(1, keepdims=True).repeat(3, 1)


def chroma(rgb):
    return rgb - rgb.mean(1, keepdims=True)


def random_restorer(t, state):
    """Another random image at every step."""
    return np.random.default_rng(round(t * 1000)).uniform(-1, 1, state.shape)


def last(procedure, restorer, start=GRAY):
    *_, end = procedure.states(restorer, start)
    return end


@given(st.integers(1, 50))
def test_improved_keeps_the_mean_of_the_channels_and_naive_does_not(steps):
    result = last(Cold(steps=steps), random_restorer)
    np.testing.assert_allclose(result.mean(1), GRAY.mean(1), atol=1e-12)
    assert abs(last(Cold(steps=steps, solver="naive"), random_restorer).mean(1) - GRAY.mean(1)).max() > 0.1


@given(st.integers(1, 50))
def test_improved_gives_the_chroma_of_a_constant_restorer_under_the_gray(steps):
    constant = random_restorer(0.5, CLEAN)
    np.testing.assert_allclose(last(Cold(steps=steps), lambda t, state: constant), GRAY + chroma(constant), atol=1e-12)


def test_improved_gives_the_gray_and_the_mean_chroma_of_all_predictions():
    predictions = []

    def restorer(t, state):
        predictions.append(random_restorer(t, state))
        return predictions[-1]

    result = last(Cold(levels=50, steps=50), restorer)
    assert len(predictions) == 50
    np.testing.assert_allclose(result, GRAY + np.mean([chroma(p) for p in predictions], 0), atol=1e-12)


@pytest.mark.parametrize("solver", Cold.solvers)
@pytest.mark.parametrize("latent", [False, True])
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_an_exact_restorer_gives_the_clean_image(solver, latent, steps):
    procedure = Cold(solver=solver, latent=latent, steps=steps)
    np.testing.assert_allclose(last(procedure, lambda t, state: CLEAN), CLEAN, atol=1e-12)


@pytest.mark.parametrize("solver", ["improved", "naive"])
@pytest.mark.parametrize("latent", [False, True])
def test_an_exact_restorer_sees_the_degraded_image_of_each_step(solver, latent):
    procedure, times = Cold(solver=solver, latent=latent, levels=50, steps=5), []

    def restorer(t, state):
        times.append(t)
        np.testing.assert_allclose(state, procedure.degrade(CLEAN, t * 50, GRAY), atol=1e-12)
        return CLEAN

    last(procedure, restorer)
    assert times == [1.0, 0.8, 0.6, 0.4, 0.2]


def test_one_shot_is_the_prediction_at_the_last_step():
    result = last(Cold(solver="one-shot", steps=50), random_restorer)
    np.testing.assert_array_equal(result, random_restorer(1.0, CLEAN))


@given(st.integers(1, 60), st.integers(1, 60))
def test_timesteps_include_both_ends_and_too_many_steps_are_refused(levels, steps):
    if steps > levels:
        with pytest.raises(ValueError, match=f"{steps} steps: trained with {levels}, choose from 1 to {levels}"):
            Cold(levels=levels, steps=steps)
        return
    timesteps = Cold(levels=levels, steps=steps).timesteps()
    assert (timesteps[0], timesteps[-1], len(timesteps)) == (levels, 0, steps + 1)
    assert all(a > b for a, b in pairwise(timesteps))


@pytest.mark.parametrize("settings", [{"degradation": "rust"}, {"solver": "ddim"}, {"steps": 0}, {"levels": 5}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match="choose"):
        Cold(**settings)


def test_the_trajectory_begins_gray_and_ends_with_the_result():
    gray = GRAY[:, :1].astype(np.float32)
    ab = list(
        Cold(steps=4).trajectory({"restorer": lambda t, state: CLEAN.astype(np.float32)}, gray, lambda like: like)
    )
    assert len(ab) == 5
    assert abs(ab[0]).max() < 1e-3
    lab = rgb_to_lab(((GRAY + chroma(CLEAN)).clip(-1, 1) / 2 + 0.5).astype(np.float32))
    np.testing.assert_allclose(ab[-1], lab[:, 1:] / 110, atol=1e-4)


def test_latents_are_encoded_and_decoded():
    nets = {
        "encoder": lambda color: color * 2,
        "restorer": lambda t, state: state,
        "decoder": lambda latent: latent / 2,
    }
    procedure = Cold(latent=True, steps=2)
    assert procedure.capabilities.network_names == ("encoder", "restorer", "decoder")
    *_, restored = procedure.restore(nets, GRAY)
    np.testing.assert_allclose(restored, GRAY)
    assert procedure.capabilities.colorizes
    assert not Cold("blur").capabilities.colorizes
    image, reconstruction = Reconstruction().restore(nets, CLEAN)
    np.testing.assert_allclose(image, reconstruction)


def test_only_the_result_is_decoded_without_a_trajectory():
    decoded = []
    nets = {"encoder": lambda color: color, "restorer": lambda t, state: state}
    nets["decoder"] = lambda latent: decoded.append(latent) or latent
    gray = GRAY[:, :1].astype(np.float32)
    ab = Cold(latent=True, steps=10)(nets, gray, lambda like: like)
    assert len(decoded) == 1
    *_, last_of_trajectory = Cold(latent=True, steps=10).trajectory(nets, gray, lambda like: like)
    np.testing.assert_array_equal(ab, last_of_trajectory)
