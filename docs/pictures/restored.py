"""Make restored.png: for each bundle of the family `cold`, four rows: degraded photos, their restoration in one shot
and in all steps, and the photos.

python docs/pictures/restored.py cold-blur cold-mask cold-color
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from photochrom.inference.restorer import Restorer

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
ENLARGED = 2


def square(name: str) -> np.ndarray:
    """Return the center square of a photo of scikit-image."""
    photo = getattr(skimage.data, name)()
    side = min(photo.shape[:2])
    top, left = ((n - side) // 2 for n in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + side, left : left + side])


def rows(bundle: str) -> np.ndarray:
    """Return the four rows of one bundle."""
    restorers, columns = [Restorer(bundle, solver=solver) for solver in ("one-shot", "improved")], []
    for seed, name in enumerate(PHOTOS):
        degraded, noise = restorers[0].degrade(square(name), seed)
        restored = [restorer(degraded, noise) for restorer in restorers]
        truth = np.asarray(Image.fromarray(square(name)).resize(degraded.shape[1::-1], Image.Resampling.BOX))
        columns.append(np.concatenate([degraded, *restored, truth]))
    return np.concatenate(columns, 1)


def main(bundles: list[str], target: Path) -> None:
    """Write the picture."""
    mosaic = Image.fromarray(np.concatenate([rows(bundle) for bundle in bundles], 1))
    mosaic.resize([n * ENLARGED for n in mosaic.size], Image.Resampling.BICUBIC).save(target)


if __name__ == "__main__":
    main(sys.argv[1:], Path(__file__).with_name("restored.png"))
