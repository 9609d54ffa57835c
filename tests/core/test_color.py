"""Color conversions against other libraries, published values and properties of every color."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import rgb2lab, rgb2xyz

from photochrom.core import color
from photochrom.imaging import chroma

RGB = np.random.default_rng(0).random((3, 32, 32)).astype(np.float32)
LIBRARIES = pytest.mark.parametrize("to_array", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
colors = arrays(np.float32, (3, 2, 2), elements=st.floats(0, 1, width=32))
labs = st.tuples(st.floats(0, 100), st.floats(-200, 200), st.floats(-200, 200)).map(
    lambda lab: np.array(lab, np.float32).reshape(3, 1, 1)
)


@LIBRARIES
def test_lab_agrees_with_scikit_image(to_array):
    lab = color.rgb_to_lab(to_array(RGB))
    assert str(lab.dtype).endswith("float32")
    np.testing.assert_allclose(np.asarray(lab), np.moveaxis(rgb2lab(np.moveaxis(RGB, 0, -1)), -1, 0), atol=2e-2)


@LIBRARIES
def test_xyz_agrees_with_scikit_image(to_array):
    xyz = np.asarray(color.linear_to_xyz(color.srgb_to_linear(to_array(RGB))))
    np.testing.assert_allclose(np.moveaxis(xyz, 0, -1), rgb2xyz(np.moveaxis(RGB, 0, -1)), atol=2e-4)


@LIBRARIES
@pytest.mark.parametrize(("value", "lab"), [(0.0, (0, 0, 0)), (1.0, (100, 0, 0)), (0.5, (53.389, 0, 0))])
def test_neutral_grays_have_no_chroma(to_array, value, lab):
    gray = to_array(np.full((3, 1, 1), value, np.float32))
    np.testing.assert_allclose(np.asarray(color.rgb_to_lab(gray)).ravel(), lab, atol=1e-3)


@given(colors)
def test_lab_round_trip(rgb):
    np.testing.assert_allclose(color.lab_to_rgb(color.rgb_to_lab(rgb)), rgb, atol=2e-5)


@LIBRARIES
def test_round_trip_through_linear_and_xyz(to_array):
    linear = color.srgb_to_linear(to_array(RGB))
    back = color.linear_to_srgb(color.xyz_to_linear(color.linear_to_xyz(linear)))
    np.testing.assert_allclose(np.asarray(back), RGB, atol=1e-5)


@pytest.mark.parametrize("f", [color.rgb_to_lab, color.srgb_to_linear, color.lab_to_xyz, color.xyz_to_lab])
def test_gradients_are_exact(f):
    x = torch.rand(1, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.05
    assert torch.autograd.gradcheck(f, x.requires_grad_())


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_gradients_are_finite_at_the_ends(level):
    x = torch.full((3, 2, 2), level, requires_grad=True)
    color.lab_to_rgb(color.rgb_to_lab(x)).sum().backward()
    assert torch.isfinite(x.grad).all()


def to_linear(lab):
    return color.xyz_to_linear(color.lab_to_xyz(lab))


def in_gamut(lab, tolerance=1e-4):
    return (abs(to_linear(lab) - 0.5) <= 0.5 + tolerance).all()


@given(labs)
@settings(max_examples=300)
def test_fit_gamut_keeps_lightness_and_moves_straight_towards_gray_in_linear_light(lab):
    fitted = color.fit_gamut(lab)
    assert in_gamut(fitted)
    np.testing.assert_array_equal(fitted[0], lab[0])
    shown = color.rgb_to_lab(color.lab_to_rgb(fitted))
    assert abs(shown[0] - lab[0]).max() < 0.2
    assert (abs(fitted[1:]) <= abs(lab[1:]) + 1e-3).all()
    gray = to_linear(lab * np.array([1, 0, 0], np.float32)[:, None, None])
    offset, fitted_offset = to_linear(lab) - gray, to_linear(fitted) - gray
    share = (offset * fitted_offset).sum() / max((offset**2).sum(), 1e-12)
    assert -1e-3 <= share <= 1 + 1e-3
    np.testing.assert_allclose(fitted_offset, share * offset, atol=2e-4)


@given(colors)
def test_fit_gamut_leaves_colors_inside_unchanged(rgb):
    lab = color.rgb_to_lab(rgb * np.float32(0.998) + np.float32(0.001))
    np.testing.assert_array_equal(color.fit_gamut(lab), lab)


@LIBRARIES
def test_fit_gamut_reaches_the_edge_of_the_gamut(to_array):
    lab = np.array([50.0, 200.0, 100.0], np.float32).reshape(3, 1, 1)
    linear = to_linear(np.asarray(color.fit_gamut(to_array(lab))))
    assert linear.min() == pytest.approx(0, abs=1e-4) or linear.max() == pytest.approx(1, abs=1e-4)


def test_fit_gamut_is_the_gamut_mapping_of_written_photos():
    """Two forms of one mapping: `imaging.chroma` works by tables and in place."""
    random = np.random.default_rng(3)
    gray = random.integers(0, 1 << 16, (64, 64, 1)).astype(np.uint16)
    ab = random.uniform(-110, 110, (2, 64, 64)).astype(np.float32)
    rgb = np.moveaxis(gray, -1, 0).repeat(3, 0).astype(np.float32) / 65535
    lab = np.concatenate([color.rgb_to_lab(rgb)[:1], ab])
    expected = color.lab_to_rgb(color.fit_gamut(lab))
    written = chroma.merge_chroma(gray, chroma.chroma_shift(ab), 16) / 65535
    np.testing.assert_allclose(np.moveaxis(written, -1, 0), expected, atol=5e-5)
    assert abs(np.moveaxis(written, -1, 0) - expected).mean() < 1e-5
    assert (abs(color.fit_gamut(lab) - lab).max(0) > 1).mean() > 0.5


@given(arrays(np.float32, (3, 1, 2), elements=st.floats(-1e3, 1e3, width=32)))
def test_no_value_gives_nan(values):
    for f in (color.rgb_to_lab, color.lab_to_rgb, color.fit_gamut, color.linear_to_srgb):
        assert np.isfinite(f(values)).all()
        assert torch.isfinite(f(torch.from_numpy(values))).all()


def test_bins_are_the_grid_points_that_srgb_colors_round_to():
    side = np.linspace(0, 1, 257)
    u, v = np.meshgrid(side, side)
    faces = [np.stack(np.roll([np.full_like(u, end), u, v], axis, 0)) for axis in range(3) for end in (0, 1)]
    ab = color.rgb_to_lab(np.concatenate(faces, -1))[1:].reshape(2, -1)  # a solid's shadow is its surface's
    reached = set(map(tuple, np.unique(np.round(ab / 10) * 10, axis=1).T))
    assert set(color.ab_bins()) == reached


@pytest.mark.parametrize("convention", color.GRAY_CONVENTIONS)
def test_gray_conventions_span_minus_one_to_one(convention):
    ends = np.stack([np.zeros((3, 1, 1)), np.ones((3, 1, 1))]).astype(np.float32)
    np.testing.assert_allclose(color.rgb_to_gray(ends, convention).ravel(), [-1, 1], atol=1e-5)


def test_gray_conventions_differ_on_red():
    red = np.array([1, 0, 0], np.float32).reshape(3, 1, 1)
    assert color.rgb_to_gray(red, "luma").item() == pytest.approx(2 * 0.299 - 1, abs=1e-6)
    assert color.rgb_to_gray(red, "mean").item() == pytest.approx(2 / 3 - 1, abs=1e-6)
    with pytest.raises(ValueError, match=r"'ntsc'.*lab, luma, mean"):
        color.rgb_to_gray(RGB, "ntsc")
