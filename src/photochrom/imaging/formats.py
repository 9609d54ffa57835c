"""File formats: which reader a photograph is given to, told by its first bytes, and how each is written."""

import io
import operator
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from . import tiff
from .errors import PhotoError, PhotoTooLarge, photo_errors

FORMATS_EXTRA = "pip install 'photochrom[formats]'"
READABLE = "JPEG, PNG, TIFF, WebP, AVIF, and with the extra 'formats' HEIC, JPEG 2000 and BMP"
LOADERS = {"jpeg": "jpegload", "png": "pngload", "tiff": "tiffload", "webp": "webpload", "avif": "heifload"}
NOT_IPTC = 1 | 2 | 8 | 16  # EXIF, XMP, profile, the rest: `metadata.tag` writes IPTC, which libvips cuts short
MAX_PIXELS = 250_000_000
WHOLE_PIXELS = 100_000_000  # of what cannot be decoded row by row
WHOLE = {"webp": "a WebP", "avif": "an AVIF", "heic": "a HEIC", "jp2": "a JPEG 2000", "bmp": "a BMP"}
FINE = 98  # quality of what is lossy: half the largest error in lightness of 95, for two fifths more bytes
SAVERS: dict[str, dict[str, Any]] = {
    ".jpg": {"Q": FINE, "subsample_mode": "off"},
    ".jpeg": {"Q": FINE, "subsample_mode": "off"},
    ".png": {"compression": 6},
    ".tif": {"compression": "lzw", "predictor": "horizontal", "keep": NOT_IPTC},
    ".tiff": {"compression": "lzw", "predictor": "horizontal", "keep": NOT_IPTC},
    ".webp": {"lossless": True},
    ".avif": {"Q": FINE, "subsample_mode": "off"},
}
SUFFIX = {"jpeg": ".jpg", "tiff": ".tif", "webp": ".webp", "avif": ".avif", "heic": ".jpg", "jp2": ".tif"}
TIFF = (".tif", ".tiff")
# Suffixes of files that can only be read, and what their outputs are written as.
WRITTEN_AS = {".heic": ".jpg", ".heif": ".jpg", ".jp2": ".tif", ".j2k": ".tif", ".bmp": ".png"}
DEEP = (".png", *TIFF)  # 16 bits a channel
OPAQUE = (".jpg", ".jpeg")
BLOBS = {"icc_profile": "icc-profile-data", "exif": "exif-data", "xmp": "xmp-data"}  # Pillow's names, libvips' names


def kind(head: bytes, name: str) -> str:
    """The format that the first bytes of a file tell; `PhotoError` for one that is not read."""
    if head[4:8] == b"ftyp":
        brands = head[8 : int.from_bytes(head[:4])]
        return "avif" if b"avif" in brands or b"avis" in brands else "heic"
    for start, found in (
        (b"\xff\xd8\xff", "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"II*\0", "tiff"),
        (b"MM\0*", "tiff"),
        (b"II+\0", "tiff"),
        (b"MM\0+", "tiff"),
        (b"\0\0\0\x0cjP  ", "jp2"),
        (b"\xff\x4f\xff\x51", "jp2"),
        (b"BM", "bmp"),
    ):
        if head.startswith(start):
            return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    raise PhotoError(f"{name}: {'is empty' if not head else 'is not a supported image'}; supported: {READABLE}")


@dataclass(frozen=True)
class File:
    """A photograph in a file or in the bytes of one, opened anew for each pass over it."""

    place: Path | bytes
    name: str
    kind: str

    def open(self, shrink: int = 1) -> pyvips.Image:
        """A stream of rows, top to bottom; JPEG can be shrunk 2, 4 or 8 times while it is read."""
        options: dict[str, Any] = {"access": "sequential", "fail_on": "error", "revalidate": True}
        if self.kind == "jpeg":
            options["shrink"] = shrink
        with photo_errors(self.name, "read"):
            if isinstance(self.place, bytes):
                return getattr(pyvips.Image, f"{LOADERS[self.kind]}_buffer")(self.place, **options)
            with self.place.open("rb") as file:  # by descriptor: libvips wants names in UTF-8, and not all are
                source = pyvips.Source.new_from_descriptor(file.fileno())
            return getattr(pyvips.Image, f"{LOADERS[self.kind]}_source")(source, **options)

    def _file(self) -> io.BufferedIOBase:
        return io.BytesIO(self.place) if isinstance(self.place, bytes) else self.place.open("rb")

    def quality(self) -> int:
        """Of the JPEG made from it: `FINE`, or finer where the luma steps of this JPEG are."""
        if self.kind != "jpeg":
            return FINE
        with photo_errors(self.name, "read"), self._file() as file:
            given = _luma_steps(file)
        return next((q for q in range(FINE, 100) if all(map(operator.le, _steps_at(q), given))), 100)

    def tags(self) -> tuple[tiff.Tags, tiff.Tags, tiff.Tags]:
        """The tags that libvips leaves out, a TIFF file's: see `tiff.read`."""
        if self.kind != "tiff":
            return {}, {}, {}
        with self._file() as file:
            return tiff.read(file)


def _luma_steps(file: io.BufferedIOBase) -> bytes:
    """The 64 steps by which a JPEG file rounds its luma (ITU-T T.81, B.2.4.1); b"" where there are none of 8 bits."""
    file.seek(2)
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:  # up to the first scan
        body = file.read(max(0, int.from_bytes(head[2:]) - 2))
        if head[1] == 0xDB and body[:1] == b"\0":
            return body[1:65]
    return b""


@lru_cache
def _steps_at(quality: int) -> bytes:
    return _luma_steps(io.BytesIO(pyvips.Image.black(8, 8).jpegsave_buffer(Q=quality)))


@dataclass(frozen=True)
class Memory:
    """A photograph that is an array already: (h, w, 1-4) of uint8 or uint16, with blobs of metadata."""

    pixels: np.ndarray
    name: str
    kind: str = "array"
    blobs: dict[str, bytes] = field(default_factory=dict)
    orientation: int = 1

    def open(self, shrink: int = 1) -> pyvips.Image:
        """The whole picture."""
        image = pyvips.Image.new_from_array(self.pixels).copy()
        deep, colour = self.pixels.dtype.itemsize == 2, self.pixels.shape[2] > 2
        names = (("b-w", "grey16"), ("srgb", "rgb16"))
        image = image.copy(interpretation=names[colour][deep])
        for blob, value in self.blobs.items():
            image.set_type(pyvips.GValue.blob_type, blob, value)
        image.set_type(pyvips.GValue.gint_type, "orientation", self.orientation)
        return image

    def tags(self) -> tuple[tiff.Tags, tiff.Tags, tiff.Tags]:
        """None more than `open` gives."""
        return {}, {}, {}

    def quality(self) -> int:
        """Of the JPEG made from it."""
        return FINE


Reader = File | Memory


def reader_of_array(array: np.ndarray, name: str) -> Memory:
    """A reader of (h, w) or (h, w, 1-4) uint8, uint16, bool, or float in [0, 1]."""
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise PhotoError(f"{name}: shape {array.shape} is no photograph; give (h, w) or (h, w, 1 to 4)")
    if pixels.dtype == np.bool_:
        pixels = pixels * np.uint8(255)
    elif pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
            raise PhotoError(f"{name}: floats must lie in [0, 1]; divide by the largest, or give uint8 or uint16")
        pixels = np.rint(pixels * 65535).astype(np.uint16)
    elif pixels.dtype not in (np.uint8, np.uint16):
        raise PhotoError(f"{name}: type {array.dtype} is not read; give uint8, uint16, bool, or float in [0, 1]")
    return Memory(np.ascontiguousarray(pixels), name)


def reader_of_pillow(image: Any, name: str) -> Memory:
    """A reader of a Pillow image of any mode, with its profile, EXIF and XMP."""
    modes = {"1": "L", "P": "RGBA" if "transparency" in image.info else "RGB", "PA": "RGBA", "CMYK": "RGB", "I": "I;16"}
    orientation = image.getexif().get(0x0112, 1)
    wanted = modes.get(image.mode, image.mode)
    if wanted not in ("L", "LA", "RGB", "RGBA") and not wanted.startswith("I;16"):
        wanted = "RGB"
    pixels = np.asarray(image if image.mode == wanted else image.convert(wanted))
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    blobs = {ours: image.info[theirs] for theirs, ours in BLOBS.items() if isinstance(image.info.get(theirs), bytes)}
    if image.mode == "CMYK":
        blobs.pop("icc-profile-data", None)
    reader = reader_of_array(pixels, name)
    return Memory(reader.pixels, name, "pillow", blobs, orientation if orientation in range(1, 9) else 1)


def check_size(name: str, width: int, height: int, max_pixels: int, whole: str = "") -> None:
    """`PhotoTooLarge` where a photograph has more than `max_pixels`.

    One of a kind (`whole`) that is held whole in memory, more than `WHOLE_PIXELS`, unless `max_pixels` was raised above
    `MAX_PIXELS`.
    """
    fix, limit = "raise max_pixels to read it", max_pixels
    if whole and max_pixels <= MAX_PIXELS:
        limit = min(max_pixels, WHOLE_PIXELS)
        fix = f"it is {whole}, held whole in memory: save it as TIFF, or raise max_pixels above {MAX_PIXELS}"
    if width * height > limit:
        raise PhotoTooLarge(f"{name}: {width} x {height} pixels are more than the limit of {limit}; {fix}")


def whole(kind: str, header: pyvips.Image) -> str:
    """What kind of file must be decoded whole, with its article; "" for one that is read row by row."""
    if kind == "jpeg":
        return "a progressive JPEG" if header.get("jpeg-multiscan") else ""
    if kind == "png":
        return "an interlaced PNG" if header.get_typeof("interlaced") else ""
    return WHOLE.get(kind, "")


def reader_of_bytes(blob: bytes, name: str, max_pixels: int) -> Reader:
    """A reader of the bytes of a file."""
    return _reader(blob, blob[:64], name, max_pixels)


def reader_of_path(path: Path, name: str, max_pixels: int) -> Reader:
    """A reader of a file."""
    with photo_errors(name, "read"), path.open("rb") as file:
        head = file.read(64)
    return _reader(path, head, name, max_pixels)


def _reader(place: Path | bytes, head: bytes, name: str, max_pixels: int) -> Reader:
    found = kind(head, name)
    return File(place, name, found) if found in LOADERS else _with_pillow(place, found, name, max_pixels)


def _with_pillow(place: Path | bytes, found: str, name: str, max_pixels: int) -> Memory:
    """HEIC, JPEG 2000 and BMP, decoded whole once the header has told their size."""
    try:
        from PIL import Image

        if found == "heic":
            import pillow_heif
    except ImportError as error:
        raise PhotoError(f"{name}: to read {found.upper()}, {FORMATS_EXTRA}") from error
    stream = io.BytesIO(place) if isinstance(place, bytes) else place
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # there is a limit of our own
            lazy: Any = pillow_heif.open_heif(stream) if found == "heic" else Image.open(stream)
        width, height = lazy.size
        check_size(name, width, height, max_pixels, WHOLE[found])
        image = lazy.to_pillow() if found == "heic" else lazy
        image.load()
    except PhotoError:
        raise
    except Exception as error:
        raise PhotoError(f"{name}: cannot be read ({error})") from error
    reader = reader_of_pillow(image, name)
    return Memory(reader.pixels, name, found, reader.blobs, reader.orientation)
