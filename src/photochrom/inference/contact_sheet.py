"""Images about the outputs of one photo, as JPEG: contact sheets, strips and uncertainty maps."""

from collections.abc import Sequence

import numpy as np
import pyvips
from jaxtyping import Float

from ..core import color
from ..imaging import metadata
from ..imaging.metadata import Provenance

SIDE = 256  # short side of the photo in sheets of its variants, in pixels
GAP = 4
MAX_DISAGREEMENT = 40.0  # Lab units between variants that a map shows in white
MAX_STEPS = 12

Gray = Float[np.ndarray, "1 h w"]
AB = Float[np.ndarray, "2 h2 w2"]


def variants(gray: Gray, colors: Sequence[AB], provenance: Provenance) -> bytes:
    """Return a contact sheet of a photo in grayscale and with each of several colors, about as wide as high."""
    grayscale = np.zeros((2, 1, 1), np.float32)
    images = [_colorize(gray, ab) for ab in (grayscale, *colors)]
    height, width = gray.shape[1:]
    columns = max(1, round((len(images) * height / width) ** 0.5))
    return _join(images, columns, provenance)


def scenes(grays: Sequence[Gray], colors: Sequence[AB], provenance: Provenance) -> bytes:
    """Return a contact sheet of pictures of one size in color, about as wide as high."""
    height, width = grays[0].shape[1:]
    images = [_colorize(gray, ab) for gray, ab in zip(grays, colors, strict=True)]
    return _join(images, max(1, round((len(images) * height / width) ** 0.5)), provenance)


def trace(gray: Gray, colors: Sequence[AB], provenance: Provenance) -> bytes:
    """Return a strip of a photo at up to `MAX_STEPS` sampling steps, from noise to the result."""
    steps = np.linspace(0, len(colors) - 1, min(MAX_STEPS, len(colors))).round().astype(int)
    images = [_colorize(gray, colors[step]) for step in np.unique(steps)]
    return _join(images, len(images), provenance)


def disagreement(colors: Sequence[AB]) -> Float[np.ndarray, "h w"]:
    """Return how much variants differ at each pixel: the root mean square distance from their mean, in Lab units."""
    variance = np.var(np.stack(colors) * color.AB_SCALE, axis=0).sum(0)
    return np.sqrt(variance)


def uncertainty(gray: Gray, colors: Sequence[AB], provenance: Provenance) -> bytes:
    """Return a map of `disagreement`: black is none, then red and yellow up to white at `MAX_DISAGREEMENT`."""
    heat = (disagreement(colors) / MAX_DISAGREEMENT)[:, :, None] * 3 - np.arange(3)
    pixels = (heat.clip(0, 1) * 255).round().astype(np.uint8)
    return _join([_enlarge(pixels, gray.shape[2], gray.shape[1])], 1, provenance)


def _colorize(gray: Gray, ab: AB) -> pyvips.Image:
    height, width = gray.shape[1:]
    planes = _enlarge(np.ascontiguousarray(ab.transpose(1, 2, 0)), width, height).numpy().transpose(2, 0, 1)
    lab = np.concatenate([(gray + 1) * color.L_SCALE, planes * color.AB_SCALE])
    pixels = (color.lab_to_rgb(color.fit_gamut(lab)) * 255).round().astype(np.uint8)
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _enlarge(pixels: np.ndarray, width: int, height: int) -> pyvips.Image:
    image = pyvips.Image.new_from_array(pixels)
    return image.resize(width / image.width, vscale=height / image.height, kernel="cubic")


def _join(images: Sequence[pyvips.Image], columns: int, provenance: Provenance) -> bytes:
    joined = pyvips.Image.arrayjoin(images, across=columns, shim=GAP, background=[255, 255, 255]).copy()
    joined.set_type(pyvips.GValue.blob_type, "xmp-data", metadata.provenance_packet(provenance))
    return joined.write_to_buffer(".jpg", Q=90)
