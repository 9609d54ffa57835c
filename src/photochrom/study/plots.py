"""Curves of a study as SVG."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

COLORS = (
    "#4269d0",
    "#efb118",
    "#ff725c",
    "#6cc5b0",
    "#3ca951",
    "#a463f2",
    "#9c6b4e",
    "#97bbf5",
)  # as far apart as can be
MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Curve:
    """Points of a curve with their intervals; ``low`` and ``high`` equal ``y`` where there is none."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def draw_curves(curves: Mapping[str, Curve], x_label: str, y_label: str, levels: Mapping[str, float]) -> str:
    """Return an SVG of curves by name over a logarithmic x axis, with dotted horizontal lines at ``levels``."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "photochrom", "font.size": 9}):
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for place, (name, curve) in enumerate(curves.items()):
            color, marker = COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]
            axes.plot(curve.x, curve.y, color=color, marker=marker, markersize=4, label=name)
            axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
        for name, level in levels.items():
            axes.axhline(level, color="gray", linestyle=":", linewidth=1)
            axes.annotate(name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="gray")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.legend(fontsize=7, framealpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = file.getvalue()
    return svg[svg.index("<svg") :]
