"""Plot training loss and held-out error over training images, from the logs of training runs.

python docs/pictures/losses.py runs/ddpm-64 runs/palette
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "photochrom"  # for reproducible files
from matplotlib import pyplot as plt  # noqa: E402

PANELS = {
    "net/total": "training loss ↓",
    "validation/ab_error": "ab error of a sample, held out ↓",
    "validation/chroma_ratio": "chroma of a sample / ground truth",
}


def points(run: Path, metric: str) -> list[tuple[float, float]]:
    """Return pairs of training images (thousands) and a metric of the log."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    batch = json.loads((run / "recipe.json").read_text())["trainer"]["batch"]
    pairs = [(row["step"] * batch / 1000, row[metric]) for row in rows if metric in row and row["step"]]
    if not pairs:
        raise SystemExit(f"{run}: its log has no {metric}")
    return pairs


def main(runs: list[Path], target: Path) -> None:
    """Write the plot of several runs."""
    figure, panels = plt.subplots(1, len(PANELS), figsize=(10, 3.2), layout="constrained")
    for run in runs:
        for panel, metric in zip(panels, PANELS, strict=True):
            style = "-" if metric.startswith("net") else "o-"
            panel.plot(*zip(*points(run, metric), strict=True), style, ms=3, lw=1, label=run.name)
    for panel, title in zip(panels, PANELS.values(), strict=True):
        panel.set(xlabel="thousand training images", title=title)
        panel.grid(alpha=0.2)
    panels[0].set_yscale("log")
    panels[0].legend(fontsize=8)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main([Path(run) for run in sys.argv[1:]], Path(__file__).with_suffix(".svg"))
