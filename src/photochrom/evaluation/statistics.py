"""Confidence intervals of metrics: bootstrap over photos for means, jackknife for metrics of whole sets."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

from .replicates import LEVEL

RESAMPLES = 1000  # of the bootstrap
GROUPS, FEWEST_GROUPS = 20, 10  # of the jackknife, and of one with few photos
SMALLEST_GROUP = 3  # photos in a group
LIMITS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)

Column = Float[np.ndarray, "n"]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% confidence interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""  # caveat to show beside it
    # Of a metric of the whole set: pseudo-values of the jackknife, one for each group of photos. Their mean is the
    # value and their scatter its error, so that models are compared by them as by a value for each photo.
    groups: Column | None = field(default=None, repr=False, compare=False)


def ratio_of_means(values: Column, weights: Column) -> Estimate:
    """Return sum of values / sum of weights, with a bootstrap interval (Efron 1979) over images."""
    value = float(values.sum() / weights.sum())
    if len(values) < 2:
        return Estimate(value)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.quantile(_resampled_means(values) / _resampled_means(weights), LIMITS).tolist()
    return Estimate(value, low, high) if np.isfinite([low, high]).all() else Estimate(value)


def absolute_mean(values: Column) -> Estimate:
    """Return the absolute value of the mean; its bootstrap interval starts at 0 where the sign is uncertain."""
    mean = ratio_of_means(values, np.ones(len(values)))
    if mean.low is None or mean.high is None:
        return Estimate(abs(mean.value))
    low, high = sorted((abs(mean.low), abs(mean.high)))
    return Estimate(abs(mean.value), 0.0 if mean.low < 0 < mean.high else low, high)


def _resampled_means(column: Column) -> Column:
    # Row by row: a product with the whole matrix would first convert it to float64.
    return np.array([counts @ column for counts in _resample_counts(len(column))]) / len(column)


@lru_cache(maxsize=1)
def _resample_counts(n: int) -> Float[np.ndarray, "resamples n"]:
    rng = np.random.default_rng(0)
    counts = np.empty((RESAMPLES, n), np.float32)
    for row in counts:
        row[:] = np.bincount(rng.integers(0, n, n), minlength=n)
    return counts


def photo_groups(n: int) -> Int[np.ndarray, "n"] | None:
    """Return the group of each of n photos for the jackknife, the same at each call; None for too few photos."""
    number = min(GROUPS, n // SMALLEST_GROUP)
    if number < FEWEST_GROUPS:
        return None
    return np.random.default_rng(0).permutation(n) % number


def jackknife(statistic: Callable[..., float], *columns: np.ndarray, note: str = "") -> Estimate:
    """Return a statistic of whole columns, with the interval of `jackknife_estimate`."""
    group = photo_groups(len(columns[0]))
    without = []
    for index in range(0 if group is None else int(group.max()) + 1):
        without.append(statistic(*[column[group != index] for column in columns]))
    return jackknife_estimate(statistic(*columns), without, note)


def jackknife_estimate(value: float, without: Sequence[float], note: str = "") -> Estimate:
    """Return a value with its jackknife interval: Student's t over groups of photos, each left out in turn.

    A bootstrap would be biased: a photo that occurs twice in a resample makes a set look less varied than it is, which
    moves a Frechet distance (and the pairs of equal images a kernel distance) by more than its standard error.

    Args:
        value: The statistic of all photos.
        without: The statistic without each of the groups; empty where there are too few photos for an interval.
        note: Caveat to show beside the value.
    """
    if not len(without):
        return Estimate(value, note=note)
    values = np.asarray(without, np.float64)
    # Their mean is the value, and the standard error of their mean that of the jackknife.
    groups = value - (len(values) - 1) * (values - values.mean())
    error = groups.std(ddof=1) / math.sqrt(len(groups))
    margin = -float(error * stdtrit(len(groups) - 1, LIMITS[0]))
    return Estimate(value, value - margin, value + margin, note, groups)
