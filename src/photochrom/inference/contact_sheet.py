"""Pictures about pictures: contact sheets, strips and maps, to be looked at."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyvips
from jaxtyping import Float, UInt8

from ..core import color
from ..imaging import metadata
from ..imaging.metadata import Provenance
from ..imaging.photo import LONGEST, Photo

TILE = 160  # pixels of the short side of the square each picture is cut to
SIDE = 256  # pixels of the short side of the photograph that others are about
GAP = 4
WIDE = 12  # tiles in a row, at most
FAR = 40.0  # Lab units between variants that a map shows in white
STOPS = 12  # pictures of a strip, at most

Gray = Float[np.ndarray, "1 h w"]
AB = Float[np.ndarray, "2 h2 w2"]


def tile(pixels: UInt8[np.ndarray, "h w 3"]) -> pyvips.Image:
    """A picture as a square thumbnail, cut from its middle."""
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).thumbnail_image(TILE, height=TILE, crop="centre")


def sheet(groups: Iterable[Sequence[np.ndarray]]) -> bytes:
    """A JPEG of groups of pictures, those of a group (one photograph in each way) beside one another."""
    tiles = [[tile(pixels) for pixels in group] for group in groups]
    across = max(1, WIDE // len(tiles[0])) * len(tiles[0])
    return _joined([one for group in tiles for one in group], across)


def variants(gray: Gray, colors: Sequence[AB], mark: Provenance) -> bytes:
    """A JPEG of a photograph as it was and in each colouring, in reading order, near to a square."""
    pictures = [_small(gray, ab) for ab in (np.zeros((2, 1, 1), np.float32), *colors)]
    height, width = gray.shape[1:]
    across = max(1, round((len(pictures) * height / width) ** 0.5))
    return _joined(pictures, across, mark)


def strip(gray: Gray, path: Sequence[AB], mark: Provenance) -> bytes:
    """A JPEG of a photograph on its way from noise to colour, from left to right."""
    stops = np.unique(np.linspace(0, len(path) - 1, min(STOPS, len(path))).round().astype(int))
    return _joined([_small(gray, path[stop]) for stop in stops], len(stops), mark)


def disagreement(colors: Sequence[AB]) -> Float[np.ndarray, "h w"]:
    """How far colourings stand from their mean, in Lab units: the root of the mean squared distance."""
    spread: Float[np.ndarray, "h w"] = (np.var(np.stack(colors) * color.AB_SCALE, axis=0).sum(0)) ** 0.5
    return spread


def uncertainty(gray: Gray, colors: Sequence[AB], mark: Provenance) -> bytes:
    """A JPEG of where colourings disagree: from black (not at all) over red and yellow to white (`FAR` Lab units)."""
    heat = (disagreement(colors) / FAR)[:, :, None] * 3 - np.arange(3)
    pixels = (heat.clip(0, 1) * 255).round().astype(np.uint8)
    return _joined([_enlarged(pixels, gray.shape[2], gray.shape[1])], 1, mark)


def preview(photo: Photo, longest: int) -> bytes:
    """A JPEG of a photograph, upright, in sRGB, its long side at most `longest` pixels."""
    long, short = max(photo.width, photo.height), min(photo.width, photo.height)
    side = max(1, round(min(longest / long, 1) * max(short, long / LONGEST)))  # of what a model sees, the long side too
    pixels = (photo.small(side, multiple=1) * 255).round().astype(np.uint8)
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    written: bytes = image.write_to_buffer(".jpg", Q=90)
    return written


def _small(gray: Gray, ab: AB) -> pyvips.Image:
    """The small photograph a model saw, in colour."""
    height, width = gray.shape[1:]
    planes = _enlarged(np.ascontiguousarray(ab.transpose(1, 2, 0)), width, height).numpy().transpose(2, 0, 1)
    lab = np.concatenate([(gray + 1) * color.L_SCALE, planes * color.AB_SCALE])
    pixels = (color.lab_to_rgb(color.fit_gamut(lab)) * 255).round().astype(np.uint8)
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _enlarged(pixels: np.ndarray, width: int, height: int) -> pyvips.Image:
    image = pyvips.Image.new_from_array(pixels)
    return image.resize(width / image.width, vscale=height / image.height, kernel="cubic")


def _joined(pictures: Sequence[pyvips.Image], across: int, mark: Provenance | None = None) -> bytes:
    joined = pyvips.Image.arrayjoin(pictures, across=across, shim=GAP, background=[255, 255, 255])
    if mark is not None:
        joined = joined.copy()
        joined.set_type(pyvips.GValue.blob_type, "xmp-data", metadata.xmp(mark, None))
    written: bytes = joined.write_to_buffer(".jpg", Q=90)
    return written
