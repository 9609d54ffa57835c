"""File formats: which are read and written and how; readers open a photo anew for each pass over its pixels."""

import importlib.util
import io
import math
import re
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from .._install import install_extra
from . import bitmaps, jpeg, tiff_pages
from .errors import PhotoError, PhotoTooLarge, photo_errors
from .fields import read_field
from .jpeg import QUALITY
from .metadata import Metadata, read_metadata, read_pillow
from .notes import Notes

LOSSY: dict[str, Any] = {"Q": QUALITY, "subsample_mode": "off"}
# The least effort is forty times as fast as libvips' default. Tuned for SSIM, which old versions of libheif do anyway,
# and at this quality, it keeps L as JPEG does: mean error 0.15 to 0.25 in ten photos, at most 1.8. `QUALITY` would take
# a fifth more time and a third more bytes.
FAST_AVIF = LOSSY | {"Q": 95, "effort": 0} | ({"tune": "ssim"} if pyvips.at_least_libvips(8, 18) else {})
LZW = {"compression": "lzw", "predictor": "horizontal"}
# A pixel that is decoded in memory, in about 12 bytes or (AVIF, JPEG 2000) 20 to 30, counts as so many of a photo that
# is decoded row by row.
IN_MEMORY, IN_MUCH_MEMORY = 2.5, 5
CHECKED_ROWS = 64  # of tiles, at once
PAGE_OPTION = " (--page)"  # ends the note of pages that are left out
# From the bytes of a file and a check of its size to pixels (h, w, 1 to 4); None for a variant that is left to Pillow.
Decoder = Callable[[bytes, bitmaps.CheckSize], np.ndarray | None]


@dataclass(frozen=True)
class Format:
    """How a file format is recognized, read and written, and what it can hold."""

    title: str
    signature: bytes  # regular expression of a file's first bytes
    suffix: str  # of an output that keeps the format, or as much of it as can be written
    loader: str = ""  # of libvips; "" for what `decode` or Pillow decodes
    decode: Decoder | None = None  # of the bytes of a file, where we decode them ourselves
    cost: float = IN_MEMORY  # of a pixel, in pixels that are decoded row by row; see `check_size`
    paged: bool = False  # holds several images, which libvips counts
    saver: dict[str, Any] = field(default_factory=dict)  # options of libvips, of a format that can be written
    depth: int = 8  # of outputs, at most
    max_side: int = 0  # of outputs, in pixels; 0: no limit that a photo meets
    alpha: bool = True


JPEG = Format("JPEG", rb"\xff\xd8\xff", ".jpg", "jpegload", cost=1, saver=LOSSY, max_side=65500, alpha=False)
PNG = Format("PNG", rb"\x89PNG\r\n\x1a\n", ".png", "pngload", cost=1, saver={"compression": 6}, depth=16)
TIFF = Format("TIFF", rb"II[*+]\0|MM\0[*+]", ".tif", "tiffload", cost=1, saver=LZW, depth=16)
WEBP = Format("WebP", rb"RIFF....WEBP", ".webp", "webpload", paged=True, saver={"lossless": True}, max_side=16383)
AVIF = Format(
    "AVIF",
    rb"....ftyp.*avi[fs]",
    ".avif",
    "heifload",
    cost=IN_MUCH_MEMORY,
    paged=True,
    saver=FAST_AVIF,
    max_side=16384,
)
GIF = Format("GIF", rb"GIF8[79]a", ".png", "gifload", paged=True)
PNM = Format("PNM", rb"P[1-6fF]\s+[#\d]", ".png", decode=bitmaps.decode_pnm)
BMP = Format("BMP", rb"BM.{4}\0{4}", ".png", decode=bitmaps.decode_bmp)
HEIC = Format("HEIC", rb"....ftyp(?:he[iv]|m[is]f)", ".jpg")
JPEG_2000 = Format("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", ".tif", cost=IN_MUCH_MEMORY)
ARRAY = Format("array", rb"", ".png", cost=1)  # and Pillow images
FORMATS = (JPEG, PNG, TIFF, WEBP, AVIF, GIF, PNM, BMP, HEIC, JPEG_2000)
WITH_PILLOW = (HEIC, JPEG_2000)
# By the suffixes of files that can be written, and of those that can only be read.
WRITABLE = {
    **dict.fromkeys((".jpg", ".jpeg", ".jfif", ".jpe", ".jif"), JPEG),
    **{".png": PNG, ".tif": TIFF, ".tiff": TIFF, ".webp": WEBP, ".avif": AVIF},
}
READ_ONLY = {".heic": HEIC, ".heif": HEIC, ".jp2": JPEG_2000, ".j2k": JPEG_2000, ".bmp": BMP, ".gif": GIF}
READ_ONLY |= {".pbm": PNM, ".pgm": PNM, ".ppm": PNM, ".pnm": PNM, ".pfm": PNM}
CAMERA_RAW = "is a camera raw file, which is not supported; export it as TIFF or JPEG from a raw converter"
REFUSED = {  # by the first bytes of files that people take for photos
    rb"8BPS": "is a Photoshop file (PSD), which is not supported; save it as TIFF or PNG",
    rb"\xff\x0a|\0\0\0\x0cJXL ": "is a JPEG XL file, which is not supported; convert it to PNG, for example with djxl",
    rb"%PDF": "is a PDF, which is not supported; extract its images, for example with pdfimages -all",
    rb"(\xef\xbb\xbf)?\s*<(\?xml|svg|!DOCTYPE svg)": "is an SVG or XML file, not a photo; export it as PNG",
    rb"....ftyp(isom|iso2|mp4|M4V|qt|3gp)": "is a video; export a frame of it as PNG or JPEG",
    rb"FUJIFILMCCD|II\x1a\0\0\0HEAP|IIR[OS]|IIU\0|MMOR|\0MRM|FOVb|....ftypcrx": CAMERA_RAW,
}


def block_other_loaders() -> None:
    """Block in libvips, for the whole process, all loaders (SVG, PDF, ImageMagick...) but those of `FORMATS`."""
    pyvips.operation_block_set("VipsForeignLoad", True)
    for kind in FORMATS:
        for variant in ("", "_buffer", "_source"):
            if kind.loader:
                loader = pyvips.type_find("VipsForeignLoad", kind.loader + variant)
                pyvips.operation_block_set(pyvips.type_name(loader), False)


def detect_kind(head: bytes, name: str) -> Format:
    """Returns the format that the first bytes of a file show. Raises PhotoError for one that is not supported."""
    for signature, reason in REFUSED.items():
        if re.match(signature, head, re.DOTALL):
            raise PhotoError(f"{name}: {reason}")
    for kind in FORMATS:
        if re.match(kind.signature, head, re.DOTALL):
            return kind
    supported = ", ".join(kind.title for kind in FORMATS if kind not in WITH_PILLOW)
    extra = "" if importlib.util.find_spec("pillow_heif") else "and with the extra 'formats' "
    supported += f", {extra}" + ", ".join(kind.title for kind in WITH_PILLOW)
    raise PhotoError(f"{name}: {'is not a supported image' if head else 'is empty'}; supported: {supported}")


def check_decoded_size(name: str, kind: Format, header: pyvips.Image, max_pixels: int) -> None:
    """Raises PhotoTooLarge as `check_size`, of the header of a file that libvips reads."""
    title, cost = kind.title, kind.cost
    if cost == 1 and (read_field(header, "jpeg-multiscan", 0) or read_field(header, "interlaced", 0)):
        title, cost = ("progressive JPEG" if kind == JPEG else "interlaced PNG"), IN_MEMORY
    check_size(name, header.width, header.height, max_pixels, title, cost)


def check_size(name: str, width: int, height: int, max_pixels: int, title: str, cost: float) -> None:
    """Raises PhotoTooLarge for more than `max_pixels`, where a pixel of this kind of file counts `cost` times."""
    pixels = width * height
    if pixels * cost > max_pixels:
        limit = f"{int(max_pixels / cost)}" + (f" for {title}, which is decoded in memory" if cost > 1 else "")
        advice = f"to read it, use --max-pixels {math.ceil(pixels * cost)}"
        raise PhotoTooLarge(f"{name}: {width} x {height} pixels are more than the limit of {limit}; {advice}")


def choose_page(name: str, page: int | None, count: int, first: int = 1) -> int | None:
    """Returns the number of the page to read, None for `first`, the default. Raises PhotoError if there is no such."""
    if page is not None and not 1 <= page <= count:
        has = f"only {count} pages" if count > 1 else "only 1 page"
        raise PhotoError(f"{name}: has no page {page}, {has}; choose another --page")
    return None if page == first else page


@dataclass(frozen=True)
class Reader:
    """A path, the bytes of a file, or an array (h, w, 1 to 4) of uint8 or uint16; opened anew for each pass.

    Attributes:
        fields: those of libvips images that a loader leaves out, such as the profile.
        metadata: that of the file, without the profile.
        jpeg_quality: of an output that is a JPEG.
        options: of the loader.
        stored: the PhotometricInterpretation of a TIFF whose pixels libvips does not convert; else 0.
        page: the page that was asked for; None for the default one.
        strips: the offset of the directory of a TIFF in tiles, and a directory that describes the tiles as strips; see
            `check_tiles`.
    """

    source: Path | bytes | np.ndarray
    name: str
    kind: Format
    fields: dict[str, bytes] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=Metadata)
    jpeg_quality: int = QUALITY
    options: dict[str, Any] = field(default_factory=dict)
    stored: int = 0
    page: int | None = None
    strips: tuple[int, bytes] | None = None

    @property
    def notes(self) -> Notes:
        """What of the file was left aside when it was read, or is not in an output."""
        return self.metadata.notes

    def note_pages(self, others: int) -> None:
        """Adds a note of how many pages are left out, if any."""
        if others:
            self.notes.add(f"{others} more page{'s were' if others > 1 else ' was'} left out{PAGE_OPTION}")

    def open(self, shrink: float = 1, strict: bool = False) -> pyvips.Image:
        """Returns the image, of a file as a stream of rows, top to bottom; JPEG up to `shrink` times (8) smaller.

        `strict`: warnings of a JPEG's decoder are errors.
        """
        if isinstance(self.source, np.ndarray):
            names = ("b-w", "grey16") if self.source.shape[2] < 3 else ("srgb", "rgb16")
            name = names[self.source.dtype.itemsize - 1]
            image = pyvips.Image.new_from_array(self.source).copy(interpretation=name)
        else:
            image = self._open_file(self.source, shrink, strict).copy()
        for name, value in self.fields.items():
            image.set_type(pyvips.GValue.blob_type, name, value)
        return image

    def _open_file(self, source: Path | bytes, shrink: float, strict: bool) -> pyvips.Image:
        options: dict[str, Any] = {"access": "sequential", "fail_on": "error", "revalidate": True, **self.options}
        if self.kind == JPEG:
            options["shrink"] = max(factor for factor in (1, 2, 4, 8) if factor <= max(1, shrink))
            options["fail_on"] = "warning" if strict else "error"
        with photo_errors(self.name, "read"):
            if isinstance(source, bytes):
                image = getattr(pyvips.Image, f"{self.kind.loader}_buffer")(source, **options)
            else:
                # By descriptor, since libvips wants names in UTF-8, which not all are.
                with source.open("rb") as file:
                    descriptor = pyvips.Source.new_from_descriptor(file.fileno())
                image = getattr(pyvips.Image, f"{self.kind.loader}_source")(descriptor, **options)
            return tiff_pages.to_srgb(image, self.stored) if self.stored else image

    def check_tiles(self) -> None:
        """Raises PhotoError if tiles of a TIFF are damaged or missing, which libvips reports of strips alone."""
        if self.strips is None or isinstance(self.source, np.ndarray):
            return
        with photo_errors(self.name, "read"):
            data = tiff_pages.put_directory(self.source, *self.strips)
            options = {"access": "sequential", "fail_on": "error", "revalidate": True, **self.options}
            image = pyvips.Image.tiffload_source(pyvips.Source.new_from_memory(data), **options)
            image.shrinkv(CHECKED_ROWS, ceil=True).avg()  # reads every row, but many at once


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


def reader_of_file(source: Path | bytes, name: str, max_pixels: int, page: int | None = None) -> Reader:
    """Returns a reader of a page of a file or of the bytes of one; by default the first that is not reduced in size."""
    with photo_errors(name, "read"), io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        kind = detect_kind(file.read(64), name)
        if kind == TIFF:
            return _reader_of_tiff(file, source, name, page)
        if kind.decode:
            bitmap = _decode_bitmap(file, name, kind, max_pixels)
            choose_page(name, page, 1)
            if bitmap:
                return bitmap
        if not kind.loader:
            return _decode_with_pillow(file, name, kind, max_pixels, page)
        reader = Reader(source, name, kind, metadata=read_metadata(file, kind.title))
        if kind == JPEG:
            reader = _complete_jpeg(file, reader)
    header = reader.open() if kind.paged else None
    count, primary = (read_field(header, "n-pages", 1), read_field(header, "heif-primary", 0)) if header else (1, 0)
    number = choose_page(name, page, count, first=primary + 1)
    if page is None:
        reader.note_pages(count - 1)
    return replace(reader, page=number, options={"page": number - 1}) if number else reader


def _complete_jpeg(file: Any, reader: Reader) -> Reader:
    """Returns a reader of a whole JPEG with the quality of its copy. Raises PhotoError for one that is cut short."""
    file.seek(0)
    data = file.read()
    try:
        mended, rest = jpeg.mend_end(data)
    except ValueError as error:
        raise PhotoError(f"{reader.name}: cannot be read ({error})") from None
    if mended:
        reader.notes.add("the end marker of the JPEG was missing; all of its pixels are there")
    reader.metadata.note_rest(rest)
    return replace(reader, source=mended or reader.source, jpeg_quality=jpeg.copy_quality(data))


def _reader_of_tiff(file: Any, source: Path | bytes, name: str, page: int | None) -> Reader:
    pages = tiff_pages.read_pages(file)
    if tiff_pages.is_camera_raw(file, pages):
        raise PhotoError(f"{name}: {CAMERA_RAW}")
    full = [candidate.number for candidate in pages if candidate.is_full_size]
    first = full[0] if full else 1
    other = choose_page(name, page, max(1, len(pages)), first)
    number = other or first
    metadata = read_metadata(file, TIFF.title, number - 1)
    options = {"page": number - 1}
    reader = Reader(source, name, TIFF, metadata=metadata, options=options, page=other)
    if page is None:
        reader.note_pages(len(pages) - 1)
    if not pages:  # damaged: libvips says how
        return reader
    chosen = pages[number - 1]
    problem = chosen.problem
    if problem:
        raise PhotoError(f"{name}: {problem}")
    if chosen.values.get(tiff_pages.COMPRESSION) in (tiff_pages.JPEG, tiff_pages.FAX_4):
        reader.options["fail_on"] = "warning"  # else the rest of a strip that is cut short would be gray or white
    if chosen.stored == tiff_pages.CIELAB:
        # libvips takes it for a form of its own: with another interpretation, it leaves the pixels alone.
        directory = chosen.directory_with_interpretation(file, tiff_pages.ICCLAB)
        reader = replace(reader, source=bytes(tiff_pages.put_directory(source, chosen.offset, directory)))
    strips = (chosen.offset, chosen.directory_of_strips(file)) if chosen.is_tiled else None
    return replace(reader, stored=chosen.stored, strips=strips)


def _decode_bitmap(file: Any, name: str, kind: Format, max_pixels: int) -> Reader | None:
    """A reader of a file that `Format.decode` decodes; None for a variant that is left to Pillow."""

    def check(width: int, height: int) -> None:
        check_size(name, width, height, max_pixels, kind.title, kind.cost)

    file.seek(0)
    data = file.read()
    try:
        pixels = kind.decode(data, check)  # type: ignore[misc]
    except PhotoError:
        raise
    except (ValueError, struct.error) as error:
        reason = "damaged or cut short" if "buffer" in str(error) else error
        raise PhotoError(f"{name}: cannot be read ({reason})") from error
    if pixels is None:
        return None
    return replace(reader_of_array(pixels, name), kind=kind, metadata=read_metadata(file, kind.title))


def _decode_with_pillow(file: Any, name: str, kind: Format, max_pixels: int, page: int | None) -> Reader:
    try:
        from PIL import Image, UnidentifiedImageError

        if kind == HEIC:
            import pillow_heif
    except ImportError as error:
        raise PhotoError(f"{name}: to read {kind.title}, {install_extra('formats')}") from error
    try:
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have a limit of our own
            image: Any = pillow_heif.HeifImageFile(file) if kind == HEIC else Image.open(file)
        count = getattr(image, "n_frames", 1)
        first = image.tell() + 1
        number = choose_page(name, page, count, first)
        image.seek((number or first) - 1)
        width, height = image.size  # of the header: no pixel is decoded yet
        check_size(name, width, height, max_pixels, kind.title, kind.cost)
        image.load()
    except PhotoError:
        raise
    except Exception as error:  # each decoder has its own
        is_unknown = isinstance(error, UnidentifiedImageError)
        reason = "damaged or cut short" if is_unknown else " ".join(str(error).split())
        raise PhotoError(f"{name}: cannot be read ({reason})") from error
    reader = replace(reader_of_pillow(image, name, kind), metadata=read_metadata(file, kind.title))
    if page is None:
        reader.note_pages(count - 1)
    return replace(reader, page=number)
