"""Small chroma under full-size luminance, strip by strip: Lab exactly, at a few nanoseconds a pixel.

Lightness comes from the photograph alone, so that tables give Y and the Lab curve f(Y). Chroma gives X and Z:
f(X) = f(Y) + a / 500 and f(Z) = f(Y) - b / 200 (CIE 15). Colours outside sRGB are moved towards the gray of the same
Y along a straight line in linear light, no further than the edge of the gamut: a closed form that keeps Y, hence L.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float32, Integer

from ..core import color

STRIP_PIXELS = 1 << 16  # worked on at once: small enough for the processor's cache
FINE = 1 << 18  # steps of the tables that are read by the square root of linear light

Plane = Float32[np.ndarray, "h w"]


@cache
def _linear(codes: int) -> np.ndarray:
    """Linear light of each sRGB code: (codes,)."""
    ramp = np.broadcast_to(np.linspace(0, 1, codes), (3, 1, codes))
    return color.srgb_to_linear(ramp)[0, 0].astype(np.float32)


def _roots() -> np.ndarray:
    light = np.linspace(0, 1, FINE + 1) ** 2
    return np.broadcast_to(light, (3, 1, FINE + 1))


@cache
def _curve() -> np.ndarray:
    """f(Y) = (L + 16) / 116 by the square root of Y: (FINE + 1,)."""
    return ((color.xyz_to_lab(_roots())[0, 0] + 16) / 116).astype(np.float32)


@cache
def _codes(depth: int) -> np.ndarray:
    """The sRGB code of `depth` bits by the square root of linear light: (FINE + 1,)."""
    top = (1 << depth) - 1
    return np.rint(color.linear_to_srgb(_roots())[0, 0] * top).astype(np.uint8 if depth == 8 else np.uint16)


def _by_root(table: np.ndarray, light: np.ndarray) -> np.ndarray:
    return table.take((np.sqrt(light.clip(0, 1)) * np.float32(FINE) + np.float32(0.5)).astype(np.int32))


def luminance(pixels: Integer[np.ndarray, "h w c"]) -> Plane:
    """Y in [0, 1] of sRGB codes, 8 or 16 bits, one channel or three."""
    light = _linear(1 << 8 * pixels.dtype.itemsize)
    if pixels.shape[-1] == 1:
        return light.take(pixels[..., 0])
    r, g, b = (np.float32(w) * light.take(pixels[..., i]) for i, w in enumerate(color.TO_XYZ[1]))
    return (r + g + b).clip(0, 1)


def _cube(f: Plane) -> Plane:
    """The inverse of Lab's curve: f**3, and its tangent below the knee."""
    high = np.maximum(f, np.float32(color.KNEE))
    return high * high * high + np.float32(3 * color.KNEE**2) * (f - high)


def paint(y: Plane, ab: Float32[np.ndarray, "2 h w"]) -> Float32[np.ndarray, "3 h w"]:
    """Linear sRGB in [0, 1] of luminance `y` in [0, 1] and `ab` in Lab units, chroma reduced where sRGB ends."""
    f = _by_root(_curve(), y)
    x, z = _cube(f + ab[0] * np.float32(1 / 500)), _cube(f - ab[1] * np.float32(1 / 200))
    gain_x, gain_z = x - y, z - y
    white_x, _, white_z = color.WHITE
    rows = [(np.float32(row[0] * white_x), np.float32(row[2] * white_z)) for row in color.FROM_XYZ]
    r, g, b = (i * gain_x + j * gain_z for i, j in rows)  # rgb - y: a row of the matrix gives white from white
    up = np.maximum(np.maximum(r, g), b)
    down = np.minimum(np.minimum(r, g), b)
    tiny = np.float32(1e-12)
    share = np.minimum((1 - y) / np.maximum(up, tiny), y / np.maximum(-down, tiny))
    share = np.minimum(share, np.float32(1))
    return np.stack([y + share * r, y + share * g, y + share * b])


def encode(linear: Float32[np.ndarray, "3 h w"], depth: int) -> Integer[np.ndarray, "h w 3"]:
    """sRGB codes of `depth` bits (8 or 16)."""
    return np.stack([_by_root(_codes(depth), plane) for plane in linear], -1)


def _catmull_rom(t: np.ndarray) -> np.ndarray:
    """Weights of the four neighbours at -1, 0, 1, 2 (Keys 1981, a = -1/2): (n,) -> (n, 4)."""
    d = np.abs(t[:, None] - np.arange(-1, 3))
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0)).astype(np.float32)


def _taps(size: int, small: int) -> tuple[np.ndarray, np.ndarray]:
    """Which `small` samples make each of `size`, centres aligned, edges repeated: (size, 4) indices and weights."""
    at = (np.arange(size) + 0.5) * (small / size) - 0.5
    first = np.floor(at).astype(np.int64)
    return (first[:, None] + np.arange(-1, 3)).clip(0, small - 1), _catmull_rom(at - first)


@dataclass(frozen=True)
class Chroma:
    """Bicubically enlarged chroma, a few rows at a time. `ab`: (2, h', w'), any unit; `width`, `height`: the photo."""

    ab: Float32[np.ndarray, "2 small_h small_w"]
    width: int
    height: int

    def rows(self, top: int, count: int) -> Float32[np.ndarray, "2 h w"]:
        """Rows `top` to `top + count` at full size."""
        index, weight = _taps(self.height, self.ab.shape[1])
        index, weight = index[top : top + count], weight[top : top + count]
        low, high = int(index.min()), int(index.max()) + 1
        down = np.zeros((count, high - low), np.float32)
        np.add.at(down, (np.arange(count)[:, None], index - low), weight)
        across, shares = _taps(self.width, self.ab.shape[2])
        wide = sum(self.ab[:, low:high, across[:, i]] * shares[:, i] for i in range(4))
        return np.matmul(down, wide)


def join(pixels: Integer[np.ndarray, "h w c"], ab: Float32[np.ndarray, "2 h w"], depth: int) -> np.ndarray:
    """One strip: sRGB codes (gray or colour) and `ab` in Lab units -> coloured sRGB codes (h, w, 3) of `depth` bits."""
    return encode(paint(luminance(pixels), ab), depth)
