"""Make old.jpg and before-after.jpg, the first pictures of the README: ``python docs/pictures/make.py``."""

from pathlib import Path

import numpy as np
import pyvips
from skimage import data

from photochrom import Colorizer
from photochrom.core.color import lab_to_rgb, rgb_to_gray

HERE = Path(__file__).parent
HEIGHT = 250
WHITE = [255, 255, 255]
OLD_PHOTOS = ("expedition-1897.jpg", "dahlgren.jpg")


def to_grayscale(pixels: np.ndarray) -> np.ndarray:
    """Return 8-bit pixels (h, w) with the lightness L of (h, w) or (h, w, 3)."""
    if pixels.ndim == 2:
        return pixels
    lightness = (rgb_to_gray(np.moveaxis(pixels / 255, -1, 0)) + 1) * 50
    lab = np.stack([lightness, lightness * 0, lightness * 0])
    return np.rint(lab_to_rgb(lab)[0] * 255).astype(np.uint8)


def tile(pixels: np.ndarray) -> pyvips.Image:
    """Return an sRGB image of height `HEIGHT`."""
    if pixels.ndim == 2:
        pixels = np.dstack([pixels] * 3)
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    return image.thumbnail_image(10 * HEIGHT, height=HEIGHT)


def row(images: list[pyvips.Image]) -> pyvips.Image:
    """Return the images side by side."""
    joined = images[0]
    for image in images[1:]:
        joined = joined.join(image, "horizontal", shim=6, background=WHITE)
    return joined


def main() -> None:
    """Write the photo of the README's first command, and four photos before and after."""
    camera = data.camera()
    pyvips.Image.new_from_array(camera).write_to_file(str(HERE / "old.jpg"), Q=92)
    photos = [pyvips.Image.new_from_file(str(HERE / name)).numpy() for name in OLD_PHOTOS]
    photos += [camera, to_grayscale(data.rocket())]

    colorizer = Colorizer()
    before = row([tile(photo) for photo in photos])
    after = row([tile(colorizer(photo)) for photo in photos])
    both = before.join(after, "vertical", shim=6, background=WHITE)
    both.write_to_file(str(HERE / "before-after.jpg"), Q=88)


if __name__ == "__main__":
    main()
