"""Confidence intervals of metrics, and the paired comparison of two models on the same images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, wilcoxon

from .metrics import find_metric

RESAMPLES = 1000  # of the bootstrap
GROUPS = 10  # of the jackknife
LEVEL = 0.95
LIMITS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
STUDENT = 2.262  # quantile of Student's t with GROUPS - 1 degrees of freedom: LEVEL lies within this on either side

Column = Float[np.ndarray, "n"]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% confidence interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""  # caveat to show beside it


@dataclass(frozen=True)
class Comparison:
    """A metric of two models on the same images: the first minus the second, with a 95% interval."""

    metric: str
    models: tuple[str, str]
    mean: float
    low: float
    high: float
    p: float  # of the two-sided Wilcoxon signed-rank test
    rank: float  # sum of the signed ranks

    @property
    def significant(self) -> bool:
        """Whether interval and test agree that there is a difference, and on its sign."""
        return (self.low > 0 or self.high < 0) and self.p < 1 - LEVEL and self.rank * self.mean > 0

    @property
    def verdict(self) -> str:
        """The comparison in a sentence, whose interval is that of the advantage it names."""
        (first, second), low, high = self.models, self.low, self.high
        if not self.significant:
            interval = f"{first} - {second}: {low:+.4g} to {high:+.4g}, p = {self.p:.2g}"
            return f"{self.metric}: no significant difference between {first} and {second} ({interval})"
        # The difference is first minus second; the sentence says by how much the better one leads, which is positive.
        if self.mean < 0:
            low, high = -high, -low
        first_wins = (self.mean > 0) == (find_metric(self.metric).better == "higher")
        better, worse = (first, second) if first_wins else (second, first)
        advantage = f"{abs(self.mean):.4g} ({low:.4g} to {high:.4g}, p = {self.p:.2g})"
        return f"{self.metric}: {better} is better than {worse} by {advantage}"


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


def jackknife(statistic: Callable[..., float], *columns: np.ndarray, note: str = "") -> Estimate:
    """Return a statistic of whole columns, with a jackknife interval over `GROUPS` groups of images.

    A bootstrap would be biased: images that occur twice in a resample make a set look less varied than it is.
    """
    value, n = statistic(*columns), len(columns[0])
    if n < 3 * GROUPS:
        return Estimate(value, note=note)
    group = np.random.default_rng(0).permutation(n) % GROUPS
    values = np.empty(GROUPS)
    for index in range(GROUPS):
        values[index] = statistic(*[column[group != index] for column in columns])
    margin = STUDENT * float(np.sqrt((GROUPS - 1) * np.mean((values - values.mean()) ** 2)))
    return Estimate(value, value - margin, value + margin, note)


def compare(metric: str, columns: Mapping[str, Column]) -> Comparison:
    """Compare two models, by name, over the same two or more images. Raises ValueError for columns of other images."""
    first, second = columns.values()
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"{len(first)} and {len(second)} photos: models are compared on the same two or more photos")
    one, other = columns
    differences = first - second
    if not differences.any():
        return Comparison(metric, (one, other), mean=0.0, low=0.0, high=0.0, p=1.0, rank=0.0)
    low, high = np.quantile(_resampled_means(differences), LIMITS).tolist()
    p = float(wilcoxon(differences).pvalue)
    rank = float((np.sign(differences) * rankdata(np.abs(differences))).sum())
    return Comparison(metric, (one, other), float(differences.mean()), low, high, p, rank)
