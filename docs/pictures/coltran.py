"""Draw coltran.jpg: photographs of scikit-image in gray, as a bundle finds likeliest, by four seeds, and as they were.

python docs/pictures/coltran.py bundles/coltran.zip
"""

import sys
from pathlib import Path

import numpy as np
import pyvips
import skimage.data
from make import to_grayscale
from study import PARTS, tile

from photochrom import Colorizer

SEEDS = (1, 2, 3, 4)


def row(name: str, draw: Colorizer, likeliest: Colorizer) -> list[pyvips.Image]:
    """A photograph in gray, its colourings, and the truth."""
    top, left, side = PARTS[name]
    truth = getattr(skimage.data, name)()[top : top + side, left : left + side]
    gray = to_grayscale(truth)
    drawn = (draw(gray, seed=seed) for seed in SEEDS)
    return [tile(pixels) for pixels in (np.dstack([gray] * 3), likeliest(gray), *drawn, truth)]


def main(bundle: str) -> None:
    """Write the picture."""
    draw, likeliest = Colorizer(bundle), Colorizer(bundle, solver="greedy")
    tiles = [one for name in PARTS for one in row(name, draw, likeliest)]
    sheet = pyvips.Image.arrayjoin(tiles, across=len(SEEDS) + 3, shim=4, background=[255, 255, 255])
    sheet.write_to_file(str(Path(__file__).with_suffix(".jpg")), Q=88)


if __name__ == "__main__":
    main(sys.argv[1])
