"""Figures against scikit-image and against what must hold of gray and of the truth."""

import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from photochrom.core.color import colorfulness
from photochrom.evaluate import metrics, report

RNG = np.random.default_rng(0)
TRUTH = [RNG.random((3, 20, 30)).astype(np.float32) for _ in range(4)]
OURS = [(t * 0.8 + 0.1).astype(np.float32) for t in TRUTH]


def test_psnr_agrees_with_scikit_image():
    assert metrics.psnr(OURS[0], TRUTH[0]) == pytest.approx(
        peak_signal_noise_ratio(TRUTH[0], OURS[0], data_range=1), abs=1e-3
    )


def test_ab_error_agrees_with_scikit_image():
    ours, truth = (rgb2lab(np.moveaxis(x[0], 0, -1))[..., 1:] for x in (OURS, TRUTH))
    assert metrics.ab_error(OURS[0], TRUTH[0]) == pytest.approx(np.linalg.norm(ours - truth, axis=-1).mean(), abs=1e-2)


def test_colorfulness_against_the_formula():
    r, g, b = TRUTH[0].astype(float) * 255
    rg, yb = r - g, 0.5 * (r + g) - b
    direct = np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert float(colorfulness(TRUTH[0])) == pytest.approx(direct, rel=1e-5)
    assert float(colorfulness(TRUTH[0][:1].repeat(3, 0))) == pytest.approx(0, abs=1e-3)


def test_gray_and_truth_bound_the_table():
    rows = report.compare(zip(OURS, TRUTH, strict=True))
    assert rows["truth"]["ab_error"] == 0
    assert rows["truth"]["colorfulness_to_truth"] == rows["gray"]["ab_error_to_gray"] == 1
    assert rows["gray"]["colorfulness"] == pytest.approx(0, abs=0.05)
    assert rows["ours"]["n"] == 4
    chroma = np.mean([np.hypot(*rgb2lab(np.moveaxis(t, 0, -1))[..., 1:].T).mean() for t in TRUTH])
    assert rows["gray"]["ab_error"] == pytest.approx(chroma, abs=0.05)
    assert report.table(rows).count("\n") == 4


def test_sums_are_means_over_photographs():
    one = [report.compare([(o, t)])["ours"]["ab_error"] for o, t in zip(OURS, TRUTH, strict=True)]
    assert report.compare(zip(OURS, TRUTH, strict=True))["ours"]["ab_error"] == pytest.approx(np.mean(one))


def test_no_photographs_is_an_error():
    with pytest.raises(ValueError, match="no photographs"):
        report.compare([])
