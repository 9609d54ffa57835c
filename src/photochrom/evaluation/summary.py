"""Summarize measured columns: every metric of every row with its interval, and comparisons of models."""

from collections.abc import Mapping
from itertools import chain

import numpy as np

from . import metrics
from .comparison import Comparison, compare, correct
from .measure import BASELINES, GRAY, TRUTH, WEIGHT, Columns
from .metrics import find_metric
from .statistics import Estimate, absolute_mean, jackknife, jackknife_estimate, photo_groups, ratio_of_means

COLORLESS = 0.5  # mean chroma in Lab units below which images are gray: rounding alone gives as much

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
            # Images keep their parts where a group is left out: other parts would be other noise.
            estimates[score] = jackknife(metrics.inception_score, column, metrics.score_parts(len(column)))
        if kind != "features" or len(column) < 2:
            continue
        paired = reference is None
        other = truth[name] if reference is None else reference[name]
        group = photo_groups(len(column))
        distance, *without = metrics.kernel_distances(column, other, group, paired)
        estimates[kernel] = jackknife_estimate(distance, without)
        size, enough = f"{len(column)} photos for {column.shape[1]} features", len(column) > column.shape[1]
        if enough or force:
            distance, *without = metrics.frechet_distances(column, other, group, paired)
            estimates[frechet] = jackknife_estimate(distance, without, "" if enough else f"too few: {size}")
        else:
            omissions.append(f"{frechet} left out: {size}; it needs more photos than features (or --force)")
    return omissions


def compare_models(tables: Mapping[str, Columns], rows: Mapping[str, Estimates]) -> list[Comparison]:
    """Compare each two models on the same images, by every metric that ``metrics.toml`` marks as ``compared``.

    Args:
        tables: The columns of each row, as `measure.measure` gives them.
        rows: The estimates of each row, as `summarize` gives them.

    Returns:
        Comparisons whose p is corrected for all of them (Holm 1979).
    """
    models = [name for name in tables if name not in BASELINES]
    comparisons = []
    for metric in dict.fromkeys(chain.from_iterable(rows[model] for model in models)):
        columns = {}
        for model in models:
            column = _compared_column(metric, tables[model], rows[model])
            if column is not None:
                columns[model] = column
        if find_metric(metric).compared:
            comparisons += compare(metric, columns)
    return correct(comparisons)


def _compared_column(metric: str, columns: Columns, estimates: Estimates) -> np.ndarray | None:
    """The values of a metric for each image or, of a metric of the whole set, for each group of images."""
    column = columns.get(metric)
    if column is None and metric in estimates:
        column = estimates[metric].groups
    return column if column is not None and len(column) > 1 else None
