"""Readers: a photo in a file, in bytes, in an array or in a Pillow image, opened anew for each pass over its pixels."""

import io
import operator
import warnings
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from . import formats, tiff
from .errors import PhotoError, photo_errors

LOADERS = {"jpeg": "jpegload", "png": "pngload", "tiff": "tiffload", "webp": "webpload", "avif": "heifload"}
BLOBS = {"icc_profile": "icc-profile-data", "exif": "exif-data", "xmp": "xmp-data"}  # Pillow's and libvips' names
START_OF_SCAN, QUANTIZATION_TABLES = 0xDA, 0xDB  # JPEG markers (ITU-T T.81, table B.1)


@dataclass(frozen=True)
class Reader:
    """A photo that can be opened.

    Attributes:
        source: a path, the bytes of a file, or an array (h, w, 1 to 4) of uint8 or uint16.
        name: what messages call it.
        kind: a format, "array" or "pillow".
        blobs, orientation: metadata of an array, by libvips' names.
    """

    source: Path | bytes | np.ndarray
    name: str
    kind: str
    blobs: dict[str, bytes] = field(default_factory=dict)
    orientation: int = 1

    def open(self, shrink: int = 1) -> pyvips.Image:
        """Returns the image, of a file as a stream of rows, top to bottom; JPEG may be shrunk 2, 4 or 8 times."""
        if isinstance(self.source, np.ndarray):
            return self._open_array(self.source)
        options: dict[str, Any] = {"access": "sequential", "fail_on": "error", "revalidate": True}
        if self.kind == "jpeg":
            options["shrink"] = shrink
        loader = LOADERS[self.kind]
        with photo_errors(self.name, "read"):
            if isinstance(self.source, bytes):
                return getattr(pyvips.Image, f"{loader}_buffer")(self.source, **options)
            # By descriptor, since libvips wants names in UTF-8, which not all are.
            with self.source.open("rb") as file:
                source = pyvips.Source.new_from_descriptor(file.fileno())
            return getattr(pyvips.Image, f"{loader}_source")(source, **options)

    def _open_array(self, pixels: np.ndarray) -> pyvips.Image:
        is_color, is_deep = pixels.shape[2] > 2, pixels.dtype.itemsize == 2
        interpretation = (("b-w", "grey16"), ("srgb", "rgb16"))[is_color][is_deep]
        image = pyvips.Image.new_from_array(pixels).copy(interpretation=interpretation)
        for name, value in self.blobs.items():
            image.set_type(pyvips.GValue.blob_type, name, value)
        image.set_type(pyvips.GValue.gint_type, "orientation", self.orientation)
        return image

    def tags(self) -> tiff.TagSets:
        """Returns the tags that libvips leaves out, those of a TIFF file."""
        if self.kind != "tiff" or isinstance(self.source, np.ndarray):
            return tiff.TagSets({}, {}, {})
        with _open_file(self.source) as file:
            return tiff.read_tags(file)

    def jpeg_quality(self) -> int:
        """Returns the quality of a JPEG made from this photo: `formats.QUALITY`, or finer where this JPEG is finer."""
        if self.kind != "jpeg" or isinstance(self.source, np.ndarray):
            return formats.QUALITY
        with photo_errors(self.name, "read"), _open_file(self.source) as file:
            steps = _luma_quantization(file)
        for quality in range(formats.QUALITY, 100):
            if all(map(operator.le, _quantization_at(quality), steps)):
                return quality
        return 100


def reader_of_array(array: np.ndarray, name: str) -> Reader:
    """Returns a reader of (h, w) or (h, w, 1 to 4) uint8, uint16, bool, or float in [0, 1]."""
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise PhotoError(f"{name}: shape {array.shape} is not that of a photo; give (h, w) or (h, w, 1 to 4)")
    if pixels.dtype == np.bool_:
        pixels = pixels * np.uint8(255)
    elif pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
            raise PhotoError(f"{name}: floats must be in [0, 1]; divide by the maximum, or give uint8 or uint16")
        pixels = np.rint(pixels * 65535).astype(np.uint16)
    elif pixels.dtype not in (np.uint8, np.uint16):
        raise PhotoError(f"{name}: type {array.dtype} is not supported; give uint8, uint16, bool, or float in [0, 1]")
    return Reader(np.ascontiguousarray(pixels), name, "array")


def reader_of_pillow(image: Any, name: str, kind: str = "pillow") -> Reader:
    """Returns a reader of a Pillow image of any mode, with its profile, EXIF and XMP."""
    palette = "RGBA" if "transparency" in image.info else "RGB"
    orientation = image.getexif().get(tiff.ORIENTATION, 1)
    mode = {"1": "L", "P": palette, "PA": "RGBA", "I": "I;16"}.get(image.mode, image.mode)
    if mode not in ("L", "LA", "RGB", "RGBA") and not mode.startswith("I;16"):
        mode = "RGB"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    blobs = {}
    for pillow_name, vips_name in BLOBS.items():
        if isinstance(image.info.get(pillow_name), bytes):
            blobs[vips_name] = image.info[pillow_name]
    if image.mode == "CMYK":
        blobs.pop("icc-profile-data", None)  # the pixels are RGB now
    reader = reader_of_array(pixels, name)
    return replace(reader, kind=kind, blobs=blobs, orientation=orientation if orientation in range(1, 9) else 1)


def reader_of_file(source: Path | bytes, name: str, max_pixels: int) -> Reader:
    """Returns a reader of a file or of the bytes of one."""
    with photo_errors(name, "read"), _open_file(source) as file:
        head = file.read(64)
    kind = formats.detect_kind(head, name)
    return Reader(source, name, kind) if kind in LOADERS else _decode_with_pillow(source, name, kind, max_pixels)


def _open_file(source: Path | bytes) -> io.BufferedIOBase:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _decode_with_pillow(source: Path | bytes, name: str, kind: str, max_pixels: int) -> Reader:
    try:
        from PIL import Image

        if kind == "heic":
            import pillow_heif
    except ImportError as error:
        raise PhotoError(f"{name}: to read {kind.upper()}, pip install 'photochrom[formats]'") from error
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have a limit of our own
            image: Any = pillow_heif.open_heif(file) if kind == "heic" else Image.open(file)
        width, height = image.size  # of the header: no pixel is decoded yet
        formats.check_size(name, width, height, max_pixels, formats.IN_MEMORY[kind])
        if kind == "heic":
            image = image.to_pillow()
        image.load()
    except PhotoError:
        raise
    except Exception as error:  # each decoder has its own
        raise PhotoError(f"{name}: cannot be read ({error})") from error
    return reader_of_pillow(image, name, kind)


def _luma_quantization(file: io.BufferedIOBase) -> bytes:
    """The 64 steps by which a JPEG file rounds its luma (ITU-T T.81, B.2.4.1); b"" where there are none of 8 bits."""
    file.seek(2)
    head = file.read(4)
    while len(head) == 4 and head[0] == 0xFF and head[1] != START_OF_SCAN:
        body = file.read(max(0, int.from_bytes(head[2:]) - 2))
        if head[1] == QUANTIZATION_TABLES and body[:1] == b"\0":
            return body[1:65]
        head = file.read(4)
    return b""


@lru_cache
def _quantization_at(quality: int) -> bytes:
    return _luma_quantization(io.BytesIO(pyvips.Image.black(8, 8).jpegsave_buffer(Q=quality)))
