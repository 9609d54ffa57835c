"""How sure a figure is: intervals over photographs, and whether one model differs from another on the same ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, wilcoxon

DRAWS = 1000  # bootstrap resamples
GROUPS = 10  # of the jackknife
LEVEL = 0.95
STUDENT = 2.262  # standard errors on either side that hold LEVEL of Student's t with GROUPS - 1 degrees of freedom

Column = Float[np.ndarray, "n"]
Interval = tuple[float | None, float | None]


@dataclass(frozen=True)
class Figure:
    """A value and its 95% interval, None where one cannot be given; ``note``: what must be known beside it."""

    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """One model less another, photo by photo: mean, its 95% interval, Wilcoxon's two-sided p, sum of signed ranks."""

    mean: float
    low: float
    high: float
    p: float
    rank: float

    @property
    def clear(self) -> bool:
        """Whether interval and test agree that there is a difference to speak of, and on its side."""
        return (self.low > 0 or self.high < 0) and self.p < 1 - LEVEL and self.rank * self.mean > 0


def ratio_of_means(values: Column, weights: Column) -> Figure:
    """Sum of values over sum of weights, with a bootstrap interval (Efron 1979) over the photographs.

    With weights of 1 it is their mean.
    """
    value = float(values.sum() / weights.sum())
    if len(values) < 2:
        return Figure(value)
    tops, bottoms = (_resampled(column) for column in (values, weights))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.quantile(tops / bottoms, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(value, float(low), float(high)) if np.isfinite([low, high]).all() else Figure(value)


def size_of_mean(values: Column) -> Figure:
    """The mean without its sign, with a bootstrap interval, which begins at 0 where the sign is not certain."""
    found = ratio_of_means(values, np.ones(len(values)))
    if found.low is None or found.high is None:
        return Figure(abs(found.value))
    ends = sorted((abs(found.low), abs(found.high)))
    return Figure(abs(found.value), 0.0 if found.low < 0 < found.high else ends[0], ends[1])


def _resampled(column: Column) -> Column:
    """Mean of each bootstrap resample; the same resamples for every column of a length."""
    return np.array([draw @ column for draw in _draws(len(column))]) / len(column)


@lru_cache(maxsize=1)
def _draws(n: int) -> Float[np.ndarray, "draws n"]:
    """How often each of n photographs is in each resample."""
    rng = np.random.default_rng(0)
    made = np.empty((DRAWS, n), np.float32)
    for draw in made:
        draw[:] = np.bincount(rng.integers(0, n, n), minlength=n)
    return made


def of_set(figure: Callable[[np.ndarray], float], n: int, note: str = "") -> Figure:
    """A figure of a whole set, given which photographs to take, with a jackknife interval over `GROUPS` groups.

    A bootstrap would not do: photographs drawn twice make a set look less varied than it is.
    """
    value = figure(np.arange(n))
    if n < 3 * GROUPS:
        return Figure(value, note=note)
    group = np.random.default_rng(0).permutation(n) % GROUPS
    left_out = np.array([figure(np.flatnonzero(group != g)) for g in range(GROUPS)])
    deviation = float(np.sqrt((GROUPS - 1) * np.mean((left_out - left_out.mean()) ** 2)))
    return Figure(value, value - STUDENT * deviation, value + STUDENT * deviation, note)


def difference(ours: Column, theirs: Column) -> Difference:
    """A column of one model less that of another over the same photographs. Raises ValueError for fewer than two."""
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(
            f"{len(ours)} and {len(theirs)} photographs: two models are compared over the same two or more"
        )
    apart = ours - theirs
    low, high = np.quantile(_resampled(apart), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if not apart.any():
        return Difference(0.0, 0.0, 0.0, 1.0, 0.0)
    rank = float((np.sign(apart) * rankdata(np.abs(apart))).sum())
    return Difference(float(apart.mean()), float(low), float(high), float(wilcoxon(apart).pvalue), rank)


def verdict(metric: str, better: str, names: Sequence[str], found: Difference) -> str:
    """A comparison as a sentence."""
    one, other = names
    span = f"{found.low:+.4g} to {found.high:+.4g}, p = {found.p:.2g}"
    if not found.clear:
        return f"{metric}: no difference to speak of between {one} and {other} ({span})"
    wins = (found.mean > 0) == (better == "higher")
    return (
        f"{metric}: {one if wins else other} is better than {other if wins else one} by {abs(found.mean):.4g} ({span})"
    )
