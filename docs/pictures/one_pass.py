"""Make unet.jpg, classify.jpg and pix2pix.jpg: photos of scikit-image as models that predict in one pass colorize them.

python docs/pictures/one_pass.py
"""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import skimage.data
from make import to_grayscale

from photochrom import Colorizer
from study import PARTS, tile

HERE = Path(__file__).parent
Column = Callable[[np.ndarray], np.ndarray]


def configured(colorizer: Colorizer, **settings: Any) -> Colorizer:
    """Return the model with other settings of its procedure, also such as are no options."""
    other = copy(colorizer)
    other.procedure = replace(colorizer.procedure, **settings)
    return other


def write(name: str, columns: list[Column]) -> None:
    """Write rows of a grayscale photo, its outputs and the ground truth."""
    tiles = []
    for photo, (top, left, side) in PARTS.items():
        truth = getattr(skimage.data, photo)()[top : top + side, left : left + side]
        gray = to_grayscale(truth)
        outputs = [column(gray) for column in columns]
        tiles += [tile(pixels) for pixels in (np.dstack([gray] * 3), *outputs, truth)]
    mosaic = pyvips.Image.arrayjoin(tiles, across=len(columns) + 2, shim=4, background=[255, 255, 255])
    mosaic.write_to_file(str(HERE / name), Q=88)


def main() -> None:
    """Write the pictures."""
    default, classify = Colorizer(), Colorizer("classify")
    write("unet.jpg", [configured(default, chroma=chroma) for chroma in (1.0, 1.25, 1.75)])
    temperatures = [configured(classify, solver="mean", temperature=t, chroma=1.0) for t in (1.0, 0.38, 0.05)]
    write("classify.jpg", [*temperatures, *(partial(classify, seed=seed) for seed in (1, 2, 3))])
    write("pix2pix.jpg", [default, Colorizer("pix2pix"), Colorizer("pix2pix-64")])


if __name__ == "__main__":
    main()
