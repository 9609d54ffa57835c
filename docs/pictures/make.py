"""Make the pictures of the README from photographs that scikit-image carries: ``python docs/pictures/make.py``."""

from pathlib import Path

import numpy as np
import pyvips
from skimage import data

from photochrom import Colorizer
from photochrom.core.color import gray_of

HERE = Path(__file__).parent
HEIGHT = 300
PHOTOS = {"camera": data.camera, "astronaut": data.astronaut, "coffee": data.coffee, "rocket": data.rocket}


def black_and_white(pixels: np.ndarray) -> np.ndarray:
    """(h, w) or (h, w, 3) codes -> (h, w) codes of the same L."""
    if pixels.ndim == 2:
        return pixels
    from photochrom.core.color import lab_to_rgb

    lightness = (gray_of(np.moveaxis(pixels / 255, -1, 0)) + 1) * 50
    lab = np.stack([lightness, lightness * 0, lightness * 0])
    return np.rint(lab_to_rgb(lab)[0] * 255).astype(np.uint8)


def main() -> None:
    """Write ``old.jpg`` (the photograph of the first command) and ``before-after.jpg``."""
    colorizer = Colorizer()
    tiles = []
    for name, photo in PHOTOS.items():
        before = black_and_white(photo())
        if name == "camera":
            pyvips.Image.new_from_array(before).write_to_file(str(HERE / "old.jpg"), Q=92)
        for pixels in (np.dstack([before] * 3), colorizer(before)):
            tiles.append(pyvips.Image.new_from_array(pixels).thumbnail_image(HEIGHT, height=HEIGHT, crop="centre"))
    rows = [pyvips.Image.arrayjoin(tiles[i::2], across=len(PHOTOS), shim=6, background=[255, 255, 255]) for i in (0, 1)]
    picture = pyvips.Image.arrayjoin(rows, across=1, shim=6, background=[255, 255, 255])
    picture.write_to_file(str(HERE / "before-after.jpg"), Q=88)


if __name__ == "__main__":
    main()
