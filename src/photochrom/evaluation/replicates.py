"""Effects whose uncertainty has two sources: the photos that are measured, and the training runs (seeds).

Values are arrays (runs, photos): a metric of each photo, colorized by the model of each training run. All models are
measured on the same photos, so differences are taken photo by photo; their training runs have nothing in common.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
SMALLEST_P = 1e-100  # below it a p is 0
UNKNOWN = "too few training runs: the variance over seeds is unknown, the interval counts photos only"

Values = Float[np.ndarray, "runs photos"]


@dataclass(frozen=True)
class Effect:
    """An effect with the 95% interval and the two-sided p of Student's t.

    Interval and p agree: p is below 0.05 where the interval does not contain 0.
    """

    value: float
    low: float
    high: float
    p: float
    photo_error: float  # standard error from the choice of photos
    seed_error: float | None  # standard error from the training runs, None where it is unknown
    note: str = ""

    @property
    def standard_error(self) -> float:
        """The standard error from both sources, as far as they are known."""
        return math.hypot(self.photo_error, self.seed_error or 0.0)


@dataclass(frozen=True)
class SeedVariance:
    """The variance of a metric of one photo by its sources, and the mean with a standard error that counts all."""

    mean: Effect
    seeds: float | None  # between training runs, None for a single run
    photos: float  # between photos; for a single run together with `residual`
    residual: float | None  # what is left: how differently the runs rank the photos


@dataclass(frozen=True)
class _Fit:
    """A coefficient of a linear model of training runs: for each photo, and how runs scatter around the model."""

    photos: Float[np.ndarray, "photos"]
    squared_weights: float  # the variance of the coefficient is this times the variance of a run
    squares: float  # sum of squares of the runs (means over photos) around the model
    degrees: int  # of freedom of `squares`


def seed_variance(values: Values) -> SeedVariance:
    """Separate the variance over training seeds from the variance over photos: two-way random effects ANOVA.

    Args:
        values: A metric of one family, (seeds, photos), two or more photos.

    Returns:
        The components of variance (negative estimates are 0), and the mean as an `Effect`.
    """
    values = np.asarray(values, np.float64)
    seeds, photos = values.shape
    mean = mean_over_seeds(values)
    by_seed, by_photo = values.mean(1), values.mean(0)
    if seeds == 1:
        return SeedVariance(mean, None, float(by_photo.var(ddof=1)), None)
    remainder = values - by_seed[:, None] - by_photo + values.mean()
    residual = float(np.square(remainder).sum() / ((seeds - 1) * (photos - 1)))
    between_seeds = max(0.0, float(by_seed.var(ddof=1)) - residual / photos)
    between_photos = max(0.0, float(by_photo.var(ddof=1)) - residual / seeds)
    return SeedVariance(mean, between_seeds, between_photos, residual)


def mean_over_seeds(values: Values) -> Effect:
    """Return the mean of a metric (seeds, photos), with an interval that counts seeds and photos."""
    fit = _fit_mean(values)
    return _effect(fit.photos, fit.squared_weights, [fit])


def compare_means(families: Mapping[str, Values]) -> dict[tuple[str, str], Effect]:
    """Return the difference of means, first minus second, of each two families on the same photos.

    The variance over seeds is pooled over all families, because two or three seeds say too little about that of one;
    where the two families of a pair vary more, theirs counts. Raises ValueError for values of other photos.
    """
    fits = {name: _fit_mean(values) for name, values in families.items()}
    return {pair: _difference(fits[pair[0]], fits[pair[1]], list(fits.values())) for pair in combinations(fits, 2)}


def slope(sizes: Float[np.ndarray, "runs"], values: Values) -> Effect:
    """Return the change of a metric for each doubling of the size, such as the number of training images.

    Args:
        sizes: The size of each training run, at least two different ones.
        values: The metric of each run for each photo; (runs, 1) for a metric that no single photo has.

    Returns:
        The slope of the least squares line over log2(size). Its interval counts the photos, and the scatter of runs
        around the line, in which seeds and a bend of the curve come together. With two runs that scatter is unknown.

    Raises:
        ValueError: All sizes are the same, or their number is not that of the runs.
    """
    fit = _fit_slope(sizes, values)
    return _effect(fit.photos, fit.squared_weights, [fit])


def compare_slopes(
    first: tuple[Float[np.ndarray, "runs"], Values], second: tuple[Float[np.ndarray, "runs"], Values]
) -> Effect:
    """Return the `slope` of the first model minus that of the second; each is given as (sizes, values).

    Photos are paired; the scatter of runs around their lines is pooled. Raises ValueError as `slope` does, and for
    values of other photos.
    """
    return _difference(_fit_slope(*first), _fit_slope(*second))


def _fit_mean(values: Values) -> _Fit:
    return _fit(np.ones((len(values), 1)), values)


def _fit_slope(sizes: Float[np.ndarray, "runs"], values: Values) -> _Fit:
    x = np.log2(np.asarray(sizes, np.float64))
    if len(x) != len(values):
        raise ValueError(f"{len(x)} sizes for {len(values)} training runs: give the size of each run")
    if np.ptp(x) == 0:
        raise ValueError(f"all training runs have size {sizes[0]:g}: a slope needs at least two sizes")
    return _fit(np.stack([np.ones_like(x), x], 1), values)


def _fit(design: Float[np.ndarray, "runs coefficients"], values: Values) -> _Fit:
    """Fit the last coefficient of a design by least squares."""
    values = np.asarray(values, np.float64)
    solution = np.linalg.pinv(design)
    residuals = (values - design @ (solution @ values)).mean(1)
    weights = solution[-1]
    degrees = len(design) - design.shape[1]
    squares = float(np.square(residuals).sum()) if degrees else 0.0
    return _Fit(weights @ values, float(np.square(weights).sum()), squares, degrees)


def _difference(first: _Fit, second: _Fit, pool: Sequence[_Fit] = ()) -> Effect:
    if len(first.photos) != len(second.photos):
        numbers = f"{len(first.photos)} and {len(second.photos)} photos"
        raise ValueError(f"{numbers}: models are compared on the same photos")
    squared_weights = first.squared_weights + second.squared_weights
    return _effect(first.photos - second.photos, squared_weights, [first, second], pool)


def _effect(
    photos: Float[np.ndarray, "photos"], squared_weights: float, own: Sequence[_Fit], pool: Sequence[_Fit] = ()
) -> Effect:
    """Return the mean over photos with the uncertainty of photos and training runs.

    The variance of runs is the higher of that in its ``own`` fits and that in the ``pool`` of all, with the degrees of
    freedom of the pool.

    The margins of the two sources are added as squares (Zou & Donner 2008), each with its own quantile of Student's t.
    Satterthwaite's approximation gives 7% instead of 5% false findings where two seeds contribute most of the
    variance, and fourteen times too many at p = 0.001, which a correction for many comparisons asks for.
    What interacts (one run is better on some photos) counts in both sources, so errors are rather too large.
    """
    value, degrees = float(photos.mean()), sum(fit.degrees for fit in pool or own)
    sources = []
    photo_error, seed_error = 0.0, None
    if len(photos) > 1:
        photo_error = float(photos.std(ddof=1)) / math.sqrt(len(photos))
        sources.append((photo_error, len(photos) - 1))
    if degrees:
        seed_error = math.sqrt(squared_weights * max(_run_variance(own), _run_variance(pool)))
        sources.append((seed_error, degrees))
    if not sources:
        raise ValueError("one training run and one value: an interval needs several photos or several seeds")

    half = _margin(1 - LEVEL, sources)
    note = "" if degrees else UNKNOWN
    return Effect(value, value - half, value + half, _p_value(abs(value), sources), photo_error, seed_error, note)


def _run_variance(fits: Sequence[_Fit]) -> float:
    degrees = sum(fit.degrees for fit in fits)
    return sum(fit.squares for fit in fits) / degrees if degrees else 0.0


def _margin(p: float, sources: Sequence[tuple[float, int]]) -> float:
    """The margin outside which an effect with these standard errors and degrees of freedom has a lower p."""
    margins = [-error * float(stdtrit(degrees, p / 2)) for error, degrees in sources]
    return math.hypot(*margins)


def _p_value(size: float, sources: Sequence[tuple[float, int]]) -> float:
    """The p at which the margin is as large as the effect."""
    if size <= 0:
        return 1.0
    if len(sources) == 1:
        ((error, degrees),) = sources
        return 2 * float(stdtr(degrees, -size / error)) if error > 0 else 0.0
    if _margin(SMALLEST_P, sources) <= size:
        return 0.0
    root = brentq(lambda log_p: _margin(math.exp(log_p), sources) - size, math.log(SMALLEST_P), 0.0)
    return math.exp(root)
