"""Plot quality and diversity over the number of sampling steps, from a report of `photochrom evaluate`.

    photochrom evaluate --data PHOTOS --model ddpm.zip --model unet --samples 2 --json steps.json \
        --solver ddim --solver dpm-solver --solver ancestral --steps 5 --steps 10 --steps 20 --steps 50 ...
    python docs/pictures/steps.py steps.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "photochrom"  # for reproducible files
from matplotlib import pyplot as plt  # noqa: E402

PANELS = {"lpips-vgg": "LPIPS (VGG16) to ground truth ↓", "diversity-lpips-vgg": "LPIPS between two samples ↑"}


def rows_by_solver(rows: dict[str, Any]) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the rows named ``MODEL SOLVER STEPS`` by solver and, in increasing order, by steps."""
    solvers: dict[str, dict[int, dict[str, Any]]] = {}
    for name, row in rows.items():
        *_, solver, steps = ["", "", *name.split()]
        if steps.isdigit():
            solvers.setdefault(solver, {})[int(steps)] = row
    return {solver: dict(sorted(by_steps.items())) for solver, by_steps in solvers.items()}


def main(source: Path, target: Path) -> None:
    """Write the plot of a report."""
    report = json.loads(source.read_text())
    figure, panels = plt.subplots(1, len(PANELS), figsize=(9, 3.6), layout="constrained")
    for panel, (metric, title) in zip(panels, PANELS.items(), strict=True):
        for solver, by_steps in rows_by_solver(report["rows"]).items():
            points = {steps: row[metric]["value"] for steps, row in by_steps.items() if metric in row}
            panel.plot(list(points), list(points.values()), "o-", ms=3.5, label=solver)
        for name, style in (("grayscale", ":"), ("unet", "--")):
            if metric in report["rows"].get(name, {}) and not metric.startswith("diversity"):
                panel.axhline(report["rows"][name][metric]["value"], color="gray", ls=style, lw=1, label=name)
        panel.set(xscale="log", xlabel="steps", title=title)
        panel.grid(alpha=0.2)
    panels[0].legend(fontsize=8)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_suffix(".svg"))
