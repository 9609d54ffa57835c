"""The pictures of a survey: all of one size for each photo and encoded alike, so that no file tells which is real."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips
from jaxtyping import Float32

from .._processes import available_processors
from ..core.color import fit_gamut, lab_to_rgb, rgb_to_lab
from ..evaluation.matching import find_counterparts, find_truth
from ..imaging.photo import Photo, open_photo
from ..imaging.sources import SourceImage
from .plan import TINTED, TRUTH

SIDE = 512  # short side of pictures at most, in pixels
QUALITY = 95
MAX_STRETCH = 0.02  # relative difference of aspect ratios that rounding of sizes can explain
TINT = (60.0, -50.0)  # a and b of Lab: violet

Pixels = Float32[np.ndarray, "3 h w"]


@dataclass(frozen=True)
class Pictures:
    """The JPEGs of a survey by photo and source; ``digest`` identifies photos and models."""

    photos: list[str]
    models: list[str]
    jpegs: Mapping[tuple[str, str], bytes]
    digest: str


def load_pictures(truth: Path | None, folders: Sequence[Path], advance: Callable[[int, int], None]) -> Pictures:
    """Read the pictures of a survey.

    Args:
        truth: Folder or zip of the camera's photos, if they are shown.
        folders: Folder of each model, with an image for each photo and with its name.
        advance: Gets the numbers of photos read and in total.

    Raises:
        ValueError: Photos and images do not match, two folders have the same name, or a file cannot be read.
    """
    models = [folder.absolute().name for folder in folders]
    if len({*models, TRUTH, TINTED}) < len(models) + 2:
        raise ValueError(f"{', '.join(models)}: each folder needs a name of its own, which names its model")
    photos = find_truth([truth or folders[0]], 1.0)
    sources = {TRUTH: dict(photos)} if truth else {}
    for model, folder in zip(models, folders, strict=True):
        sources[model] = find_counterparts(folder, photos)
    names = sorted(photos)
    crcs = [(source, name, sources[source][name].crc) for source in sources for name in names]
    digest = hashlib.sha256(repr(crcs).encode()).hexdigest()
    jpegs: dict[tuple[str, str], bytes] = {}

    def encode(name: str) -> dict[str, bytes]:
        return _encode_photo({source: images[name] for source, images in sources.items()})

    with ThreadPoolExecutor(available_processors()) as pool:
        for done, encoded in enumerate(pool.map(encode, names), 1):
            jpegs |= {(names[done - 1], source): jpeg for source, jpeg in encoded.items()}
            advance(done, len(names))
    return Pictures(names, models, jpegs, digest)


def _encode_photo(images: Mapping[str, SourceImage]) -> dict[str, bytes]:
    """Return the JPEGs of one photo by source, in the size of the smallest, and a tinted one for attention checks."""
    opened = {source: open_photo(image.open(), name=str(image)) for source, image in images.items()}
    first, *others = opened.values()
    for photo in others:
        stretch = (photo.width / photo.height) / (first.width / first.height)
        if abs(stretch - 1) > MAX_STRETCH:
            sizes = f"{photo.width} x {photo.height} pixels, {first.name} {first.width} x {first.height}"
            raise ValueError(f"{photo.name}: has {sizes}: give images of the same photo, not cropped")
    side = min(SIDE, *[min(photo.width, photo.height) for photo in opened.values()])
    height, width = first.model_size(side, 1, square=False)
    pixels = {source: _resize(photo, side, height, width) for source, photo in opened.items()}
    pixels[TINTED] = tint(next(iter(pixels.values())))
    return {source: encode_jpeg(rgb) for source, rgb in pixels.items()}


def _resize(photo: Photo, side: int, height: int, width: int) -> Pixels:
    rgb = photo.resize(side, multiple=1)
    if rgb.shape[1:] == (height, width):
        return rgb
    image = pyvips.Image.new_from_array(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
    image = image.resize(width / image.width, vscale=height / image.height)
    return image.numpy().transpose(2, 0, 1).astype(np.float32)


def tint(rgb: Pixels) -> Pixels:
    """Return a picture whose color is violet everywhere, with the same lightness: wrong for whoever looks."""
    lab = rgb_to_lab(rgb)
    lab[1], lab[2] = TINT
    return lab_to_rgb(fit_gamut(lab)).astype(np.float32)


def encode_jpeg(rgb: Pixels) -> bytes:
    """Return a JPEG of sRGB in [0, 1], without metadata."""
    codes = (rgb.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    image = pyvips.Image.new_from_array(np.ascontiguousarray(codes))
    return image.write_to_buffer(".jpg", Q=QUALITY, subsample_mode="off", keep="none")
