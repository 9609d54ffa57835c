"""Comparisons of models on the same photos, corrected for their number, and their verdicts in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, wilcoxon

from .metrics import find_metric
from .replicates import LEVEL, Values, compare_means


@dataclass(frozen=True)
class Comparison:
    """A metric of two models on the same photos: the first minus the second."""

    metric: str
    models: tuple[str, str]
    difference: float
    low: float  # of the 95% interval of this difference alone
    high: float
    p: float  # two-sided, of this comparison alone
    adjusted_p: float  # corrected for all comparisons of the report

    @property
    def significant(self) -> bool:
        """Whether the corrected test finds a difference, of which the interval has the same sign."""
        return self.adjusted_p < 1 - LEVEL and self.low * self.high > 0 and self.low * self.difference > 0

    @property
    def verdict(self) -> str:
        """The comparison in a sentence, whose interval is that of the advantage it names."""
        (first, second), low, high = self.models, self.low, self.high
        p = f"corrected p = {self.adjusted_p:.2g}"
        if not self.significant:
            interval = f"{first} - {second}: {low:+.4g} to {high:+.4g}, {p}"
            correction = " once corrected for the number of comparisons" if low * high > 0 else ""
            models = f"{first} and {second}{correction}"
            return f"{self.metric}: no significant difference between {models} ({interval})"
        # The difference is first minus second; the sentence says by how much the better one leads, which is positive.
        if self.difference < 0:
            low, high = -high, -low
        first_wins = (self.difference > 0) == (find_metric(self.metric).better == "higher")
        better, worse = (first, second) if first_wins else (second, first)
        advantage = f"{abs(self.difference):.4g} ({low:.4g} to {high:.4g}, {p})"
        return f"{self.metric}: {better} is better than {worse} by {advantage}"


def compare(metric: str, columns: Mapping[str, Float[np.ndarray, "*runs photos"]]) -> list[Comparison]:
    """Compare each two models by a metric on the same photos; `correct` then corrects for the number of comparisons.

    Two tests must agree on the sign of the difference, and the higher p counts: Student's t of the mean, whose
    interval the comparison has, and Wilcoxon's signed-rank test, which a few extreme photos cannot decide.

    Args:
        metric: Name of the metric.
        columns: By model, the metric of each photo, (photos,) or (seeds, photos) for a family with several training
            seeds; or the pseudo-values of a metric of the whole set, see `statistics.Estimate`.

    Raises:
        ValueError: The columns are of other photos.
    """
    families: dict[str, Values] = {name: np.atleast_2d(column) for name, column in columns.items()}
    effects = compare_means(families)
    if not effects:
        return []
    differences = np.stack([families[first].mean(0) - families[second].mean(0) for first, second in effects])
    comparisons = []
    for (pair, effect), rank_p in zip(effects.items(), _rank_tests(differences), strict=True):
        p = max(effect.p, float(rank_p))
        comparisons.append(Comparison(metric, pair, effect.value, effect.low, effect.high, p, adjusted_p=p))
    return comparisons


def _rank_tests(differences: Float[np.ndarray, "pairs photos"]) -> Float[np.ndarray, "pairs"]:
    """The p of Wilcoxon's signed-rank test, 1 where the ranks have another sign than the mean."""
    ranks = (np.sign(differences) * rankdata(np.abs(differences), axis=1)).sum(1)
    agree = ranks * differences.mean(1) > 0
    p = np.ones(len(differences))
    if agree.any():
        p[agree] = wilcoxon(differences[agree], axis=1).pvalue
    return p


def correct(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons of one report with p corrected for all of them: every pair of models, every metric."""
    adjusted = adjust([comparison.p for comparison in comparisons])
    return [replace(comparison, adjusted_p=float(p)) for comparison, p in zip(comparisons, adjusted, strict=True)]


def adjust(p: Sequence[float]) -> Float[np.ndarray, "comparisons"]:
    """Return p values corrected for their number by Holm's method (1979).

    Where none of the compared things differ, the chance that any of the corrected values is below 0.05 is at most 5%,
    however they depend on one another.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values)
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted
