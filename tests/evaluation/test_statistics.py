"""Intervals against scipy and closed forms; differences that are significant and that are not."""

import numpy as np
import pytest
from scipy import stats

from photochrom.evaluation.statistics import (
    GROUPS,
    STUDENT,
    Comparison,
    absolute_mean,
    compare,
    jackknife,
    ratio_of_means,
)

RNG = np.random.default_rng(0)
SAMPLE = RNG.gamma(2.0, size=300)


def test_the_bootstrap_agrees_with_scipy():
    estimate = ratio_of_means(SAMPLE, np.ones(300))
    expected = stats.bootstrap(
        (SAMPLE,), np.mean, n_resamples=4000, method="percentile", random_state=0
    ).confidence_interval
    assert estimate.value == pytest.approx(SAMPLE.mean())
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_a_ratio_is_that_of_the_sums():
    weights = RNG.random(300) + 0.5
    assert ratio_of_means(SAMPLE * weights, weights).value == pytest.approx(np.average(SAMPLE, weights=weights))
    proportional = ratio_of_means(SAMPLE * 3, SAMPLE)
    assert (proportional.low, proportional.high) == pytest.approx((3, 3))


def test_one_image_has_no_interval():
    estimate = ratio_of_means(np.array([2.0]), np.ones(1))
    assert (estimate.value, estimate.low, estimate.high) == (2.0, None, None)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    estimate = jackknife(lambda column: float(column.mean()), SAMPLE)
    group = np.random.default_rng(0).permutation(300) % GROUPS
    means = [SAMPLE[group == g].mean() for g in range(GROUPS)]
    assert estimate.high - estimate.value == pytest.approx(STUDENT * np.std(means, ddof=1) / GROUPS**0.5)
    assert jackknife(len, SAMPLE[:20], note="few").low is None


def test_intervals_contain_the_true_value_as_often_as_stated():
    inside = 0
    for _ in range(100):
        estimate = ratio_of_means(RNG.normal(size=60), np.ones(60))
        inside += estimate.low < 0 < estimate.high
    assert 86 <= inside <= 100


def test_a_real_difference_is_significant_and_noise_is_not():
    columns = {"one": SAMPLE + 0.1 + RNG.normal(0, 0.2, 300), "other": SAMPLE}
    error = compare("ab-error", columns)
    assert error.significant
    assert error.p == pytest.approx(stats.wilcoxon(SAMPLE + 0.1, SAMPLE).pvalue, abs=1e-3)
    assert error.verdict.startswith("ab-error: other is better than one by")
    assert compare("psnr", columns).verdict.startswith("psnr: one is better than other by")
    same = compare("psnr", {"one": SAMPLE, "other": SAMPLE})
    assert (same.mean, same.p, same.significant) == (0, 1, False)
    assert same.verdict.startswith("psnr: no significant difference between one and other (one - other:")
    noise = compare("psnr", {"one": SAMPLE + RNG.normal(0, 1, 300), "other": SAMPLE + RNG.normal(0, 1, 300)})
    assert noise.low < 0 < noise.high


@pytest.mark.parametrize("mean", [-8.479, 8.479])
@pytest.mark.parametrize("metric", ["ab-error", "psnr"])
def test_the_interval_of_a_verdict_has_the_sign_of_its_advantage(metric, mean):
    low, high = sorted((mean * 0.8, mean * 1.2))
    sentence = Comparison(metric, ("one", "other"), mean, low, high, 1e-6, mean).verdict
    first_wins = (mean > 0) == (metric == "psnr")
    assert f"{'one' if first_wins else 'other'} is better than" in sentence
    assert "by 8.479 (6.783 to 10.17, p = 1e-06)" in sentence


def test_a_few_large_wins_do_not_outweigh_many_losses():
    difference = compare("psnr", {"one": np.array([-1.0] * 80 + [50.0] * 20), "other": np.zeros(100)})
    assert difference.mean > 0 > difference.rank
    assert not difference.significant


def test_an_absolute_mean_is_never_negative():
    estimate = absolute_mean(-SAMPLE)
    assert estimate.value == pytest.approx(SAMPLE.mean())
    assert 0 < estimate.low < estimate.value < estimate.high
    around = absolute_mean(RNG.normal(size=100))
    assert around.low == 0 <= around.value <= around.high


def test_an_interval_that_is_not_a_number_is_none():
    assert ratio_of_means(np.array([0.0, 1.0]), np.array([0.0, 1.0])).low is None


def test_columns_of_other_images_are_refused():
    with pytest.raises(ValueError, match="300 and 299 photos: models are compared on the same"):
        compare("psnr", {"one": SAMPLE, "other": SAMPLE[1:]})
