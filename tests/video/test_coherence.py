"""Colors that stay along motion, and end at cuts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from films import scene
from photochrom.video.coherence import AHEAD, STEP, coherent_colors
from photochrom.video.motion import MotionEstimator, trust, warp
from photochrom.video.shots import correlation, mark_cuts

MOTION = MotionEstimator()


def grays(*shots):
    return [frame.astype(np.float32) / 255 for shot in shots for frame in shot]


def cuts(frames):
    return [index for index, (_, _, cut) in enumerate(mark_cuts(((frame, frame) for frame in frames), MOTION)) if cut]


@pytest.mark.parametrize("speed", [-6, -2, 1, 5])
def test_flow_follows_a_moving_texture(speed):
    first, second = grays(scene(1, 12, 160, 96, abs(speed)))[:2][:: 1 if speed > 0 else -1]
    flow = MOTION.flow(second, first)
    inside = flow[16:-16, 24:-24]
    assert np.median(inside[..., 0]) == pytest.approx(speed, abs=0.3)
    assert np.median(np.abs(inside[..., 1])) < 0.3
    np.testing.assert_allclose(warp(first[None], flow)[0][16:-16, 24:-24], second[16:-16, 24:-24], atol=0.08)


def test_a_change_of_the_light_does_not_end_the_trust():
    (first,) = grays(scene(1, 1, 160, 96))
    still = np.zeros((*first.shape, 2), np.float32)
    assert trust(first, first * 1 + 0.1, still).min() > 0.99
    assert trust(first, grays(scene(2, 1, 160, 96))[0], still).mean() < 0.5


def test_noise_of_the_predictions_is_averaged_and_colors_follow_the_motion():
    frames = grays(scene(1, 80, 160, 96))
    rng = np.random.default_rng(0)

    def truth(gray):
        return np.stack([gray - 0.5, 0.3 - gray]).astype(np.float32)

    def predict(_, gray):
        return truth(gray) + rng.normal(0, 0.1, (2, 1, 1)).astype(np.float32)

    colors = [ab for _, ab in coherent_colors(((frame, frame) for frame in frames), predict, MOTION)]
    assert len(colors) == len(frames)
    errors = [np.abs(ab - truth(frame))[:, 12:-12, 16:-16].mean() for ab, frame in zip(colors, frames, strict=True)]
    assert np.mean(errors) < 0.05  # of one prediction: 0.08
    steps = [np.abs((after - truth(two)).mean((1, 2)) - (before - truth(one)).mean((1, 2))).mean()
             for before, after, one, two in zip(colors, colors[1:], frames, frames[1:], strict=False)]  # fmt: skip
    assert np.mean(steps) < 0.01  # of one prediction for each frame: 0.11


def test_the_memory_does_not_grow_with_the_shot():
    still = np.zeros((16, 16), np.float32) + np.linspace(0, 1, 16, dtype=np.float32)
    pulled = 0

    def endless():
        nonlocal pulled
        for index in range(500):
            pulled += 1
            yield index, still

    for index, ab in coherent_colors(endless(), lambda _, gray: np.stack([gray, gray]), MOTION):
        assert pulled - index <= 2 * AHEAD + 1
        np.testing.assert_allclose(ab, np.stack([still, still]), atol=1e-4)
    assert index == 499


@given(st.integers(1, 3 * AHEAD))
def test_each_frame_has_a_color(count):
    still = np.zeros((16, 16), np.float32)
    asked = []

    def predict(index, gray):
        asked.append(index)
        return np.stack([gray + 0.25, gray])

    colors = list(coherent_colors(((index, still) for index in range(count)), predict, MOTION))
    assert [index for index, _ in colors] == list(range(count))
    assert asked == list(range(0, count, STEP))
    for _, ab in colors:
        np.testing.assert_allclose(ab[0], 0.25, atol=1e-4)


def test_a_frame_that_the_motion_does_not_reach_is_predicted():
    frames = grays(scene(1, 3, 96, 64), scene(2, 6, 96, 64))
    asked = []

    def predict(index, gray):
        asked.append(index)
        return np.stack([gray, gray])

    list(coherent_colors(enumerate(frames), predict, MOTION))
    assert 3 in asked


SHOT = st.tuples(st.integers(0, 50), st.integers(2, 9))  # number of the scene, and of its frames


@given(st.lists(SHOT, min_size=1, max_size=4, unique_by=lambda shot: shot[0]))
def test_cuts_are_found_where_shots_begin(shots):
    frames = grays(*(scene(number, count, 128, 96, 3) for number, count in shots))
    starts = np.cumsum([0, *(count for _, count in shots[:-1])]).tolist()
    assert cuts(frames) == starts


def test_a_pan_a_flash_and_a_fade_are_no_cuts():
    assert cuts(grays(scene(4, 20, 128, 96, 6))) == [0]
    pan = grays(scene(4, 20, 128, 96, 2))
    flash = [frame.copy() for frame in pan]
    flash[7] = np.ones_like(flash[7])
    assert cuts(flash) == [0]
    fade = [frame * level for frame, level in zip(pan, np.linspace(1, 0.2, 20, dtype=np.float32), strict=True)]
    assert cuts(fade) == [0]


def test_correlation_needs_no_brightness():
    first, second = grays(scene(1, 1)), grays(scene(2, 1))
    assert correlation(first[0], first[0] * 0.3 + 0.4) == pytest.approx(1, abs=1e-3)
    assert correlation(first[0], second[0]) < 0.6
    assert correlation(first[0], np.zeros_like(first[0])) == 0
    assert correlation(np.zeros_like(first[0]), np.ones_like(first[0])) == 1
