"""Make coltran.jpg: photos of scikit-image in grayscale, the likeliest colors of a bundle, four seeds, ground truth.

python docs/pictures/coltran.py coltran
"""

import sys
from pathlib import Path

import numpy as np
import pyvips
import skimage.data
from make import to_grayscale

from photochrom import Colorizer
from study import PARTS, tile

SEEDS = (1, 2, 3, 4)


def row(name: str, sampling: Colorizer, likeliest: Colorizer) -> list[pyvips.Image]:
    """Return tiles of a photo: grayscale, colorized, ground truth."""
    top, left, side = PARTS[name]
    truth = getattr(skimage.data, name)()[top : top + side, left : left + side]
    gray = to_grayscale(truth)
    samples = [sampling(gray, seed=seed) for seed in SEEDS]
    return [tile(pixels) for pixels in (np.dstack([gray] * 3), likeliest(gray), *samples, truth)]


def main(bundle: str) -> None:
    """Write the picture."""
    sampling, likeliest = Colorizer(bundle), Colorizer(bundle, solver="greedy")
    tiles = []
    for name in PARTS:
        tiles += row(name, sampling, likeliest)
    mosaic = pyvips.Image.arrayjoin(tiles, across=len(SEEDS) + 3, shim=4, background=[255, 255, 255])
    mosaic.write_to_file(str(Path(__file__).with_suffix(".jpg")), Q=88)


if __name__ == "__main__":
    main(sys.argv[1])
