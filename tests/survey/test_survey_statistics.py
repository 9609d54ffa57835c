"""Formulas against published examples and known truths; the coverage of intervals in simulated surveys."""

import numpy as np
import pytest
from scipy import stats

from photochrom.survey.plan import TRUTH, plan_trials, source_pairs
from photochrom.survey.statistics import (
    chance_to_win,
    krippendorff_alpha,
    rank,
    rank_intervals,
    share_intervals,
    student_quantile,
    wilson_interval,
)

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability: examples A (binary, two observers) and C (nominal,
# four observers, missing values as 0).
BINARY = ["0100000010", "1110010000"]
NOMINAL = ["123321412000", "123322412503", "033323422510", "123324412510"]
# American League 1987, Agresti (2002), Categorical Data Analysis, table 10.10: wins of a row against a column.
BASEBALL = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ]
)


def units(rows, missing=""):
    return [[value for value in column if value != missing] for column in zip(*rows, strict=True)]


def test_alpha_of_the_published_examples():
    assert krippendorff_alpha(units(BINARY)) == pytest.approx(0.095, abs=5e-4)
    assert krippendorff_alpha(units(NOMINAL, missing="0")) == pytest.approx(0.743, abs=5e-4)


def test_alpha_has_its_limits():
    assert krippendorff_alpha(["aaa", "bb", "a"]) == 1
    assert krippendorff_alpha(["ab", "ba", "ab"]) < 0
    assert krippendorff_alpha(["a", "b"]) is None
    assert krippendorff_alpha(["aa", "aaa"]) is None


def test_bradley_terry_of_the_published_example():
    strengths = rank(BASEBALL, prior=0)
    assert strengths - strengths[-1] == pytest.approx([1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0], abs=5e-3)


def test_bradley_terry_satisfies_its_equations_with_ties_and_a_prior():
    wins = np.array([[0, 3.5, 1], [2.5, 0, 4], [2, 1, 0]])
    strengths = rank(wins)
    expected = 0.5 * 2
    for i in range(3):
        won = wins[i].sum() + expected
        chances = [
            (wins[i, j] + wins[j, i] + 1) * chance_to_win(strengths[i], strengths[j]) for j in range(3) if j != i
        ]
        assert won == pytest.approx(sum(chances))


def test_a_model_that_always_wins_has_a_finite_strength():
    wins = np.array([[0, 20, 20], [0, 0, 10], [0, 10, 0]])
    strengths = rank(wins)
    assert np.isfinite(strengths).all()
    assert strengths[0] > strengths[1] == pytest.approx(strengths[2])
    assert chance_to_win(strengths[0], strengths[1]) == pytest.approx(20.5 / 21, abs=0.01)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 19, 200])
def test_student_quantile(degrees):
    assert student_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=0.01)


@pytest.mark.parametrize(("successes", "trials"), [(0, 12), (5, 12), (12, 12), (300, 1000)])
def test_wilson_interval(successes, trials):
    interval = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((interval.low, interval.high), abs=1e-9)


def simulate(rng, rates, people=0.15, scenes=0.2, participants=20):
    """Answers to a survey as `plan_trials` plans it.

    The chance to be fooled is the rate of the model plus a participant's credulity and a photo's difficulty, which are
    uniform with mean 0, so that the rate is that of all people and photos.
    """
    photos = 60
    pairs = source_pairs(sorted(rates), truth=True, rank=False)
    names = [str(index) for index in range(photos)]
    credulity, difficulty = rng.uniform(-people, people, participants), rng.uniform(-scenes, scenes, photos)
    rows = []
    for participant in range(participants):
        for trial in plan_trials(names, pairs, 40, participant, seed=0):
            if trial.kind == "trial":
                model = trial.right if trial.left == TRUTH else trial.left
                chance = rates[model] + credulity[participant] + difficulty[int(trial.photo)]
                rows.append((sorted(rates).index(model), rng.random() < chance, participant, int(trial.photo)))
    model, fooled, participant, photo = np.array(rows).T
    shown = np.eye(len(rates))[model]
    return shown * fooled[:, None], shown, participant, photo


def test_intervals_contain_the_known_rate_in_95_of_100_surveys():
    rates = {"poor": 0.35, "good": 0.5}
    repeats, rng = 200, np.random.default_rng(0)
    truth = np.array([rates["good"], rates["poor"]])
    covered, estimates, widths = np.zeros(2), np.zeros(2), np.zeros(2)
    for _ in range(repeats):
        intervals = share_intervals(*simulate(rng, rates), resamples=400)
        covered += (intervals[:, 1] <= truth) & (truth <= intervals[:, 2])
        estimates += intervals[:, 0] / repeats
        widths += (intervals[:, 2] - intervals[:, 1]) / repeats
    coverage = covered.mean() / repeats
    print(f"coverage {coverage:.3f}, mean width {widths.mean():.3f}")
    assert 0.92 <= coverage <= 0.98
    assert estimates == pytest.approx(truth, abs=0.01)


def test_intervals_are_narrower_than_those_of_resampling_both_at_once():
    rng, ratios = np.random.default_rng(2), []
    for _ in range(5):
        successes, trials, participants, photos = simulate(rng, {"poor": 0.35, "good": 0.5})
        _, low, high = share_intervals(successes, trials, participants, photos)[0]
        weights = rng.multinomial(20, np.full(20, 1 / 20), 500)[:, participants]
        weights = weights * rng.multinomial(60, np.full(60, 1 / 60), 500)[:, photos]
        shares = (weights @ successes[:, 0]) / (weights @ trials[:, 0])
        ratios.append(np.ptp(np.quantile(shares, [0.025, 0.975])) / (high - low))
    assert 1.3 < np.mean(ratios) < 1.5


def test_intervals_count_participants_and_photos():
    rng = np.random.default_rng(1)
    columns = simulate(rng, {"a": 0.5}, people=0, scenes=0)
    independent = share_intervals(*columns)[0]
    assert independent[2] - independent[1] == pytest.approx(
        np.subtract(*wilson_interval(columns[0].sum(), 720)[::-1]), rel=0.2
    )
    for effect in ({"people": 0.45, "scenes": 0}, {"people": 0, "scenes": 0.45}):
        varied = share_intervals(*simulate(rng, {"a": 0.5}, **effect))[0]
        assert varied[2] - varied[1] > 1.3 * (independent[2] - independent[1])


def test_an_interval_where_all_answers_agree_has_a_width():
    n = 30
    participants, photos = np.arange(n) % 5, np.arange(n)
    value, low, high = share_intervals(np.zeros((n, 1)), np.ones((n, 1)), participants, photos)[0]
    assert (value, low) == (0, 0)
    assert high == pytest.approx(wilson_interval(0, n)[1])


def test_one_participant_has_an_interval():
    n = 30
    fooled = (np.arange(n) % 3 == 0).astype(float)[:, None]
    value, low, high = share_intervals(fooled, np.ones((n, 1)), np.zeros(n, int), np.arange(n))[0]
    assert low < value < high


def test_ranks_are_found_within_their_intervals():
    rng = np.random.default_rng(0)
    strengths, n = np.array([0.8, 0.0, -0.8]), 1200
    pairs = np.array([(0, 1), (0, 2), (1, 2)])[np.arange(n) % 3]
    wins = rng.random(n) < 1 / (1 + np.exp(strengths[pairs[:, 1]] - strengths[pairs[:, 0]]))
    winners = np.where(wins, pairs[:, 0], pairs[:, 1])
    intervals = rank_intervals(
        winners, pairs.sum(1) - winners, np.zeros(n, int), 3, np.arange(n) % 30, np.arange(n) % 41
    )
    assert (intervals[:, 1] <= strengths).all()
    assert (strengths <= intervals[:, 2]).all()
    assert (intervals[:, 2] - intervals[:, 1] < 0.6).all()
