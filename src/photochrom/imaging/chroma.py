"""Merges small chroma with full-size luminance, strip by strip, at some tens of nanoseconds a pixel.

This is the optimized form of `core.color.fit_gamut`, proven equal by a test. Lightness comes from the photo alone, so
tables give Y and the Lab curve f(Y) = (L + 16) / 116. Chroma gives X and Z: f(X) = f(Y) + a / 500 and
f(Z) = f(Y) - b / 200 (CIE 15). A color outside sRGB moves towards the gray of the same Y, along a straight line in
linear light, as far as the edge of the gamut: a closed form that keeps Y, hence L.

Light is in units of 1 / UNIT, an index into tables. Planes are changed in place: to allocate one takes as long as the
arithmetic. Bicubic enlargement gave the truest colors in ``benchmarks/chroma_merge.py``.
"""

from functools import cache

import numpy as np
from jaxtyping import Float32, Integer

from ..core import color

f32 = np.float32
UNIT = 1 << 16  # linear light of white
ROOT = UNIT ** (1 / 3)  # f of white, so that cubes come out in the unit
ROOT_BINS = 1 << 18  # of the table that gives 16-bit codes by the square root of light
KNEE, SLOPE = f32(color.KNEE * ROOT), f32(3 * (color.KNEE * ROOT) ** 2)
XYZ_WHITE_TO_RGB = np.array([(row[0] * color.WHITE[0], row[2] * color.WHITE[2]) for row in color.FROM_XYZ], f32)
LUMINANCE_WEIGHTS = np.array(color.TO_XYZ[1], f32)
BLACK, WHITE = f32(color.GAMUT[0] * UNIT), f32(color.GAMUT[1] * UNIT)
STRIP_PIXELS = 1 << 17  # enlarged at once
MAX_STRIP_ROWS = 32  # so that no matrix product is large enough for BLAS to start threads of its own
BLOCK_PIXELS = 1 << 15  # merged at once, so that the planes stay in a core's cache
BLOCK_COLUMNS = 256  # enlarged by one small matrix product

Plane = Float32[np.ndarray, "n"]


@cache
def _luminance_tables(codes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y and f(Y) of each of `codes` gray sRGB codes, and f(Y) by linear light, at the center of each bin."""
    light = color.srgb_to_linear(np.broadcast_to(np.linspace(0, 1, codes), (3, 1, codes)))[0, 0]
    centers = (np.arange(UNIT) + 0.5) / UNIT
    curve, curve_by_light = color.lab_curve(light) * ROOT, color.lab_curve(centers) * ROOT
    return (light * UNIT).astype(f32), curve.astype(f32), curve_by_light.astype(f32)


@cache
def _code_by_light(depth: int) -> np.ndarray:
    """sRGB codes by linear light (8 bits) or by its square root (16 bits), at the center of each bin."""
    bins = UNIT if depth == 8 else ROOT_BINS
    centers = (np.arange(bins) + 0.5) / bins
    light = np.broadcast_to(centers if depth == 8 else centers**2, (3, 1, bins))
    return np.rint(color.linear_to_srgb(light)[0, 0] * ((1 << depth) - 1)).astype(f"u{depth // 8}")


def luminance(pixels: Integer[np.ndarray, "n c"]) -> tuple[Plane, Plane]:
    """Returns Y and f(Y) of sRGB codes, 8 or 16 bits, one channel or three."""
    light, curve, curve_by_light = _luminance_tables(1 << 8 * pixels.dtype.itemsize)
    if pixels.shape[1] == 1:
        codes = pixels[:, 0].astype(np.intp)
        return light.take(codes, mode="clip"), curve.take(codes, mode="clip")
    y = light.take(pixels, mode="clip") @ LUMINANCE_WEIGHTS
    return y, curve_by_light.take(y.astype(np.intp), mode="clip")


def chroma_shift(ab: Float32[np.ndarray, "2 h w"]) -> Float32[np.ndarray, "2 h w"]:
    """Returns f(X) - f(Y) and f(Z) - f(Y) of ab in Lab units."""
    return ab * np.array([ROOT / 500, -ROOT / 200], f32)[:, None, None]


def merge_light(
    y: Plane, f: Plane, shift: Float32[np.ndarray, "2 n"], rgb: Float32[np.ndarray, "3 n"], work: np.ndarray
) -> None:
    """Writes linear sRGB in [0, UNIT] of `luminance` and `chroma_shift` into `rgb`; overwrites `shift` and `work`."""
    high, other = work
    knee = np.full_like(y, KNEE)  # numpy compares two planes four times as fast as a plane and a number
    # Each plane becomes X / X_white - Y: f cubed, and below the knee the tangent of the cube, less Y.
    for plane in shift:
        plane += f
        np.maximum(plane, knee, out=high)
        plane -= high
        plane *= SLOPE
        np.multiply(high, high, out=other)
        other *= high
        plane += other
        plane -= y
    np.matmul(XYZ_WHITE_TO_RGB, shift, out=rgb)  # RGB less Y: as white gives white, Y itself adds nothing
    # The largest share of RGB less Y that stays under white, and above black.
    share, share_low = high, other
    for extreme, edge, part in ((np.maximum, WHITE, share), (np.minimum, BLACK, share_low)):
        room = edge - y
        extreme(rgb[0], rgb[1], out=part)
        extreme(part, rgb[2], out=part)
        # A channel that does not reach the edge counts as if it just did: its share is 1.
        extreme(part, room, out=part)
        np.divide(room, part, out=part)
    np.minimum(share, share_low, out=share)
    rgb *= share
    rgb += y


def merge_chroma(
    pixels: Integer[np.ndarray, "h w c"], shift: Float32[np.ndarray, "2 h w"], depth: int
) -> Integer[np.ndarray, "h w 3"]:
    """Returns color codes of `depth` bits of a strip of gray or color codes; `shift` is overwritten."""
    flat, flat_shift, codes = pixels.reshape(-1, pixels.shape[2]), shift.reshape(2, -1), _code_by_light(depth)
    result = np.empty((len(flat), 3), codes.dtype)
    planes, bins = np.empty((5, BLOCK_PIXELS), f32), np.empty((BLOCK_PIXELS, 3), np.intp)
    for start in range(0, len(flat), BLOCK_PIXELS):
        block = slice(start, min(start + BLOCK_PIXELS, len(flat)))
        y, f = luminance(flat[block])
        rgb, index = planes[:3, : len(y)], bins[: len(y)]
        merge_light(y, f, flat_shift[:, block], rgb, planes[3:, : len(y)])
        for channel, light in enumerate(rgb):
            if depth == 16:
                light = np.sqrt(np.maximum(light, f32(0))) * f32(ROOT_BINS / UNIT**0.5)
            index[:, channel] = light
        codes.take(index, mode="clip", out=result[block])
    return result.reshape(*pixels.shape[:2], 3)


class ChromaEnlarger:
    """Enlarges chroma, in any unit, bicubically to `width` x `height` (no smaller than `ab`), a few rows at a time."""

    def __init__(self, ab: Float32[np.ndarray, "2 small_h small_w"], width: int, height: int) -> None:
        self.ab, self.width, self.height = ab, width, height
        self.blocks = []  # of columns: where each is, the columns of `ab` it is made of, and their weights
        for start in range(0, width, BLOCK_COLUMNS):
            stop = min(start + BLOCK_COLUMNS, width)
            source, matrix = _interpolation(width, ab.shape[2], start, stop - start)
            self.blocks.append((slice(start, stop), source, matrix.T))

    def rows(self, top: int, count: int) -> Float32[np.ndarray, "2 h w"]:
        """Returns rows `top` to `top + count` at full size."""
        lines, down = _interpolation(self.height, self.ab.shape[1], top, count)
        large = np.empty((2, count, self.width), f32)
        for block, source, across in self.blocks:
            np.matmul(down, np.matmul(self.ab[:, lines, source], across), out=large[..., block])
        return large


def _interpolation(size: int, small: int, first: int, count: int) -> tuple[slice, np.ndarray]:
    """Which of `small` samples make samples `first`... of `size`, edges repeated; their weights (count, samples)."""
    position = (np.arange(first, first + count) + 0.5) * (small / size) - 0.5
    left = np.floor(position).astype(np.int64)
    index = (left[:, None] + np.arange(-1, 3)).clip(0, small - 1)
    low, high = int(index.min()), int(index.max()) + 1
    # Weights of the four neighbors by their distance (Keys 1981, a = -1/2, or Catmull-Rom).
    d = np.abs((position - left)[:, None] - np.arange(-1, 3))
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    weights = np.where(d <= 1, near, np.where(d < 2, far, 0))
    matrix = np.zeros((count, high - low), f32)
    np.add.at(matrix, (np.arange(count)[:, None], index - low), weights.astype(f32))
    return slice(low, high), matrix
