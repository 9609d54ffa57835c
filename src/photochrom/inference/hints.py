"""Color hints, spread from their pixels over the regions that these belong to.

The share of a hint at another pixel depends on the shortest path between the two (Yatziv and Sapiro 2006). Paths across
an edge of lightness are long, so a hint fills its own region. At its own pixel a hint is met exactly, and no color
leaves the range that the model and the hints span.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..core import color
from ..core.sampling.procedure import HintMap
from ..imaging.errors import PhotoError, printable
from ..imaging.photo import Photo
from .options import Hint

EDGE = 0.8  # difference of gray, in [-1, 1], that is as long as `REACH`
REACH = 1.2  # distance, in short sides of the image, at which the share of a hint has fallen to 1 / e
POWER = 4.0  # exponent by which near hints outweigh far ones

Maps = Float[np.ndarray, "k h w"]


def hint_ab(hint: Hint) -> Float[np.ndarray, "2"]:
    """Return the ab of a hint's color, in [-1, 1]."""
    rgb = np.array(hint.rgb, np.float32).reshape(3, 1, 1) / 255
    return color.rgb_to_lab(rgb)[1:, 0, 0] / color.AB_SCALE


def read_hints(path: Path) -> list[Hint]:
    """Return the hints of a text file with one per line; empty lines and those that start with ``#`` are ignored.

    Raises ValueError for a file that cannot be read, or naming the malformed line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ValueError(f"{printable(path)}: cannot be read as a list of hints ({reason})") from None
    hints = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            hints.append(Hint.parse(line))
        except ValueError as error:
            raise ValueError(f"{printable(path)}, line {number}: {error}") from None
    return hints


def check_hints(photo: Photo, hints: Sequence[Hint]) -> None:
    """Raise PhotoError for a hint outside the photo."""
    for hint in hints:
        if hint.x >= photo.width or hint.y >= photo.height:
            size = f"{photo.width} x {photo.height} pixels"
            raise PhotoError(f"{photo.name}: hint at {hint.x},{hint.y} is outside the photo, which has {size}")


@runtime_checkable
class Sized(Protocol):
    """What hints lie on: a photo, or a film."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class HintMaps:
    """The hints of one photo, spread over its pixels at whatever size a model gives colors; computed once for a size.

    ``gray``: the photo's at the inference size. The hints are inside the photo, see `check_hints`.
    """

    photo: Sized
    gray: Float[np.ndarray, "1 h w"]
    hints: Sequence[Hint]
    maps: dict[tuple[int, int], HintMap] = field(default_factory=dict)

    def at(self, height: int, width: int) -> HintMap:
        """Return the map of this size. Raises PhotoError for two hints of different color in one of its pixels."""
        if (height, width) in self.maps:
            return self.maps[height, width]
        photo = self.photo
        by_pixel: dict[tuple[int, int], Hint] = {}
        for hint in self.hints:
            pixel = int(hint.y * height / photo.height), int(hint.x * width / photo.width)
            other = by_pixel.setdefault(pixel, hint)
            if other.rgb != hint.rgb:
                distance = math.ceil(max(photo.height / height, photo.width / width))
                both = f"hints at {other.x},{other.y} and {hint.x},{hint.y}"
                raise PhotoError(f"{photo.name}: {both} differ and are less than {distance} pixels apart; remove one")
        rows, columns = np.array(list(by_pixel)).T
        colors = np.array(list(map(hint_ab, by_pixel.values())), np.float32).T
        blocks = self.gray[0].reshape(height, self.gray.shape[1] // height, width, self.gray.shape[2] // width)
        shares = hint_shares(blocks.mean((1, 3)), rows, columns)
        ab = np.einsum("ck,khw->chw", colors, shares)
        self.maps[height, width] = HintMap(ab[None], shares.sum(0)[None, None])
        return self.maps[height, width]


def hint_shares(gray: Float[np.ndarray, "h w"], rows: np.ndarray, columns: np.ndarray) -> Maps:
    """Return the share of each of k hints, at pixels that differ, in the color of every pixel, in [0, 1].

    A share is 1 at the hint's own pixel and 0 at the others'; the sum over all hints is at most 1.
    """
    distances = path_lengths(gray, rows, columns)
    nearness = np.maximum(distances, 1e-6) ** -POWER
    return (np.exp(-(distances.min(0) ** 2)) * nearness / nearness.sum(0)).astype(np.float32)


def path_lengths(gray: Float[np.ndarray, "h w"], rows: np.ndarray, columns: np.ndarray) -> Maps:
    """Return the length of the shortest path, along rows and columns, from each of k pixels to every pixel.

    The unit is `REACH`. Each sweep is exact along all rows or all columns; sweeps repeat until no path gets shorter.
    """
    pixel = 1 / (REACH * min(gray.shape))
    lengths = np.full((len(rows), *gray.shape), np.inf)
    lengths[np.arange(len(rows)), rows, columns] = 0
    positions = []  # of each pixel along its column (axis 0) or row (axis 1)
    for axis in (0, 1):
        steps = np.abs(np.diff(gray.astype(np.float64), axis=axis)) / EDGE + pixel
        positions.append(np.insert(np.cumsum(steps, axis), 0, 0, axis))
    while True:
        before = lengths
        for axis, position in enumerate(positions, 1):
            # The distance of two pixels of a line is the difference of their positions, so that the shortest path is
            # a running minimum: once from the start of the line, once from its end.
            forward = np.minimum.accumulate(lengths - position, axis) + position
            backward = np.flip(np.minimum.accumulate(np.flip(lengths + position, axis), axis), axis) - position
            lengths = np.minimum(forward, backward)
        if np.allclose(lengths, before, rtol=0, atol=1e-9):
            return lengths.clip(0, None)
