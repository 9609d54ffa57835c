"""Small chroma under full-size luminance, in strips: Lab exactly, at some tens of nanoseconds a pixel.

Lightness comes from the photograph alone, so tables give Y and the Lab curve f(Y) = (L + 16) / 116. Chroma gives X and
Z: f(X) = f(Y) + a / 500, f(Z) = f(Y) - b / 200 (CIE 15). A colour outside sRGB is moved towards the gray of the same Y,
along a straight line in linear light, as far as the edge of the gamut: a closed form that keeps Y, hence L.

Light is in units of 1 / UNIT, so that it is an index into a table. Planes are worked on in place: to allocate one takes
as long as the arithmetic. Bicubic enlargement of ab came nearest to true colours among the ways in
``benchmarks/chroma_merge.py``.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float32, Integer

from ..core import color

f32 = np.float32
UNIT = 1 << 16  # linear light of white
ROOT = UNIT ** (1 / 3)  # f of white, so that cubes come out in the unit
FINE = 1 << 18  # bins of the table that gives 16-bit codes by the square root of light
KNEE, SLOPE = f32(color.KNEE * ROOT), f32(3 * (color.KNEE * ROOT) ** 2)
ROWS = np.array([(row[0] * color.WHITE[0], row[2] * color.WHITE[2]) for row in color.FROM_XYZ], f32)
WEIGHTS = np.array(color.TO_XYZ[1], f32)
BLACK, WHITE = f32(-1e-3), f32(UNIT + 0.02)  # the gamut with so much room that no gray stands at its very edge
STRIP = 1 << 17  # pixels enlarged at once, but no more than
LINES = 32  # rows, so that no matrix product is large enough for BLAS to start threads of its own
BLOCK = 1 << 15  # pixels coloured at once, so that the planes stay in a core's cache
COLUMNS = 256  # columns enlarged by one small matrix product

Plane = Float32[np.ndarray, "n"]


def _lab_curve(light: np.ndarray) -> np.ndarray:
    """f(Y) of linear light in [0, 1], in units of 1 / ROOT: (n,) -> (n,)."""
    return (color.xyz_to_lab(np.broadcast_to(light, (3, 1, light.size)))[0, 0] + 16) * (ROOT / 116)


@cache
def _light(codes: int) -> tuple[np.ndarray, np.ndarray]:
    """Y and f(Y) of each of `codes` gray sRGB codes."""
    light = color.srgb_to_linear(np.broadcast_to(np.linspace(0, 1, codes), (3, 1, codes)))[0, 0]
    return (light * UNIT).astype(f32), _lab_curve(light).astype(f32)


@cache
def _curve() -> np.ndarray:
    """f(Y) by linear light, at the middle of each bin."""
    return _lab_curve((np.arange(UNIT) + 0.5) / UNIT).astype(f32)


@cache
def _codes(depth: int) -> np.ndarray:
    """sRGB codes by linear light (8 bits) or its square root (16 bits), at the middle of each bin."""
    bins = UNIT if depth == 8 else FINE
    middle = (np.arange(bins) + 0.5) / bins
    light = np.broadcast_to(middle if depth == 8 else middle**2, (3, 1, bins))
    return np.rint(color.linear_to_srgb(light)[0, 0] * ((1 << depth) - 1)).astype(f"u{depth // 8}")


def _root(light: np.ndarray) -> np.ndarray:
    """The bin of light in [0, UNIT] among FINE, by its square root."""
    return np.sqrt(np.maximum(light, f32(0))) * f32(FINE / UNIT**0.5)


def luminance(pixels: Integer[np.ndarray, "n c"]) -> tuple[Plane, Plane]:
    """Y and f(Y) of sRGB codes, 8 or 16 bits, one channel or three."""
    light, curve = _light(1 << 8 * pixels.dtype.itemsize)
    if pixels.shape[1] == 1:
        at = pixels[:, 0].astype(np.intp)
        return light.take(at, mode="clip"), curve.take(at, mode="clip")
    y = light.take(pixels, mode="clip") @ WEIGHTS
    return y, _curve().take(y.astype(np.intp), mode="clip")


def shifts(ab: Float32[np.ndarray, "2 h w"]) -> Float32[np.ndarray, "2 h w"]:
    """f(X) - f(Y) and f(Z) - f(Y) of ab in Lab units."""
    return ab * np.array([ROOT / 500, -ROOT / 200], f32)[:, None, None]


def paint(
    y: Plane, f: Plane, shift: Float32[np.ndarray, "2 n"], rgb: Float32[np.ndarray, "3 n"], spare: np.ndarray
) -> None:
    """Into `rgb`: linear sRGB in [0, UNIT] of luminance `y`, `f` = f(y), and `shift`, which is used up.

    `spare`: two planes to work in.
    """
    high, other = spare
    knee = np.full_like(y, KNEE)  # since numpy compares two planes four times as fast as a plane and a number
    for plane in shift:  # becomes X / X_white - Y: f ** 3, below the knee its tangent, less Y
        plane += f
        np.maximum(plane, knee, out=high)
        plane -= high
        plane *= SLOPE
        np.multiply(high, high, out=other)
        other *= high
        plane += other
        plane -= y
    np.matmul(ROWS, shift, out=rgb)  # less Y: as white gives white, Y itself adds nothing
    share, low = high, other  # of what `rgb` adds to Y, the most that stays in the gamut
    for extreme, edge, part in ((np.maximum, WHITE, share), (np.minimum, BLACK, low)):
        room = edge - y
        extreme(rgb[0], rgb[1], out=part)
        extreme(part, rgb[2], out=part)
        extreme(part, room, out=part)
        np.divide(room, part, out=part)
    np.minimum(share, low, out=share)
    rgb *= share
    rgb += y


def merge_chroma(pixels: Integer[np.ndarray, "h w c"], shift: Float32[np.ndarray, "2 h w"], depth: int) -> np.ndarray:
    """One strip: sRGB codes (gray or colour) and `shifts`, used up -> coloured codes (h, w, 3) of `depth` bits."""
    height, width, channels = pixels.shape
    flat, shift, codes = pixels.reshape(-1, channels), shift.reshape(2, -1), _codes(depth)
    done = np.empty((len(flat), 3), codes.dtype)
    planes, bins = np.empty((5, BLOCK), f32), np.empty((BLOCK, 3), np.intp)
    for start in range(0, len(flat), BLOCK):
        part = slice(start, min(start + BLOCK, len(flat)))
        size = part.stop - start
        rgb, at = planes[:3, :size], bins[:size]
        paint(*luminance(flat[part]), shift[:, part], rgb, planes[3:, :size])
        for channel, light in enumerate(rgb):
            at[:, channel] = light if depth == 8 else _root(light)
        codes.take(at, mode="clip", out=done[part])
    return done.reshape(height, width, 3)


def _catmull_rom(t: np.ndarray) -> np.ndarray:
    """Weights of the neighbours at -1, 0, 1, 2 of a place `t` in [0, 1) (Keys 1981, a = -1/2): (n,) -> (n, 4)."""
    d = np.abs(t[:, None] - np.arange(-1, 3))
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _weights(size: int, small: int, first: int, count: int) -> tuple[slice, np.ndarray]:
    """What makes samples `first`... of `size` out of `small`, centres aligned and edges repeated.

    Which small samples, and a matrix (count, samples) of their weights.
    """
    at = (np.arange(first, first + count) + 0.5) * (small / size) - 0.5
    left = np.floor(at).astype(np.int64)
    index = (left[:, None] + np.arange(-1, 3)).clip(0, small - 1)
    low, high = int(index.min()), int(index.max()) + 1
    matrix = np.zeros((count, high - low), f32)
    np.add.at(matrix, (np.arange(count)[:, None], index - low), _catmull_rom(at - left).astype(f32))
    return slice(low, high), matrix


@dataclass(frozen=True)
class Chroma:
    """Chroma, in any unit, enlarged bicubically a few rows at a time, to `width` x `height` (no smaller than `ab`)."""

    ab: Float32[np.ndarray, "2 small_h small_w"]
    width: int
    height: int

    @cached_property
    def _columns(self) -> list[tuple[slice, slice, np.ndarray]]:
        starts = range(0, self.width, COLUMNS)
        spans = [slice(start, min(start + COLUMNS, self.width)) for start in starts]
        made = (_weights(self.width, self.ab.shape[2], s.start, s.stop - s.start) for s in spans)
        return [(span, source, matrix.T) for span, (source, matrix) in zip(spans, made, strict=True)]

    def rows(self, top: int, count: int) -> Float32[np.ndarray, "2 h w"]:
        """Rows `top` to `top + count` at full size."""
        lines, down = _weights(self.height, self.ab.shape[1], top, count)
        large = np.empty((2, count, self.width), f32)
        for span, source, across in self._columns:
            np.matmul(down, np.matmul(self.ab[:, lines, source], across), out=large[..., span])
        return large
