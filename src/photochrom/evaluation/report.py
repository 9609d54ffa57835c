"""An evaluation report as JSON, CSV, Markdown and HTML."""

import csv
import io
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader

from .catalog import find_metric
from .dataset_colors import draw_histogram
from .measure import BASELINES, TRUTH
from .metrics import PSNR_LIMIT
from .protocols import Protocol
from .statistics import Estimate, verdict
from .summary import Comparison, Estimates

HEADLINE = (
    "psnr",
    "ab-error",
    "ab-error-to-gray",
    "colorfulness",
    "colorfulness-to-truth",
    "lpips-vgg",
    "bits-per-dim",
)
SET_DISTANCES = ("fid", "fd-inception-ddcolor", "fd-vgg16")  # of which the first available is in the headline
ARROWS = {"higher": "↑", "lower": "↓", "truth": "→"}

ContactSheets = Sequence[tuple[str, bytes]]  # caption and JPEG file


@dataclass(frozen=True)
class Report:
    """The result of an evaluation."""

    protocol: Protocol
    n: int
    data: Mapping[str, Any]  # names of the ``sources`` and ``digest`` of the images
    rows: Mapping[str, Estimates]
    comparisons: Sequence[Comparison] = ()
    warnings: Sequence[str] = ()
    command: str = ""  # that made the report
    version: str = ""  # of Photochrom
    cost: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by row

    @property
    def photos(self) -> str:
        """The number of photos in words."""
        return f"{self.n:,} {'photo' if self.n == 1 else 'photos'}"

    @property
    def headline(self) -> list[str]:
        """The most important metrics, of those that the report has."""
        known = set().union(*self.rows.values())
        distance = next((metric for metric in SET_DISTANCES if metric in known), "")
        return [metric for metric in (*HEADLINE, distance) if metric in known]

    @property
    def verdicts(self) -> list[str]:
        """The comparisons in words."""
        return [verdict(c.metric, c.first, c.second, c.difference) for c in self.comparisons]


def as_json(report: Report) -> str:
    """Return the report in the layout that ``docs/metrics.md`` documents."""
    content = {**vars(report), "protocol": report.protocol.name, "rows": {}, "comparisons": []}
    for name, estimates in report.rows.items():
        content["rows"][name] = {}
        for metric, estimate in estimates.items():
            value = asdict(estimate)
            if not estimate.note:
                del value["note"]
            content["rows"][name][metric] = value
    for c in report.comparisons:
        entry = {"metric": c.metric, "models": [c.first, c.second], **asdict(c.difference)}
        content["comparisons"].append({**entry, "clear": c.difference.significant})
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def as_csv(report: Report) -> str:
    """Return one line for each metric of each row: row, metric, value, low, high, note, n, protocol."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("row", "metric", "value", "low", "high", "note", "n", "protocol"))
    for name, row in report.rows.items():
        for metric, e in row.items():
            writer.writerow((name, metric, e.value, e.low, e.high, e.note, report.n, report.protocol.name))
    return text.getvalue()


def as_markdown(report: Report) -> str:
    """Return the headline metrics as a table."""
    header = ["", *map(_title, report.headline)]
    lines = [_table_line(header), "|---" * len(header) + "|"]
    for name, row in report.rows.items():
        cells = [format_estimate(metric, row.get(metric)) for metric in report.headline]
        lines.append(_table_line([name, *cells]))
    return "\n".join(lines)


def _table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _title(metric: str) -> str:
    return f"{metric} {ARROWS[find_metric(metric).better]}"


def format_estimate(metric: str, estimate: Estimate | None) -> str:
    """Return a value as text for a table; an asterisk marks a value with a note."""
    if estimate is None:
        return "-"
    if metric.startswith("psnr") and estimate.value >= PSNR_LIMIT:
        return "equal"
    return f"{estimate.value:.4g}{' *' if estimate.note else ''}"


def as_html(report: Report, histograms: Mapping[str, np.ndarray], sheets: ContactSheets) -> str:
    """Return the report as one HTML file that contains everything it shows.

    Args:
        report: the report.
        histograms: frequency of each color bin (262,) by row.
        sheets: captions and JPEG files.
    """
    cost_names = dict.fromkeys(name for cost in report.cost.values() for name in cost)
    costs = []
    for row, cost in report.cost.items():
        costs.append((row, "", [(f"{cost[name]:.4g}" if name in cost else "-", (), False) for name in cost_names]))
    metrics = dict.fromkeys(metric for row in report.rows.values() for metric in row)
    template = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template("report.html")
    return template.render(
        report=report,
        metrics=[(_title(metric), find_metric(metric).label, _cells(report, metric)) for metric in metrics],
        cost_names=cost_names,
        costs=costs,
        histograms=[(name, draw_histogram(shares)) for name, shares in histograms.items()],
        contact_sheets=[(caption, b64encode(jpeg).decode()) for caption, jpeg in sheets],
    )


def _cells(report: Report, metric: str) -> list[tuple[str, list[str], bool]]:
    """Text, details and whether it is the best, of a metric of each row."""
    best = _best_model(report, metric)
    cells = []
    for name, row in report.rows.items():
        estimate, details = row.get(metric), []
        if estimate and estimate.low is not None:
            details.append(f"{estimate.low:.4g} to {estimate.high:.4g}")
        if estimate and estimate.note:
            details.append(estimate.note)
        cells.append((format_estimate(metric, estimate), details, name == best))
    return cells


def _best_model(report: Report, metric: str) -> str | None:
    """Name of the best model by a metric, where there are several."""
    values = {name: row[metric].value for name, row in report.rows.items() if name not in BASELINES and metric in row}
    if len(values) < 2:
        return None
    better = find_metric(metric).better
    if better == "truth":
        target = report.rows[TRUTH][metric].value
        return min(values, key=lambda name: abs(values[name] - target))
    return (max if better == "higher" else min)(values, key=lambda name: values[name])
