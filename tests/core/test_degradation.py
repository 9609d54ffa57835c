"""Losses step by step: exact at both ends, the same in numpy and torch and for each photograph of a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from photochrom.core import degradation
from photochrom.core.degradation import DEGRADATIONS, Degradation

T = 10
PHOTO = np.random.default_rng(0).uniform(-1, 1, (3, 3, 16, 24)).astype(np.float32)


def noise(like):
    return np.random.default_rng(1).standard_normal(like.shape).astype(np.float32)


def dirty(kind, photo=PHOTO):
    loses = DEGRADATIONS[kind](T)
    return loses, loses.draw(photo, noise)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_nothing_is_lost_at_first_and_something_at_every_step(kind):
    loses, dirt = dirty(kind)
    assert isinstance(loses, Degradation)
    np.testing.assert_array_equal(loses.degrade(PHOTO, 0, dirt), PHOTO)
    path = [loses.degrade(PHOTO, step, dirt) for step in range(T + 1)]
    far = [float(abs(picture - PHOTO).mean()) for picture in path]
    assert all(picture.dtype == np.float32 for picture in path)
    assert far == sorted(far)
    assert far[1] > 0


def test_the_ends():
    """What is left in the end, each as an outside definition has it."""
    mean = PHOTO.mean(1, keepdims=True).repeat(3, 1)
    blurred = gaussian_filter(PHOTO, (0, 0, 3, 3), mode="nearest", truncate=3)
    blocks = PHOTO.reshape(3, 3, 2, 8, 3, 8).mean((3, 5)).repeat(8, 2).repeat(8, 3)
    for kind, end, tolerance in (("color", mean, 0), ("blur", blurred, 1e-5), ("pixelation", blocks, 1e-6)):
        np.testing.assert_allclose(dirty(kind)[0].degrade(PHOTO, T), end, atol=tolerance)
    grain, pattern = dirty("grain")
    np.testing.assert_array_equal(grain.degrade(PHOTO, T, pattern), pattern)
    snow, flakes = dirty("snow")
    assert 0.02 < (flakes > 0).mean() < 0.6
    np.testing.assert_allclose(snow.degrade(PHOTO, T, flakes), PHOTO * (1 - flakes) + flakes, atol=1e-6)
    assert np.abs(pattern).max() <= 1


def test_the_hole_of_a_mask_is_round_and_as_large_as_it_says():
    photo = np.ones((1, 3, 64, 96), np.float32)
    mask = degradation.Mask(T, radius=0.25, edge=1e-6)
    left = mask.degrade(photo, T, np.full((1, 2, 1, 1), 0.5, np.float32))[0, 0]
    assert (left == 0).sum() == pytest.approx(np.pi * 16**2, rel=0.02)
    assert not left[32, 32 + 1 : 64].any()  # 16 pixels either side of the middle
    assert left[:, :30].all()
    assert left[:, 66:].all()


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_numpy_equals_torch(kind):
    loses, dirt = dirty(kind)
    heavy = None if dirt is None else torch.from_numpy(dirt)
    for step in (0, 3, T):
        found = loses.degrade(torch.from_numpy(PHOTO), step, heavy)
        np.testing.assert_allclose(found.numpy(), loses.degrade(PHOTO, step, dirt), atol=1e-5)
    drawn = loses.draw(torch.from_numpy(PHOTO), lambda like: torch.from_numpy(noise(like.numpy())))
    if dirt is not None:
        np.testing.assert_allclose(drawn.numpy(), dirt, atol=1e-6)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_each_photograph_of_a_batch_may_be_at_its_own_step(kind):
    loses, dirt = dirty(kind)
    steps = [0, 4, T]
    heavy = None if dirt is None else torch.from_numpy(dirt)
    together = loses.degrade(torch.from_numpy(PHOTO), torch.tensor(steps)[:, None, None, None], heavy)
    for i, step in enumerate(steps):
        alone = loses.degrade(PHOTO[i : i + 1], step, None if dirt is None else dirt[i : i + 1])
        np.testing.assert_allclose(together[i].numpy(), alone[0], atol=1e-5)


@given(st.integers(0, T))
def test_losing_colour_leaves_the_mean_of_the_channels(step):
    left = degradation.ColorLoss(T).degrade(PHOTO, step)
    np.testing.assert_allclose(left.mean(1), PHOTO.mean(1), atol=1e-6)
    chroma, kept = (x - x.mean(1, keepdims=True) for x in (PHOTO, left))
    np.testing.assert_allclose(kept, (1 - step / T) * chroma, atol=1e-6)


def test_blocks_that_do_not_divide_a_picture():
    with pytest.raises(ValueError, match="20 x 16 pixels: both sides must divide by the block size 8"):
        degradation.Pixelation(T).degrade(PHOTO[:, :, :, :20], 3)
