"""Named protocols: how images are cut, scaled and compared, so that a score can be reproduced by its name.

They are defined in ``protocols.toml``, with their sources. Scores of different protocols must not be compared.
"""

import math
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from ..core.resample import area_matrix

RGB8 = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class NameList:
    """A file of image names, one a line, that a protocol needs."""

    file: str
    n: int
    first: Sequence[str] = ()  # digits in the names of its first lines


@dataclass(frozen=True)
class Protocol:
    """How images are prepared, and which images a protocol is defined on."""

    name: str
    text: str  # description for reports, with its source
    square: str = "none"  # none keeps the shape, crop takes the largest central square, stretch changes the shape
    size: int | None = None  # side in pixels; without it, only a short side over `largest` is scaled down to that
    largest: int | None = None
    scaling: str = "area"  # or linear, see `resize`
    n: int | None = None  # number of images, where it is defined
    names: NameList | None = None  # of the images, where they are listed
    reference: NameList | None = None  # other images to which distances between sets are taken
    numbered: bool = False  # whether names end in the number of the image, from 1 to `n`
    inception: str | None = None  # variant of `backbones.inception` that it needs
    lpips_side: int = 256  # short side in pixels for LPIPS

    def __post_init__(self) -> None:
        if self.square not in ("none", "crop", "stretch") or self.scaling not in ("area", "linear"):
            raise ValueError(f"protocol {self.name}: unknown square {self.square!r} or scaling {self.scaling!r}")

    def names_outside(self, names: Iterable[str]) -> list[str]:
        """Return the names (without suffix) that do not end in one of its numbers; none where it is not numbered."""
        if not self.numbered or self.n is None:
            return []
        outside = []
        for name in names:
            digits = re.search(r"\d+$", name)
            if digits is None or not 1 <= int(digits[0]) <= self.n:
                outside.append(name)
        return outside

    def prepare(self, pixels: RGB8) -> RGB8:
        """Crop and scale an image as the protocol measures it, rounded to 8 bits."""
        height, width = pixels.shape[:2]
        if self.square == "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            pixels = pixels[top : top + side, left : left + side]
            height = width = side
        scale = min(1.0, (self.largest or math.inf) / min(height, width))
        to_height, to_width = self.size or round(height * scale), self.size or round(width * scale)
        same = (to_height, to_width) == (height, width)
        return pixels if same else resize(pixels, to_height, to_width, self.scaling)


def resize(pixels: RGB8, height: int, width: int, scaling: str) -> RGB8:
    """Scale 8-bit sRGB values: ``area`` takes exact means, ``linear`` the two nearest pixels, without antialiasing."""
    matrix = {"area": _area_matrix, "linear": _linear_matrix}[scaling]
    rows, columns = matrix(pixels.shape[0], height), matrix(pixels.shape[1], width)
    values = np.einsum("hi,ijc,wj->hwc", rows, pixels.astype(np.float64), columns, optimize=True)
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _area_matrix(size: int, target: int) -> Float[np.ndarray, "target size"]:
    matrix: np.ndarray = area_matrix(np.linspace(0, size, target + 1), size)
    return matrix


def _linear_matrix(size: int, target: int) -> Float[np.ndarray, "target size"]:
    centers = ((np.arange(target) + 0.5) * size / target - 0.5).clip(0, size - 1)
    return (1 - np.abs(np.subtract.outer(centers, np.arange(size)))).clip(0)


PROTOCOLS: dict[str, Protocol] = {}
for _name, _table in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items():
    for _key in _table.keys() & {"names", "reference"}:
        _table[_key] = NameList(**_table[_key])
    PROTOCOLS[_name] = Protocol(_name, **_table)


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name. Raises ValueError that lists the names."""
    if name not in PROTOCOLS:
        raise ValueError(f"protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
