"""File formats: which are read and written and how; readers open a photo anew for each pass over its pixels."""

import io
import operator
import re
import warnings
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from .errors import PhotoError, PhotoTooLarge, photo_errors
from .fields import read_field
from .limits import MAX_PIXELS
from .metadata import Metadata, read_metadata, read_pillow

MAX_PIXELS_IN_MEMORY = 100_000_000  # of photos that cannot be decoded row by row
QUALITY = 98  # of lossy formats: half the largest error in lightness of 95, for two fifths more bytes
LOSSY: dict[str, Any] = {"Q": QUALITY, "subsample_mode": "off"}
LZW = {"compression": "lzw", "predictor": "horizontal"}
START_OF_SCAN, QUANTIZATION_TABLES = 0xDA, 0xDB  # JPEG markers (ITU-T T.81, table B.1)


@dataclass(frozen=True)
class Format:
    """How a file format is recognized, read and written, and what it can hold."""

    title: str
    signature: bytes  # regular expression of a file's first bytes
    suffix: str  # of an output that keeps the format, or as much of it as can be written
    loader: str = ""  # of libvips; "" for what Pillow decodes
    by_rows: bool = False  # decoded row by row, rather than in memory
    saver: dict[str, Any] = field(default_factory=dict)  # options of libvips, of a format that can be written
    depth: int = 8  # of outputs, at most
    alpha: bool = True


JPEG = Format("JPEG", rb"\xff\xd8\xff", ".jpg", "jpegload", by_rows=True, saver=LOSSY, alpha=False)
PNG = Format("PNG", rb"\x89PNG\r\n\x1a\n", ".png", "pngload", by_rows=True, saver={"compression": 6}, depth=16)
TIFF = Format("TIFF", rb"II[*+]\0|MM\0[*+]", ".tif", "tiffload", by_rows=True, saver=LZW, depth=16)
WEBP = Format("WebP", rb"RIFF....WEBP", ".webp", "webpload", saver={"lossless": True})
AVIF = Format("AVIF", rb"....ftyp.*avi[fs]", ".avif", "heifload", saver=LOSSY)
HEIC = Format("HEIC", rb"....ftyp(?:he[iv]|m[is]f)", ".jpg")  # videos have other brands
JPEG_2000 = Format("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", ".tif")
BMP = Format("BMP", rb"BM.{4}\0{4}", ".png")
ARRAY = Format("array", rb"", ".png", by_rows=True)  # and Pillow images
FORMATS = (JPEG, PNG, TIFF, WEBP, AVIF, HEIC, JPEG_2000, BMP)
# By the suffixes of files that can be written, and of those that can only be read.
WRITABLE = {
    **dict.fromkeys((".jpg", ".jpeg", ".jfif", ".jpe", ".jif"), JPEG),
    **{".png": PNG, ".tif": TIFF, ".tiff": TIFF, ".webp": WEBP, ".avif": AVIF},
}
READ_ONLY = {".heic": HEIC, ".heif": HEIC, ".jp2": JPEG_2000, ".j2k": JPEG_2000, ".bmp": BMP}


def detect_kind(head: bytes, name: str) -> Format:
    """Returns the format that the first bytes of a file show. Raises PhotoError for one that is not supported."""
    for kind in FORMATS:
        if re.match(kind.signature, head, re.DOTALL):
            return kind
    supported = ", ".join(kind.title for kind in FORMATS if kind.loader)
    supported += ", and with the extra 'formats' " + ", ".join(kind.title for kind in FORMATS if not kind.loader)
    raise PhotoError(f"{name}: {'is not a supported image' if head else 'is empty'}; supported: {supported}")


def in_memory_kind(kind: Format, header: pyvips.Image) -> str:
    """Returns what a file is ("WebP") that must be decoded in memory; "" for one that is decoded row by row."""
    if read_field(header, "jpeg-multiscan", 0):
        return "progressive JPEG"
    if read_field(header, "interlaced", 0):
        return "interlaced PNG"
    return "" if kind.by_rows else kind.title


def check_size(name: str, width: int, height: int, max_pixels: int, in_memory: str) -> None:
    """Raises PhotoTooLarge for more than `max_pixels`; of an `in_memory_kind`, for more than `MAX_PIXELS_IN_MEMORY`."""
    limit, advice = max_pixels, "raise --max-pixels to read it"
    if in_memory and max_pixels <= MAX_PIXELS:  # the user has not raised it above the default
        limit = min(max_pixels, MAX_PIXELS_IN_MEMORY)
        advice = f"{in_memory} is decoded in memory: save it as TIFF, or raise --max-pixels above {MAX_PIXELS}"
    if width * height > limit:
        raise PhotoTooLarge(f"{name}: {width} x {height} pixels are more than the limit of {limit}; {advice}")


@dataclass(frozen=True)
class Reader:
    """A path, the bytes of a file, or an array (h, w, 1 to 4) of uint8 or uint16; opened anew for each pass.

    `fields` are libvips' that its own loaders leave out. `jpeg_quality` is that of a JPEG made from this photo.
    `metadata` is that of the file, but for the profile.
    `notes` collects, in words, what of the file was left aside when it was read or is not in an output.
    """

    source: Path | bytes | np.ndarray
    name: str
    kind: Format
    fields: dict[str, bytes] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=Metadata)
    jpeg_quality: int = QUALITY
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Adds a note, unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)

    def open(self, shrink: float = 1) -> pyvips.Image:
        """Returns the image, of a file as a stream of rows, top to bottom; JPEG up to `shrink` times (8) smaller."""
        if isinstance(self.source, np.ndarray):
            names = ("b-w", "grey16") if self.source.shape[2] < 3 else ("srgb", "rgb16")
            name = names[self.source.dtype.itemsize - 1]
            image = pyvips.Image.new_from_array(self.source).copy(interpretation=name)
        else:
            image = self._open_file(self.source, shrink).copy()
        for name, value in self.fields.items():
            image.set_type(pyvips.GValue.blob_type, name, value)
        return image

    def _open_file(self, source: Path | bytes, shrink: float) -> pyvips.Image:
        options: dict[str, Any] = {"access": "sequential", "fail_on": "error", "revalidate": True}
        if self.kind == JPEG:
            options["shrink"] = max(factor for factor in (1, 2, 4, 8) if factor <= max(1, shrink))
        with photo_errors(self.name, "read"):
            if isinstance(source, bytes):
                return getattr(pyvips.Image, f"{self.kind.loader}_buffer")(source, **options)
            # By descriptor, since libvips wants names in UTF-8, which not all are.
            with source.open("rb") as file:
                descriptor = pyvips.Source.new_from_descriptor(file.fileno())
            return getattr(pyvips.Image, f"{self.kind.loader}_source")(descriptor, **options)


def reader_of_array(array: np.ndarray, name: str) -> Reader:
    """Returns a reader of (h, w) or (h, w, 1 to 4) uint8, uint16, bool, or float in [0, 1]."""
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise PhotoError(f"{name}: shape {array.shape} is not that of a photo; give (h, w) or (h, w, 1 to 4)")
    if pixels.dtype == np.bool_:
        pixels = pixels * np.uint8(255)
    elif pixels.dtype.kind == "f":
        if not (pixels.min() >= 0 and pixels.max() <= 1):  # or not a number
            raise PhotoError(f"{name}: floats must be in [0, 1]; divide by the maximum, or give uint8 or uint16")
        pixels = np.rint(pixels * 65535).astype(np.uint16)
    elif pixels.dtype not in (np.uint8, np.uint16):
        raise PhotoError(f"{name}: type {array.dtype} is not supported; give uint8, uint16, bool, or float in [0, 1]")
    return Reader(np.ascontiguousarray(pixels), name, ARRAY)


def reader_of_pillow(image: Any, name: str, kind: Format = ARRAY) -> Reader:
    """Returns a reader of a Pillow image of any mode, with its profile and metadata."""
    modes = {"1": "L", "P": "RGBA" if "transparency" in image.info else "RGB", "PA": "RGBA", "I": "I;16"}
    mode = modes.get(image.mode, image.mode)
    if mode not in ("L", "LA", "RGB", "RGBA") and not mode.startswith("I;16"):
        mode = "RGB"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    profile = image.info.get("icc_profile")
    # The pixels of CMYK are RGB now.
    fields = {"icc-profile-data": profile} if isinstance(profile, bytes) and image.mode != "CMYK" else {}
    return replace(reader_of_array(pixels, name), kind=kind, fields=fields, metadata=read_pillow(image))


def reader_of_file(source: Path | bytes, name: str, max_pixels: int) -> Reader:
    """Returns a reader of a file or of the bytes of one."""
    with photo_errors(name, "read"), io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        kind = detect_kind(file.read(64), name)
        if not kind.loader:
            return _decode_with_pillow(file, name, kind, max_pixels)
        metadata = read_metadata(file, kind.title)
        quality = _jpeg_quality(file) if kind == JPEG else QUALITY
    return Reader(source, name, kind, metadata=metadata, jpeg_quality=quality, notes=list(metadata.notes))


def _decode_with_pillow(file: Any, name: str, kind: Format, max_pixels: int) -> Reader:
    try:
        from PIL import Image, UnidentifiedImageError

        if kind == HEIC:
            import pillow_heif
    except ImportError as error:
        raise PhotoError(f"{name}: to read {kind.title}, pip install 'photochrom[formats]'") from error
    try:
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have a limit of our own
            image: Any = pillow_heif.HeifImageFile(file) if kind == HEIC else Image.open(file)
        width, height = image.size  # of the header: no pixel is decoded yet
        check_size(name, width, height, max_pixels, kind.title)
        image.load()
    except PhotoError:
        raise
    except Exception as error:  # each decoder has its own
        reason = "damaged or cut short" if isinstance(error, UnidentifiedImageError) else error
        raise PhotoError(f"{name}: cannot be read ({reason})") from error
    reader = reader_of_pillow(image, name, kind)
    if kind == BMP:
        return reader
    metadata = read_metadata(file, kind.title)
    return replace(reader, metadata=metadata, notes=list(metadata.notes))


def _jpeg_quality(file: io.BufferedIOBase) -> int:
    """The quality of a copy of a JPEG: `QUALITY`, or the first that is as fine as the JPEG itself."""
    steps = _luma_quantization(file)
    for quality in range(QUALITY, 100):
        if all(map(operator.le, _quantization_at(quality), steps)):
            return quality
    return 100


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
