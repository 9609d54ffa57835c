"""Named protocols: how photographs are cut, scaled and compared, so that a score can be repeated by its name.

Sources are in each protocol's ``text``; `PROTOCOLS` holds them all. A score of one is never to be set beside a score of
another.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

RGB8 = UInt8[np.ndarray, "h w 3"]
SQUARE = ("none", "crop", "stretch")
WAYS = ("area", "linear")


@dataclass(frozen=True)
class Listing:
    """A file of names, one a line, that a protocol asks for; ``first`` are the digits that its first lines hold."""

    file: str
    n: int
    first: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """How photographs are prepared, and what is asked of them.

    ``square``: left as they are, cropped to the largest square in the middle, or stretched. ``size``: pixels a side,
    None as they are, but for those whose short side is over ``largest``, which are brought down to it; ``way``: how.
    ``n``: photographs it is defined on, None for any. ``names`` lists them, and ``reference`` the others that a Frechet
    distance is taken to, where those are not the photographs themselves; ``numbers`` are those that their names end in,
    where they are told by number. ``inception``: the variant of
    `backbones.inception` without which it cannot be followed. ``perceptual``: the short side at which LPIPS looks.
    """

    name: str
    text: str
    square: str = "none"
    size: int | None = None
    way: str = "area"
    largest: int | None = None
    n: int | None = None
    names: Listing | None = None
    reference: Listing | None = None
    numbers: range | None = None
    inception: str | None = None
    perceptual: int = 256

    def __post_init__(self) -> None:
        if self.square not in SQUARE or self.way not in WAYS:
            raise ValueError(f"square {self.square!r}, way {self.way!r}: choose of {SQUARE} and {WAYS}")

    def strangers(self, names: Iterable[str]) -> list[str]:
        """The names, without ending, that do not end in one of ``numbers``, where the protocol has them."""
        if self.numbers is None:
            return []
        ends = ((name, re.search(r"\d+$", name)) for name in names)
        return [name for name, end in ends if end is None or int(end[0]) not in self.numbers]

    def prepare(self, pixels: RGB8) -> RGB8:
        """A photograph as the protocol measures it, rounded to 8 bits."""
        height, width = pixels.shape[:2]
        if self.square == "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            pixels = pixels[top : top + side, left : left + side]
            height = width = side
        if self.size is not None:
            aims = (self.size, self.size)
        else:
            scale = min(1.0, (self.largest or math.inf) / min(height, width))
            aims = (round(height * scale), round(width * scale))
        return pixels if aims == (height, width) else scaled(pixels, *aims, self.way)


def scaled(pixels: RGB8, height: int, width: int, way: str) -> RGB8:
    """Codes brought to another size: ``area`` takes exact means, ``linear`` the two nearest, without antialiasing."""
    matrix = {"area": _means, "linear": _neighbours}[way]
    down, across = matrix(pixels.shape[0], height), matrix(pixels.shape[1], width)
    found = np.einsum("hi,ijc,wj->hwc", down, pixels.astype(np.float64), across, optimize=True)
    return np.rint(found).clip(0, 255).astype(np.uint8)


def _means(size: int, to: int) -> Float[np.ndarray, "to size"]:
    """How much of each pixel lies under each of those it becomes."""
    edges = np.linspace(0, size, to + 1)
    low, high = np.maximum.outer(edges[:-1], np.arange(size)), np.minimum.outer(edges[1:], np.arange(1, size + 1))
    return (high - low).clip(0) * to / size


def _neighbours(size: int, to: int) -> Float[np.ndarray, "to size"]:
    """Linear interpolation between centres, edges repeated."""
    at = ((np.arange(to) + 0.5) * size / to - 0.5).clip(0, size - 1)
    return (1 - np.abs(np.subtract.outer(at, np.arange(size)))).clip(0)


NATIVE = Protocol(
    "native",
    "The photographs as they are, a short side over 512 pixels brought down to it by area, against themselves. The "
    "model sees them at its own size; LPIPS looks at a short side of 64 pixels, the size it was learnt on.",
    largest=512,
    perceptual=64,
)
SEED5K = Protocol(
    "seed5k",
    "5,000 photographs, largest square in the middle, 256 pixels by area, against themselves: the comparison of "
    "Palette, ColTran and pix2pix on equal terms.",
    "crop",
    256,
    n=5000,
    inception="fid",
)
COLTRAN5K = Protocol(
    "coltran5k",
    "The first 5,000 of ImageNet's validation photographs in the order of TFDS, largest square in the middle, 256 "
    "pixels by area; FID to the 5,000 from 10,000 on, so that the truth itself has one (Kumar et al. 2021). Fed as "
    "pytorch-fid feeds its Inception, which differs a little from TensorFlow's own.",
    "crop",
    256,
    n=5000,
    names=Listing("eval_file_names.txt", 5000, ("00009670", "00036705", "00003545")),
    reference=Listing("reference_file_names.txt", 5000, ("00013328", "00004694", "00003310")),
    inception="fid",
)
DDCOLOR5K = Protocol(
    "ddcolor-val5k",
    "ImageNet's validation photographs 1 to 5,000, stretched to 256 x 256, FID to themselves by torchvision's "
    "Inception (Kang et al. 2023).",
    "stretch",
    256,
    "linear",
    n=5000,
    numbers=range(1, 5001),
    inception="ddcolor",
)
CTEST10K = Protocol(
    "ctest10k",
    "The 10,000 validation photographs of Larsson et al. (2016), largest square in the middle, 256 pixels by area; FID "
    "to all 50,000.",
    "crop",
    256,
    n=10_000,
    names=Listing("ctest10k.txt", 10_000),
    reference=Listing("val50k.txt", 50_000),
    inception="fid",
)
PROTOCOLS: Mapping[str, Protocol] = {p.name: p for p in (NATIVE, SEED5K, COLTRAN5K, DDCOLOR5K, CTEST10K)}


def named(name: str) -> Protocol:
    """A protocol by its name. Raises ValueError that gives the choices."""
    if name not in PROTOCOLS:
        raise ValueError(f"protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def read(listing: Listing, folder: Path | None) -> list[str]:
    """The names in a protocol's file, checked against what is known of it. Raises ValueError that names the file."""
    where = folder / listing.file if folder else None
    if where is None or not where.is_file():
        raise ValueError(f"{listing.file} is missing ({listing.n:,} names, one a line): give its folder with --lists")
    names = where.read_text(encoding="utf-8").split()
    if len(names) != listing.n:
        raise ValueError(f"{where}: {len(names):,} names, not {listing.n:,}")
    for name, digits in zip(names, listing.first, strict=False):
        if digits not in name:
            raise ValueError(f"{where}: {name} where {digits} belongs: this is another list, or another order")
    return [Path(name).stem for name in names]
