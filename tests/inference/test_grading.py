"""Grading: local saturation, warmth and saturation change predicted colors, but not those of hints."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from photochrom.imaging.photo import open_photo
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.grading import SURROUNDINGS, blur, grade
from photochrom.inference.hints import HintMaps, hint_ab
from photochrom.inference.options import LIMITS, ColorOptions, Hint

AB = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 24, 36)).astype(np.float32)
RAMP = np.linspace(0, 255, 60 * 80).reshape(60, 80).astype(np.uint8)


def test_the_defaults_change_nothing():
    np.testing.assert_array_equal(grade(AB, ColorOptions()), AB)


def test_the_surroundings_are_a_gaussian_mean():
    def reference(plane):
        return gaussian_filter(plane, SURROUNDINGS * 24, mode="constant", truncate=20)

    expected = [reference(plane.astype(float)) / reference(np.ones(plane.shape)) for plane in AB]
    np.testing.assert_allclose(blur(AB), expected, atol=1e-6)


def test_local_saturation_scales_the_difference_from_the_surroundings():
    for factor in (0.0, 0.5, 2.0):
        graded = grade(AB, ColorOptions(local_saturation=factor))
        np.testing.assert_allclose(graded - blur(AB), (AB - blur(AB)) * factor, atol=1e-6)
    uniform = np.full((2, 5, 7), 0.25, np.float32)
    np.testing.assert_allclose(grade(uniform, ColorOptions(local_saturation=3)), uniform, atol=1e-6)


def test_warmth_is_yellow_or_blue_and_saturation_zero_stays_gray(bundle):
    colorizer = Colorizer(bundle)
    means = [rgb2lab(colorizer(RAMP, warmth=warmth))[..., 2].mean() for warmth in (-1, 0, 1)]
    assert means[0] < means[1] - 5 < means[1] + 5 < means[2]
    gray = colorizer(RAMP, warmth=1, saturation=0)
    assert np.ptp(gray.astype(int), axis=2).max() <= 1
    assert (colorizer(RAMP, warmth=1)[[0, -1], [0, -1]] == [[0] * 3, [255] * 3]).all()


numbers = {name: st.floats(*LIMITS[name], width=32) for name in ("warmth", "local_saturation")}


@given(st.floats(0, 3), numbers["warmth"], numbers["local_saturation"], st.integers(0, 89), st.integers(0, 59))
def test_hints_keep_their_colors(saturation, warmth, local_saturation, x, y):
    photo, hint = open_photo(np.full((60, 90), 128, np.uint8)), Hint(x, y, (192, 48, 32))
    options = ColorOptions(saturation, hints=(hint,), warmth=warmth, local_saturation=local_saturation)
    hints = HintMaps(photo, photo.gray(24, 12), options.hints)
    (blended,) = hints.at(24, 36).blend(AB[None])
    row, column = int(y * 24 / 60), int(x * 36 / 90)
    np.testing.assert_allclose(grade(blended, options, hints)[:, row, column], hint_ab(hint), atol=1e-5)


def test_grading_is_part_of_the_provenance(bundle):
    options = ColorOptions(warmth=0.5, local_saturation=1.5)
    (result,) = Colorizer(bundle).variants(RAMP, options=options)
    assert result.provenance.options == "local_saturation 1.5, warmth 0.5"


@pytest.mark.parametrize("name", ["warmth", "local_saturation"])
def test_limits(name):
    low, high = LIMITS[name]
    for wrong in (low - 0.1, high + 0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"{name} .*: must be a number from {low} to {high}"):
            ColorOptions(**{name: wrong})
