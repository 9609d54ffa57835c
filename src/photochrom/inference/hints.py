"""Colours that a person pins to places of a photograph, carried into the regions that those belong to.

Hints are blended into the photograph by the way there (Yatziv and Sapiro 2006): ways over an edge of lightness are
long, so a hint fills its own region. At its place a hint is met exactly, and no colour leaves the range that the model
and the hints span.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..core import color
from ..core.sampling.procedure import HintMap
from ..imaging.photo import Photo, PhotoError
from .options import Hint

EDGE = 0.8  # difference of gray, in [-1, 1], that is as long a way as `REACH`
REACH = 1.2  # of the short side: at this distance, where nothing is in its way, a hint's effect has fallen to 1 / e
POWER = 4.0  # of the way, by which nearer hints count for more

Field = Float[np.ndarray, "k h w"]


def hint_ab(hint: Hint) -> Float[np.ndarray, "2"]:
    """Return the ab of a hint's color, in [-1, 1]."""
    rgb = np.array(hint.rgb, np.float32).reshape(3, 1, 1) / 255
    return color.rgb_to_lab(rgb)[1:, 0, 0] / color.AB_SCALE


def read_hints(path: Path) -> list[Hint]:
    """The hints of a text file, one to a line; empty lines and those that begin with ``#`` say nothing.

    Raises ValueError for a file that cannot be read, or naming the line that is no hint.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a list of hints ({error})") from None
    hints = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                hints.append(Hint.parse(line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
    return hints


@dataclass(frozen=True, eq=False)
class HintMaps:
    """The hints of one photo, spread over its gray image at whatever size a model gives colors; built once a size."""

    photo: Photo
    gray: Float[np.ndarray, "1 h w"]
    hints: Sequence[Hint]
    saturation: float
    maps: dict[tuple[int, int], HintMap] = field(default_factory=dict)

    def at(self, height: int, width: int) -> HintMap:
        """Returns the map of this size. Raises PhotoError for two hints of different color in one of its pixels."""
        if (height, width) not in self.maps:
            self.maps[height, width] = self._map(height, width)
        return self.maps[height, width]

    def _map(self, height: int, width: int) -> HintMap:
        photo = self.photo
        places: dict[tuple[int, int], Hint] = {}
        for hint in self.hints:
            place = int(hint.y * height / photo.height), int(hint.x * width / photo.width)
            other = places.setdefault(place, hint)
            if other.rgb != hint.rgb:
                apart = math.ceil(max(photo.height / height, photo.width / width))
                both = f"hints at {other.x},{other.y} and {hint.x},{hint.y}"
                raise PhotoError(f"{photo.name}: {both} differ and are less than {apart} pixels apart: leave one out")
        rows, columns = np.array(list(places)).T
        # The saturation multiplies all colors afterwards, but must not change those of the hints.
        colors = np.array([hint_ab(hint) for hint in places.values()], np.float32).T / (self.saturation or 1)
        shares = spread(_shrunk(self.gray[0], height, width), rows, columns)
        return HintMap(np.einsum("ck,khw->chw", colors, shares)[None], shares.sum(0)[None, None])


def build_hints(
    photo: Photo, gray: Float[np.ndarray, "1 h w"], hints: Sequence[Hint], saturation: float = 1.0
) -> HintMaps | None:
    """Returns the hints of a photo for a procedure, None where there are none.

    Args:
        photo: the photo, at whose pixels the hints are.
        gray: its small gray image that the model sees.
        hints: colors at pixels.
        saturation: the factor that multiplies all colors afterwards.

    Raises PhotoError for a hint outside the photo.
    """
    for hint in hints:
        if not (hint.x < photo.width and hint.y < photo.height):
            size = f"{photo.width} x {photo.height} pixels"
            raise PhotoError(f"{photo.name}: hint at {hint.x},{hint.y} is outside the photograph, which is {size}")
    return HintMaps(photo, gray, hints, saturation) if hints else None


def _shrunk(gray: Float[np.ndarray, "h w"], height: int, width: int) -> Float[np.ndarray, "h2 w2"]:
    return gray.reshape(height, gray.shape[0] // height, width, gray.shape[1] // width).mean((1, 3))


def spread(gray: Float[np.ndarray, "h w"], rows: np.ndarray, columns: np.ndarray) -> Field:
    """How much of what is wanted at each of k places (no two the same) is wanted at every pixel, in [0, 1].

    Each map is 1 at its own place and 0 at the others'; together they nowhere pass 1.
    """
    way = ways(gray, rows, columns)
    near = np.maximum(way, 1e-6) ** -POWER
    return (np.exp(-(way.min(0) ** 2)) * near / near.sum(0)).astype(np.float32)


def ways(gray: Float[np.ndarray, "h w"], rows: np.ndarray, columns: np.ndarray) -> Field:
    """The shortest way from each of k places to every pixel, along rows and columns, in units of `REACH`.

    Each sweep is exact along all rows or all columns; sweeps go on until none finds a shorter way.
    """
    pixel = 1 / (REACH * min(gray.shape))
    found = np.full((len(rows), *gray.shape), np.inf)
    found[np.arange(len(rows)), rows, columns] = 0
    lengths = []
    for axis in (0, 1):
        steps = np.abs(np.diff(gray.astype(np.float64), axis=axis)) / EDGE + pixel
        lengths.append(np.insert(np.cumsum(steps, axis), 0, 0, axis))
    while True:
        before = found
        for axis, length in enumerate(lengths, 1):
            ahead = np.minimum.accumulate(found - length, axis) + length
            back = np.flip(np.minimum.accumulate(np.flip(found + length, axis), axis), axis) - length
            found = np.minimum(ahead, back)
        if np.allclose(found, before, rtol=0, atol=1e-9):
            return found.clip(0, None)
