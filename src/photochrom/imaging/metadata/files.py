"""Metadata of files and Pillow images, read and written.

libvips writes pixels and the color profile alone, since it would change or drop most metadata. Ours goes between the
head of a JPEG or PNG and its pixels while the file is written; into TIFF, WebP and AVIF when they are complete.
"""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pyvips

from .. import tiff
from . import exif, photoshop
from .bitmaps import read_bmp, read_pnm
from .boxes import read_heif, read_jpeg_2000, write_avif
from .density import INCH, NO_UNIT, make_density
from .gif import read_gif
from .jpeg import EXIF_HEAD, jpeg_head, read_jpeg
from .png import png_head, read_png
from .record import Metadata
from .webp import read_webp, write_webp

Edit = Callable[[bytes], bytes]  # the start of a file -> with metadata; b"" until it is long enough

KEEP_PROFILE = 8  # of libvips' kinds of metadata
MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff"}
PILLOW_KEYS = {"exif", "xmp", "dpi", "photoshop", "icc_profile", "transparency"}  # of `info`, which are no texts
MEDIA_TYPES |= {".webp": "image/webp", ".avif": "image/avif"}


def read_metadata(file: io.BufferedIOBase, title: str, page: int = 0) -> Metadata:
    """Returns the metadata of a file of a format such as "JPEG", as much as can be read; of a TIFF, that of a page."""
    metadata = Metadata()
    with metadata.skip_damage():
        if title == "TIFF":
            metadata.add_tags(tiff.read_tags(file, page))
        elif title in READERS:
            READERS[title](file, metadata)
    return metadata.complete()


def read_pillow(image: Any) -> Metadata:
    """Returns the metadata of a Pillow image."""
    metadata, info = Metadata(), image.info
    block = info.get("exif") or (image.getexif().tobytes() if image.getexif() else b"")
    if block:
        metadata.add_exif(block)
    metadata.packet = info["xmp"] if isinstance(info.get("xmp"), bytes) else metadata.packet
    resources = info.get("photoshop") or {}
    for number, data in resources.items():
        if isinstance(data, bytes):
            metadata.resources.append(photoshop.Resource(b"8BIM", number, b"\0\0", data))
    if isinstance(info.get("comment"), bytes):
        metadata.comments.append(info["comment"])
    for keyword, text in getattr(image, "text", {}).items():
        metadata.add_text(*_chunk_of_pillow(keyword, text))
    if "jfif_density" in info:
        x, y = info["jfif_density"]
        metadata.density = make_density(x, y, info.get("jfif_unit", NO_UNIT))
    elif "dpi" in info:
        x, y = (Fraction(value).limit_denominator(1000) for value in info["dpi"])
        metadata.density = make_density(x, y, INCH)
    return metadata.complete()


def _chunk_of_pillow(keyword: str, text: str) -> tuple[bytes, bytes]:
    """Kind and body of the text chunk that Pillow read; one of iTXt has a language."""
    name = keyword.encode("latin-1", "replace") + b"\0"
    language = getattr(text, "lang", None)
    if language is None and all(ord(letter) < 256 for letter in text):
        return b"tEXt", name + text.encode("latin-1")
    parts = (language or "", getattr(text, "tkey", None) or "", text)
    return b"iTXt", name + b"\0\0" + b"\0".join(part.encode() for part in parts)


def pillow_info(metadata: Metadata) -> dict[str, Any]:
    """Returns the `info` of a Pillow image, of which Pillow writes what the format of a file holds."""
    info: dict[str, Any] = {"exif": EXIF_HEAD + exif.pack_block(metadata.tags), "xmp": metadata.packet}
    if metadata.density and metadata.density.unit != NO_UNIT:
        info["dpi"] = tuple(float(value) for value in metadata.density.without_meters().per(INCH)[:2])
    if metadata.comments:
        info["comment"] = b"\n".join(metadata.comments)
    for text in metadata.texts():
        keyword = text.keyword.decode("latin-1")
        if keyword not in PILLOW_KEYS:
            info.setdefault(keyword, text.content)
    if metadata.resources:
        info["photoshop"] = {resource.number: resource.data for resource in metadata.resources}
    return info


def write_image(
    file: io.BufferedIOBase, image: pyvips.Image, suffix: str, metadata: Metadata, options: dict[str, Any]
) -> None:
    """Writes a file of the format of `suffix`, one of `MEDIA_TYPES`; adds to the notes what it does not hold."""
    sink = _Sink(file, HEADS[suffix](metadata) if suffix in HEADS else None)
    target = pyvips.TargetCustom()
    target.on_write(sink.guard(sink.write))
    target.on_read(sink.guard(file.read))
    target.on_seek(sink.guard(file.seek))
    try:
        image.write_to_target(target, suffix, keep=KEEP_PROFILE, profile="srgb", **options)
    except pyvips.Error:
        if sink.error is not None:
            raise sink.error from None
        raise
    if suffix in TAILS:
        TAILS[suffix](file, metadata)


class _Sink:
    """A file that libvips writes into; the start of what it writes is edited."""

    def __init__(self, file: io.BufferedIOBase, edit: Edit | None) -> None:
        self.file, self.edit, self.head = file, edit, b""
        self.error: BaseException | None = None

    def write(self, data: Any) -> int:
        if self.edit is None:
            return self.file.write(data)
        self.head += bytes(data)
        head = self.edit(self.head)
        if head:
            self.file.write(head)
            self.edit = None
        return len(data)

    def guard(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a method that keeps its error, for `write_image` to raise in the thread that saves the image."""

        def guarded(*arguments: Any) -> Any:
            try:
                return method(*arguments)
            except BaseException as error:
                self.error = error
                return b"" if method == self.file.read else -1

        return guarded


def _write_tiff(file: io.BufferedIOBase, metadata: Metadata) -> None:
    tags = metadata.all_tags("TIFF")
    tags.image[tiff.XMP] = tiff.BYTE, metadata.packet
    if exif.needs_place(tags):
        del tags.exif[tiff.MAKER_NOTE]
        metadata.notes.add(f"{exif.NO_MAKER_NOTE}: it cannot be moved into a TIFF")
    # libvips writes a resolution for every image.
    tiff.write_tags(file, tags, replaced=(tiff.X_RESOLUTION, tiff.Y_RESOLUTION, tiff.RESOLUTION_UNIT))


READERS: dict[str, Callable[[io.BufferedIOBase, Metadata], None]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WebP": read_webp,
    "AVIF": read_heif,
    "HEIC": read_heif,
    "JPEG 2000": read_jpeg_2000,
    "GIF": read_gif,
    "PNM": read_pnm,
    "BMP": read_bmp,
}
HEADS: dict[str, Callable[[Metadata], Edit]] = {".jpg": jpeg_head, ".png": png_head}
TAILS = {".tif": _write_tiff, ".webp": write_webp, ".avif": write_avif}
