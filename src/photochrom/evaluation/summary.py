"""Summarize measured columns: every metric of every row with its interval, and comparisons of models."""

from collections.abc import Mapping
from functools import partial
from itertools import combinations

import numpy as np

from . import metrics
from .measure import BASELINES, GRAY, TRUTH, WEIGHT, Columns
from .metrics import find_metric
from .statistics import Comparison, Estimate, absolute_mean, compare, jackknife, ratio_of_means

COLORLESS = 0.5  # mean chroma in Lab units below which images are gray: rounding alone gives as much
COMPARED = ("ab-error", "ciede2000", "psnr", "lpips-alex", "lpips-vgg")

Estimates = dict[str, Estimate]  # by metric


def summarize(
    tables: Mapping[str, Columns], reference: Columns | None, force: bool
) -> tuple[dict[str, Estimates], list[str]]:
    """Return every metric of every row, and warnings about metrics that are left out.

    ``reference`` has the features to which distances between sets are taken, None for those of the ground truth;
    ``force`` includes Frechet distances of too few images. Raises ValueError when the ground truth has no color.
    """
    chroma = float(tables[GRAY]["ab-error"].mean())
    if chroma < COLORLESS:
        raise ValueError(f"mean chroma {chroma:.2g}: these photos have no color to compare with")
    rows: dict[str, Estimates] = {}
    warnings: dict[str, None] = {}  # in order, without repetitions
    for row, columns in tables.items():
        rows[row] = _image_metrics(columns, tables)
        omissions = _add_set_metrics(rows[row], columns, tables[TRUTH], reference, force)
        warnings |= dict.fromkeys(omissions)
        for name in rows[row]:
            find_metric(name)  # refuses a metric without record
    return rows, list(warnings)


def _image_metrics(columns: Columns, tables: Mapping[str, Columns]) -> Estimates:
    """Means and ratios of means over images."""
    ones = np.ones(len(columns["ab-error"]))
    estimates = {}
    for name, column in columns.items():
        if column.ndim == 1 and not name.endswith(WEIGHT):
            estimates[name] = ratio_of_means(column, columns.get(name + WEIGHT, ones))
    estimates["ab-error-to-gray"] = ratio_of_means(columns["ab-error"], tables[GRAY]["ab-error"])
    for name in ("colorfulness", "colorfulness-absolute"):
        truth = tables[TRUTH][name]
        estimates[f"{name}-to-truth"] = ratio_of_means(columns[name], truth)
        estimates[f"delta-{name}"] = absolute_mean(columns[name] - truth)
    return estimates


def _add_set_metrics(
    estimates: Estimates, columns: Columns, truth: Columns, reference: Columns | None, force: bool
) -> list[str]:
    """Add the metrics of the whole set, and return why some are left out."""
    estimates["ab-overlap"] = jackknife(metrics.overlap, columns["bins"], truth["bins"])
    omissions = []
    for name, column in columns.items():
        kind, _, network = name.partition("/")
        frechet, kernel, score = f"fd-{network}", f"kd-{network}", f"is-{network}"
        if network == "inception":  # that of the FID papers: only this one gives what is called FID, KID and IS
            frechet, kernel, score = "fid", "kid", "is"
        if kind == "classes":
            estimates[score] = jackknife(metrics.inception_score, column)
        if kind != "features" or len(column) < 2:
            continue
        if reference is None:
            sets, fixed = [column, truth[name]], {}
        else:
            sets, fixed = [column], {"second": reference[name]}
        kernel_distance = partial(metrics.kernel_distance, paired=reference is None, **fixed)
        estimates[kernel] = jackknife(kernel_distance, *sets)
        size, enough = f"{len(column)} photos for {column.shape[1]} features", len(column) > column.shape[1]
        if enough or force:
            frechet_distance = partial(metrics.frechet_distance, **fixed)
            estimates[frechet] = jackknife(frechet_distance, *sets, note="" if enough else f"too few: {size}")
        else:
            omissions.append(f"{frechet} left out: {size}; it needs more photos than features (or --force)")
    return omissions


def compare_models(tables: Mapping[str, Columns]) -> list[Comparison]:
    """Compare each two models on the same images, by the metrics `COMPARED`."""
    comparisons = []
    models = [name for name in tables if name not in BASELINES]
    for first, second in combinations(models, 2):
        for metric in COMPARED:
            if metric in tables[first] and len(tables[first][metric]) > 1:
                columns = {first: tables[first][metric], second: tables[second][metric]}
                comparisons.append(compare(metric, columns))
    return comparisons
