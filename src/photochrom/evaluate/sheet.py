"""Contact sheets: the same photographs in several ways, side by side, to be looked at."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyvips
from jaxtyping import UInt8

TILE = 160  # pixels of the short side of the square each picture is cut to
GAP = 4
WIDE = 12  # tiles in a row, at most


def tile(pixels: UInt8[np.ndarray, "h w 3"]) -> pyvips.Image:
    """A picture as a square thumbnail, cut from its middle."""
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).thumbnail_image(TILE, height=TILE, crop="centre")


def sheet(groups: Iterable[Sequence[np.ndarray]]) -> bytes:
    """A JPEG of groups of pictures, those of a group (one photograph in each way) beside one another."""
    tiles = [[tile(pixels) for pixels in group] for group in groups]
    across = max(1, WIDE // len(tiles[0])) * len(tiles[0])
    flat = [one for group in tiles for one in group]
    joined = pyvips.Image.arrayjoin(flat, across=across, shim=GAP, background=[255, 255, 255])
    written: bytes = joined.write_to_buffer(".jpg", Q=90)
    return written
