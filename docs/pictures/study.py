"""Draw a study of benchmarks/study.py: its held-out curves as NAME.svg, and as NAME.jpg photographs of scikit-image,
a row for each: gray, then as each model paints it, in order of name, then the truth.

python docs/pictures/study.py runs/losses
"""

import sys
from pathlib import Path

import numpy as np
import pyvips
import skimage.data
from losses import draw
from make import black_and_white

from photochrom import Colorizer

HERE = Path(__file__).parent
TILE = 128
PANELS = {
    "validation/loss": "held-out loss ↓",
    "validation/ab_error": "held-out ab error ↓",
    "validation/chroma_ratio": "held-out chroma, of the truth's",
}
PARTS = {  # photographs, and the corner and side of the square that is shown
    "astronaut": (0, 100, 260),
    "chelsea": (0, 60, 300),
    "coffee": (0, 100, 400),
    "rocket": (0, 100, 427),
}


def tile(pixels: np.ndarray) -> pyvips.Image:
    """A square at the size at which the models see it."""
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).thumbnail_image(TILE)


def row(name: str, colorizers: list[Colorizer]) -> list[pyvips.Image]:
    """A photograph of scikit-image in gray, coloured by each, and as it was."""
    top, left, side = PARTS[name]
    truth = getattr(skimage.data, name)()[top : top + side, left : left + side]
    gray = black_and_white(truth)
    return [tile(pixels) for pixels in (np.dstack([gray] * 3), *(paint(gray) for paint in colorizers), truth)]


def main(study: Path) -> None:
    """Write both pictures."""
    runs = sorted(path.parent for path in study.glob("*/log.jsonl"))
    draw(runs, PANELS, HERE / f"{study.name}.svg")
    colorizers = [Colorizer(run / "bundle" / run.name) for run in runs]
    tiles = [one for name in PARTS for one in row(name, colorizers)]
    sheet = pyvips.Image.arrayjoin(tiles, across=len(runs) + 2, shim=4, background=[255, 255, 255])
    sheet.write_to_file(str(HERE / f"{study.name}.jpg"), Q=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
