"""Draw a study of benchmarks/study.py: its held-out curves as study-NAME.svg, and as study-NAME.jpg photographs of
scikit-image, a row for each: gray, then as each model paints it, in order of name, then the truth.

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
    "validation/loss": "held-out loss, over its least",
    "validation/ab_error": "held-out ab error ↓",
    "validation/chroma_ratio": "held-out chroma, of the truth's",
}
SHORT = "-15"  # runs whose names end so are half as long as others, and left out of the curves
HIGHEST = 1.25  # times the least of all: what is above is not drawn
PARTS = {  # photographs, and the corner and side of the square that is shown
    "astronaut": (0, 100, 260),
    "chelsea": (0, 60, 300),
    "coffee": (0, 100, 400),
    "rocket": (0, 100, 427),
}


def curves(runs: Sequence[Path], target: Path) -> None:
    """Write the held-out figures over photographs seen."""
    figure, panels = plt.subplots(1, len(PANELS), figsize=(10, 3.4), layout="constrained")
    for panel, (metric, title) in zip(panels, PANELS.items(), strict=True):
        for run in runs:
            seen, values = np.array(points(run, metric)).T
            shown = values / values.min() if metric.endswith("loss") else values
            panel.plot(seen, shown, "o-", ms=2, lw=1, label=run.name)
        if not metric.endswith("ratio"):
            least = min(min(line.get_ydata()) for line in panel.lines)
            panel.set_ylim(least * 0.99, least * HIGHEST)
        panel.set(xlabel="thousand photographs seen", title=title)
        panel.grid(alpha=0.2)
    panels[0].legend(fontsize=7)
    figure.savefig(target, metadata={"Date": None})


def tile(pixels: np.ndarray) -> pyvips.Image:
    """A small square."""
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).thumbnail_image(TILE)


def row(name: str, colorizers: list[Colorizer]) -> list[pyvips.Image]:
    """A photograph of scikit-image in gray, coloured by each, and as it was."""
    top, left, side = PARTS[name]
    truth = getattr(skimage.data, name)()[top : top + side, left : left + side]
    gray = to_grayscale(truth)
    return [tile(pixels) for pixels in (np.dstack([gray] * 3), *(paint(gray) for paint in colorizers), truth)]


def main(study: Path) -> None:
    """Write both pictures."""
    runs = sorted(path.parent for path in study.glob("*/log.jsonl"))
    curves([run for run in runs if not run.name.endswith(SHORT)], HERE / f"study-{study.name}.svg")
    colorizers = [Colorizer(run / "bundle" / run.name) for run in runs]
    tiles = [one for name in PARTS for one in row(name, colorizers)]
    sheet = pyvips.Image.arrayjoin(tiles, across=len(runs) + 2, shim=4, background=[255, 255, 255])
    sheet.write_to_file(str(HERE / f"study-{study.name}.jpg"), Q=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
