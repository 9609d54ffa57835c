"""Contact sheets: gray, ours and truth side by side, to be looked at."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyvips

from .metrics import RGB

TILE = 160  # pixels of the short side of the square each picture is cut to
ACROSS = 4  # photographs in a row, three pictures each
GAP = 4
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif")


def check(path: Path) -> None:
    """Raises ValueError for an ending that no picture has."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a contact sheet ends in {', '.join(SUFFIXES)}")


def tile(rgb: RGB) -> pyvips.Image:
    """A picture in [0, 1] as a square thumbnail, cut from its middle."""
    codes = np.ascontiguousarray(np.moveaxis((rgb * 255 + 0.5).astype(np.uint8), 0, -1))
    return pyvips.Image.new_from_array(codes).thumbnail_image(TILE, height=TILE, crop="centre")


def write(triples: Iterable[tuple[RGB, RGB, RGB]], path: Path) -> None:
    """Write (gray, ours, truth) of each photograph, four photographs to a row; the ending names the format."""
    tiles = [tile(rgb) for triple in triples for rgb in triple]
    pyvips.Image.arrayjoin(tiles, across=3 * ACROSS, shim=GAP, background=[255, 255, 255]).write_to_file(str(path))
