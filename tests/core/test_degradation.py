"""Degradations: exact at both ends, the same in numpy and torch and for each image of a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from photochrom.core import degradation
from photochrom.core.degradation import DEGRADATIONS, Degradation

T = 10
IMAGE = np.random.default_rng(0).uniform(-1, 1, (3, 3, 16, 24)).astype(np.float32)


def noise(like):
    return np.random.default_rng(1).standard_normal(like.shape).astype(np.float32)


def build(kind):
    """The degradation, and its noise for the images."""
    degradation = DEGRADATIONS[kind]
    return degradation, degradation.draw(IMAGE, noise)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_step_0_loses_nothing_and_every_step_loses_more(kind):
    degradation, drawn = build(kind)
    assert isinstance(degradation, Degradation)
    np.testing.assert_array_equal(degradation.degrade(IMAGE, 0.0, drawn), IMAGE)
    path = [degradation.degrade(IMAGE, step / T, drawn) for step in range(T + 1)]
    distances = [float(abs(image - IMAGE).mean()) for image in path]
    assert all(image.dtype == np.float32 for image in path)
    assert distances == sorted(distances)
    assert distances[1] > 0


def test_the_last_step_agrees_with_other_implementations():
    mean = IMAGE.mean(1, keepdims=True).repeat(3, 1)
    blurred = gaussian_filter(IMAGE, (0, 0, 3, 3), mode="nearest", truncate=3)
    blocks = IMAGE.reshape(3, 3, 2, 8, 3, 8).mean((3, 5)).repeat(8, 2).repeat(8, 3)
    for kind, end, tolerance in (("color", mean, 0), ("blur", blurred, 1e-5), ("pixelation", blocks, 1e-6)):
        np.testing.assert_allclose(build(kind)[0].degrade(IMAGE, 1.0, None), end, atol=tolerance)
    grain, pattern = build("grain")
    np.testing.assert_array_equal(grain.degrade(IMAGE, 1.0, pattern), pattern)
    snow, flakes = build("snow")
    assert 0.02 < (flakes > 0).mean() < 0.6
    np.testing.assert_allclose(snow.degrade(IMAGE, 1.0, flakes), IMAGE * (1 - flakes) + flakes, atol=1e-6)
    assert np.abs(pattern).max() <= 1


def test_the_hole_of_a_mask_is_round_with_the_given_radius(monkeypatch):
    monkeypatch.setattr(degradation, "MASK_RADIUS", 0.25)
    monkeypatch.setattr(degradation, "MASK_EDGE", 1e-6)
    image = np.ones((1, 3, 64, 96), np.float32)
    center = np.full((1, 2, 1, 1), 0.5, np.float32)
    masked = degradation._mask(image, 1.0, center)[0, 0]
    assert (masked == 0).sum() == pytest.approx(np.pi * 16**2, rel=0.02)
    assert not masked[32, 32 + 1 : 64].any()  # 16 pixels either side of the middle
    assert masked[:, :30].all()
    assert masked[:, 66:].all()


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_numpy_equals_torch(kind):
    degradation, drawn = build(kind)
    tensor = None if drawn is None else torch.from_numpy(drawn)
    for share in (0.0, 0.3, 1.0):
        degraded = degradation.degrade(torch.from_numpy(IMAGE), share, tensor)
        np.testing.assert_allclose(degraded.numpy(), degradation.degrade(IMAGE, share, drawn), atol=1e-5)
    drawn_in_torch = degradation.draw(torch.from_numpy(IMAGE), lambda like: torch.from_numpy(noise(like.numpy())))
    if drawn is not None:
        np.testing.assert_allclose(drawn_in_torch.numpy(), drawn, atol=1e-6)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_image_of_a_batch_may_have_its_own_share(kind):
    degradation, drawn = build(kind)
    shares = [0.0, 0.4, 1.0]
    tensor = None if drawn is None else torch.from_numpy(drawn)
    together = degradation.degrade(torch.from_numpy(IMAGE), torch.tensor(shares)[:, None, None, None], tensor)
    for i, share in enumerate(shares):
        alone = degradation.degrade(IMAGE[i : i + 1], share, None if drawn is None else drawn[i : i + 1])
        np.testing.assert_allclose(together[i].numpy(), alone[0], atol=1e-5)


@given(st.integers(0, T))
def test_color_loss_keeps_the_mean_of_the_channels(step):
    degraded = DEGRADATIONS["color"].degrade(IMAGE, step / T, None)
    np.testing.assert_allclose(degraded.mean(1), IMAGE.mean(1), atol=1e-6)
    chroma, remaining = (x - x.mean(1, keepdims=True) for x in (IMAGE, degraded))
    np.testing.assert_allclose(remaining, (1 - step / T) * chroma, atol=1e-6)


def test_sides_that_the_block_size_does_not_divide_are_refused():
    with pytest.raises(ValueError, match="20 x 16 pixels: both sides must divide by 8"):
        DEGRADATIONS["pixelation"].degrade(IMAGE[:, :, :, :20], 0.5, None)
