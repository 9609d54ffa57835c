"""Effects over training seeds and photos: closed forms, and how often intervals contain the true value."""

import numpy as np
import pytest
from scipy import stats

from photochrom.evaluation.comparison import compare, correct
from photochrom.evaluation.replicates import (
    compare_means,
    compare_slopes,
    mean_over_seeds,
    seed_variance,
    slope,
)

RNG = np.random.default_rng(0)
SIZES = np.repeat([1000, 2000, 4000, 8000], 2)


def family(rng, seeds, photos, between_seeds, residual=1.0, easy=None):
    """Values of a family whose true mean is 0: what seeds and photos add to a metric, and what is left."""
    easy = 2.0 * rng.normal(size=photos) if easy is None else easy
    own = between_seeds * rng.normal(size=(seeds, 1))
    return easy + own + residual * rng.normal(size=(seeds, photos))


def test_one_seed_gives_the_paired_t_test():
    first, second = RNG.gamma(2.0, size=(2, 1, 80))
    effect = compare_means({"one": first, "other": second})["one", "other"]
    expected = stats.ttest_rel(first[0], second[0])
    assert effect.p == pytest.approx(expected.pvalue)
    assert (effect.low, effect.high) == pytest.approx(expected.confidence_interval())
    assert effect.seed_error is None
    assert "the variance over seeds is unknown" in effect.note


def test_runs_without_photos_give_the_pooled_t_test():
    first, second = RNG.normal(size=(2, 4, 1))
    effect = compare_means({"one": first, "other": second})["one", "other"]
    expected = stats.ttest_ind(first[:, 0], second[:, 0])
    assert effect.p == pytest.approx(expected.pvalue)
    assert (effect.low, effect.high) == pytest.approx(expected.confidence_interval())


def test_a_slope_without_photos_is_that_of_a_regression():
    values = 3 - 0.5 * np.log2(SIZES) + RNG.normal(0, 0.1, len(SIZES))
    effect = slope(SIZES, values[:, None])
    expected = stats.linregress(np.log2(SIZES), values)
    assert (effect.value, effect.seed_error) == pytest.approx((expected.slope, expected.stderr))
    assert effect.p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("between_seeds", [0.0, 0.5])
def test_components_of_variance_are_recovered(between_seeds):
    rng = np.random.default_rng(0)
    estimates = [seed_variance(family(rng, 4, 60, between_seeds)) for _ in range(400)]
    assert np.mean([e.photos for e in estimates]) == pytest.approx(4, rel=0.05)
    assert np.mean([e.residual for e in estimates]) == pytest.approx(1, rel=0.02)
    assert np.mean([e.seeds for e in estimates]) == pytest.approx(between_seeds**2, abs=0.02)
    means = [e.mean.value for e in estimates]
    squares = [e.mean.standard_error**2 for e in estimates]
    assert np.mean(squares) == pytest.approx(np.var(means), rel=0.15)


def test_the_variance_over_one_seed_is_unknown():
    single = seed_variance(RNG.normal(size=(1, 50)))
    assert (single.seeds, single.residual, single.mean.seed_error) == (None, None, None)
    assert "too few training runs" in single.mean.note


@pytest.mark.parametrize("error", [1e-3, 1.0])
@pytest.mark.parametrize("value", [0.0, 1e-9, 0.3, 5.0, 1e6])
def test_p_and_interval_agree(value, error):
    values = value + error * np.random.default_rng(0).normal(size=(3, 40))
    effect = mean_over_seeds(values)
    assert 0 <= effect.p <= 1
    assert (effect.p < 0.05) == (effect.low > 0 or effect.high < 0)


def coverage(reports, seeds, share, families=2):
    """How often the 95% interval of a difference of two families contains it, and how often p is below 0.001.

    ``share``: of the variance of the difference, what comes from training seeds.
    """
    rng = np.random.default_rng(0)
    photos, residual = 100, 1.0
    from_photos = 2 * residual**2 / (seeds * photos)
    between = (share / (1 - share) * from_photos * seeds / 2) ** 0.5
    inside = extreme = 0
    for _ in range(reports):
        easy = 2.0 * rng.normal(size=photos)
        values = {f"m{i}": family(rng, seeds, photos, between, residual, easy) for i in range(families)}
        effect = compare_means(values)["m0", "m1"]
        inside += effect.low < 0 < effect.high
        extreme += effect.p < 0.001
    return inside / reports, extreme / reports


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_intervals_count_seeds_and_photos(share):
    """As simulated with two seeds: 99%, 99% and 97% coverage where seeds give 0%, 50% and 90% of the variance."""
    inside, extreme = coverage(300, 2, share)
    assert inside >= 0.93
    assert extreme <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("families", [2, 7])
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.99])
def test_intervals_count_seeds_and_photos_in_many_reports(share, seeds, families):
    inside, extreme = coverage(2000, seeds, share, families)
    assert inside >= 0.94
    assert extreme <= 0.004


def false_findings(reports, seeds, share, spread=1.0):
    """How many reports of six equal families and three metrics have a finding, when what seeds do goes together.

    ``spread``: between the families, the ratio of the highest and lowest variance over seeds.
    """
    rng = np.random.default_rng(0)
    photos, findings = 60, 0
    between = (share / (1 - share) / photos) ** 0.5
    for _ in range(reports):
        easy, scales = rng.gamma(2.0, size=photos), between * np.geomspace(1 / spread, spread, 6) ** 0.25
        shared = [family(rng, seeds, photos, scale, easy=easy) for scale in scales]
        comparisons = []
        for _ in range(3):
            own = [
                0.8 * values + 0.6 * family(rng, seeds, photos, scale, easy=0.0)
                for values, scale in zip(shared, scales, strict=True)
            ]
            comparisons += compare("psnr", {f"m{i}": values for i, values in enumerate(own)})
        findings += any(comparison.significant for comparison in correct(comparisons))
    return findings / reports


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_six_equal_families_rarely_differ(share):
    assert false_findings(150, 2, share) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize(
    ("share", "spread", "limit"), [(0.5, 1, 0.03), (0.98, 1, 0.05), (0.5, 16, 0.05), (0.9, 16, 0.07)]
)
def test_six_equal_families_rarely_differ_in_many_reports(seeds, share, spread, limit):
    """As simulated: at most 2%, and 4% where some families vary sixteen times as much over seeds as others."""
    assert false_findings(1000, seeds, share, spread) <= limit


def test_the_interval_of_a_slope_counts_seeds_and_photos():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        gains = -0.3 + 0.5 * rng.normal(size=60)
        runs = 0.2 * rng.normal(size=(len(SIZES), 1))
        values = np.outer(np.log2(SIZES), gains) + runs + rng.normal(size=(len(SIZES), 60))
        effect = slope(SIZES, values)
        inside += effect.low < -0.3 < effect.high
    assert inside / 300 >= 0.93


def test_slopes_are_compared_on_the_same_photos():
    """What photos have in common cancels: the difference is known better than either slope."""
    gains = 2.0 * RNG.normal(size=60)
    values = np.outer(np.log2(SIZES), gains) + 0.1 * RNG.normal(size=(len(SIZES), 60))
    steeper = values + 0.2 * np.log2(SIZES)[:, None] + 0.1 * RNG.normal(size=values.shape)
    effect = compare_slopes((SIZES, steeper), (SIZES, values))
    assert effect.low < 0.2 < effect.high
    assert effect.p < 1e-3
    assert effect.photo_error < 0.1 * slope(SIZES, values).photo_error


def test_families_of_several_seeds_are_compared_by_their_means():
    easy = RNG.normal(size=200)
    columns = {"a": family(RNG, 3, 200, 0.1, easy=easy), "b": 1 + family(RNG, 3, 200, 0.1, easy=easy)}
    columns["c"] = family(RNG, 1, 200, 0.1, easy=easy)
    first, *_, last = correct(compare("psnr", columns))
    assert first.verdict.startswith("psnr: b is better than a by")
    assert last.models == ("b", "c")
    assert last.significant  # seeds of the others tell how much runs vary


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: slope([8, 8], np.ones((2, 5))), "all training runs have size 8: a slope needs at least two sizes"),
        (lambda: slope([8, 16, 32], np.ones((2, 5))), "3 sizes for 2 training runs"),
        (lambda: mean_over_seeds(np.ones((1, 1))), "one training run and one value"),
        (lambda: compare_means({"a": np.ones((2, 5)), "b": np.ones((2, 4))}), "5 and 4 photos: models are compared"),
    ],
)
def test_what_cannot_be_estimated_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
