"""Make noising.jpg: the color of a photo of scikit-image as diffusion destroys it, and as the model ddpm samples it.

python docs/pictures/noising.py
"""

from pathlib import Path

import numpy as np
import pyvips
import skimage.data
from make import to_grayscale

from photochrom import Colorizer
from photochrom.core.color import AB_SCALE, lab_to_rgb, rgb_to_lab
from photochrom.core.resample import average_pool
from photochrom.core.sampling.diffusion import add_noise, cosine_schedule
from photochrom.imaging.photo import open_photo
from study import PARTS, tile

SHARES = (0, 0.2, 0.4, 0.6, 0.8, 1)  # of the 1,000 levels
PHOTOS = ("coffee", "rocket")
SEED = 3


def under_lightness(ab: np.ndarray, gray: np.ndarray) -> pyvips.Image:
    """Return a tile of ab / 110 (2, h, w) under the lightness of a grayscale photo (1, H, W) in [-1, 1]."""
    factor = gray.shape[-1] // ab.shape[-1]
    large = ab.repeat(factor, 1).repeat(factor, 2) * AB_SCALE
    rgb = lab_to_rgb(np.concatenate([(gray + 1) * 50, large.clip(-AB_SCALE, AB_SCALE)]))
    return tile(np.rint(np.moveaxis(rgb, 0, -1) * 255).astype(np.uint8))


def rows(colorizer: Colorizer, name: str) -> list[pyvips.Image]:
    """Return tiles of a photo: noise is added to its color, then removed from other noise."""
    top, left, side = PARTS[name]
    truth = getattr(skimage.data, name)()[top : top + side, left : left + side]
    gray = colorizer.prepare(open_photo(to_grayscale(truth))).gray
    small = open_photo(truth).resize(gray.shape[-1], 32, False)
    sampling = colorizer.procedure
    clean = average_pool(rgb_to_lab(small)[None, 1:] / AB_SCALE, 4)[0] * sampling.gain
    noise = np.random.default_rng(SEED).normal(size=clean.shape)
    schedule = cosine_schedule(sampling.levels)
    levels = [schedule[round(share * sampling.levels)] for share in SHARES]
    forward = [add_noise(clean, noise, gamma) / sampling.gain for gamma in levels]
    steps = colorizer.trajectory(gray, seed=SEED)
    backward = [steps[round((1 - share) * (len(steps) - 1))] for share in SHARES[::-1]]
    return [under_lightness(ab, gray) for ab in (*forward, *backward)]


def main(target: Path) -> None:
    """Write the picture."""
    colorizer, tiles = Colorizer("ddpm"), []
    for name in PHOTOS:
        tiles += rows(colorizer, name)
    mosaic = pyvips.Image.arrayjoin(tiles, across=len(SHARES), shim=4, background=[255, 255, 255])
    mosaic.write_to_file(str(target), Q=88)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".jpg"))
