"""Columns of figures in, a report out: values with intervals, comparisons, JSON, CSV and a Markdown table."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from . import metrics
from .measure import COLORLESS, WEIGHT, Columns
from .protocols import Protocol
from .statistics import Difference, Figure, difference, of_set, ratio_of_means, size_of_mean, verdict

BETTER = {  # by the first part of a name, up to a hyphen or all of it; of every other, lower
    "psnr": "higher",
    "ssim": "higher",
    "auc": "higher",
    "class-agreement": "higher",
    "is": "higher",
    "diversity": "higher",
    "ab-overlap": "higher",
    "colorfulness": "truth",
    "chroma": "truth",
}
COMPARED = ("ab-error", "ciede2000", "psnr", "lpips-alex", "lpips-vgg")  # over which models are set side by side
BASELINES = ("gray", "mean colour", "truth")
SHORT = ("psnr", "ab-error", "ab-error-to-gray", "colorfulness", "colorfulness-to-truth", "lpips-vgg", "bits-per-dim")
SETS = ("fid", "fd-inception-ddcolor", "fd-vgg16")  # the first of these that there is

Figures = dict[str, Figure]


@dataclass(frozen=True)
class Report:
    """All that was found: figures by row, the comparisons of models, and what the reader must know beside them.

    ``data``: the sources, their digest; ``command``: what makes it again; ``cost``: by row, what it takes to run.
    """

    protocol: Protocol
    n: int
    data: Mapping[str, Any]
    rows: Mapping[str, Figures]
    comparisons: Sequence[tuple[str, str, str, Difference]] = ()
    warnings: Sequence[str] = ()
    command: str = ""
    version: str = ""
    cost: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def direction(metric: str) -> str:
    """Which way is better: ``higher``, ``lower``, or ``truth``, which is near the truth's."""
    return next((way for start, way in BETTER.items() if f"{metric}-".startswith(f"{start}-")), "lower")


def figures(
    tables: Mapping[str, Columns], reference: Mapping[str, np.ndarray] | None, force: bool, warnings: list[str]
) -> dict[str, Figures]:
    """Every figure of every row.

    Args:
        tables: columns by row, ``gray`` and ``truth`` among them.
        reference: features by network that distances of sets are taken to; the truth's own, when None.
        force: give a Frechet distance of too few photographs as well, with a note.
        warnings: what is left out is said here.

    Raises ValueError where the truth has no colour.
    """
    gray, truth = tables["gray"], tables["truth"]
    if (chroma := float(gray["ab-error"].mean())) < COLORLESS:
        raise ValueError(f"mean chroma {chroma:.2g}: these photographs have no colour to measure against")
    return {name: _row(columns, gray, truth, reference, force, warnings) for name, columns in tables.items()}


def _row(
    columns: Columns,
    gray: Columns,
    truth: Columns,
    reference: Mapping[str, np.ndarray] | None,
    force: bool,
    warnings: list[str],
) -> Figures:
    n = len(columns["ab-error"])
    ones = np.ones(n)
    found: Figures = {
        name: ratio_of_means(column, columns.get(name + WEIGHT, ones))
        for name, column in columns.items()
        if column.ndim == 1 and not name.endswith(WEIGHT)
    }
    found["ab-error-to-gray"] = ratio_of_means(columns["ab-error"], gray["ab-error"])
    for name in ("colorfulness", "colorfulness-absolute"):
        found[f"{name}-to-truth"] = ratio_of_means(columns[name], truth[name])
        found[f"delta-{name}"] = size_of_mean(columns[name] - truth[name])
    true_bins, our_bins = truth["bins"], columns["bins"]
    found["ab-overlap"] = of_set(lambda take: metrics.overlap(our_bins[take].mean(0), true_bins[take].mean(0)), n)
    for name, column in columns.items():
        kind, _, network = name.partition("/")
        if kind == "features":
            theirs = truth[name] if reference is None else reference[name]
            found |= _distances(network, column, theirs, reference is None, force, warnings)
        elif kind == "classes":
            said = "is" if network == "inception" else f"is-{network}"
            found[said] = of_set(lambda take: metrics.inception_score(column[take]), n)  # noqa: B023
    return found


def _distances(
    network: str, ours: np.ndarray, theirs: np.ndarray, paired: bool, force: bool, warnings: list[str]
) -> Figures:
    """Distances of two sets of features; only the Inception of the FID papers gives what is called FID."""
    fd, kd = ("fid", "kid") if network == "inception" else (f"fd-{network}", f"kd-{network}")
    n, wide = ours.shape

    def between(distance: Callable[..., float]) -> Callable[[np.ndarray], float]:
        return lambda take: distance(ours[take], theirs[take] if paired else theirs)

    found: Figures = {}
    if n > 1:
        found[kd] = of_set(between(partial(metrics.kernel, paired=paired)), n)
    few = f"{n} photographs for {wide} features"
    if n > wide or (force and n > 1):
        found[fd] = of_set(between(metrics.frechet), n, "" if n > wide else f"too few: {few}")
    elif (
        said := f"{fd} left out: {few}, it wants more photographs than features (--force gives it, marked)"
    ) not in warnings:
        warnings.append(said)
    return found


def compared(tables: Mapping[str, Columns]) -> list[tuple[str, str, str, Difference]]:
    """(metric, one model, another, difference) of every two models on the same photographs."""
    models = [name for name in tables if name not in BASELINES]
    pairs = combinations(models, 2)
    return [
        (metric, one, other, difference(tables[one][metric], tables[other][metric]))
        for one, other in pairs
        for metric in COMPARED
        if metric in tables[one] and len(tables[one][metric]) > 1
    ]


def sentences(report: Report) -> list[str]:
    """The comparisons in words."""
    return [verdict(metric, direction(metric), (one, other), found) for metric, one, other, found in report.comparisons]


def as_json(report: Report) -> str:
    """The report as documented in ``docs/metrics.md``."""
    rows = {
        name: {metric: {k: v for k, v in asdict(found).items() if k != "note" or v} for metric, found in row.items()}
        for name, row in report.rows.items()
    }
    said = {
        "protocol": report.protocol.name,
        "n": report.n,
        "data": dict(report.data),
        "rows": rows,
        "comparisons": [
            {"metric": metric, "models": [one, other], **asdict(found), "clear": found.clear}
            for metric, one, other, found in report.comparisons
        ],
        "cost": {name: dict(cost) for name, cost in report.cost.items()},
        "warnings": list(report.warnings),
        "command": report.command,
        "version": report.version,
    }
    return json.dumps(said, indent=2, allow_nan=False) + "\n"


def as_csv(report: Report) -> str:
    """One line for each figure: row, metric, value, low, high, note, n, protocol."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("row", "metric", "value", "low", "high", "note", "n", "protocol"))
    for name, row in report.rows.items():
        for metric, f in row.items():
            writer.writerow((name, metric, f.value, f.low, f.high, f.note, report.n, report.protocol.name))
    return text.getvalue()


def shown(metric: str, figure: Figure | None) -> str:
    """A figure as a reader sees it."""
    if figure is None:
        return "-"
    if metric.startswith("psnr") and figure.value >= metrics.PSNR_LIMIT:
        return "equal"
    return f"{figure.value:.4g}{' *' if figure.note else ''}"


def headline(rows: Mapping[str, Figures]) -> list[str]:
    """The figures most looked at, of those there are."""
    known = {metric for row in rows.values() for metric in row}
    return [*(m for m in SHORT if m in known), *[m for m in SETS if m in known][:1]]


def as_markdown(report: Report) -> str:
    """The figures most looked at, as a table."""
    chosen = headline(report.rows)
    arrows = {"higher": "↑", "lower": "↓", "truth": "→ truth"}
    lines = [
        "| | " + " | ".join(f"{m} {arrows[direction(m)]}" for m in chosen) + " |",
        "|---" * (len(chosen) + 1) + "|",
    ]
    lines += [
        f"| {name} | " + " | ".join(shown(m, row.get(m)) for m in chosen) + " |" for name, row in report.rows.items()
    ]
    return "\n".join(lines)
