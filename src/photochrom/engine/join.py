"""Small chroma under full-size luminance, in strips: Lab exactly, at some tens of nanoseconds a pixel.

Lightness comes from the photograph alone, so tables give Y and the Lab curve f(Y) = (L + 16) / 116. Chroma gives X and
Z: f(X) = f(Y) + a / 500, f(Z) = f(Y) - b / 200 (CIE 15). A colour outside sRGB is moved towards the gray of the same Y,
along a straight line in linear light, as far as the edge of the gamut: a closed form that keeps Y, hence L.

Light is in units of 1 / UNIT, so that it is an index into a table. Planes are worked on in place: to allocate one takes
as long as the arithmetic. Bicubic enlargement of ab came nearest to true colours among the ways in
``benchmarks/join.py``.
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
COARSE = 1 << 15  # bins of the one that gives f(Y) so, which moves chroma alone
KNEE, SLOPE, TINY = f32(color.KNEE * ROOT), f32(3 * (color.KNEE * ROOT) ** 2), f32(UNIT * 1e-12)
ROWS = [(f32(row[0] * color.WHITE[0]), f32(row[2] * color.WHITE[2])) for row in color.FROM_XYZ]
STRIP = 1 << 17  # pixels enlarged at once, but no more than
LINES = 32  # rows, so that no matrix product is large enough for BLAS to start threads of its own
BLOCK = 1 << 14  # pixels coloured at once, so that the planes stay in a core's cache
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
def _curve_by_root() -> np.ndarray:
    """f(Y) by the square root of Y, at the middle of each bin."""
    return _lab_curve(((np.arange(COARSE) + 0.5) / COARSE) ** 2).astype(f32)


@cache
def _codes(depth: int) -> np.ndarray:
    """sRGB codes by linear light (8 bits) or its square root (16 bits), at the middle of each bin."""
    bins = UNIT if depth == 8 else FINE
    middle = (np.arange(bins) + 0.5) / bins
    light = np.broadcast_to(middle if depth == 8 else middle**2, (3, 1, bins))
    return np.rint(color.linear_to_srgb(light)[0, 0] * ((1 << depth) - 1)).astype(f"u{depth // 8}")


def _root(light: np.ndarray, bins: int) -> np.ndarray:
    """The bin of light in [0, UNIT] by its square root."""
    return (np.sqrt(np.maximum(light, f32(0))) * f32(bins / UNIT**0.5)).astype(np.intp)


def luminance(pixels: Integer[np.ndarray, "n c"]) -> tuple[Plane, Plane]:
    """Y and f(Y) of sRGB codes, 8 or 16 bits, one channel or three."""
    light, curve = _light(1 << 8 * pixels.dtype.itemsize)
    at = pixels.T.astype(np.intp)
    if len(at) == 1:
        return light.take(at[0]), curve.take(at[0])
    y = light.take(at[0]) * f32(color.TO_XYZ[1][0])
    y += light.take(at[1]) * f32(color.TO_XYZ[1][1])
    y += light.take(at[2]) * f32(color.TO_XYZ[1][2])
    np.minimum(y, f32(UNIT), out=y)
    return y, _curve_by_root().take(_root(y, COARSE), mode="clip")


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
    for plane in shift:  # becomes X / X_white - Y: f ** 3, below the knee its tangent, less Y
        plane += f
        np.maximum(plane, KNEE, out=high)
        plane -= high
        plane *= SLOPE
        np.multiply(high, high, out=other)
        other *= high
        plane += other
        plane -= y
    x, z = shift
    for row, plane in zip(ROWS, rgb, strict=True):  # less Y: as white gives white, Y itself adds nothing
        np.multiply(x, row[0], out=plane)
        np.multiply(z, row[1], out=other)
        plane += other
    _share(y, rgb, x, other)
    rgb *= x
    rgb += y


def _share(y: Plane, rgb: Float32[np.ndarray, "3 n"], share: Plane, other: Plane) -> None:
    """Into `share`: the largest share in [0, 1] of `rgb` that can be added to `y` and stay in [0, UNIT]."""
    red, green, blue = rgb
    for most, edge, room in ((np.maximum, TINY, f32(UNIT) - y), (np.minimum, -TINY, -y)):
        most(red, green, out=other)
        most(other, blue, out=other)
        most(other, edge, out=other)
        np.divide(room, other, out=room)
        np.minimum(room, f32(1) if edge > 0 else share, out=share)


def join(pixels: Integer[np.ndarray, "h w c"], shift: Float32[np.ndarray, "2 h w"], depth: int) -> np.ndarray:
    """One strip: sRGB codes (gray or colour) and `shifts`, used up -> coloured codes (h, w, 3) of `depth` bits."""
    height, width, channels = pixels.shape
    flat, shift, codes = pixels.reshape(-1, channels), shift.reshape(2, -1), _codes(depth)
    done = np.empty((len(flat), 3), codes.dtype)
    planes = np.empty((5, BLOCK), f32)
    for start in range(0, len(flat), BLOCK):
        part = slice(start, min(start + BLOCK, len(flat)))
        rgb, spare = planes[:3, : part.stop - start], planes[3:, : part.stop - start]
        paint(*luminance(flat[part]), shift[:, part], rgb, spare)
        for channel, light in enumerate(rgb):
            at = light.astype(np.intp) if depth == 8 else _root(light, FINE)
            done[part, channel] = codes.take(at, mode="clip")
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
