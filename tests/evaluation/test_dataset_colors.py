"""What a set's colours are, against patches whose colours are known, and what is said of sets that would go wrong."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from photochrom.core.color import lab_to_rgb, rgb_to_lab
from photochrom.evaluation.dataset_colors import colors_of, kinds_of, picture

PATCHES = {  # of the ColorChecker, sRGB as its maker gives it
    "dark skin": (0x73, 0x52, 0x44),
    "light skin": (0xC2, 0x96, 0x82),
    "blue sky": (0x62, 0x7A, 0x9D),
    "foliage": (0x57, 0x6C, 0x43),
    "neutral 5": (0x7A, 0x7A, 0x79),
    "orange": (0xD6, 0x7E, 0x2C),
    "magenta": (0xBB, 0x56, 0x95),
}


def plain(color, side=8):
    return np.broadcast_to(np.float32(color)[:, None, None] / 255, (3, side, side))


@pytest.mark.parametrize(
    ("patch", "kind"),
    [
        ("dark skin", "skin"),
        ("light skin", "skin"),
        ("blue sky", "sky"),
        ("foliage", "foliage"),
        ("neutral 5", "gray"),
        ("orange", "warm"),
        ("magenta", "other"),
    ],
)
def test_known_patches_are_of_their_kind(patch, kind):
    found = kinds_of(rgb_to_lab(plain(PATCHES[patch])))
    assert {k for k, where in found.items() if where.all()} == {kind}


def test_every_pixel_is_of_one_kind():
    found = kinds_of(rgb_to_lab(np.random.default_rng(0).random((3, 50, 50)).astype(np.float32)))
    assert (np.sum(list(found.values()), 0) == 1).all()


def test_figures_by_hand():
    """Half of the photographs of one colour, half of another."""
    found = colors_of([plain(PATCHES["foliage"]), plain(PATCHES["magenta"], side=30)] * 3)
    assert found.n == 6
    assert found.effective == pytest.approx(2)
    assert found.within(0.5) == 1
    assert found.within(0.9) == 2
    assert found.bins.sum() == pytest.approx(1)
    assert found.distances.sum() == pytest.approx(1)
    chromas = sorted(float(np.hypot(*rgb_to_lab(plain(PATCHES[p]))[1:, 0, 0])) for p in ("foliage", "magenta"))
    assert [found.chroma(share) - 1 for share in (0.5, 0.9)] == [int(c) for c in chromas]
    assert found.figures()["kinds"]["foliage"] == pytest.approx(0.5)


def test_evenly_spread_colours_are_many():
    ab = np.random.default_rng(0).uniform(-40, 40, (2, 200, 200)).astype(np.float32)
    lab = np.concatenate([np.full((1, 200, 200), 60, np.float32), ab])
    assert 50 < colors_of([lab_to_rgb(lab)]).effective < 90  # 9 x 9 of them, those at the edge half as large


def said(*photographs):
    return "\n".join(colors_of([rgb for rgb, times in photographs for _ in range(times)]).warnings())


def test_each_warning_is_for_its_own_set():
    skin, leaf, sky, gray, violet = (
        plain(PATCHES[p]) for p in ("light skin", "foliage", "blue sky", "neutral 5", "magenta")
    )
    assert not said((skin, 400), (leaf, 400), (sky, 400), (violet, 400))
    assert "400 photographs: a network that starts from nothing" in said((skin, 100), (leaf, 100), (sky, 200))
    assert "20% of the photographs are near gray" in said((gray, 300), (leaf, 400), (sky, 400), (skin, 400))
    half = np.concatenate([gray, gray, violet], 2)
    assert "within 1 Lab units of gray: a regression will be pale" in said((half, 1200))
    assert "80% of what is coloured is of skin and other warm colours" in said((skin, 800), (leaf, 200))
    assert "100% of what is coloured is of sky colours" in said((sky, 1000))
    assert "100% of what is coloured is of other colours" in said((violet, 1000))


def test_the_picture_is_a_drawing_of_all_of_it():
    found = colors_of([np.concatenate([plain(PATCHES["foliage"]), plain(PATCHES["neutral 5"])], 2)])
    drawn = ET.fromstring(picture(found))
    texts = [text.text for text in drawn.iter() if text.tag.endswith("text")]
    assert {"skin", "foliage", "50%"} <= set(texts)


def test_no_photographs_have_no_colours():
    for nothing, near in (([], 0), ([plain(PATCHES["neutral 5"])], 1)):
        with pytest.raises(ValueError, match=rf"no photographs in colour to look at \({near} near gray\)"):
            colors_of(nothing)


def test_those_near_gray_are_counted_and_left_out():
    found = colors_of([plain(PATCHES["foliage"]), plain(PATCHES["neutral 5"])])
    assert (found.n, found.near_gray, found.kinds["gray"]) == (1, 0.5, 0)
