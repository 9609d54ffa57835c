"""How far the mean of the first noise decides the mean color of a diffusion model's result.

    python benchmarks/tint.py [--model ddpm] [--seeds 40]

Prints, for photos of scikit-image, the correlation over seeds of the mean of each channel of the noise with the mean of
that channel of the output, and the standard deviation of the latter in Lab units.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import skimage.data

from photochrom import Colorizer
from photochrom.core.color import AB_SCALE
from photochrom.imaging.photo import open_photo
from photochrom.inference.onnx import SeededNoise

sys.path.append(str(Path(__file__).parents[1] / "docs" / "pictures"))
from make import to_grayscale

PHOTOS = ("camera", "astronaut", "coffee", "chelsea")


def means(colorizer: Colorizer, name: str, seeds: range) -> tuple[np.ndarray, np.ndarray]:
    """Return the means over pixels of the first noise and of the output's ab (seeds, 2), in Lab units."""
    gray = colorizer.prepare(open_photo(to_grayscale(getattr(skimage.data, name)()))).gray
    noises, outputs = [], []
    for seed in seeds:
        (ab,) = colorizer.predict([gray], seed)
        noise = SeededNoise([seed])(ab[None])
        noises.append(noise[0].mean((1, 2)))
        outputs.append(ab.mean((1, 2)) * AB_SCALE)
    return np.array(noises), np.array(outputs)


def main() -> None:
    """Print a line for each photo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ddpm")
    parser.add_argument("--seeds", type=int, default=40)
    options = parser.parse_args()
    colorizer = Colorizer(options.model)
    for name in PHOTOS:
        noises, outputs = means(colorizer, name, range(options.seeds))
        correlations = [np.corrcoef(noises[:, channel], outputs[:, channel])[0, 1] for channel in (0, 1)]
        spread = outputs.std(0)
        print(f"{name}: a {correlations[0]:.2f} ({spread[0]:.1f}), b {correlations[1]:.2f} ({spread[1]:.1f})")


if __name__ == "__main__":
    main()
