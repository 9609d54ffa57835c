"""Color statistics against patches of known colors, and warnings about data sets that will cause problems."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from photochrom.core.color import lab_to_rgb, rgb_to_lab
from photochrom.evaluation.dataset_colors import count_colors, draw_chart, kind_masks

PATCHES = {  # of the ColorChecker, sRGB as its maker gives it
    "dark skin": (0x73, 0x52, 0x44),
    "light skin": (0xC2, 0x96, 0x82),
    "blue sky": (0x62, 0x7A, 0x9D),
    "foliage": (0x57, 0x6C, 0x43),
    "neutral 5": (0x7A, 0x7A, 0x79),
    "orange": (0xD6, 0x7E, 0x2C),
    "magenta": (0xBB, 0x56, 0x95),
}


def flat(color, side=8):
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
def test_known_patches_have_their_kind(patch, kind):
    masks = kind_masks(rgb_to_lab(flat(PATCHES[patch])))
    assert {name for name, mask in masks.items() if mask.all()} == {kind}


def test_every_pixel_has_exactly_one_kind():
    masks = kind_masks(rgb_to_lab(np.random.default_rng(0).random((3, 50, 50)).astype(np.float32)))
    assert (np.sum(list(masks.values()), 0) == 1).all()


def test_statistics_of_two_colors():
    """Half of the images have one color, half another."""
    colors = count_colors([flat(PATCHES["foliage"]), flat(PATCHES["magenta"], side=30)] * 3)
    assert colors.n == 6
    assert colors.effective_bins == pytest.approx(2)
    assert colors.bins_for(0.5) == 1
    assert colors.bins_for(0.9) == 2
    assert colors.bins.sum() == pytest.approx(1)
    assert colors.distances.sum() == pytest.approx(1)
    chromas = sorted(float(np.hypot(*rgb_to_lab(flat(PATCHES[p]))[1:, 0, 0])) for p in ("foliage", "magenta"))
    assert [colors.chroma_for(share) - 1 for share in (0.5, 0.9)] == [int(c) for c in chromas]
    assert colors.summary()["kinds"]["foliage"] == pytest.approx(0.5)


def test_evenly_spread_colors_give_many_bins():
    ab = np.random.default_rng(0).uniform(-40, 40, (2, 200, 200)).astype(np.float32)
    lab = np.concatenate([np.full((1, 200, 200), 60, np.float32), ab])
    assert 50 < count_colors([lab_to_rgb(lab)]).effective_bins < 90  # 9 x 9 of them, those at the edge half as large


def warnings_for(*images):
    return "\n".join(count_colors([rgb for rgb, times in images for _ in range(times)]).warnings())


def test_each_warning_has_its_own_cause():
    skin, leaf, sky, gray, violet = (
        flat(PATCHES[p]) for p in ("light skin", "foliage", "blue sky", "neutral 5", "magenta")
    )
    assert not warnings_for((skin, 400), (leaf, 400), (sky, 400), (violet, 400))
    assert "400 photos: a network trained from scratch overfits so few" in warnings_for(
        (skin, 100), (leaf, 100), (sky, 200)
    )
    assert "20% of the photos are near gray" in warnings_for((gray, 300), (leaf, 400), (sky, 400), (skin, 400))
    half = np.concatenate([gray, gray, violet], 2)
    assert "within 1 Lab units of gray: a regression model will be pale" in warnings_for((half, 1200))
    assert "80% of the colored pixels have skin and other warm colors" in warnings_for((skin, 800), (leaf, 200))
    assert "100% of the colored pixels have sky colors" in warnings_for((sky, 1000))
    assert "100% of the colored pixels have other colors" in warnings_for((violet, 1000))


def test_the_chart_shows_kinds_and_shares():
    colors = count_colors([np.concatenate([flat(PATCHES["foliage"]), flat(PATCHES["neutral 5"])], 2)])
    chart = ET.fromstring(draw_chart(colors))
    texts = [text.text for text in chart.iter() if text.tag.endswith("text")]
    assert {"skin", "foliage", "50%"} <= set(texts)


def test_a_set_without_colors_is_refused():
    for images, near in (([], 0), ([flat(PATCHES["neutral 5"])], 1)):
        with pytest.raises(ValueError, match=rf"no color photos \({near} near gray\)"):
            count_colors(images)


def test_near_gray_images_are_counted_and_left_out():
    colors = count_colors([flat(PATCHES["foliage"]), flat(PATCHES["neutral 5"])])
    assert (colors.n, colors.near_gray, colors.kinds["gray"]) == (1, 0.5, 0)
