"""Color hints: met at their pixels, spread over their regions, refused where they contradict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse
from scipy.sparse import csgraph

from photochrom.core import color
from photochrom.imaging.photo import PhotoError, open_photo
from photochrom.inference import hints
from photochrom.inference.hints import HintMaps, check_hints, hint_ab, hint_shares, path_lengths, read_hints
from photochrom.inference.options import Hint

places = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 11)), min_size=1, max_size=6, unique=True)
grays = arrays.arrays(np.float32, (8, 12), elements=st.floats(-1, 1, width=32))


@given(grays, places)
def test_each_share_is_one_at_its_own_pixel_and_zero_at_the_others(gray, at):
    maps = hint_shares(gray, *np.array(at).T)
    np.testing.assert_allclose(maps[:, *np.array(at).T], np.eye(len(at)), atol=1e-6)
    assert maps.min() >= 0
    assert maps.sum(0).max() <= 1 + 1e-3


@given(grays, places)
def test_path_lengths_are_those_of_dijkstra(gray, at):
    """Against Dijkstra's on the same grid."""
    number = np.arange(96).reshape(8, 12)
    graph = sparse.lil_matrix((96, 96))
    pixel = 1 / (hints.REACH * 8)
    for here, there in ((number[1:], number[:-1]), (number[:, 1:], number[:, :-1])):
        for i, j in zip(here.flat, there.flat, strict=True):
            graph[i, j] = abs(float(gray.flat[i]) - float(gray.flat[j])) / hints.EDGE + pixel
    rows, columns = np.array(at).T
    right = csgraph.dijkstra(graph.tocsr(), directed=False, indices=number[rows, columns])
    np.testing.assert_allclose(path_lengths(gray, rows, columns), right.reshape(-1, 8, 12), atol=1e-6)


def test_a_hint_stays_in_its_region():
    gray = np.repeat(np.where(np.arange(32) < 16, -0.5, 0.5).astype(np.float32)[None], 32, 0)
    (field,) = hint_shares(gray, np.array([16]), np.array([8]))
    assert field[:, :16].mean() > 0.7
    assert field[:, 16:].max() < 0.2
    assert field[:, 15].min() - field[:, 16].max() > 0.3


@pytest.fixture
def photo():
    return open_photo(np.full((60, 90), 128, np.uint8))


def test_a_hint_is_met_at_its_pixel(photo):
    gray = photo.gray(32, 8)
    ab = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 2, *(n // 4 for n in gray.shape[1:]))).astype(np.float32)
    red = Hint.parse("45,30,#c03020")
    hint_map = HintMaps(photo, gray, [red]).at(*ab.shape[2:])
    pinned_ab = hint_map.blend(ab)
    place = (..., ab.shape[2] // 2, ab.shape[3] // 2)
    np.testing.assert_allclose(pinned_ab[place], [hint_ab(red)] * 2, atol=1e-6)


def test_the_ab_of_a_hint_is_that_of_its_color():
    np.testing.assert_allclose(hint_ab(Hint.parse(" 1, 2,#FF0000")) * color.AB_SCALE, [80.09, 67.2], atol=0.02)
    np.testing.assert_allclose(hint_ab(Hint.parse("1,2,808080")), 0, atol=1e-4)


@pytest.mark.parametrize("at", ["90,0", "0,60"])
def test_a_hint_outside_the_photo_is_refused(photo, at):
    with pytest.raises(PhotoError, match=f"hint at {at} is outside the photo, which has 90 x 60"):
        check_hints(photo, [Hint.parse(f"{at},#ff0000")])


def test_different_hints_for_one_pixel_are_refused(photo):
    gray = photo.gray(32, 8)
    clashing = HintMaps(photo, gray, [Hint.parse("45,30,#c03020"), Hint.parse("46,30,#2030c0")])
    with pytest.raises(PhotoError, match=r"hints at 45,30 and 46,30 differ and are less than \d+ pixels apart"):
        clashing.at(8, 12)
    alike = HintMaps(photo, gray, [Hint.parse("45,30,#c03020"), Hint.parse("46,30,#c03020")])
    assert alike.at(8, 12).weight.max() == 1


def test_a_file_of_hints(tmp_path):
    path = tmp_path / "hints.txt"
    path.write_text("# sky\n1,2,#0000ff\n\n3,4,#00ff00\n")
    assert read_hints(path) == [Hint(1, 2, (0, 0, 255)), Hint(3, 4, (0, 255, 0))]
    path.write_text(path.read_text(), encoding="utf-8-sig")  # as editors of Windows write it
    assert read_hints(path) == [Hint(1, 2, (0, 0, 255)), Hint(3, 4, (0, 255, 0))]
    path.write_text("1,2,#0000ff\nblue\n")
    with pytest.raises(ValueError, match="line 2: hint 'blue'"):
        read_hints(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"hints.txt: cannot be read as a list of hints \(it is no text in UTF-8\)"):
        read_hints(path)
    with pytest.raises(ValueError, match=r"none.txt: cannot be read as a list of hints \(No such file or directory\)"):
        read_hints(tmp_path / "none.txt")
