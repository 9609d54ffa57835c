"""Intervals against scipy and closed forms, and how often they contain the true value."""

import numpy as np
import pytest
from scipy import stats

from photochrom.evaluation import metrics
from photochrom.evaluation.statistics import GROUPS, absolute_mean, jackknife, photo_groups, ratio_of_means

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
    group = photo_groups(300)
    means = [SAMPLE[group == g].mean() for g in range(GROUPS)]
    margin = stats.t.ppf(0.975, GROUPS - 1) * stats.sem(means)
    assert estimate.high - estimate.value == estimate.value - estimate.low == pytest.approx(margin)
    np.testing.assert_allclose(estimate.groups, means)
    assert jackknife(len, SAMPLE[:20], note="few").low is None


@pytest.mark.parametrize(("n", "number"), [(29, 0), (30, 10), (45, 15), (61, 20), (5000, 20)])
def test_groups_of_the_jackknife_have_three_photos_or_more(n, number):
    group = photo_groups(n)
    sizes = [] if group is None else np.bincount(group)
    assert len(sizes) == number
    assert all(size >= 3 for size in sizes)


def test_pseudo_values_have_the_value_as_mean():
    x, y = SAMPLE.reshape(100, 3), RNG.gamma(2.0, size=(100, 3))
    estimate = jackknife(metrics.frechet_distance, x, y)
    assert estimate.groups.mean() == pytest.approx(metrics.frechet_distance(x, y))


def test_intervals_contain_the_true_value_as_often_as_stated():
    inside = 0
    for _ in range(100):
        estimate = ratio_of_means(RNG.normal(size=60), np.ones(60))
        inside += estimate.low < 0 < estimate.high
    assert 86 <= inside <= 100


def test_an_absolute_mean_is_never_negative():
    estimate = absolute_mean(-SAMPLE)
    assert estimate.value == pytest.approx(SAMPLE.mean())
    assert 0 < estimate.low < estimate.value < estimate.high
    around = absolute_mean(RNG.normal(size=100))
    assert around.low == 0 <= around.value <= around.high


def test_an_interval_that_is_not_a_number_is_none():
    assert ratio_of_means(np.array([0.0, 1.0]), np.array([0.0, 1.0])).low is None
