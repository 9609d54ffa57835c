"""Planes of chroma against FFmpeg's conversion and the color space."""

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from photochrom.core import color
from photochrom.video.chroma import WEIGHTS, chroma_planes, shrink
from photochrom.video.reading import Encoding

ENCODINGS = [Encoding(depth, full, matrix) for depth in (8, 10) for full in (False, True) for matrix in (601, 709)]


def luma_codes(gray, encoding):
    black, white = encoding.black_and_white
    return np.rint(black + gray * (white - black)).astype(np.uint8 if encoding.depth == 8 else np.uint16)


def rgb_of(luma, chroma, encoding):
    """ITU-R BT.601 and BT.709, with no clipping."""
    red, blue = WEIGHTS[encoding.matrix]
    black, white = encoding.black_and_white
    scale = 1 << (encoding.depth - 8)
    size = (1 << encoding.depth) - 1 if encoding.full_range else 224 * scale
    y = (luma.astype(float) - black) / (white - black)
    cb, cr = (chroma.astype(float) - 128 * scale) / size
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    return np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_colors_are_those_of_the_model(encoding):
    gray = np.linspace(0.25, 0.8, 32 * 48, dtype=np.float32).reshape(32, 48)
    ab = np.full((2, 8, 12), 0.1, np.float32) * np.array([1, -1.5], np.float32)[:, None, None]
    luma = luma_codes(gray, encoding)
    rgb = rgb_of(luma, chroma_planes(luma, ab, encoding, 48, 32), encoding)
    lab = color.rgb_to_lab(rgb.clip(0, 1))
    assert np.abs(lab[1] - 11).max() < 2
    assert np.abs(lab[2] + 16.5).max() < 2.5
    assert np.abs(lab[0] - color.rgb_to_lab(np.stack([gray] * 3))[0]).max() < 6  # luma stays, not lightness


@given(
    arrays.arrays(np.float32, (2, 4, 6), elements=st.floats(-1, 1, width=32)),
    arrays.arrays(np.float32, (16, 24), elements=st.floats(0, 1, width=32)),
    st.sampled_from(ENCODINGS),
)
def test_no_color_leaves_the_range_of_a_display(ab, gray, encoding):
    luma = luma_codes(gray, encoding)
    rgb = rgb_of(luma, chroma_planes(luma, ab, encoding, 24, 16), encoding)
    step = 1.2 * 2 / (224 << (encoding.depth - 8))  # to which chroma is rounded
    assert rgb.min() >= -step
    assert rgb.max() <= 1 + step


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_gray_stays_gray(encoding):
    luma = luma_codes(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8), encoding)
    chroma = chroma_planes(luma, np.zeros((2, 4, 4), np.float32), encoding, 8, 8)
    assert (chroma == 128 << (encoding.depth - 8)).all()


@pytest.mark.parametrize("matrix", [601, 709])
def test_players_show_these_colors(matrix):
    encoding = Encoding(8, False, matrix)
    luma = luma_codes(np.full((32, 32), 0.5, np.float32), encoding)
    chroma = chroma_planes(luma, np.full((2, 4, 4), 0.2, np.float32), encoding, 16, 16)
    frame = av.VideoFrame.from_ndarray(
        np.concatenate([luma.ravel(), *map(np.ravel, chroma)]).reshape(48, 32), "yuv420p"
    )
    frame.colorspace, frame.color_range = {601: 5, 709: 1}[matrix], 1
    shown = frame.to_ndarray(format="rgb24")[16, 16].astype(float)
    expected = 255 * rgb_of(luma[:1, :1], chroma[:, :1, :1], encoding)[:, 0, 0]
    np.testing.assert_allclose(shown, expected, atol=3)


def test_shrink_gives_black_and_white():
    encoding = Encoding(10, False, 709)
    assert shrink(np.full((8, 8), 64, np.uint16), encoding, 4, 4).max() == 0
    assert shrink(np.full((8, 8), 940, np.uint16), encoding, 4, 4).min() == 1
    assert shrink(np.full((8, 8), 1023, np.uint16), encoding, 16, 16).max() == 1
