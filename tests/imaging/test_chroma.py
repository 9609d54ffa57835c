"""The chroma merge: in gamut, finite, and at the photo's own lightness for any colors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photochrom.core import color
from photochrom.imaging.chroma import UNIT, ChromaEnlarger, chroma_shift, luminance, merge_chroma, merge_light

unit = st.floats(-1, 1, width=32)


def linear_rgb(pixels, ab):
    """Linear sRGB in [0, 1] of (n, c) codes under ab (2, n) in Lab units."""
    y, f = luminance(pixels)
    rgb = np.empty((3, len(y)), np.float32)
    merge_light(y, f, chroma_shift(ab[:, None].astype(np.float32))[:, 0], rgb, np.empty((2, len(y)), np.float32))
    return rgb / UNIT, y / UNIT


def to_lab(linear):
    return color.xyz_to_lab(color.linear_to_xyz(linear[:, None].astype(np.float64)))[:, 0]


@settings(max_examples=200)
@given(st.integers(0, 65535), unit, unit, st.floats(0, 2, width=32))
def test_any_color_fits_and_keeps_lightness(code, a, b, saturation):
    ab = np.array([[a], [b]], np.float32) * 110 * saturation
    for pixels in (np.array([[code]], np.uint16), np.array([[code // 257]], np.uint8)):
        linear, y = linear_rgb(pixels, ab)
        assert np.isfinite(linear).all()
        assert linear.min() >= -1e-6
        assert linear.max() <= 1 + 1e-6
        lightness = to_lab(np.broadcast_to(y, (3, 1)))[0]
        assert to_lab(linear)[0] == pytest.approx(lightness, abs=2e-3)


@settings(max_examples=100)
@given(st.integers(0, 255), unit, unit)
def test_hue_direction_is_kept_where_the_gamut_ends(code, a, b):
    ab = np.array([[a], [b]], np.float32) * 110
    linear, y = linear_rgb(np.array([[code]], np.uint8), ab)
    lab = np.concatenate([to_lab(np.broadcast_to(y, (3, 1)))[:1], ab])[:, None].astype(float)
    wanted = color.xyz_to_linear(color.lab_to_xyz(lab))[:, 0]
    deviation = np.cross((linear - y)[:, 0], (wanted - y)[:, 0])
    assert np.abs(deviation).max() < 1e-4  # a line from gray: no channel is moved alone


def test_colors_inside_the_gamut_are_exact():
    rng = np.random.default_rng(0)
    codes = rng.integers(40, 220, (4000, 1)).astype(np.uint8)
    ab = rng.uniform(-12, 12, (2, 4000))
    linear, _ = linear_rgb(codes, ab)
    inside = (linear > 1e-3).all(0) & (linear < 1 - 1e-3).all(0)
    assert inside.mean() > 0.95
    assert np.abs(to_lab(linear)[1:] - ab)[:, inside].max() < 0.01


def test_zero_chroma_gives_the_gray_codes():
    for dtype, depth in ((np.uint8, 8), (np.uint16, 16)):
        codes = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(1, -1, 1)
        result = merge_chroma(codes, np.zeros((2, *codes.shape[:2]), np.float32), depth)
        assert (result.min(-1) == result.max(-1)).all()
        assert np.abs(result.astype(int) - codes).max() <= (0 if depth == 8 else 1)


def test_color_photos_keep_their_lightness():
    rgb = np.random.default_rng(1).integers(0, 256, (1, 5000, 3)).astype(np.uint8)
    result = merge_chroma(rgb, np.zeros((2, 1, 5000), np.float32), 16)
    before = color.rgb_to_lab(rgb.transpose(2, 0, 1) / 255.0)[0]
    after = color.rgb_to_lab(result.transpose(2, 0, 1) / 65535.0)[0]
    assert np.abs(before - after).max() < 0.01


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (300, 1), (3, 700), (513, 257)])
def test_enlargement_keeps_constants_and_ramps(size):
    height, width = size
    small = np.ones((2, min(5, height), min(6, width)), np.float32)
    chroma = ChromaEnlarger(small, width, height)
    whole = np.concatenate([chroma.rows(top, min(4, height - top)) for top in range(0, height, 4)], 1)
    assert whole.shape == (2, height, width)
    np.testing.assert_allclose(whole, 1, atol=1e-5)


def test_enlargement_is_bicubic_with_centers_aligned():
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32), (2, 4, 8))
    rows = ChromaEnlarger(np.ascontiguousarray(ramp), 80, 40).rows(11, 3)
    expected = (np.arange(80) + 0.5) / 10 - 0.5
    np.testing.assert_allclose(rows[0, 0, 20:60], expected[20:60], atol=1e-5)
