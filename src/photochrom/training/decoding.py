"""Photos as 8-bit sRGB pixels for training: decoded quickly, smaller than they are where that is enough."""

import io
import math
from functools import lru_cache
from typing import cast

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ..core.resample import area_matrix
from ..imaging.photo import open_photo
from ..imaging.sources import SourceImage

PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # decoded by Pillow, three times as fast as by libvips
ANY_SIZE = 10**12  # pixels: training shrinks every image, so that there is no limit to set
RGB8 = UInt8[np.ndarray, "h w 3"]


def decode(image: SourceImage, side: int, content: bytes | None = None) -> RGB8:
    """Return an image upright in sRGB; a JPEG may come smaller, its short side still at least ``side`` pixels.

    ``content``: the bytes of the file, where they have been read already.
    """
    return np.asarray(_open_rgb(image, side, content))


def stored_size(image: SourceImage, side: int) -> tuple[int, int]:
    """Return the two sides, either first, of an image whose short side has at most ``side`` pixels, from its header."""
    source = image.open()
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=PILLOW_FORMATS) as opened:
            return _shrunk_size(opened.size, side)
    except UnidentifiedImageError:
        photo = open_photo(source, ANY_SIZE, str(image))
        return _shrunk_size((photo.width, photo.height), side)


def shrink(image: SourceImage, sides: tuple[int, int], resampling: str = "smooth") -> RGB8:
    """Return an image upright in sRGB, resized to two sides of `stored_size`; resampling: see `recipe.Data`."""
    short, long = sorted(sides)
    opened = _open_rgb(image, short)
    size = (short, long) if opened.width < opened.height else (long, short)
    if resampling == "area":
        return _area_means(opened, size, (0, 0, *opened.size))
    return np.array(opened.resize(size, Image.Resampling.LANCZOS))


def _shrunk_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / min(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def crop(image: SourceImage, size: int, scale: float, left: float, top: float, resampling: str = "smooth") -> RGB8:
    """Return a square of ``scale`` times the short side, resized to ``size`` pixels; left and top place it, 0 to 1."""
    opened = _open_rgb(image, math.ceil(size / scale))
    side = min(opened.size) * scale
    x, y = (opened.width - side) * left, (opened.height - side) * top
    box = (x, y, x + side, y + side)
    if resampling == "area":
        return _area_means(opened, (size, size), box)
    return np.asarray(opened.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _area_means(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> RGB8:
    """The box (left, top, right, bottom), resized to a width and a height: the mean of the area of each pixel."""
    left, top, right, bottom = box
    columns = area_matrix(np.linspace(left, right, size[0] + 1), image.width)
    rows = area_matrix(np.linspace(top, bottom, size[1] + 1), image.height)
    values = np.einsum("hi,ijc,wj->hwc", rows, np.asarray(image, np.float32), columns, optimize=True)
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _open_rgb(image: SourceImage, side: int, content: bytes | None = None) -> Image.Image:
    content = content or image.read()
    try:
        opened = Image.open(io.BytesIO(content), formats=PILLOW_FORMATS)
    except UnidentifiedImageError:  # any other format is decoded as the other commands do, with their errors
        pixels = open_photo(content, ANY_SIZE, str(image)).pixels()
        codes = pixels if pixels.dtype == np.uint8 else (pixels / np.float32(257)).round().astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(codes))
    opened.draft("RGB", (side, side))
    upright = ImageOps.exif_transpose(opened)
    mode = "CMYK" if upright.mode == "CMYK" else "RGB"
    transform = _srgb_transform(upright.info.get("icc_profile") or b"", mode)
    converted = upright.convert(mode)
    if transform is not None:
        converted = cast(Image.Image, ImageCms.applyTransform(converted, transform))
    return converted.convert("RGB")


@lru_cache(maxsize=64)
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    # None where the profile is damaged, of another mode, or changes no code by more than one.
    srgb, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
    try:
        transform = ImageCms.buildTransform(io.BytesIO(profile), srgb, mode, "RGB", intent)
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode != "RGB":
        return transform
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    codes = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    converted = ImageCms.applyTransform(Image.fromarray(codes), transform)
    change = np.abs(np.asarray(converted).astype(int) - codes)
    return transform if change.max() > 1 else None
