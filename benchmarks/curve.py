"""The error of models over their colorfulness: with the saturation setting, a model is a curve, not a point.

    python benchmarks/curve.py PHOTOS ... --model NAME|PATH ... [--held-out 0.02] [--at 0.6 0.7] [--limit N]

Photos are prepared as in protocol ``native``. Each model colorizes each photo once; its chroma is then multiplied.
"""

import argparse
from pathlib import Path

import numpy as np

from photochrom.core.color import AB_SCALE, colorfulness, fit_gamut, lab_to_rgb, rgb_to_lab
from photochrom.evaluation.measure import to_float
from photochrom.evaluation.metrics import ab_distance
from photochrom.evaluation.protocols import find_protocol
from photochrom.imaging.chroma import ChromaEnlarger
from photochrom.imaging.photo import open_photo
from photochrom.imaging.sources import find_images, is_held_out
from photochrom.inference.colorizer import Colorizer

SATURATIONS = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0)


def curve(model: str, truths: list[np.ndarray]) -> np.ndarray:
    """Return colorfulness / ground truth and ab error / baseline at each of `SATURATIONS`, ratios of means (s, 2)."""
    colorizer = Colorizer(model)
    sums = np.zeros((len(SATURATIONS) + 1, 2))  # the last row: ground truth and baseline
    for pixels in truths:
        lab = rgb_to_lab(to_float(pixels))
        sums[-1] += float(colorfulness(to_float(pixels))), np.hypot(*lab[1:]).mean()
        (ab,) = colorizer.predict([colorizer.prepare(open_photo(pixels)).gray])
        large = ChromaEnlarger(ab * np.float32(AB_SCALE), *lab.shape[:0:-1]).rows(0, lab.shape[1])
        for index, saturation in enumerate(SATURATIONS):
            output = fit_gamut(np.concatenate([lab[:1], large * np.float32(saturation)]))
            sums[index] += float(colorfulness(lab_to_rgb(output))), ab_distance(output, lab).mean()
    ratios: np.ndarray = sums[:-1] / sums[-1]
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--held-out", type=float, default=1.0)
    parser.add_argument("--at", type=float, nargs="*", default=[0.5, 0.6, 0.7, 0.8])
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    images = []
    for source in options.photos:
        images += [image for image in find_images(source) if is_held_out(image.crc, options.held_out)]
    protocol = find_protocol("native")
    truths = []
    for image in images[: options.limit]:
        pixels = open_photo(image.open(), name=image.name).pixels()
        truths.append(protocol.prepare(pixels))
    print(f"{len(truths)} photos; ab error / baseline at colorfulness / ground truth")
    columns = [f"saturation {s:g}" for s in SATURATIONS] + [f"error at {level:g}" for level in options.at]
    print(f"| | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|")
    for model in options.model:
        points = curve(model, truths)
        between = np.interp(options.at, points[:, 0], points[:, 1], left=np.nan, right=np.nan)
        cells = [f"{error:.3f} at {color:.3f}" for color, error in points] + [f"{error:.3f}" for error in between]
        print(f"| {model} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
