"""Verdicts: what differs is found, what does not is rarely, and no sentence contradicts its interval."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from photochrom.evaluation import metrics
from photochrom.evaluation.comparison import Comparison, adjust, compare, correct
from photochrom.evaluation.statistics import jackknife, jackknife_estimate, photo_groups
from photochrom.evaluation.summary import compare_models

RNG = np.random.default_rng(0)
SAMPLE = RNG.gamma(2.0, size=300)


def pair(metric, first, second):
    (comparison,) = compare(metric, {"one": first, "other": second})
    return comparison


def test_a_real_difference_is_significant_and_noise_is_not():
    better = SAMPLE + 0.1 + RNG.normal(0, 0.2, 300)
    error = pair("ab-error", better, SAMPLE)
    assert error.significant
    assert error.p == max(stats.wilcoxon(better, SAMPLE).pvalue, stats.ttest_rel(better, SAMPLE).pvalue)
    assert (error.low, error.high) == pytest.approx(stats.ttest_rel(better, SAMPLE).confidence_interval())
    assert error.verdict.startswith("ab-error: other is better than one by")
    assert pair("psnr", better, SAMPLE).verdict.startswith("psnr: one is better than other by")
    same = pair("psnr", SAMPLE, SAMPLE)
    assert (same.difference, same.p, same.significant) == (0, 1, False)
    assert same.verdict.startswith("psnr: no significant difference between one and other (one - other:")
    noise = pair("psnr", SAMPLE + RNG.normal(0, 1, 300), SAMPLE + RNG.normal(0, 1, 300))
    assert noise.low < 0 < noise.high


@pytest.mark.parametrize("difference", [-8.479, 8.479])
@pytest.mark.parametrize("metric", ["ab-error", "psnr"])
def test_the_interval_of_a_verdict_has_the_sign_of_its_advantage(metric, difference):
    low, high = sorted((difference * 0.8, difference * 1.2))
    sentence = Comparison(metric, ("one", "other"), difference, low, high, 1e-6, 1e-5).verdict
    first_wins = (difference > 0) == (metric == "psnr")
    assert f"{'one' if first_wins else 'other'} is better than" in sentence
    assert "by 8.479 (6.783 to 10.17, corrected p = 1e-05)" in sentence


@pytest.mark.parametrize(("low", "high"), [(-0.1, 2.0), (-2.0, -0.5), (0.0, 2.0)])
def test_no_verdict_contradicts_its_interval(low, high):
    comparison = Comparison("psnr", ("one", "other"), 1.0, low, high, 1e-9, 1e-9)
    assert "no significant difference" in comparison.verdict


def test_a_verdict_says_when_the_correction_decides():
    verdict = Comparison("psnr", ("one", "other"), 1.0, 0.5, 1.5, 0.01, 0.2).verdict
    assert "no significant difference between one and other once corrected for the number of comparisons" in verdict


def test_significant_differences_of_random_columns_agree_with_their_intervals():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        columns = {f"m{i}": rng.standard_t(2, 25) + rng.normal(0, 0.7) for i in range(3)}
        for comparison in correct(compare("psnr", columns)):
            sign = np.sign(comparison.difference)
            assert np.sign(comparison.low + comparison.high) == sign
            assert comparison.p <= comparison.adjusted_p <= 1
            if comparison.significant:
                assert np.sign(comparison.low) == np.sign(comparison.high) == sign


def test_a_few_large_wins_do_not_outweigh_many_losses():
    difference = pair("psnr", np.array([-1.0] * 80 + [50.0] * 20), np.zeros(100))
    assert difference.difference > 0
    assert difference.p == 1


def test_holm_multiplies_the_lowest_p_by_the_number_of_comparisons():
    # statsmodels.stats.multitest.multipletests([0.01, 0.04, 0.03, 0.005], method="holm")
    assert adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust([0.9, 0.5]) == pytest.approx([1, 1])
    assert len(adjust([])) == 0


def test_columns_of_other_images_are_refused():
    with pytest.raises(ValueError, match="300 and 299 photos: models are compared on the same"):
        compare("psnr", {"one": SAMPLE, "other": SAMPLE[1:]})


def set_estimates(features, truth, probabilities):
    """Metrics of a whole set by name, as in a report."""
    group = photo_groups(len(truth))
    frechet, *without_frechet = metrics.frechet_distances(features, truth, group, paired=True)
    kernel, *without_kernel = metrics.kernel_distances(features, truth, group, paired=True)
    return {
        "fd-fake": jackknife_estimate(frechet, without_frechet),
        "kd-fake": jackknife_estimate(kernel, without_kernel),
        "is-fake": jackknife(metrics.inception_score, probabilities, metrics.score_parts(len(truth))),
    }


def report(rng, models, n, advantage=0.0):
    """Comparisons of models that differ by chance alone, but the last one is better by ``advantage``.

    Photos are easier or harder for all models alike, some are extreme, and metrics of a photo go together.
    """
    hard = rng.gamma(2.0, size=n)
    truth = rng.normal(size=(n, 4)) * hard[:, None] ** 0.5
    classes = rng.normal(size=(n, 6)) * 2
    tables, rows = {}, {}
    for index in range(models):
        lead = advantage if index == models - 1 else 0.0
        own = rng.normal(size=n) * hard
        noise = rng.normal(size=(5, n)) * 0.6 * hard
        columns = [5 + hard - lead + 0.8 * own + each for each in noise]
        names = ("ab-error", "ciede2000", "lpips-alex", "lpips-vgg", "pd-fake")
        tables[f"m{index}"] = dict(zip(names, columns, strict=True)) | {"psnr": 30 + lead - own + noise[0] ** 2}
        features = truth * 0.9 + own[:, None] * 0.2 + rng.normal(size=(n, 4)) * 0.4 * (1 - lead / 3)
        probabilities = softmax(classes + rng.normal(size=(n, 6)), axis=1)
        estimates = set_estimates(features, truth, probabilities)
        rows[f"m{index}"] = dict.fromkeys(tables[f"m{index}"]) | estimates
    return compare_models(tables, rows)


def false_findings(reports, n):
    rng = np.random.default_rng(0)
    return sum(any(c.significant for c in report(rng, 6, n)) for _ in range(reports)) / reports


def test_six_equal_models_rarely_differ():
    """Uncorrected, 80% of these reports of 135 comparisons have a false finding; corrected, about 1%."""
    assert false_findings(300, 40) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 200])
def test_six_equal_models_rarely_differ_in_many_reports(n):
    assert false_findings(700, n) <= 0.05


def test_a_real_difference_is_found_among_equal_models():
    """The last of six models is better by less than half of the scatter of differences."""
    comparisons = report(np.random.default_rng(1), 6, 300, advantage=1.5)
    findings = {c.models for c in comparisons if c.significant}
    assert findings == {(f"m{i}", "m5") for i in range(5)}
    assert all(f"m5 is better than {c.models[0]}" in c.verdict for c in comparisons if c.significant)
    by_metric = {c.metric for c in comparisons if c.significant}
    assert {"ab-error", "psnr", "lpips-vgg"} <= by_metric


def set_comparisons(rng, n, width, scatters):
    """Comparisons of two models whose features scatter around those of the ground truth, by metric of the set."""
    truth = np.maximum(rng.normal(size=(n, width)) + 0.3 * rng.normal(size=(n, 1)), 0)
    classes = rng.normal(size=(n, 10)) * 3
    estimates = {}
    for index, scatter in enumerate(scatters):
        features = np.maximum(truth * 0.9 + scatter * rng.normal(size=(n, width)), 0)
        probabilities = softmax(classes * (1.1 - scatter) + rng.normal(size=(n, 10)), axis=1)
        estimates[f"m{index}"] = set_estimates(features, truth, probabilities)
    comparisons = {}
    for metric in estimates["m0"]:
        (comparisons[metric],) = compare(metric, {name: row[metric].groups for name, row in estimates.items()})
    return comparisons


def set_calibration(reports, n, width):
    """By metric: false findings between equal models at 5%, coverage of the 95% interval, and findings of others."""
    rng = np.random.default_rng(0)
    equal = [set_comparisons(rng, n, width, (0.4, 0.4)) for _ in range(reports)]
    other = [set_comparisons(rng, n, width, (0.4, 0.6)) for _ in range(reports)]
    table = {}
    for metric in equal[0]:
        expected = np.mean([c[metric].difference for c in other])
        inside = [c[metric].low < expected < c[metric].high for c in other]
        false = [c[metric].p < 0.05 for c in equal]
        table[metric] = np.mean(false), np.mean(inside), np.mean([c[metric].p < 0.05 for c in other])
    return table


def test_differences_of_set_metrics_are_calibrated():
    """As simulated: 1% to 3% false findings at 5%, intervals that contain the expected difference in 96% to 99%."""
    for metric, (false, coverage, findings) in set_calibration(150, 100, 12).items():
        assert false <= 0.08, metric
        assert coverage >= 0.9, metric
        assert findings >= 0.5, metric


@pytest.mark.slow
@pytest.mark.parametrize(("n", "width"), [(200, 64), (60, 80)])
def test_differences_of_set_metrics_are_calibrated_in_many_reports(n, width):
    for metric, (false, coverage, _) in set_calibration(300, n, width).items():
        assert false <= 0.065, metric
        assert coverage >= 0.92, metric


def test_set_metrics_of_several_seeds_are_compared_by_their_groups():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(200, 5))
    columns = {}
    for family, scatter in (("a", 0.3), ("b", 0.9)):
        seeds = []
        for _ in range(3):
            features = truth + scatter * rng.normal(size=truth.shape)
            seeds.append(jackknife(metrics.frechet_distance, features, truth).groups)
        columns[family] = np.stack(seeds)
    (comparison,) = correct(compare("fid", columns))
    assert comparison.verdict.startswith("fid: a is better than b by")
