"""Metrics against torchmetrics, scikit-image, scipy, and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import sqrtm
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity
from torchmetrics import functional
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from photochrom.core.color import ab_bins, colorfulness, rgb_to_lab
from photochrom.evaluation import metrics
from photochrom.evaluation.dataset_colors import bin_indices

RNG = np.random.default_rng(0)
TRUTH = RNG.random((3, 40, 30)).astype(np.float32)
OURS = (TRUTH * 0.8 + RNG.random((3, 40, 30)) * 0.2).astype(np.float32)
LAB, TRUE_LAB = rgb_to_lab(OURS), rgb_to_lab(TRUTH)
BATCH = [torch.from_numpy(x)[None] for x in (OURS, TRUTH)]
FEATURES = [RNG.normal(shift, 1 + shift, (90, 12)) @ RNG.normal(size=(12, 12)) for shift in (0.0, 0.3)]


# Lab pairs and their CIEDE2000: Sharma, Wu & Dalal (2005), table 1
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425; 50 3.1571 -77.2803 50 0 -82.7485 2.8615; 50 2.8361 -74.02 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1; 50 -1.1848 -84.8006 50 0 -82.7485 1; 50 -0.9009 -85.5211 50 0 -82.7485 1
50 0 0 50 -1 2 2.3669; 50 -1 2 50 0 0 2.3669; 50 2.49 -0.001 50 -2.49 0.0009 7.1792
50 2.49 -0.001 50 -2.49 0.001 7.1792; 50 2.49 -0.001 50 -2.49 0.0011 7.2195; 50 2.49 -0.001 50 -2.49 0.0012 7.2195
50 -0.001 2.49 50 0.0009 -2.49 4.8045; 50 -0.001 2.49 50 0.001 -2.49 4.8045; 50 -0.001 2.49 50 0.0011 -2.49 4.7461
50 2.5 0 50 0 -2.5 4.3065; 50 2.5 0 73 25 -18 27.1492; 50 2.5 0 61 -5 29 22.8977; 50 2.5 0 56 -27 -3 31.903
50 2.5 0 58 24 15 19.4535; 50 2.5 0 50 3.1736 0.5854 1; 50 2.5 0 50 3.2972 0 1; 50 2.5 0 50 1.8634 0.5757 1
50 2.5 0 50 3.2592 0.335 1; 60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.263; 61.2901 3.7196 -5.3901 61.4292 2.248 -4.962 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645; 22.7233 20.0904 -46.694 23.0331 14.973 -42.5619 2.0373
36.4612 47.858 18.3852 36.2715 50.5065 21.2231 1.4146; 90.8027 -2.0831 1.441 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381; 6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.135 0.9033 -0.0636 -0.5514 0.9082
"""
PAIRS = np.array([row.split() for row in SHARMA.replace(";", "\n").strip().splitlines()], float)
AMBIGUOUS = 13  # its two hues are exactly opposite: which way round to average them is decided by the last bit


def image(rows):
    return np.ascontiguousarray(rows.T)[:, :, None]


def whole_windows(x, y):
    """The map of torchmetrics without the border, whose windows contain mirrored pixels."""
    settings = {"data_range": 1.0, "return_full_image": True}
    return functional.image.structural_similarity_index_measure(x, y, **settings)[1][..., 5:-5, 5:-5]


@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        (metrics.mse, functional.mean_squared_error),
        (metrics.mape, functional.mean_absolute_percentage_error),
        (metrics.psnr, lambda x, y: functional.image.peak_signal_noise_ratio(x, y, data_range=1.0)),
        (metrics.ssim, lambda x, y: whole_windows(x, y).mean()),
    ],
)
def test_pixel_metrics_agree_with_torchmetrics(metric, reference):
    assert metric(OURS, TRUTH) == pytest.approx(float(reference(*BATCH)), rel=2e-4)


def test_ssim_agrees_with_scikit_image():
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    reference = structural_similarity(TRUTH, OURS, channel_axis=0, **settings)
    assert metrics.ssim(OURS, TRUTH) == pytest.approx(reference, abs=1e-5)
    with pytest.raises(ValueError, match="30 x 10 pixels: SSIM needs at least 11 on each side"):
        metrics.ssim(OURS[:, :10], TRUTH[:, :10])


def test_ab_metrics_agree_with_scikit_image():
    ours, truth = (rgb2lab(np.moveaxis(x, 0, -1))[..., 1:] for x in (OURS, TRUTH))
    assert metrics.ab_distance(LAB, TRUE_LAB).mean() == pytest.approx(
        np.linalg.norm(ours - truth, axis=-1).mean(), abs=1e-2
    )
    expected = -10 * np.log10(((ours - truth) ** 2).mean() / 255**2)
    assert metrics.psnr(LAB[1:], TRUE_LAB[1:], metrics.PEAK_AB) == pytest.approx(expected, abs=1e-2)


def test_ciede2000_matches_the_published_pairs():
    difference = metrics.ciede2000(image(PAIRS[:, :3]), image(PAIRS[:, 3:6])).ravel()
    clear = np.arange(len(PAIRS)) != AMBIGUOUS
    assert len(PAIRS) == 34
    np.testing.assert_allclose(difference[clear], PAIRS[clear, 6], atol=1e-4)
    assert min(abs(difference[AMBIGUOUS] - PAIRS[i, 6]) for i in (AMBIGUOUS, AMBIGUOUS + 1)) < 1e-4


def test_ciede2000_agrees_with_scikit_image():
    lab, other = (np.random.default_rng(s).uniform((0, -90, -90), (100, 90, 90), (500, 3)) for s in (1, 2))
    np.testing.assert_allclose(
        metrics.ciede2000(image(lab), image(other)).ravel(), deltaE_ciede2000(lab, other), atol=1e-6
    )


@given(arrays(np.float32, (3, 1, 2), elements=st.floats(-1e3, 1e3, width=32)))
def test_ciede2000_of_no_value_is_nan(values):
    assert np.isfinite(metrics.ciede2000(values, values[:, :, ::-1])).all()


def test_equal_images_have_a_finite_psnr():
    assert metrics.psnr(TRUTH, TRUTH) == metrics.psnr(TRUE_LAB[1:], TRUE_LAB[1:], metrics.PEAK_AB) == metrics.PSNR_LIMIT
    assert metrics.ssim(TRUTH, TRUTH) == pytest.approx(1, abs=1e-6)
    assert metrics.mape(TRUTH, TRUTH) == metrics.mse(TRUTH, TRUTH) == 0


@pytest.mark.parametrize("absolute", [False, True])
def test_colorfulness_against_the_formula(absolute):
    r, g, b = TRUTH.astype(float) * 255
    rg, yb = r - g, 0.5 * (r + g) - b
    rg, yb = (np.abs(rg), np.abs(yb)) if absolute else (rg, yb)
    direct = np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert float(colorfulness(TRUTH, absolute)) == pytest.approx(direct, rel=1e-5)
    assert float(colorfulness(TRUTH[:1].repeat(3, 0), absolute)) == pytest.approx(0, abs=1e-3)


def test_auc_is_the_mean_of_the_error_curve():
    distance = RNG.uniform(0, 200, (50, 60))
    curve = [(distance <= threshold).mean() for threshold in range(151)]
    assert metrics.auc(distance).mean() == pytest.approx(np.mean(curve))
    assert metrics.auc(np.zeros((1, 1))) == 1
    assert metrics.auc(np.full((1, 1), 150.5)) == 0


def test_rebalanced_auc_weights_all_bins_equally():
    bins, auc = bin_indices(TRUE_LAB), metrics.auc(metrics.ab_distance(LAB, TRUE_LAB))
    rarity = 1 / (np.bincount(bins.ravel(), minlength=len(ab_bins())) / bins.size)[bins].clip(1e-9)
    by_bin = [auc[bins == b].mean() for b in np.unique(bins)]
    assert (auc * rarity).mean() / rarity.mean() == pytest.approx(np.mean(by_bin))


def test_every_color_has_its_nearest_bin():
    bins = np.array(ab_bins())
    nearest = np.argmin(((TRUE_LAB[1:].reshape(2, -1).T[:, None] - bins) ** 2).sum(-1), 1)
    indices = bin_indices(TRUE_LAB).ravel()
    distances = [np.linalg.norm(bins[a] - bins[b]) for a, b in zip(indices, nearest, strict=True)]
    assert np.mean(indices == nearest) > 0.99  # at the edge of the gamut the grid point itself may be no bin
    assert max(distances) <= 15
    assert np.array_equal(bin_indices(np.concatenate([bins[:, :1] * 0, bins], 1).T[..., None]).ravel(), range(262))


def test_frechet_distance_agrees_with_torchmetrics_and_the_matrix_root():
    x, y = FEATURES
    moments = [torch.from_numpy(m) for f in FEATURES for m in (f.mean(0), np.cov(f.T))]
    assert metrics.frechet_distance(x, y) == pytest.approx(float(_compute_fid(*moments)), rel=1e-6)
    root = sqrtm(np.cov(x.T) @ np.cov(y.T)).real
    direct = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root)
    assert metrics.frechet_distance(x, y) == pytest.approx(direct, rel=1e-6)


@given(st.integers(2, 40), st.integers(1, 60), st.floats(-3, 3))
def test_frechet_distance_of_a_shifted_set_is_the_shift(n, d, shift):
    x = np.random.default_rng(n * d).normal(size=(n, d))
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-8)
    assert metrics.frechet_distance(x, x + shift) == pytest.approx(d * shift**2, abs=1e-8)
    assert metrics.frechet_distance(x, 2 * x - x.mean(0)) == pytest.approx(x.var(0, ddof=1).sum(), rel=1e-6)


@pytest.mark.parametrize("rows", [7, 1000])
def test_kernel_distance_agrees_with_torchmetrics(monkeypatch, rows):
    monkeypatch.setattr(metrics, "KERNEL_ROWS", rows)
    x, y = (torch.from_numpy(f) for f in FEATURES)
    kernels = [(a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))]
    from torchmetrics.image.kid import maximum_mean_discrepancy

    assert metrics.kernel_distance(*FEATURES) == pytest.approx(float(maximum_mean_discrepancy(*kernels)), rel=1e-9)
    assert metrics.kernel_distance(*FEATURES) == pytest.approx(float(poly_mmd(x, y, coef=1.0)), rel=1e-9)


def test_kernel_distance_of_paired_sets_leaves_out_the_pairs():
    def features(seed):
        return np.random.default_rng(seed).normal(size=(60, 8))

    assert metrics.kernel_distance(features(0), features(0), paired=True) == pytest.approx(0, abs=1e-12)
    close = [
        metrics.kernel_distance(features(s), features(s) + 1e-3 * features(-s % 99 + 100), paired=True)
        for s in range(20)
    ]
    assert np.mean(close) == pytest.approx(0, abs=0.01)
    assert metrics.kernel_distance(features(0), features(0)) < -0.1  # with the pairs


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("rows", [7, 1000])
def test_kernel_distances_without_groups_are_those_of_smaller_sets(monkeypatch, rows, paired):
    monkeypatch.setattr(metrics, "KERNEL_ROWS", rows)
    x, y = FEATURES
    group = np.random.default_rng(0).permutation(len(x)) % 4
    whole, *without = metrics.kernel_distances(x, y, group, paired)
    assert whole == pytest.approx(metrics.kernel_distance(x, y, paired))
    for index, distance in enumerate(without):
        smaller = y[group != index] if paired else y
        assert distance == pytest.approx(metrics.kernel_distance(x[group != index], smaller, paired))
    assert len(without) == 4


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("width", [12, 100])
def test_frechet_distances_without_groups_are_those_of_smaller_sets(width, paired):
    mixing = np.random.default_rng(1).normal(size=(12, width))
    x, y = (features @ mixing + 100 for features in FEATURES)
    group = np.random.default_rng(0).permutation(len(x)) % 4
    whole, *without = metrics.frechet_distances(x, y, group, paired)
    assert whole == pytest.approx(metrics.frechet_distance(x, y))
    for index, distance in enumerate(without):
        smaller = y[group != index] if paired else y
        assert distance == pytest.approx(metrics.frechet_distance(x[group != index], smaller), rel=1e-5)
    assert len(without) == 4


def test_frechet_distance_is_the_same_with_more_features_than_images():
    x, y = (np.random.default_rng(seed).normal(size=(30, 12)) for seed in (0, 1))
    padding = np.zeros((30, 50))
    wide = metrics.frechet_distance(np.hstack([x, padding]), np.hstack([y, padding]))
    assert wide == pytest.approx(metrics.frechet_distance(x, y), rel=1e-9)


def test_inception_score_between_its_bounds():
    certain = np.eye(10)[np.arange(5000) % 10]
    assert metrics.inception_score(certain) == pytest.approx(10, rel=0.02)
    assert metrics.inception_score(np.sort(certain.argmax(1))[:, None] == np.arange(10)) > 8  # in any order
    assert metrics.inception_score(np.full((200, 10), 0.1)) == pytest.approx(1)
    mixed = torch.softmax(torch.from_numpy(RNG.normal(size=(200, 10))) * 3, 1)
    parts = torch.from_numpy(np.random.default_rng(0).permutation(mixed.numpy())).chunk(10)
    direct = [(p * (p.log() - p.mean(0).log())).sum(1).mean().exp() for p in parts]
    assert metrics.inception_score(mixed.numpy()) == pytest.approx(float(torch.stack(direct).mean()))


def test_histograms_overlap():
    assert metrics.overlap(np.array([[1, 0, 0], [0, 1, 0]]), np.array([[0, 0.5, 0.5]])) == 0.5
