"""The error of models over their colourfulness: a model with a dial for saturation is a curve, not a point.

    python benchmarks/curve.py PHOTOS ... --model NAME|PATH ... [--held-out 0.02] [--at 0.6 0.7] [--limit N]

Photographs are prepared as protocol ``native`` has it. Each model colours each once; its chroma is then multiplied.
"""

import argparse
from pathlib import Path

import numpy as np

from photochrom.core.color import AB_SCALE, colorfulness, fit_gamut, lab_to_rgb, rgb_to_lab
from photochrom.evaluation.measure import to_float
from photochrom.evaluation.metrics import ab_distance
from photochrom.evaluation.protocols import find_protocol
from photochrom.imaging.chroma import Chroma
from photochrom.imaging.photo import open_photo
from photochrom.imaging.sources import find_images, is_held_out
from photochrom.inference.colorizer import Colorizer

STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0)


def curve(model: str, truths: list[np.ndarray]) -> np.ndarray:
    """At each of `STRENGTHS`: colourfulness over the truth's and ab error over gray's, ratios of means (s, 2)."""
    colorizer = Colorizer(model)
    sums = np.zeros((len(STRENGTHS) + 1, 2))  # the truth's last
    for pixels in truths:
        lab = rgb_to_lab(to_float(pixels))
        sums[-1] += float(colorfulness(to_float(pixels))), np.hypot(*lab[1:]).mean()
        (ab,) = colorizer.predict([colorizer.prepare(open_photo(pixels)).gray])
        large = Chroma(ab * np.float32(AB_SCALE), *lab.shape[:0:-1]).rows(0, lab.shape[1])
        for at, saturation in enumerate(STRENGTHS):
            ours = fit_gamut(np.concatenate([lab[:1], large * np.float32(saturation)]))
            sums[at] += float(colorfulness(lab_to_rgb(ours))), ab_distance(ours, lab).mean()
    found: np.ndarray = sums[:-1] / sums[-1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--held-out", type=float, default=1.0)
    parser.add_argument("--at", type=float, nargs="*", default=[0.5, 0.6, 0.7, 0.8])
    parser.add_argument("--limit", type=int)
    asked = parser.parse_args()
    found = [m for source in asked.photos for m in find_images(source) if is_held_out(m.crc, asked.held_out)]
    truths = [find_protocol("native").prepare(open_photo(m.open(), name=m.name).pixels()) for m in found[: asked.limit]]
    print(f"{len(truths)} photographs; ab error over gray's at colourfulness over the truth's")
    columns = [f"saturation {s:g}" for s in STRENGTHS] + [f"error at {at:g}" for at in asked.at]
    print(f"| | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|")
    for model in asked.model:
        points = curve(model, truths)
        between = np.interp(asked.at, points[:, 0], points[:, 1], left=np.nan, right=np.nan)
        cells = [f"{error:.3f} at {color:.3f}" for color, error in points] + [f"{error:.3f}" for error in between]
        print(f"| {model} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
