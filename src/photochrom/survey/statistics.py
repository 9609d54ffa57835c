"""Statistics of answers: intervals that count participants and photos, rankings, and agreement."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int

LEVEL = 0.95
LIMITS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
Z = NormalDist().inv_cdf(LIMITS[1])
RESAMPLES = 1000
HALF_WIN = 0.5  # added to the wins of both models of each pair
MAX_ITERATIONS, TOLERANCE = 2000, 1e-8  # of the fit of a ranking

Columns = Float[np.ndarray, "answers k"]
Groups = Int[np.ndarray, "answers"]
Statistic = Callable[[np.ndarray], np.ndarray]  # (*b, k), sums of columns -> (*b, m)


def two_way_interval(
    statistic: Statistic, columns: Columns, participants: Groups, photos: Groups, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a statistic of the sums of columns over answers, with the limits of its 95% bootstrap interval.

    Answers by one participant are alike, and so are answers about one photo, so both are resampled: the interval is
    about other participants and other photos. Resampling both at once (the pigeonhole bootstrap, Owen 2007) counts the
    noise of single answers three times and gives intervals 40% too wide for surveys of usual size. Here participants,
    photos and single answers are resampled each by itself. The variance of the first two contains that of the third,
    which is taken out of them, so that the noise counts once; the variance is then that of two-way clusters (Cameron,
    Gelbach & Miller 2011). Few participants or photos widen the interval by the quantile of Student's t.

    Args:
        statistic: Function of sums (*b, k) that returns values (*b, m), NaN where they are undefined.
        columns: What is summed for each answer.
        participants: Index of the participant of each answer, from 0.
        photos: Index of the photo of each answer, from 0.
        resamples: Number of resamples of each kind.

    Returns:
        Values, lower and upper limits (m). With one participant the interval counts photos only.
    """
    rng = np.random.default_rng(0)
    value = statistic(columns.sum(0))
    kinds, counts = np.unique(columns, axis=0, return_counts=True)  # answers of a kind are interchangeable
    total = statistic(rng.multinomial(len(columns), counts / len(columns), size=resamples) @ kinds) - value
    noise = np.nanvar(total, axis=0)
    for groups in (participants, photos):
        sums = _sums_of_groups(columns, groups)
        number = len(sums)
        if number < 2:
            continue
        draws = rng.multinomial(number, np.full(number, 1 / number), size=resamples)
        deviations = (statistic(draws @ sums) - value) * math.sqrt(number / (number - 1))
        variance = np.nanvar(deviations, axis=0)
        share = np.maximum(0, variance - noise) / np.where(variance > 0, variance, 1)
        total = total + deviations * np.sqrt(share) * (student_quantile(number - 1) / Z)
    low, high = np.nanquantile(total, LIMITS, axis=0)
    return value, value + low, value + high


def _sums_of_groups(columns: Columns, groups: Groups) -> Float[np.ndarray, "groups k"]:
    sums = np.zeros((int(groups.max()) + 1, columns.shape[1]))
    np.add.at(sums, groups, columns)
    return sums


def student_quantile(degrees: int) -> float:
    """Return the upper limit of Student's t for a 95% interval, to 1% from 3 degrees of freedom on.

    The expansion of Abramowitz & Stegun 26.7.5; for fewer degrees the exact values.
    """
    if degrees < 3:
        return {1: 12.706, 2: 4.303}[degrees]
    terms = [
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    ]
    return Z + sum(term / degrees**power for power, term in enumerate(terms, 1))


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """Return the 95% interval of a share of independent answers (Wilson 1927); it has a width even at 0 and 1."""
    if not trials:
        return 0.0, 1.0
    share, spread = successes / trials, Z**2 / trials
    center = share + spread / 2
    margin = Z * math.sqrt(share * (1 - share) / trials + spread / trials / 4)
    return (center - margin) / (1 + spread), (center + margin) / (1 + spread)


def share_intervals(
    successes: Columns, trials: Columns, participants: Groups, photos: Groups, resamples: int = RESAMPLES
) -> Float[np.ndarray, "k 3"]:
    """Return for each column the share of successes among trials, and the limits of its 95% interval.

    Limits: `two_way_interval`, but never inside those of `wilson_interval`, which counts answers as independent. Where
    all answers agree, resampling finds no variance at all.
    """
    number = successes.shape[1]

    def shares(sums: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # a resample may have no trials of a model
            return sums[..., :number] / sums[..., number:]

    columns = np.hstack([successes, trials])
    value, low, high = two_way_interval(shares, columns, participants, photos, resamples)
    totals = zip(successes.sum(0), trials.sum(0), strict=True)
    wilson = np.array([wilson_interval(*total) for total in totals])
    low, high = np.fmin(low, wilson[:, 0]).clip(0, None), np.fmax(high, wilson[:, 1]).clip(None, 1)
    return np.stack([value, low, high], axis=1)


def rank(wins: Float[np.ndarray, "*b m m"], prior: float = HALF_WIN) -> Float[np.ndarray, "*b m"]:
    """Return the Bradley-Terry strengths of models, as logarithms with mean 0.

    The chance that i wins against j is 1 / (1 + exp(s_j - s_i)). Fitted by the minorization of Hunter (2004).

    Args:
        wins: Number of wins of the model of a row against that of a column; a tie is half a win for both.
        prior: Wins that are added on both sides of each pair. Without them a model that always wins has an infinite
            strength; half a win keeps all strengths finite, moves them little, and always towards each other.
    """
    number = wins.shape[-1]
    wins = wins + prior * (1 - np.eye(number))
    games, total = wins + wins.swapaxes(-1, -2), wins.sum(-1)
    strengths = np.zeros(wins.shape[:-1])
    for _ in range(MAX_ITERATIONS):
        worth = np.exp(strengths)
        expected = (games / (worth[..., :, None] + worth[..., None, :])).sum(-1)
        updated = np.log(total) - np.log(expected)
        updated -= updated.mean(-1, keepdims=True)
        change = np.abs(updated - strengths).max()
        strengths = updated
        if change < TOLERANCE:
            break
    return strengths


def chance_to_win(strength: float, other: float) -> float:
    """Return the chance that a model of one strength (`rank`) is preferred to another."""
    return 1 / (1 + math.exp(other - strength))


def rank_intervals(
    winners: Groups, losers: Groups, ties: Groups, number: int, participants: Groups, photos: Groups
) -> Float[np.ndarray, "m 3"]:
    """Return the strength of each of a number of models (`rank`), and the limits of its 95% interval.

    Args:
        winners: Index of the model that each answer prefers.
        losers: Index of the other one.
        ties: 1 for an answer that prefers neither, where the two are in any order.
        number: Number of models.
        participants: Index of the participant of each answer, from 0.
        photos: Index of the photo of each answer, from 0.
    """
    columns = np.zeros((len(winners), number * number))
    rows = np.arange(len(winners))
    columns[rows, winners * number + losers] = 1 - ties / 2
    columns[rows, losers * number + winners] = ties / 2

    def strengths(sums: np.ndarray) -> np.ndarray:
        return rank(sums.reshape(*sums.shape[:-1], number, number))

    return np.stack(two_way_interval(strengths, columns, participants, photos), axis=1)


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Return Krippendorff's alpha of nominal values: 1 is full agreement, 0 that of chance, below 0 is disagreement.

    alpha = 1 - observed / expected disagreement = ((n - 1) sum o_cc - sum n_c (n_c - 1)) / (n (n - 1) - sum n_c
    (n_c - 1)); o_cc counts pairs of equal values in a unit, each divided by the number of values in it minus 1; n_c
    counts a value, n all values, in units with two or more (Krippendorff 2011, Computing Krippendorff's
    Alpha-Reliability). Unlike Fleiss' kappa, units may have different numbers of values.

    Args:
        units: For each unit (a pair of pictures) the values that participants gave it.

    Returns:
        Alpha; None where no unit has two values, or all values are the same.
    """
    values, agreement = Counter[Hashable](), 0.0
    for unit in units:
        if len(unit) < 2:
            continue
        counts = Counter(unit)
        values.update(counts)
        agreement += sum(count * (count - 1) for count in counts.values()) / (len(unit) - 1)
    n = values.total()
    by_chance = sum(count * (count - 1) for count in values.values())
    if n * (n - 1) == by_chance:
        return None
    return ((n - 1) * agreement - by_chance) / (n * (n - 1) - by_chance)
