"""Plot the held-out curves of a study of benchmarks/study.py as study-NAME.svg, and make study-NAME.jpg: a row for each
photo of scikit-image, with grayscale, the output of each model in order of name, and ground truth.

python docs/pictures/study.py runs/losses
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyvips
import skimage.data
from losses import plt, points
from make import to_grayscale

from photochrom import Colorizer

HERE = Path(__file__).parent
TILE = 128
PANELS = {
    "validation/loss": "held-out loss / its minimum",
    "validation/ab_error": "held-out ab error ↓",
    "validation/chroma_ratio": "held-out chroma / ground truth",
}
SHORT = "-15"  # suffix of runs that are half as long as the others and not in the curves
HIGHEST = 1.25  # upper limit of the axis, relative to the minimum of all runs
PARTS = {  # top, left and side of the square of each photo
    "astronaut": (0, 100, 260),
    "chelsea": (0, 60, 300),
    "coffee": (0, 100, 400),
    "rocket": (0, 100, 427),
}


def curves(runs: Sequence[Path], target: Path) -> None:
    """Write the held-out metrics over training images."""
    figure, panels = plt.subplots(1, len(PANELS), figsize=(10, 3.4), layout="constrained")
    for panel, (metric, title) in zip(panels, PANELS.items(), strict=True):
        for run in runs:
            images, values = np.array(points(run, metric)).T
            if metric.endswith("loss"):
                values = values / values.min()
            panel.plot(images, values, "o-", ms=2, lw=1, label=run.name)
        if not metric.endswith("ratio"):
            lowest = min(min(line.get_ydata()) for line in panel.lines)
            panel.set_ylim(lowest * 0.99, lowest * HIGHEST)
        panel.set(xlabel="thousand training images", title=title)
        panel.grid(alpha=0.2)
    panels[0].legend(fontsize=7)
    figure.savefig(target, metadata={"Date": None})


def tile(pixels: np.ndarray) -> pyvips.Image:
    """Return a small square image."""
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).thumbnail_image(TILE)


def row(name: str, colorizers: list[Colorizer]) -> list[pyvips.Image]:
    """Return tiles of a photo: grayscale, the output of each colorizer, ground truth."""
    top, left, side = PARTS[name]
    truth = getattr(skimage.data, name)()[top : top + side, left : left + side]
    gray = to_grayscale(truth)
    outputs = [colorizer(gray) for colorizer in colorizers]
    return [tile(pixels) for pixels in (np.dstack([gray] * 3), *outputs, truth)]


def main(study: Path) -> None:
    """Write the plot and the photos."""
    runs = sorted(path.parent for path in study.glob("*/log.jsonl"))
    curves([run for run in runs if not run.name.endswith(SHORT)], HERE / f"study-{study.name}.svg")
    colorizers = [Colorizer(run / "bundle" / run.name) for run in runs]
    tiles = []
    for name in PARTS:
        tiles += row(name, colorizers)
    mosaic = pyvips.Image.arrayjoin(tiles, across=len(runs) + 2, shim=4, background=[255, 255, 255])
    mosaic.write_to_file(str(HERE / f"study-{study.name}.jpg"), Q=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
