"""Images in NumPy arrays (.npy): stacks of RGB, or of L and ab in 8 bits, as the Kaggle colorization set has them.

Arrays are mapped into memory and never read whole. The shape of an array shows what it holds. Arrays of L and of ab of
one image size belong together, in the order of their names: the first image of L has the first ab, and so on.
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.color import lab_to_rgb
from .chroma import chroma_shift, merge_chroma

SUFFIX = ".npy"
SMALLEST_SIDE = 8  # pixels; the last axis of an array with fewer is that of its channels
KINDS = {1: "L", 2: "ab", 3: "RGB"}  # by number of channels
NEEDED = "8-bit RGB (n, h, w, 3), or 8-bit L (n, h, w) and ab + 128 (n, h, w, 2) of as many images"


class Part(NamedTuple):
    """One image of an array: RGB, L or ab."""

    path: Path
    number: int


def pair_arrays(paths: Iterable[Path], unfit: list[str]) -> Iterator[tuple[Part, ...]]:
    """Yields the images in arrays, each of a `Part` of RGB, or of L and of ab.

    Args:
        paths: the arrays, in any order.
        unfit: gets the path and the shape of each array that has no images, or L without ab of its size.

    Raises ValueError for L and ab of one size but of different numbers.
    """
    arrays: defaultdict[tuple[int, ...], dict[str, list[Path]]] = defaultdict(dict)
    for path in sorted(paths, key=_natural):
        try:
            kind, size = _kind_and_size(_open(path))
        except ValueError as error:
            unfit.append(f"{path}: {error}")
            continue
        arrays[size].setdefault(kind, []).append(path)
    for kinds in arrays.values():
        yield from ((part,) for part in _parts(kinds.pop("RGB", ())))
        described = [f"{path}: {kind} {_open(path).shape}" for kind, group in kinds.items() for path in group]
        if len(kinds) == 1:
            unfit += described
            continue
        lightness, ab = (list(_parts(kinds.get(kind, ()))) for kind in ("L", "ab"))
        if len(lightness) != len(ab):
            numbers = f"{len(lightness)} images of L and {len(ab)} of ab"
            raise ValueError(f"{', '.join(described)}: {numbers} do not fit together: give as many of each")
        yield from zip(lightness, ab, strict=True)


def content(parts: Sequence[Part]) -> tuple[int, int]:
    """Returns the CRC-32 and the number of bytes of an image in arrays."""
    crc = size = 0
    for path, number in parts:
        image = _open(path)[number].tobytes()
        crc, size = zlib.crc32(image, crc), size + len(image)
    return crc, size


def to_ppm(parts: Sequence[Part]) -> bytes:
    """Returns an image in arrays as a PPM file of 8 bits. Colors that sRGB lacks get less chroma, so that L stays."""
    planes = [np.asarray(_open(path)[number]) for path, number in parts]
    pixels = planes[0]
    if len(planes) == 2:
        lightness, ab = planes
        gray = _gray_codes()[lightness.reshape(*ab.shape[:2], 1)]
        shift = chroma_shift(ab.transpose(2, 0, 1) - np.float32(128))
        pixels = merge_chroma(gray, shift, 8)
    height, width, _ = pixels.shape
    return b"P6 %d %d 255\n" % (width, height) + pixels.tobytes()


@cache
def _gray_codes() -> np.ndarray:
    """The 16-bit gray of each L from 0 to 255."""
    lab = np.zeros((3, 1, 256))
    lab[0] = np.linspace(0, 100, 256)
    return np.rint(lab_to_rgb(lab)[0, 0] * 65535).astype(np.uint16)


def _parts(paths: Iterable[Path]) -> Iterator[Part]:
    for path in paths:
        for number in range(len(_open(path))):
            yield Part(path, number)


def _kind_and_size(array: np.ndarray) -> tuple[str, tuple[int, ...]]:
    shape = array.shape if array.ndim == 4 else (*array.shape, 1)
    if len(shape) != 4 or array.dtype != np.uint8 or shape[3] not in KINDS or min(shape[1:3]) < SMALLEST_SIDE:
        raise ValueError(f"{array.dtype} {array.shape}")
    return KINDS[shape[3]], shape[1:3]


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key by which ab2 comes before ab10."""
    texts = re.findall(r"\d+|\D+", path.as_posix())
    return [(int(text) if text.isdecimal() else -1, text) for text in texts]


def _open(path: Path) -> np.ndarray:
    try:
        return _cached_array(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None


@lru_cache(maxsize=64)
def _cached_array(path: Path, modified: int) -> np.ndarray:
    array: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    return array
