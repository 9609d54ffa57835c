"""The report of a study: JSON, CSV, and one HTML file that contains all it shows."""

import csv
import io
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from .._version import __version__
from ..evaluation.measure import GRAY
from ..evaluation.metrics import find_metric
from ..evaluation.replicates import Effect
from ..imaging.atomic import atomic_write
from .plots import Curve, draw_curves
from .results import Measurement, StudyResult

PLOTTED = ("ab-error-to-gray", "lpips-vgg", "fid", "fd-vgg16", "is", "is-efficientnet-lite0", "pd-efficientnet-lite0")


def write_report(result: StudyResult, folder: Path) -> None:
    """Write ``results.json``, ``results.csv`` and ``report.html`` over earlier ones. Raises WriteError."""
    for name, render in (("results.json", as_json), ("results.csv", as_csv), ("report.html", as_html)):
        with atomic_write(folder / name, overwrite=True) as file:
            file.write(render(result).encode())


def as_json(result: StudyResult) -> str:
    """Return the result as JSON: the models with their metrics, comparisons, slopes, costs and answers."""
    models = []
    for m in result.measurements:
        place = {"family": m.model.family, "images": m.model.images, "seed": m.model.seed, "point": m.model.point}
        models.append({**place, **{key: m.content[key] for key in m.content if key != "baselines"}})
    slopes = {
        family: {metric: asdict(effect) for metric, effect in effects.items()}
        for family, effects in result.slopes.items()
    }
    content = {
        "title": result.study.title,
        "version": __version__,
        "models": models,
        "baselines": result.baselines,
        "comparisons": [{**asdict(c), "significant": c.significant} for c in result.comparisons],
        "slopes": slopes,
        "costs": result.costs,
        "searches": result.searches,
        "answers": [asdict(answer) for answer in result.answers],
        "failures": result.failures,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def as_csv(result: StudyResult) -> str:
    """Return a line for each metric of each model."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ("family", "images", "seed", "point", "seconds", "images_seen", "metric", "value", "low", "high")
    writer.writerow(head)
    for m in result.measurements:
        training = m.content["training"]
        place = (m.model.family, m.content["training_images"], m.model.seed, m.model.point)
        for metric, estimate in m.content["metrics"].items():
            figures = (estimate["value"], estimate["low"], estimate["high"])
            writer.writerow((*place, training["seconds"], training["images_seen"], metric, *figures))
    return text.getvalue()


def as_html(result: StudyResult) -> str:
    """Return the result as one file that contains all it shows."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    helpers: dict[str, Any] = {
        "find_metric": find_metric,
        "format_figure": format_figure,
        "interval": interval,
        "curves": draw_all_curves(result),
        "b64encode": b64encode,
        "version": __version__,
        "test": result.measurements[0].content,
        "best": {metric: best_family(result, metric) for metric in result.metrics},
    }
    return environment.get_template("report.html").render(result=result, **helpers)


def format_figure(figure: Effect | float) -> str:
    """Return a figure as text for a table."""
    return f"{figure.value if isinstance(figure, Effect) else figure:.4g}"


def interval(figure: Effect | float) -> str:
    """Return the interval of a figure as text, "" for a figure without one."""
    return f"{figure.low:.4g} to {figure.high:.4g}" if isinstance(figure, Effect) else ""


def best_family(result: StudyResult, metric: str) -> str | None:
    """Return the family with the best value of a metric at the end; None where none is better than another."""
    better = find_metric(metric).better
    values = {}
    for family in result.families:
        selected = [m.value(metric) for m in result.select(family) if metric in m.content["metrics"]]
        if selected:
            values[family] = sum(selected) / len(selected)
    if better == "truth" or len(values) < 2:
        return None
    return (max if better == "higher" else min)(values, key=values.__getitem__)


def draw_all_curves(result: StudyResult) -> list[tuple[str, list[str]]]:
    """Return headings with plots below them: metrics over training, and over the number of training images."""
    axes, sections = result.study.axes, []
    metrics = [metric for metric in PLOTTED if metric in result.metrics]

    def trained(m: Measurement) -> float:
        return float(m.content["training"]["seconds"])

    def data_size(m: Measurement) -> float:
        return float(m.content["training_images"])

    if len(axes.points) > 1:
        groups = {family: [result.select(family, point=point) for point in axes.points] for family in result.families}
        sections.append(("Over training", [_plot(result, groups, m, trained, "training seconds") for m in metrics]))
    if len(axes.images) > 1:
        groups = {family: [result.select(family, images) for images in axes.images] for family in result.families}
        plots = [_plot(result, groups, metric, data_size, "training images") for metric in metrics]
        sections.append(("Over the amount of data", plots))
    return sections


def _plot(
    result: StudyResult,
    groups: dict[str, list[list[Measurement]]],
    metric: str,
    x: Callable[[Measurement], float],
    x_label: str,
) -> str:
    """Return the plot of a metric; ``groups``: by family, the measurements of all seeds at each place of its curve."""
    curves = {}
    for family, places in groups.items():
        rows: list[tuple[float, float, float, float]] = []
        for measurements in places:
            if measurements and all(metric in m.content["metrics"] for m in measurements):
                figure = result.estimate(measurements, metric)
                position = sum(map(x, measurements)) / len(measurements)
                if isinstance(figure, Effect):
                    rows.append((position, figure.value, figure.low, figure.high))
                else:
                    rows.append((position, figure, figure, figure))
        if rows:
            curves[family] = Curve(*zip(*rows, strict=True))
    gray = result.baselines[GRAY].get(metric)
    levels = {"grayscale": gray["value"]} if gray else {}
    return draw_curves(curves, x_label, metric, levels)
