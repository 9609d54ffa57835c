"""Methods of merging small chroma with full-size luminance, measured on photos whose colors are known.

    python benchmarks/chroma_merge.py PHOTOS.zip|FOLDER [--limit 200] [--factor 4] [--only PREFIX] [--model NAME|PATH]

The ground-truth ab of each photo is reduced `--factor` times, enlarged and merged with the luminance. The table has the
mean distance in ab and the mean CIEDE2000 over all pixels, and the same distance on the 10% of pixels with the
strongest edges in ab, where colors bleed. All methods keep L, except for rounding.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyvips

from photochrom.core import color
from photochrom.evaluation import metrics
from photochrom.imaging.chroma import ROOT, UNIT, chroma_shift, merge_light
from photochrom.imaging.photo import open_photo
from photochrom.imaging.sources import find_images
from photochrom.inference.colorizer import Colorizer


def read_photos(source: Path, only: str, limit: int) -> Iterator[np.ndarray]:
    images = [image for image in find_images(source) if image.name.startswith(only)]
    for image in images[:: max(1, len(images) // limit)][:limit]:
        yield decode(image.read())


def decode(blob: bytes) -> np.ndarray:
    pixels = pyvips.Image.new_from_buffer(blob, "").colourspace("srgb").numpy()[..., :3]
    return pixels.astype(np.float32).transpose(2, 0, 1) / 255


def resize(planes: np.ndarray, height: int, width: int, kernel: str) -> np.ndarray:
    image = pyvips.Image.new_from_array(np.ascontiguousarray(planes.transpose(1, 2, 0)))
    image = image.resize(width / image.width, vscale=height / image.height, kernel=kernel)
    return image.numpy().reshape(height, width, -1).transpose(2, 0, 1)


def mean(planes: np.ndarray, radius: int) -> np.ndarray:
    """Return the mean over a square window, with repeated edges."""
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (radius + 1, radius)
        total = np.pad(planes, pad, mode="edge").astype(np.float64).cumsum(axis)
        size = planes.shape[axis]
        far, near = np.arange(size) + 2 * radius + 1, np.arange(size)
        planes = (total.take(far, axis) - total.take(near, axis)) / (2 * radius + 1)
    return planes.astype(np.float32)


def guided(small_l: np.ndarray, small_ab: np.ndarray, lightness: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Fast guided filter (He & Sun 2015): ab is a local linear function of L, fitted small and applied at full size."""
    m_l, m_ab = mean(small_l, radius), mean(small_ab, radius)
    slope = (mean(small_l * small_ab, radius) - m_l * m_ab) / (mean(small_l**2, radius) - m_l**2 + epsilon)
    offset = m_ab - slope * m_l
    lines = mean(np.concatenate([slope, offset]), radius)
    lines = resize(lines, *lightness.shape[1:], "linear")
    return lines[:2] * lightness + lines[2:]


def residual(small_l: np.ndarray, small_ab: np.ndarray, lightness: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Bicubic ab, plus the guided filter's slope times the lightness that bicubic enlargement loses."""
    m_l, m_ab = mean(small_l, radius), mean(small_ab, radius)
    slope = (mean(small_l * small_ab, radius) - m_l * m_ab) / (mean(small_l**2, radius) - m_l**2 + eps)
    size = lightness.shape[1:]
    detail = lightness - resize(small_l, *size, "cubic")
    return resize(small_ab, *size, "cubic") + resize(slope, *size, "linear") * detail


def ratio(small_lab: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Keep chromaticity instead of ab: enlarge rgb / Y and fit the gamut at constant Y; returns linear sRGB."""
    linear = color.xyz_to_linear(color.lab_to_xyz(color.fit_gamut(small_lab))).clip(0, 1)
    share = linear / np.tensordot(np.float32(color.TO_XYZ[1]), linear, 1).clip(1e-4, None)
    move = y * (resize(share, *y.shape, "linear") - 1)
    up, down = move.max(0).clip(1e-9, None), -move.min(0).clip(None, -1e-9)
    return y + move * np.minimum(1, np.minimum((1 - y) / up, y / down))


def merged(y: np.ndarray, lightness: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Return linear sRGB (3, h, w) of the package's own merge."""
    f = ((lightness + 16) * (ROOT / 116)).astype(np.float32).ravel()
    rgb, spare = np.empty((3, y.size), np.float32), np.empty((2, y.size), np.float32)
    shift = chroma_shift(ab.astype(np.float32)).reshape(2, -1)
    merge_light((y * UNIT).astype(np.float32).ravel(), f, shift, rgb, spare)
    return rgb.reshape(3, *y.shape) / UNIT


def bilateral(small_l: np.ndarray, small_ab: np.ndarray, lightness: np.ndarray, sigma: float) -> np.ndarray:
    """Joint bilateral upsampling (Kopf et al. 2007): weights the 16 nearest small colors by lightness."""
    (height, width), (rows, columns) = lightness.shape[1:], small_l.shape[1:]
    at_y = (np.arange(height) + 0.5) * rows / height - 0.5
    at_x = (np.arange(width) + 0.5) * columns / width - 0.5
    total, weights = np.zeros((2, height, width), np.float32), np.zeros((height, width), np.float32)
    for dy in range(-1, 3):
        for dx in range(-1, 3):
            y, x = np.floor(at_y).astype(int) + dy, np.floor(at_x).astype(int) + dx
            space = np.exp(-((at_y - y) ** 2)[:, None] - ((at_x - x) ** 2)[None])
            near = np.ix_(y.clip(0, rows - 1), x.clip(0, columns - 1))
            similar = np.exp(-(((lightness[0] - small_l[0][near]) / sigma) ** 2) / 2) + 1e-3
            weight = (space * similar).astype(np.float32)
            weights += weight
            total += weight * np.stack([plane[near] for plane in small_ab])
    return total / weights


def predicted(colorizer: Colorizer, rgb: np.ndarray) -> np.ndarray:
    """Return Lab with the ab predicted by the model, at the size of its output."""
    gray = colorizer.prepare(open_photo(np.rint(rgb.transpose(1, 2, 0) * 255).astype(np.uint8))).gray
    ab = colorizer.predict([gray])[0] * color.AB_SCALE
    small = color.rgb_to_lab(resize(rgb, *ab.shape[1:], "linear").clip(0, 1))
    return np.concatenate([small[:1], ab])


def merges(rgb: np.ndarray, small: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the result (Lab) of each method."""
    lab = color.rgb_to_lab(rgb)
    height, width = rgb.shape[1:]
    y = color.linear_to_xyz(color.srgb_to_linear(rgb))[1].clip(0, 1)

    def merge(ab: np.ndarray) -> np.ndarray:
        return color.xyz_to_lab(color.linear_to_xyz(merged(y, lab[0], ab)))

    for kernel in ("nearest", "linear", "cubic"):
        yield f"Lab, {kernel}", merge(resize(small[1:], height, width, kernel))
    for radius in (1, 2):
        yield f"Lab, guided radius {radius}", merge(guided(small[:1], small[1:], lab[:1], radius, 100.0))
        yield f"Lab, bilateral {10 * radius}", merge(bilateral(small[:1], small[1:], lab[:1], 10.0 * radius))
        yield f"Lab, cubic and detail {radius}", merge(residual(small[:1], small[1:], lab[:1], radius, 100.0))
    yield "chromaticity, linear", color.xyz_to_lab(color.linear_to_xyz(ratio(small, y)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--model", help="a bundle whose predicted ab replaces the ground truth")
    parser.add_argument("--only", default="", help="prefix of the names of photos")
    options = parser.parse_args()
    colorizer = Colorizer(options.model) if options.model else None
    sums: dict[str, np.ndarray] = {}
    count = 0
    for rgb in read_photos(options.photos, options.only, options.limit):
        lab = color.rgb_to_lab(rgb)
        edges = np.abs(np.diff(lab[1:], axis=2, append=lab[1:, :, -1:])).sum(0)
        strong = edges >= np.quantile(edges, 0.9)
        count += 1
        height, width = (n // options.factor for n in rgb.shape[1:])
        true = color.rgb_to_lab(resize(rgb, height, width, "linear").clip(0, 1))
        for name, result in merges(rgb, predicted(colorizer, rgb) if colorizer else true):
            distance = np.hypot(*(result - lab)[1:])
            row = [distance.mean(), distance[strong].mean(), metrics.ciede2000(result, lab).mean()]
            row.append(np.abs(result - lab)[0].max())
            sums[name] = sums.get(name, np.zeros(4)) + row
    print(f"{count} photos, " + (f"ab of {options.model}" if colorizer else f"ab reduced {options.factor} times"))
    print(f"{'method':24s} {'ab':>6s} {'at edges':>9s} {'dE2000':>7s} {'max dL':>7s}")
    for name, total in sums.items():
        mean_ab, at_edges, de, dl = total / count
        print(f"{name:24s} {mean_ab:6.2f} {at_edges:9.2f} {de:7.2f} {dl:7.3f}")


if __name__ == "__main__":
    main()
