"""Intervals against scipy and closed forms; differences that are there and are not."""

import numpy as np
import pytest
from scipy import stats

from photochrom.evaluation.statistics import GROUPS, STUDENT, difference, of_set, ratio_of_means, size_of_mean, verdict

RNG = np.random.default_rng(0)
SAMPLE = RNG.gamma(2.0, size=300)


def test_the_bootstrap_agrees_with_scipy():
    found = ratio_of_means(SAMPLE, np.ones(300))
    theirs = stats.bootstrap(
        (SAMPLE,), np.mean, n_resamples=4000, method="percentile", random_state=0
    ).confidence_interval
    assert found.value == pytest.approx(SAMPLE.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_a_ratio_is_of_the_sums():
    weights = RNG.random(300) + 0.5
    assert ratio_of_means(SAMPLE * weights, weights).value == pytest.approx(np.average(SAMPLE, weights=weights))
    proportional = ratio_of_means(SAMPLE * 3, SAMPLE)
    assert (proportional.low, proportional.high) == pytest.approx((3, 3))


def test_one_photograph_has_no_interval():
    found = ratio_of_means(np.array([2.0]), np.ones(1))
    assert (found.value, found.low, found.high) == (2.0, None, None)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    found = of_set(lambda take: float(SAMPLE[take].mean()), 300)
    group = np.random.default_rng(0).permutation(300) % GROUPS
    means = [SAMPLE[group == g].mean() for g in range(GROUPS)]
    assert found.high - found.value == pytest.approx(STUDENT * np.std(means, ddof=1) / GROUPS**0.5)
    assert of_set(len, 20, "few").low is None


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = 0
    for _ in range(100):
        found = ratio_of_means(RNG.normal(size=60), np.ones(60))
        inside += found.low < 0 < found.high
    assert 86 <= inside <= 100


def test_a_difference_that_is_there_is_found_and_one_that_is_not_is_not():
    apart = difference(SAMPLE + 0.1 + RNG.normal(0, 0.2, 300), SAMPLE)
    assert apart.clear
    assert apart.p == pytest.approx(stats.wilcoxon(SAMPLE + 0.1, SAMPLE).pvalue, abs=1e-3)
    assert verdict("ab-error", "lower", ("one", "other"), apart).startswith("ab-error: other is better than one by")
    assert verdict("psnr", "higher", ("one", "other"), apart).startswith("psnr: one is better than other by")
    same = difference(SAMPLE, SAMPLE)
    assert (same.mean, same.p, same.clear) == (0, 1, False)
    assert verdict("psnr", "higher", ("one", "other"), same).startswith("psnr: no difference to speak of")
    noise = difference(SAMPLE + RNG.normal(0, 1, 300), SAMPLE + RNG.normal(0, 1, 300))
    assert noise.low < 0 < noise.high


def test_a_few_large_wins_do_not_outweigh_many_losses():
    apart = difference(np.array([-1.0] * 80 + [50.0] * 20), np.zeros(100))
    assert apart.mean > 0 > apart.rank
    assert not apart.clear


def test_the_size_of_a_mean_is_never_negative():
    found = size_of_mean(-SAMPLE)
    assert found.value == pytest.approx(SAMPLE.mean())
    assert 0 < found.low < found.value < found.high
    around = size_of_mean(RNG.normal(size=100))
    assert around.low == 0 <= around.value <= around.high


def test_an_interval_that_is_no_number_is_none():
    assert ratio_of_means(np.array([0.0, 1.0]), np.array([0.0, 1.0])).low is None


def test_other_photographs_are_refused():
    with pytest.raises(ValueError, match="300 and 299 photographs: two models are compared over the same"):
        difference(SAMPLE, SAMPLE[1:])
