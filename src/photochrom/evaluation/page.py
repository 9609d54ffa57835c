"""The report as one HTML file that holds everything it shows."""

import base64
import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

from .dataset_colors import histogram
from .report import BASELINES, Report, direction, sentences, shown
from .statistics import Figure

ARROWS = {
    "higher": ("↑", "higher is better"),
    "lower": ("↓", "lower is better"),
    "truth": ("→", "near the truth's is better"),
}
INTERVALS = (
    "Below each value its 95% interval: bootstrap over photographs, or, for figures of the whole set, jackknife over "
    "ten groups. Bold: the best of the models."
)
BINS = "How frequent each colour is in the ab plane (a to the right, b up, -110 to 110), on a logarithmic scale."
STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884 }
th:first-child { text-align: left } small { opacity: .65 } .best { font-weight: 700 }
img { max-width: 100%; height: auto } figure { display: inline-block; margin: 0 1rem 1rem 0 }
figcaption { font-weight: 600 } code { overflow-wrap: anywhere } .warning { color: #b40 }
"""

Sheets = Sequence[tuple[str, bytes]]  # caption and JPEG


def page(report: Report, histograms: Mapping[str, np.ndarray], sheets: Sheets) -> str:
    """The whole report.

    Args:
        report: the figures.
        histograms: by row, how frequent each colour bin is (262,).
        sheets: captions and JPEG files.
    """
    e = html.escape
    sources = ", ".join(map(str, report.data.get("sources", ())))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Photochrom: {e(report.protocol.name)}, {report.n} photographs</title><style>{STYLE}</style>",
        f"<h1>Protocol <code>{e(report.protocol.name)}</code>, {report.n} photographs</h1>",
        f"<p>{e(report.protocol.text)}</p><p>{e(sources)}, digest {e(str(report.data.get('digest', ''))[:16])}</p>",
        f"<p><code>{e(report.command)}</code> (photochrom {e(report.version)})</p>",
        *(f"<p class=warning>{e(warning)}</p>" for warning in report.warnings),
        f"<h2>Figures</h2><p><small>{INTERVALS}</small></p>",
        _figures(report),
        "<h2>Models against each other</h2><ul>" if report.comparisons else "",
        *(f"<li>{e(sentence)}</li>" for sentence in sentences(report)),
        "</ul>" if report.comparisons else "",
        _cost(report),
        f"<h2>Colours</h2><p><small>{BINS}</small></p>",
        *(f"<figure><figcaption>{e(name)}</figcaption>{histogram(h)}</figure>" for name, h in histograms.items()),
        "<h2>Pictures</h2>",
        *(f"<h3>{e(caption)}</h3><img alt='{e(caption)}' src='{_inline(jpeg)}'>" for caption, jpeg in sheets),
        "</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _inline(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _figures(report: Report) -> str:
    metrics = list(dict.fromkeys(metric for row in report.rows.values() for metric in row))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in report.rows)
    lines = []
    for metric in metrics:
        arrow, said = ARROWS[direction(metric)]
        best = _best(report, metric)
        cells = "".join(_cell(metric, row.get(metric), name == best) for name, row in report.rows.items())
        lines.append(f"<tr><th>{html.escape(metric)} <span title='{html.escape(said)}'>{arrow}</span></th>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table>"


def _cell(metric: str, figure: Figure | None, best: bool) -> str:
    span = f"<br><small>{figure.low:.4g} to {figure.high:.4g}</small>" if figure and figure.low is not None else ""
    note = f"<br><small>{html.escape(figure.note)}</small>" if figure and figure.note else ""
    return f"<td{' class=best' if best else ''}>{shown(metric, figure)}{span}{note}</td>"


def _best(report: Report, metric: str) -> str | None:
    """The model that is best by a metric, where there are several."""
    models = {n: row[metric].value for n, row in report.rows.items() if n not in BASELINES and metric in row}
    if len(models) < 2:
        return None
    way = direction(metric)
    if way == "truth":
        goal = report.rows["truth"][metric].value
        return min(models, key=lambda name: abs(models[name] - goal))
    return (max if way == "higher" else min)(models, key=lambda name: models[name])


def _cost(report: Report) -> str:
    if not report.cost:
        return ""
    names = list(dict.fromkeys(key for cost in report.cost.values() for key in cost))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    lines = (
        f"<tr><th>{html.escape(row)}</th>{''.join(f'<td>{cost.get(name, math.nan):.4g}</td>' for name in names)}</tr>"
        for row, cost in report.cost.items()
    )
    return f"<h2>What it takes to run</h2><table><tr><th></th>{head}</tr>{''.join(lines)}</table>"
