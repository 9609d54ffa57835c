"""Draw families.svg and families.jpg from the folder of a finished study: metrics over training time and over training
images, and photos of scikit-image as each family colorizes them (grayscale first, ground truth last).

python docs/pictures/families.py runs/families-64
"""

import csv
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyvips
import skimage.data
from losses import plt
from make import to_grayscale

from photochrom import Colorizer
from study import PARTS, TILE

METRICS = {"lpips-vgg": "LPIPS (VGG) ↓", "fd-vgg16": "fd-vgg16 ↓", "pd-efficientnet-lite0": "perceptual distance ↓"}
SIDE = 64  # at which the models of the study work


def curves(rows: list[dict[str, str]], target: Path) -> list[str]:
    """Write the plots and return the families, in the order of the study."""
    families = list(dict.fromkeys(row["family"] for row in rows))
    most = max(int(row["images"]) for row in rows)
    figure, panels = plt.subplots(2, len(METRICS), figsize=(10, 6), layout="constrained", sharey="col")
    for column, (metric, title) in enumerate(METRICS.items()):
        for family in families:
            over_time, over_images = defaultdict(list), defaultdict(list)
            for row in rows:
                if (row["family"], row["metric"]) == (family, metric):
                    if int(row["images"]) == most:
                        over_time[float(row["point"])].append((float(row["seconds"]), float(row["value"])))
                    if float(row["point"]) == 1:
                        over_images[int(row["images"])].append((int(row["images"]), float(row["value"])))
            for panel, groups in zip(panels[:, column], (over_time, over_images), strict=True):
                panel.plot(*np.transpose([np.mean(group, 0) for group in groups.values()]), "o-", ms=3, label=family)
        panels[0, column].set(xlabel="training seconds", title=title)
        panels[1, column].set(xlabel="training images", xscale="log")
        for panel in panels[:, column]:
            panel.grid(alpha=0.2)
    panels[0, 0].legend(fontsize=7)
    figure.savefig(target, metadata={"Date": None})
    return families


def mosaic(bundles: list[Path], target: Path) -> None:
    """Write a row for each photo."""
    colorizers, tiles = [Colorizer(bundle) for bundle in bundles], []
    for name, (top, left, side) in PARTS.items():
        part = getattr(skimage.data, name)()[top : top + side, left : left + side]
        truth = pyvips.Image.new_from_array(np.ascontiguousarray(part)).thumbnail_image(SIDE).numpy()
        gray = to_grayscale(truth)
        for pixels in (np.dstack([gray] * 3), *(colorizer(gray) for colorizer in colorizers), truth):
            tiles.append(pyvips.Image.new_from_array(pixels).resize(TILE / SIDE, kernel="nearest"))
    across = len(bundles) + 2
    pyvips.Image.arrayjoin(tiles, across=across, shim=4, background=[255, 255, 255]).write_to_file(str(target), Q=88)


def main(folder: Path) -> None:
    """Write both."""
    here = Path(__file__).parent
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    families = curves(rows, here / "families.svg")
    most = max(int(row["images"]) for row in rows)
    bundles = []
    for family in families:
        pattern = re.compile(rf"{family} {most} seed 0 at-1 ")
        bundles += [path for path in (folder / "models").iterdir() if pattern.match(path.name)]
    mosaic(bundles, here / "families.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
