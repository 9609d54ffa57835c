"""The invariants of cold diffusion, for any restorer at all."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.core.color import rgb_to_lab
from photochrom.core.sampling.cold import SOLVERS, Cold
from photochrom.core.sampling.reconstruction import Reconstruction

PHOTO = np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 12))  # float64: what is said to be exact is
GRAY = PHOTO.mean(1, keepdims=True).repeat(3, 1)


def chroma(rgb):
    return rgb - rgb.mean(1, keepdims=True)


def wild(t, state):
    """A restorer that answers anything, differently at every step."""
    return np.random.default_rng(round(t * 1000)).uniform(-1, 1, state.shape)


def last(procedure, restorer, start=GRAY):
    *_, end = procedure.states(restorer, start)
    return end


@given(st.integers(1, 50))
def test_improved_keeps_the_mean_of_the_channels_whatever_the_restorer_and_naive_does_not(steps):
    found = last(Cold(steps=steps), wild)
    np.testing.assert_allclose(found.mean(1), GRAY.mean(1), atol=1e-12)
    assert abs(last(Cold(steps=steps, solver="naive"), wild).mean(1) - GRAY.mean(1)).max() > 0.1


@given(st.integers(1, 50))
def test_with_a_constant_restorer_improved_gives_its_chroma_under_the_gray(steps):
    constant = wild(0.5, PHOTO)
    np.testing.assert_allclose(last(Cold(steps=steps), lambda t, state: constant), GRAY + chroma(constant), atol=1e-12)


def test_improved_gives_the_gray_and_the_mean_chroma_of_all_guesses():
    guesses = []

    def restorer(t, state):
        guesses.append(wild(t, state))
        return guesses[-1]

    found = last(Cold(levels=50, steps=50), restorer)
    assert len(guesses) == 50
    np.testing.assert_allclose(found, GRAY + np.mean([chroma(g) for g in guesses], 0), atol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("latent", [False, True])
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_a_restorer_that_is_right_gives_the_photograph_back(solver, latent, steps):
    procedure = Cold(solver=solver, latent=latent, steps=steps)
    np.testing.assert_allclose(last(procedure, lambda t, state: PHOTO), PHOTO, atol=1e-12)


@pytest.mark.parametrize("solver", ["improved", "naive"])
@pytest.mark.parametrize("latent", [False, True])
def test_a_right_restorer_is_asked_from_the_last_step_down_about_what_is_left_then(solver, latent):
    procedure, asked = Cold(solver=solver, latent=latent, levels=50, steps=5), []

    def restorer(t, state):
        asked.append(t)
        np.testing.assert_allclose(state, procedure.degrade(PHOTO, t * 50, GRAY), atol=1e-12)
        return PHOTO

    last(procedure, restorer)
    assert asked == [1.0, 0.8, 0.6, 0.4, 0.2]


def test_one_shot_is_the_first_guess_at_the_last_step():
    found = last(Cold(solver="one-shot", steps=50), wild)
    np.testing.assert_array_equal(found, wild(1.0, PHOTO))


@given(st.integers(1, 60), st.integers(1, 60))
def test_walks_meet_both_ends_and_steps_beyond_are_refused(levels, steps):
    if steps > levels:
        with pytest.raises(
            ValueError, match=f"{steps} steps: the model was trained with {levels}, choose from 1 to {levels}"
        ):
            Cold(levels=levels, steps=steps)
        return
    walk = Cold(levels=levels, steps=steps).timesteps()
    assert (walk[0], walk[-1], len(walk)) == (levels, 0, steps + 1)
    assert all(a > b for a, b in pairwise(walk))


@pytest.mark.parametrize("settings", [{"degradation": "rust"}, {"solver": "ddim"}, {"steps": 0}, {"levels": 5}])
def test_settings_that_will_not_do(settings):
    with pytest.raises(ValueError, match="choose"):
        Cold(**settings)


def test_the_path_of_colours_begins_gray_and_ends_with_the_answer():
    gray = GRAY[:, :1].astype(np.float32)
    ab = list(
        Cold(steps=4).trajectory({"restorer": lambda t, state: PHOTO.astype(np.float32)}, gray, lambda like: like)
    )
    assert len(ab) == 5
    assert abs(ab[0]).max() < 1e-3
    lab = rgb_to_lab(((GRAY + chroma(PHOTO)).clip(-1, 1) / 2 + 0.5).astype(np.float32))
    np.testing.assert_allclose(ab[-1], lab[:, 1:] / 110, atol=1e-4)


def test_a_latent_is_decoded_and_only_colour_is_painted():
    nets = {
        "encoder": lambda color: color * 2,
        "restorer": lambda t, state: state,
        "decoder": lambda latent: latent / 2,
    }
    procedure = Cold(latent=True, steps=2)
    assert procedure.network_names == ("encoder", "restorer", "decoder")
    *_, picture = procedure.restore(nets, GRAY)
    np.testing.assert_allclose(picture, GRAY)
    assert procedure.colorizes
    assert not Cold("blur").colorizes
    given, back = Reconstruction().restore(nets, PHOTO)
    np.testing.assert_allclose(given, back)


def test_only_the_answer_is_decoded_where_nobody_asks_for_the_way_to_it():
    decoded = []
    nets = {"encoder": lambda color: color, "restorer": lambda t, state: state}
    nets["decoder"] = lambda latent: decoded.append(latent) or latent
    gray = GRAY[:, :1].astype(np.float32)
    ab = Cold(latent=True, steps=10)(nets, gray, lambda like: like)
    assert len(decoded) == 1
    *_, last_of_path = Cold(latent=True, steps=10).trajectory(nets, gray, lambda like: like)
    np.testing.assert_array_equal(ab, last_of_path)
