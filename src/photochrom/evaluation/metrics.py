"""Metrics of one image against its ground truth, and of one set of images against another: pure functions.

``metrics.toml`` lists them; ``docs/explanation/metrics.md`` explains what each measures and when it misleads.
"""

import math
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigvalsh, svdvals

RGB = Float[np.ndarray, "3 h w"]  # sRGB in [0, 1]
Lab = Float[np.ndarray, "3 h w"]  # as `core.color.rgb_to_lab` gives it
Features = Float[np.ndarray, "n d"]

PSNR_LIMIT = 100.0  # dB for equal images, where the ratio is infinite, so that means stay finite
PEAK_AB = 255.0  # range of a and b in 8-bit Lab, the peak of `psnr` over both
AUC_LIMIT = 150  # Lab units at which the curve of `auc` ends
SSIM_SIGMA, SSIM_RADIUS = 1.5, 5
SMALLEST_SIDE = 2 * SSIM_RADIUS + 1  # pixels that hold one window of `ssim`
BLOCK = 64  # columns whose windows are computed by one matrix product
KERNEL_ROWS = 1000  # rows of one set that `kernel_distance` compares with all of the other at once
MAPE_FLOOR = 1.17e-6  # smallest divisor of `mape`
SPLITS = 10  # parts of a set whose Inception scores are averaged

# Banded matrix (BLOCK + 2 radius, BLOCK): column k holds the Gaussian window of output k.
_WINDOW = np.exp(-0.5 * (np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1) / SSIM_SIGMA) ** 2)
_SHIFTS = [np.eye(BLOCK + 2 * SSIM_RADIUS, BLOCK, -k) for k in range(2 * SSIM_RADIUS + 1)]
WINDOWS = np.tensordot(_WINDOW / _WINDOW.sum(), _SHIFTS, 1).astype(np.float32)


@dataclass(frozen=True)
class Metric:
    """A metric that a report can show; a ``name`` that ends in ``*`` stands for one metric for each network."""

    name: str  # key in JSON and CSV
    better: Literal["higher", "lower", "truth"]  # truth: closer to the value of the ground truth
    label: str
    headline: bool = False  # whether it is in the Markdown table and in model.json
    compared: bool = False  # whether models are compared by it


_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
METRICS = [Metric(name, **table) for name, table in _TABLES.items()]


def find_metric(name: str) -> Metric:
    """Return the record of a metric by its key, such as ``fd-vgg16``. Raises ValueError for an unknown key."""
    for metric in METRICS:
        if fnmatchcase(name, metric.name):
            return metric
    raise ValueError(f"unknown metric {name!r}: add a record with its direction to metrics.toml")


def mse(rgb: RGB, truth: RGB) -> float:
    """Return the mean squared error over the three channels."""
    return float(np.mean(np.square(rgb - truth, dtype=np.float64)))


def psnr(rgb: RGB, truth: RGB, peak: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio in dB, at most `PSNR_LIMIT`."""
    error = mse(rgb, truth) / peak**2
    return PSNR_LIMIT if error <= 0 else min(PSNR_LIMIT, -10 * math.log10(error))


def mape(rgb: RGB, truth: RGB) -> float:
    """Return the mean absolute error relative to the true value, as a ratio; dark pixels dominate it."""
    return float(np.mean(np.abs(rgb - truth) / np.maximum(np.abs(truth), MAPE_FLOOR), dtype=np.float64))


def ssim(rgb: RGB, truth: RGB) -> float:
    """Return the structural similarity (Wang et al. 2004): Gaussian window 11, sigma 1.5, mean over whole windows.

    Raises ValueError for a side under 11 pixels, which holds no whole window.
    """
    if min(rgb.shape[1:]) < SMALLEST_SIDE:
        raise ValueError(f"{rgb.shape[2]} x {rgb.shape[1]} pixels: SSIM needs at least {SMALLEST_SIDE} on each side")
    planes = np.stack([rgb, truth, rgb * rgb, truth * truth, rgb * truth])
    mean, true_mean, square, true_square, product = _window_means(planes)
    variance, true_variance = square - mean**2, true_square - true_mean**2
    covariance = product - mean * true_mean
    c1, c2 = 0.01**2, 0.03**2
    numerator = (2 * mean * true_mean + c1) * (2 * covariance + c2)
    denominator = (mean**2 + true_mean**2 + c1) * (variance + true_variance + c2)
    return float(np.mean(numerator / denominator, dtype=np.float64))


def _window_means(x: Float[np.ndarray, "*b h w"]) -> Float[np.ndarray, "*b h-10 w-10"]:
    """Gaussian means over all whole windows, by banded matrices: three times as fast as a filter."""
    for _ in range(2):
        blocks = []
        for start in range(0, x.shape[-1] - 2 * SSIM_RADIUS, BLOCK):
            block = x[..., start : start + BLOCK + 2 * SSIM_RADIUS]
            width = block.shape[-1]
            blocks.append(block @ WINDOWS[:width, : width - 2 * SSIM_RADIUS])
        x = np.concatenate(blocks, -1).swapaxes(-1, -2)
    return x


def ab_distance(lab: Lab, truth: Lab) -> Float[np.ndarray, "h w"]:
    """Return the distance in the ab plane at each pixel, Lab units; for a grayscale image, the chroma of the truth."""
    return np.hypot(*(lab - truth)[1:])


def ciede2000(lab: Lab, truth: Lab) -> Float[np.ndarray, "h w"]:
    """Return the CIEDE2000 color difference, k_L = k_C = k_H = 1 (Sharma, Wu & Dalal 2005, equations 2-22)."""
    (l1, a1, b1), (l2, a2, b2), pi = lab, truth, math.pi

    def chroma(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * a + b * b) ** 0.5

    def chroma_weight(c: np.ndarray) -> np.ndarray:  # sqrt(c^7 / (c^7 + 25^7)), written so that large c cannot overflow
        return (1 / (1 + (25 / c.clip(1e-3, None)) ** 7)) ** 0.5

    stretch = 1.5 - 0.5 * chroma_weight((chroma(a1, b1) + chroma(a2, b2)) / 2)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = chroma(a1, b1), chroma(a2, b2)
    h1, h2 = np.atan2(b1, a1) % (2 * pi), np.atan2(b2, a2) % (2 * pi)
    # Gray has no hue: then the hue difference is 0 and the mean hue that of the other color.
    gray = c1 * c2 == 0
    turn = h2 - h1
    turn = np.where(turn > pi, turn - 2 * pi, np.where(turn < -pi, turn + 2 * pi, turn))
    turn = np.where(gray, turn * 0, turn)
    hue = np.where(abs(h1 - h2) > pi, (h1 + h2 + 2 * pi) / 2, (h1 + h2) / 2)
    hue = np.where(gray, h1 + h2, hue)
    t = (
        1
        - 0.17 * np.cos(hue - math.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + math.radians(6))
        - 0.20 * np.cos(4 * hue - math.radians(63))
    )
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / (20 + (mean_l - 50) ** 2) ** 0.5
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    blue = math.radians(60) * np.exp(-(((hue % (2 * pi) - math.radians(275)) / math.radians(25)) ** 2))
    d_l, d_c = (l2 - l1) / s_l, (c2 - c1) / s_c
    d_h = 2 * (c1 * c2) ** 0.5 * np.sin(turn / 2) / s_h
    total = d_l**2 + d_c**2 + d_h**2 - np.sin(blue) * 2 * chroma_weight(mean_c) * d_c * d_h
    return total.clip(0, None) ** 0.5


def auc(distance: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return each pixel's share in the area under the error curve (Zhang et al. 2016), from 1 (no error) to 0.

    The curve is the share of pixels within 0, 1, ... `AUC_LIMIT` Lab units of the truth; the area is its mean.
    """
    return np.clip(AUC_LIMIT + 1 - np.ceil(distance), 0, None) / (AUC_LIMIT + 1)


def overlap(first: Float[np.ndarray, "n bins"], second: Float[np.ndarray, "n bins"]) -> float:
    """Return the intersection of the mean histograms of two sets, from 0 to 1 (equal); each histogram sums to 1."""
    return float(np.minimum(first.mean(0), second.mean(0)).sum())


def frechet_distance(first: Features, second: Features) -> float:
    """Return the Frechet distance of Gaussians fitted to two sets of features (Dowson & Landau 1982, Heusel 2017).

    With X'X / (n - 1) = R'R for centered features X, the trace of the square root of the product of both covariances
    equals the sum of the singular values of R S'. This needs no matrix square root, which may turn complex. float64.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    shift = np.square(x.mean(0) - y.mean(0)).sum()
    r, s = _root(x), _root(y)
    return float(max(0.0, shift + np.square(r).sum() + np.square(s).sum() - 2 * svdvals(r @ s.T).sum()))


def frechet_distances(
    first: Features, second: Features, group: Int[np.ndarray, "n"] | None, paired: bool = False
) -> Float[np.ndarray, "distances"]:
    """Return the `frechet_distance`, then those without each group of rows of the first set in turn.

    In ``paired`` sets the same rows of the second are left out; another second set stays whole.
    """
    x, y = (np.asarray(features, np.float64) for features in (first, second))
    x, y = x - y.mean(0), y - y.mean(0)
    distances = [frechet_distance(x, y)]
    few = paired and len(x) <= 2 * x.shape[1]  # then products of rows are faster than covariances
    products = x @ y.T if few else None
    for index in range(0 if group is None else int(group.max()) + 1):
        keep = np.flatnonzero(group != index)
        rows, others = x[keep], y[keep] if paired else y
        if products is None:
            distances.append(frechet_distance(rows, others))
            continue
        # With centered rows X and Y, the trace is that of the square root of the symmetric product X Y' Y X'.
        kept = products[np.ix_(keep, keep)]
        kept = kept - kept.mean(0) - kept.mean(1, keepdims=True) + kept.mean()
        trace = np.sqrt(eigvalsh(kept @ kept.T).clip(0)).sum() / (len(rows) - 1)
        shift = np.square(rows.mean(0) - others.mean(0)).sum()
        distances.append(shift + rows.var(0, ddof=1).sum() + others.var(0, ddof=1).sum() - 2 * trace)
    return np.array(distances)


def _root(x: Features) -> Float[np.ndarray, "rows d"]:
    """A matrix R with R'R the covariance of features; of few images the centered features are one, as small as any."""
    centered = (x - x.mean(0)) / math.sqrt(len(x) - 1)
    if len(x) <= x.shape[1]:
        return centered
    root: np.ndarray = np.linalg.qr(centered, mode="r")  # type: ignore[assignment]
    return root


def kernel_distance(first: Features, second: Features, paired: bool = False) -> float:
    """Return the kernel distance (Binkowski et al. 2018): unbiased squared MMD of (x.y / d + 1)^3 over whole sets.

    In ``paired`` sets row k of one is made from row k of the other. Such pairs are not independent and are left out,
    like each row with itself (Gretton et al. 2012, lemma 6).
    """
    return float(kernel_distances(first, second, None, paired)[0])


def kernel_distances(
    first: Features, second: Features, group: Int[np.ndarray, "n"] | None, paired: bool = False
) -> Float[np.ndarray, "distances"]:
    """Return the `kernel_distance`, then those without each group of rows of the first set in turn.

    In ``paired`` sets the same rows of the second are left out; another second set stays whole. Kernels are summed by
    groups once, because the matrices of all smaller sets would cost as much again each.
    """
    number = 0 if group is None else int(group.max()) + 1
    keep = np.vstack([np.ones(number), 1 - np.eye(number)]) if number else np.ones((1, 1))
    x = _GroupedSet(np.asarray(first, np.float64), np.zeros(len(first), int) if group is None else group, keep)
    y = _GroupedSet(np.asarray(second, np.float64), np.zeros(len(second), int), np.ones((len(keep), 1)))
    if paired:
        y = _GroupedSet(y.rows, x.group, keep)
    between = _mean_kernels(x, y, without_pairs=paired)
    return _mean_kernels(x, x, without_pairs=True) + _mean_kernels(y, y, without_pairs=True) - 2 * between


@dataclass(frozen=True)
class _GroupedSet:
    rows: Features
    group: Int[np.ndarray, "n"]  # the number of each row's group
    keep: Float[np.ndarray, "subsets groups"]  # 1 for the groups that a subset has


def _mean_kernels(a: _GroupedSet, b: _GroupedSet, without_pairs: bool) -> Float[np.ndarray, "subsets"]:
    """The mean kernel between rows of each subset of two sets."""
    of_a, of_b = (np.eye(part.keep.shape[1])[part.group] for part in (a, b))
    sums = np.zeros((of_a.shape[1], of_b.shape[1]))
    width = a.rows.shape[1]
    # In blocks: for 50,000 images the whole matrix would need 20 GB.
    for start in range(0, len(a.rows), KERNEL_ROWS):
        block = slice(start, start + KERNEL_ROWS)
        kernels = (a.rows[block] @ b.rows.T / width + 1) ** 3
        sums += of_a[block].T @ (kernels @ of_b)
    totals = (a.keep @ sums * b.keep).sum(1)
    n, m = a.keep @ of_a.sum(0), b.keep @ of_b.sum(0)
    if not without_pairs:
        return totals / (n * m)
    pairs = ((a.rows * b.rows).sum(1) / width + 1) ** 3
    return (totals - a.keep @ (of_a.T @ pairs)) / (n * (n - 1))


def score_parts(n: int) -> Int[np.ndarray, "n"]:
    """Return the part of the set in which each of n images is scored, see `inception_score`."""
    parts = np.empty(n, int)
    shuffled = np.random.default_rng(0).permutation(n)
    for part, indices in enumerate(np.array_split(shuffled, min(SPLITS, n))):
        parts[indices] = part
    return parts


def inception_score(probabilities: Float[np.ndarray, "n classes"], parts: Int[np.ndarray, "n"] | None = None) -> float:
    """Return exp of the mean divergence of each image's class probabilities from their mean (Salimans et al. 2016).

    It is averaged over ``parts`` of the set, without which there are `SPLITS` (as many as there are images, if fewer),
    shuffled with a fixed seed because neighbors in a folder are often of one class.
    """
    p = np.asarray(probabilities, np.float64).clip(1e-16, 1)
    parts = score_parts(len(p)) if parts is None else parts
    negative_entropy = (p * np.log(p)).sum(1)
    scores = []
    for part in np.unique(parts):
        mean = p[parts == part].mean(0)
        divergence = negative_entropy[parts == part].mean() - (mean * np.log(mean)).sum()
        scores.append(math.exp(divergence))
    return float(np.mean(scores))
