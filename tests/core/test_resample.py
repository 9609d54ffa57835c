"""Resampling by whole factors, and means of areas."""

import numpy as np
import pytest
import torch

from photochrom.core.resample import area_matrix, average_pool, upsample_nearest

PLANES = np.random.default_rng(0).random((2, 3, 6, 4), np.float32)


def test_pooling_undoes_nearest_upsampling():
    np.testing.assert_array_equal(average_pool(upsample_nearest(PLANES, 2), 2), PLANES)


def test_pooling_gives_means_of_squares():
    assert average_pool(PLANES, 2)[1, 2, 0, 1] == pytest.approx(PLANES[1, 2, :2, 2:].mean())


def test_numpy_equals_torch():
    for function in (average_pool, upsample_nearest):
        np.testing.assert_allclose(function(torch.from_numpy(PLANES), 2), function(PLANES, 2), atol=1e-6)


def test_sides_that_the_factor_does_not_divide_are_refused():
    with pytest.raises(ValueError, match="4 x 6 pixels: both sides must divide by 4"):
        average_pool(PLANES, 4)


def test_areas_are_means_of_parts_of_pixels():
    edges = np.array([0.0, 1.5, 2.0, 4.0])
    expected = [[1 / 1.5, 0.5 / 1.5, 0, 0], [0, 1, 0, 0], [0, 0, 0.5, 0.5]]
    np.testing.assert_allclose(area_matrix(edges, 4), expected)
    np.testing.assert_allclose(area_matrix(torch.from_numpy(edges), 4), expected)
