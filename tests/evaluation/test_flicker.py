"""Measures of colors over time, against their definitions."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from films import scene
from photochrom.evaluation.flicker import GAPS, color_distribution_consistency, flicker


def moving(count=8):
    grays = [frame.astype(np.float32) / 255 for frame in scene(1, count, 160, 96)]
    return grays, [np.stack([80 * gray - 40, 20 - 60 * gray]) for gray in grays]


def test_colors_that_move_with_the_picture_do_not_flicker():
    grays, colors = moving()
    still = flicker(grays, colors)
    rng = np.random.default_rng(0)
    offsets = rng.normal(0, 5, (len(colors), 2, 1, 1)).astype(np.float32)
    shaken = flicker(grays, [ab + offset for ab, offset in zip(colors, offsets, strict=True)])
    expected = np.hypot(*np.diff(offsets[..., 0, 0], axis=0).T).mean()
    assert still < 1
    assert shaken == pytest.approx(expected, abs=1)
    assert np.isnan(flicker(grays[:1], colors[:1]))


def test_color_distribution_consistency_is_a_mean_of_divergences():
    frames = np.random.default_rng(0).random((6, 3, 16, 16)) ** np.arange(1, 7)[:, None, None, None]
    expected = []
    for gap in GAPS:
        pairs = zip(frames[gap:], frames[:-gap], strict=True)
        expected.append(np.mean([
            jensenshannon(*(np.histogram(frame[channel], 256, (0, 1))[0] for frame in pair)) ** 2
            for pair in pairs for channel in range(3)
        ]))  # fmt: skip
    assert color_distribution_consistency(list(frames)) == pytest.approx(np.mean(expected))
    assert color_distribution_consistency([frames[0]] * 5) == 0
