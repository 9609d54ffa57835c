"""Make restored.png: for each bundle of the family cold four rows, what is left of some photographs, what it makes of
that at one shot and in all its steps, and the photographs.

python docs/pictures/restored.py cold-blur cold-mask cold-color
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from photochrom.inference.restorer import Restorer

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
ENLARGED = 2


def square(name: str) -> np.ndarray:
    """The middle of one of scikit-image's photographs."""
    photo = getattr(skimage.data, name)()
    side = min(photo.shape[:2])
    top, left = ((n - side) // 2 for n in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + side, left : left + side])


def rows(bundle: str) -> np.ndarray:
    """The four rows of one bundle."""
    restorers, columns = [Restorer(bundle, solver=solver) for solver in ("one-shot", "improved")], []
    for seed, name in enumerate(PHOTOGRAPHS):
        left, dirt = restorers[0].degrade(square(name), seed)
        whole = np.asarray(Image.fromarray(square(name)).resize(left.shape[1::-1], Image.Resampling.BOX))
        columns.append(np.concatenate([left, *(restorer(left, dirt) for restorer in restorers), whole]))
    return np.concatenate(columns, 1)


def main(bundles: list[str], target: Path) -> None:
    """Write the picture."""
    sheet = Image.fromarray(np.concatenate([rows(bundle) for bundle in bundles], 1))
    sheet.resize([n * ENLARGED for n in sheet.size], Image.Resampling.BICUBIC).save(target)


if __name__ == "__main__":
    main(sys.argv[1:], Path(__file__).with_name("restored.png"))
