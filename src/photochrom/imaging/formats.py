"""File formats: which are read and written and how; readers open a photo anew for each pass over its pixels."""

import io
import operator
import warnings
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips

from . import metadata, tiff
from .errors import PhotoError, PhotoTooLarge, photo_errors
from .limits import MAX_PIXELS
from .metadata import read_field

SUPPORTED = "JPEG, PNG, TIFF, WebP, AVIF, and with the extra 'formats' HEIC, JPEG 2000 and BMP"
SIGNATURES = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "jp2": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "bmp": (b"BM",),
}
MAX_PIXELS_IN_MEMORY = 100_000_000  # of photos that cannot be decoded row by row
IN_MEMORY = {"webp": "a WebP", "avif": "an AVIF", "heic": "a HEIC", "jp2": "a JPEG 2000", "bmp": "a BMP"}
QUALITY = 98  # of lossy formats: half the largest error in lightness of 95, for two fifths more bytes
LOSSY: dict[str, Any] = {"Q": QUALITY, "subsample_mode": "off"}
PNG, WEBP = {"compression": 6}, {"lossless": True}
# `metadata.write_tiff_tags` writes IPTC, which libvips cuts short: keep EXIF, XMP, profile, and the rest.
TIFF = {"compression": "lzw", "predictor": "horizontal", "keep": 1 | 2 | 8 | 16}
SAVERS = {".jpg": LOSSY, ".jpeg": LOSSY, ".png": PNG, ".tif": TIFF, ".tiff": TIFF, ".webp": WEBP, ".avif": LOSSY}
JPEG_SUFFIXES, TIFF_SUFFIXES = (".jpg", ".jpeg"), (".tif", ".tiff")
SUFFIXES_OF_16_BITS = (".png", *TIFF_SUFFIXES)
# What is added to the name of a file that can only be read, for its output.
OUTPUT_SUFFIX = {".heic": ".jpg", ".heif": ".jpg", ".jp2": ".tif", ".j2k": ".tif", ".bmp": ".png"}
# The suffix that keeps a format, or as much of it as can be written; .png for all others.
SUFFIX_OF_KIND = {"jpeg": ".jpg", "tiff": ".tif", "webp": ".webp", "avif": ".avif", "heic": ".jpg", "jp2": ".tif"}
LOADERS = {"jpeg": "jpegload", "png": "pngload", "tiff": "tiffload", "webp": "webpload", "avif": "heifload"}
VIPS_FIELDS = {"icc_profile": "icc-profile-data", "exif": "exif-data", "xmp": "xmp-data"}  # by Pillow's names
START_OF_SCAN, QUANTIZATION_TABLES = 0xDA, 0xDB  # JPEG markers (ITU-T T.81, table B.1)


def detect_kind(head: bytes, name: str) -> str:
    """Returns the format that the first bytes of a file show. Raises PhotoError for one that is not supported."""
    if head[4:8] == b"ftyp":
        brands = head[8 : int.from_bytes(head[:4])]
        return "avif" if b"avif" in brands or b"avis" in brands else "heic"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    for kind, signatures in SIGNATURES.items():
        if head.startswith(signatures):
            return kind
    raise PhotoError(f"{name}: {'is not a supported image' if head else 'is empty'}; supported: {SUPPORTED}")


def in_memory_kind(kind: str, header: pyvips.Image) -> str:
    """Returns what a file is ("a WebP") that must be decoded in memory; "" for one that is decoded row by row."""
    if kind == "jpeg":
        return "a progressive JPEG" if read_field(header, "jpeg-multiscan", 0) else ""
    if kind == "png":
        return "an interlaced PNG" if header.get_typeof("interlaced") else ""
    return IN_MEMORY.get(kind, "")


def check_size(name: str, width: int, height: int, max_pixels: int, in_memory: str) -> None:
    """Raises PhotoTooLarge for more than `max_pixels`; of an `in_memory_kind`, for more than `MAX_PIXELS_IN_MEMORY`."""
    limit, advice = max_pixels, "raise --max-pixels to read it"
    if in_memory and max_pixels <= MAX_PIXELS:  # the user has not raised it above the default
        limit = min(max_pixels, MAX_PIXELS_IN_MEMORY)
        advice = f"it is {in_memory}, decoded in memory: save it as TIFF, or raise --max-pixels above {MAX_PIXELS}"
    if width * height > limit:
        raise PhotoTooLarge(f"{name}: {width} x {height} pixels are more than the limit of {limit}; {advice}")


@dataclass(frozen=True)
class Reader:
    """A path, the bytes of a file, or an array (h, w, 1 to 4) of uint8 or uint16; `kind`: format, "array", "pillow".

    `fields` are libvips' that its own loaders leave out. `jpeg_quality` is that of a JPEG made from this photo.
    """

    source: Path | bytes | np.ndarray
    name: str
    kind: str
    fields: dict[str, bytes] = field(default_factory=dict)
    orientation: int = 1
    jpeg_quality: int = QUALITY

    def open(self, shrink: int = 1) -> pyvips.Image:
        """Returns the image, of a file as a stream of rows, top to bottom; JPEG may be shrunk 2, 4 or 8 times."""
        if isinstance(self.source, np.ndarray):
            names = ("b-w", "grey16") if self.source.shape[2] < 3 else ("srgb", "rgb16")
            name = names[self.source.dtype.itemsize - 1]
            image = pyvips.Image.new_from_array(self.source).copy(interpretation=name)
            image.set_type(pyvips.GValue.gint_type, "orientation", self.orientation)
        else:
            image = self._open_file(self.source, shrink).copy()
        for name, value in self.fields.items():
            image.set_type(pyvips.GValue.blob_type, name, value)
        return image

    def _open_file(self, source: Path | bytes, shrink: int) -> pyvips.Image:
        options: dict[str, Any] = {"access": "sequential", "fail_on": "error", "revalidate": True}
        if self.kind == "jpeg":
            options["shrink"] = shrink
        with photo_errors(self.name, "read"):
            if isinstance(source, bytes):
                return getattr(pyvips.Image, f"{LOADERS[self.kind]}_buffer")(source, **options)
            # By descriptor, since libvips wants names in UTF-8, which not all are.
            with source.open("rb") as file:
                descriptor = pyvips.Source.new_from_descriptor(file.fileno())
            return getattr(pyvips.Image, f"{LOADERS[self.kind]}_source")(descriptor, **options)


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
    return Reader(np.ascontiguousarray(pixels), name, "array")


def reader_of_pillow(image: Any, name: str, kind: str = "pillow") -> Reader:
    """Returns a reader of a Pillow image of any mode, with its profile, EXIF and XMP."""
    orientation = image.getexif().get(tiff.ORIENTATION, 1)
    modes = {"1": "L", "P": "RGBA" if "transparency" in image.info else "RGB", "PA": "RGBA", "I": "I;16"}
    mode = modes.get(image.mode, image.mode)
    if mode not in ("L", "LA", "RGB", "RGBA") and not mode.startswith("I;16"):
        mode = "RGB"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    fields = {}
    for pillow_name, vips_name in VIPS_FIELDS.items():
        if isinstance(image.info.get(pillow_name), bytes):
            fields[vips_name] = image.info[pillow_name]
    if image.mode == "CMYK":
        fields.pop("icc-profile-data", None)  # the pixels are RGB now
    orientation = orientation if orientation in range(1, 9) else 1
    return replace(reader_of_array(pixels, name), kind=kind, fields=fields, orientation=orientation)


def reader_of_file(source: Path | bytes, name: str, max_pixels: int) -> Reader:
    """Returns a reader of a file or of the bytes of one."""
    with photo_errors(name, "read"), io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        kind = detect_kind(file.read(64), name)
        if kind not in LOADERS:
            return _decode_with_pillow(file, name, kind, max_pixels)
        fields = metadata.tiff_fields(file) if kind == "tiff" else {}
        quality = _jpeg_quality(file) if kind == "jpeg" else QUALITY
    return Reader(source, name, kind, fields, jpeg_quality=quality)


def _decode_with_pillow(file: BinaryIO, name: str, kind: str, max_pixels: int) -> Reader:
    try:
        from PIL import Image

        if kind == "heic":
            import pillow_heif
    except ImportError as error:
        raise PhotoError(f"{name}: to read {kind.upper()}, pip install 'photochrom[formats]'") from error
    try:
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have a limit of our own
            image: Any = pillow_heif.open_heif(file) if kind == "heic" else Image.open(file)
        width, height = image.size  # of the header: no pixel is decoded yet
        check_size(name, width, height, max_pixels, IN_MEMORY[kind])
        if kind == "heic":
            image = image.to_pillow()
        image.load()
    except PhotoError:
        raise
    except Exception as error:  # each decoder has its own
        raise PhotoError(f"{name}: cannot be read ({error})") from error
    return reader_of_pillow(image, name, kind)


def _jpeg_quality(file: BinaryIO) -> int:
    """The quality of a copy of a JPEG: `QUALITY`, or the first that is as fine as the JPEG itself."""
    steps = _luma_quantization(file)
    for quality in range(QUALITY, 100):
        if all(map(operator.le, _quantization_at(quality), steps)):
            return quality
    return 100


def _luma_quantization(file: BinaryIO) -> bytes:
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
