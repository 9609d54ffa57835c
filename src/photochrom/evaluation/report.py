"""The result of an evaluation, as JSON, CSV, Markdown and HTML."""

import csv
import io
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from jinja2 import Environment, FileSystemLoader

from .._version import __version__
from .comparison import Comparison
from .dataset_colors import draw_histogram
from .files import write
from .measure import BASELINES, TRUTH, Columns
from .metrics import METRICS, PSNR_LIMIT, find_metric
from .protocols import RGB8, Protocol
from .statistics import Estimate
from .summary import Estimates

# Distances between sets: the headline has the first one that was measured.
SET_DISTANCES = ("fid", "fd-inception-ddcolor", "fd-vgg16")
TILE = 160  # side of the square that each image of a contact sheet is cropped to, in pixels
GAP, MAX_COLUMNS = 4, 12  # of a contact sheet
ARROWS = {"higher": "↑", "lower": "↓", "truth": "→"}


@dataclass(frozen=True)
class EvaluationResult:
    """The result of an evaluation; what it holds by row is a mapping from the names of rows."""

    protocol: Protocol
    n: int
    data: Mapping[str, Any]  # names of the ``sources`` and ``digest`` of the images
    rows: Mapping[str, Estimates]
    comparisons: Sequence[Comparison] = ()
    warnings: Sequence[str] = ()
    cost: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    command: str = ""
    histograms: Mapping[str, np.ndarray] = field(default_factory=dict)  # frequency of color bins (262,) by row
    contact_sheets: Sequence[tuple[str, bytes]] = ()  # caption and JPEG file
    models: Mapping[str, str] = field(default_factory=dict)  # name or path of the model by row
    unreadable: Mapping[str, str] = field(default_factory=dict)  # reasons, by name, of photos left out
    columns: Mapping[str, Columns] = field(default_factory=dict)  # what was measured of each photo, by row

    @property
    def metrics(self) -> list[str]:
        """The metrics of all rows, each once, in order."""
        return list(dict.fromkeys(chain.from_iterable(self.rows.values())))

    @property
    def headline(self) -> list[str]:
        """The most important of its metrics."""
        names = [metric.name for metric in METRICS if metric.headline and metric.name in self.metrics]
        distances = [name for name in SET_DISTANCES if name in self.metrics]
        return names + distances[:1]

    def best_model(self, metric: str) -> str | None:
        """Return the name of the best model by a metric, where there are several."""
        better = find_metric(metric).better
        ranks: dict[str, float] = {}
        for row, estimates in self.rows.items():
            if row not in BASELINES and metric in estimates:
                value = estimates[metric].value
                target = self.rows[TRUTH][metric].value if better == "truth" else 0.0
                ranks[row] = {"higher": -value, "lower": value, "truth": abs(value - target)}[better]
        return min(ranks, key=ranks.__getitem__) if len(ranks) > 1 else None


def draw_contact_sheet(groups: Iterable[Sequence[RGB8]]) -> bytes:
    """Return a contact sheet (JPEG) of groups of images, such as one photo colorized by each model, group by group."""
    tiles = []
    group_size = 1
    for group in groups:
        group_size = len(group)
        for pixels in group:
            image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
            tiles.append(image.thumbnail_image(TILE, height=TILE, crop="centre"))
    columns = max(1, MAX_COLUMNS // group_size) * group_size
    joined = pyvips.Image.arrayjoin(tiles, across=columns, shim=GAP, background=[255, 255, 255])
    return joined.write_to_buffer(".jpg", Q=90)


def write_reports(
    result: EvaluationResult, json_file: Path | None, csv_file: Path | None, html_file: Path | None
) -> None:
    """Write the result to each file that is given. Raises WriteError."""
    for path, render in ((json_file, as_json), (csv_file, as_csv), (html_file, as_html)):
        if path:
            write(path, render(result))


def as_json(result: EvaluationResult) -> str:
    """Return the result in the layout that ``docs/explanation/metrics.md`` documents."""
    content: dict[str, Any] = {"protocol": result.protocol.name, "rows": {}, "comparisons": []}
    for key in ("n", "data", "cost", "warnings", "command"):
        content[key] = getattr(result, key)
    content["version"] = __version__
    for row, estimates in result.rows.items():
        content["rows"][row] = {metric: _estimate_content(estimate) for metric, estimate in estimates.items()}
    for comparison in result.comparisons:
        content["comparisons"].append({**asdict(comparison), "significant": comparison.significant})
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _estimate_content(estimate: Estimate) -> dict[str, Any]:
    content: dict[str, Any] = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return content | ({"note": estimate.note} if estimate.note else {})


def as_csv(result: EvaluationResult) -> str:
    """Return one line for each metric of each row: row, metric, value, low, high, note, n, protocol."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("row", "metric", "value", "low", "high", "note", "n", "protocol"))
    for row, estimates in result.rows.items():
        for metric, e in estimates.items():
            writer.writerow((row, metric, e.value, e.low, e.high, e.note, result.n, result.protocol.name))
    return text.getvalue()


def as_markdown(result: EvaluationResult) -> str:
    """Return the headline metrics as a table."""
    lines = [["", *map(_title, result.headline)], ["---"] * (len(result.headline) + 1)]
    for row, estimates in result.rows.items():
        lines.append([row, *(format_estimate(metric, estimates.get(metric)) for metric in result.headline)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _title(metric: str) -> str:
    return f"{metric} {ARROWS[find_metric(metric).better]}"


def format_estimate(metric: str, estimate: Estimate | None) -> str:
    """Return a value as text for a table; an asterisk marks a value with a note."""
    if not estimate:
        return "-"
    if metric.startswith("psnr") and estimate.value >= PSNR_LIMIT:
        return "equal"
    return f"{estimate.value:.4g}{' *' if estimate.note else ''}"


def as_html(result: EvaluationResult) -> str:
    """Return the result as one file that contains all it shows."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    helpers = {"find_metric": find_metric, "format_estimate": format_estimate, "title": _title}
    drawing = {"draw_histogram": draw_histogram, "b64encode": b64encode}
    return environment.get_template("report.html").render(result=result, version=__version__, **helpers, **drawing)
