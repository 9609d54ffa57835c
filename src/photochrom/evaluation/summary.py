"""Summarize measured columns: every metric of every row with its interval, and comparisons of models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from . import metrics
from .catalog import find_metric
from .measure import BASELINES, GRAY, TRUTH, WEIGHT, Columns
from .statistics import Difference, Estimate, absolute_mean, jackknife, paired_difference, ratio_of_means

COLORLESS = 0.5  # mean chroma in Lab units below which images are gray: rounding alone gives as much
COMPARED = ("ab-error", "ciede2000", "psnr", "lpips-alex", "lpips-vgg")

Estimates = dict[str, Estimate]  # by metric


@dataclass(frozen=True)
class Comparison:
    """A metric of two models on the same images: ``first`` minus ``second``."""

    metric: str
    first: str
    second: str
    difference: Difference


def summarize(
    tables: Mapping[str, Columns], reference: Columns | None, force: bool
) -> tuple[dict[str, Estimates], list[str]]:
    """Return every metric of every row, and warnings about metrics that are left out.

    Args:
        tables: columns by row, the baselines among them.
        reference: feature columns to which distances between sets are taken; None for those of the ground truth.
        force: include Frechet distances of too few images, with a note.

    Raises ValueError when the ground truth has no color.
    """
    chroma = float(tables[GRAY]["ab-error"].mean())
    if chroma < COLORLESS:
        raise ValueError(f"mean chroma {chroma:.2g}: these photos have no color to compare with")
    warnings: dict[str, None] = {}  # in order, without repetitions
    rows = {}
    for name, columns in tables.items():
        rows[name] = _image_metrics(columns, tables[GRAY], tables[TRUTH])
        rows[name] |= _set_metrics(columns, tables[TRUTH], reference, force, warnings)
        for metric in rows[name]:
            find_metric(metric)  # raises where a metric has no record
    return rows, list(warnings)


def _image_metrics(columns: Columns, gray: Columns, truth: Columns) -> Estimates:
    """Means and ratios of means over images."""
    ones = np.ones(len(columns["ab-error"]))
    estimates = {}
    for name, column in columns.items():
        if column.ndim == 1 and not name.endswith(WEIGHT):
            estimates[name] = ratio_of_means(column, columns.get(name + WEIGHT, ones))
    estimates["ab-error-to-gray"] = ratio_of_means(columns["ab-error"], gray["ab-error"])
    for name in ("colorfulness", "colorfulness-absolute"):
        estimates[f"{name}-to-truth"] = ratio_of_means(columns[name], truth[name])
        estimates[f"delta-{name}"] = absolute_mean(columns[name] - truth[name])
    return estimates


def _set_metrics(
    columns: Columns, truth: Columns, reference: Columns | None, force: bool, warnings: dict[str, None]
) -> Estimates:
    """Metrics of the whole set. Only the Inception of the FID papers gives what is called FID, KID and IS."""
    bins, true_bins = columns["bins"], truth["bins"]
    n, paired = len(bins), reference is None
    estimates = {"ab-overlap": jackknife(lambda i: metrics.overlap(bins[i].mean(0), true_bins[i].mean(0)), n)}
    for name, column in columns.items():
        kind, _, network = name.partition("/")
        suffix = "" if network == "inception" else f"-{network}"
        if kind == "classes":
            estimates[f"is{suffix}"] = jackknife(partial(_score_classes, column), n)
        if kind != "features" or n < 2:
            continue
        others = truth[name] if reference is None else reference[name]
        between = partial(_set_distance, ours=column, others=others, paired=paired)
        estimates[f"kd{suffix}" if suffix else "kid"] = between(partial(metrics.kernel_distance, paired=paired))
        frechet, size = f"fd{suffix}" if suffix else "fid", f"{n} photos for {column.shape[1]} features"
        if n > column.shape[1]:
            estimates[frechet] = between(metrics.frechet_distance)
        elif force:
            estimates[frechet] = between(metrics.frechet_distance, note=f"too few: {size}")
        else:
            needs = "it needs more photos than features (--force includes it, marked)"
            warnings[f"{frechet} left out: {size}; {needs}"] = None
    return estimates


def _score_classes(probabilities: np.ndarray, indices: np.ndarray) -> float:
    return metrics.inception_score(probabilities[indices])


def _set_distance(
    distance: Callable[..., float], ours: np.ndarray, others: np.ndarray, paired: bool, note: str = ""
) -> Estimate:
    return jackknife(lambda i: distance(ours[i], others[i] if paired else others), len(ours), note)


def compare_models(tables: Mapping[str, Columns]) -> list[Comparison]:
    """Compare each two models on the same images, by the metrics `COMPARED`."""
    comparisons = []
    for first, second in combinations([name for name in tables if name not in BASELINES], 2):
        for metric in COMPARED:
            if metric in tables[first] and len(tables[first][metric]) > 1:
                difference = paired_difference(tables[first][metric], tables[second][metric])
                comparisons.append(Comparison(metric, first, second, difference))
    return comparisons
