"""How well guesses that do not look at the photo, and the lightness of a pixel alone, predict its ab.

    python benchmarks/ambiguity.py PHOTOS.zip

Squared distances in the ab plane, in square Lab units, over the same number of pixels of each photo. It also counts the
8-bit colors that share a lightness.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from photochrom.core.color import rgb_to_lab

SAMPLED = 2000  # pixels of each photo
BAND = 2  # L units
LIGHTNESS = 50


def read_pixels(archive: Path) -> np.ndarray:
    """Return Lab values (3, n) of random pixels of all photos of an archive."""
    pixels, generator = [], np.random.default_rng(0)
    with zipfile.ZipFile(archive) as photos:
        for name in sorted(photos.namelist()):
            if not name.lower().endswith((".jpg", ".png", ".webp")):
                continue
            rgb = np.asarray(Image.open(io.BytesIO(photos.read(name))).convert("RGB")) / 255
            lab = rgb_to_lab(np.moveaxis(rgb, -1, 0)).reshape(3, -1)
            pixels.append(lab[:, generator.choice(lab.shape[1], SAMPLED)])
    return np.concatenate(pixels, 1)


def squared_distances(lab: np.ndarray) -> dict[str, float]:
    """Return the mean squared distance from ab of each guess."""
    lightness, ab = lab[0], lab[1:]
    mean = ab.mean(1, keepdims=True)
    variance = ((ab - mean) ** 2).sum(0).mean()
    unexplained = 0.0
    bands = (lightness // BAND).astype(int)
    for band in np.unique(bands):
        inside = ab[:, bands == band]
        unexplained += ((inside - inside.mean(1, keepdims=True)) ** 2).sum()
    return {
        "gray": (ab**2).sum(0).mean(),
        "mean color of all photos": variance,
        "mean color of pixels of this lightness": unexplained / ab.shape[1],
        "color of another random pixel": 2 * variance,
    }


def count_colors(lightness: int) -> int:
    """Return the number of 8-bit sRGB colors whose L rounds to a number."""
    green, blue = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    count = 0
    for red in range(256):
        rgb = np.stack([np.full_like(green, red), green, blue]) / 255
        count += int((np.rint(rgb_to_lab(rgb)[0]) == lightness).sum())
    return count


def main(archive: Path) -> None:
    """Print the figures."""
    lab = read_pixels(archive)
    print(f"{lab.shape[1]} pixels; root mean square of a and b: {np.sqrt((lab[1:] ** 2).mean()):.2f}")
    for guess, value in squared_distances(lab).items():
        print(f"{value:8.1f}  {guess}")
    print(f"8-bit colors with L = {LIGHTNESS}: {count_colors(LIGHTNESS)} of {256**3}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
