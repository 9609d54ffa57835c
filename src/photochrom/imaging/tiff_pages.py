"""Pages of TIFF files (TIFF 6.0): which one is the photo, and pixels that libvips gives as they are stored."""

import io
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyvips

from . import tiff

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 254, 255, 256, 257, 258, 259, 262, 277
STRIPS, STRIP_ROWS, STRIP_SIZES, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES = 273, 278, 279, 322, 323, 324, 325
SUB_DIRECTORIES, DNG_VERSION = 330, 50706
REDUCED, MASK = 1, 4  # bits of NewSubfileType
FAX_4, OLD_JPEG, JPEG = 4, 6, 7  # of Compression
YCBCR, CIELAB, ICCLAB, ITULAB = 6, 8, 9, 10  # of PhotometricInterpretation; CIELAB with signed a and b
YCBCR_TO_RGB = [[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]]  # ITU-R BT.601
SENSOR = (32803, 34892)  # pixels of a sensor: color filter array, linear raw
CR2_HEAD = b"II*\0\x10\0\0\0CR\2\0"
MAX_PAGES, MAX_SUB_DIRECTORIES = 10_000, 16


@dataclass(frozen=True)
class TiffPage:
    """A page: its number from 1, where its directory is, and the first number of each tag."""

    number: int
    offset: int
    values: dict[int, int]

    @property
    def is_full_size(self) -> bool:
        """Whether it is neither a smaller copy of another page nor a mask."""
        return not self.values.get(SUBFILE, 0) & (REDUCED | MASK) and self.values.get(OLD_SUBFILE) != 2

    @property
    def problem(self) -> str:
        """Why libvips cannot read it, or would give blank pixels; "" if it can."""
        bits = self.values.get(BITS, 1)
        if bits not in (1, 2, 4, 8, 16, 32):
            return f"{bits} bits a channel are not supported; save it with 8 or 16"
        if self.values.get(COMPRESSION) == OLD_JPEG:
            return "old-style JPEG in TIFF is not supported; convert it, for example with tiffcp -c lzw"
        if self._is_ycbcr and self.is_tiled:  # libtiff converts it, and passes over damaged tiles
            return "YCbCr in tiles is not supported; convert it to RGB, for example with tiff2rgba"
        return ""

    @property
    def is_tiled(self) -> bool:
        """Whether the pixels are in tiles rather than in strips of rows."""
        return TILE_WIDTH in self.values

    @property
    def _is_ycbcr(self) -> bool:
        return self.values.get(PHOTOMETRIC) == YCBCR and self.values.get(COMPRESSION) != JPEG

    @property
    def stored(self) -> int:
        """The PhotometricInterpretation of pixels that `to_srgb` has to convert, since libvips does not; else 0."""
        kind, bits = self.values.get(PHOTOMETRIC, 0), self.values.get(BITS)
        if self.values.get(SAMPLES, 1) < 3 or bits not in (8, 16):
            return 0
        return kind if kind in (ICCLAB, ITULAB) or (kind == CIELAB and bits == 8) or self._is_ycbcr else 0

    def directory_with_interpretation(self, file: io.BufferedIOBase, kind: int) -> bytes:
        """Returns a directory to put in place of this page's, with another PhotometricInterpretation."""
        layout, entries = self._read_directory(file)
        entries[PHOTOMETRIC] = tiff.SHORT, 1, struct.pack(layout.order + "H", kind)
        return _pack_directory(layout, entries)

    def directory_of_strips(self, file: io.BufferedIOBase) -> bytes:
        """Returns a directory to put in place of this page's: its tiles are the strips of an image one tile wide."""
        layout, entries = self._read_directory(file)
        width, height = (max(1, self.values.get(tag, 0)) for tag in (TILE_WIDTH, TILE_HEIGHT))
        tiles = -(-self.values.get(WIDTH, 0) // width) * -(-self.values.get(HEIGHT, 0) // height)
        for tag, number in ((WIDTH, width), (HEIGHT, height * tiles), (STRIP_ROWS, height)):
            # libvips refuses sizes of a damaged file that do not fit into a tag.
            entries[tag] = tiff.LONG, 1, struct.pack(layout.order + "I", min(number, 0xFFFFFFFF))
        for tag, strip_tag in ((TILES, STRIPS), (TILE_SIZES, STRIP_SIZES)):
            if tag in entries:
                entries[strip_tag] = entries.pop(tag)
        for tag in (TILE_WIDTH, TILE_HEIGHT):
            entries.pop(tag, None)
        return _pack_directory(layout, entries)

    def _read_directory(self, file: io.BufferedIOBase) -> tuple[tiff.Layout, dict[int, tuple[int, int, bytes]]]:
        """The layout of the file, and type, number and value of each entry by its tag; of repeated ones, the first."""
        layout = tiff.Layout(file)
        return layout, {entry[0]: entry[1:] for entry in layout.read_entries(file, self.offset)[::-1]}


def _pack_directory(layout: tiff.Layout, entries: dict[int, tuple[int, int, bytes]]) -> bytes:
    packed = [layout.entry.pack(tag, *entry) for tag, entry in sorted(entries.items())]
    return layout.count.pack(len(entries)) + b"".join(packed) + layout.pointer.pack(0)


def put_directory(source: Path | bytes, offset: int, directory: bytes) -> bytearray | mmap.mmap:
    """Returns the bytes of a file with another directory at an offset; the file stays, and is not all in memory."""
    data: bytearray | mmap.mmap
    if isinstance(source, bytes):
        data = bytearray(source)
    else:
        with source.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    data[offset : offset + len(directory)] = directory[: len(data) - offset]  # a damaged file may end in it
    return data


def read_pages(file: io.BufferedIOBase) -> list[TiffPage]:
    """Returns the pages of a TIFF file; of a damaged one, those before the damage."""
    pages: dict[int, TiffPage] = {}  # by offset, since a damaged chain may lead back to a page
    try:
        layout = tiff.Layout(file)
        offset = layout.first
        while offset and offset not in pages and len(pages) < MAX_PAGES:
            page, following = _read_page(layout, file, offset, len(pages) + 1)
            pages[offset] = page
            offset = following
    except (ValueError, struct.error, OSError, OverflowError):
        pass  # libvips reports it, or reads the pages before it
    return list(pages.values())


def is_camera_raw(file: io.BufferedIOBase, pages: list[TiffPage]) -> bool:
    """Whether a TIFF file has the pixels of a camera's sensor: DNG, CR2, NEF, ARW and others."""
    file.seek(0)
    if file.read(len(CR2_HEAD)) == CR2_HEAD or any(DNG_VERSION in page.values for page in pages):
        return True
    try:
        return any(page.values.get(PHOTOMETRIC) in SENSOR for page in [*pages, *_sub_pages(file, pages)])
    except (ValueError, struct.error, OSError, OverflowError):
        return False


def _read_page(layout: tiff.Layout, file: io.BufferedIOBase, offset: int, number: int) -> tuple[TiffPage, int]:
    """The page and the offset of the next one; 0 after the last."""
    entries = layout.read_entries(file, offset)
    values = {}
    for tag, kind, count, value in reversed(entries):  # of repeated tags, the first counts
        size = tiff.VALUE_SIZES.get(kind, 4)
        if size * count > len(value):
            file.seek(layout.pointer.unpack(value)[0])
            value = file.read(size)
        values[tag] = int.from_bytes(value[:size], "little" if layout.order == "<" else "big")
    file.seek(offset + layout.count.size + len(entries) * layout.entry.size)
    pointer = file.read(layout.pointer.size)
    (following,) = layout.pointer.unpack(pointer) if len(pointer) == layout.pointer.size else (0,)
    return TiffPage(number, offset, values), following


def _sub_pages(file: io.BufferedIOBase, pages: list[TiffPage]) -> Iterator[TiffPage]:
    """The directories that the pages name as their SubIFDs."""
    layout = tiff.Layout(file)
    for page in pages:
        for tag, _, count, value in layout.read_entries(file, page.offset):
            if tag != SUB_DIRECTORIES:
                continue
            if count > 1:
                file.seek(layout.pointer.unpack(value)[0])
                value = file.read(layout.pointer.size * min(count, MAX_SUB_DIRECTORIES))
            for (offset,) in layout.pointer.iter_unpack(value):
                yield _read_page(layout, file, offset, 0)[0]


def to_srgb(image: pyvips.Image, kind: int) -> pyvips.Image:
    """Returns pixels as `TiffPage.stored` says as sRGB of the same depth, with an alpha channel as it is.

    YCbCr has the default range of TIFF 6.0, ITU Lab that of ITU-T T.42.
    """
    deep = image.format == "ushort"
    if kind == YCBCR:
        if image.bands > 3:  # libtiff has converted what has fewer samples of color, and added an alpha channel
            return image.extract_band(0, n=3)
        middle = 128 * (257 if deep else 1)
        return (
            (image - [0, middle, middle])
            .recomb(YCBCR_TO_RGB)
            .rint()
            .cast(image.format)
            .copy(interpretation="rgb16" if deep else "srgb")
        )
    stored = image.cast("float") / (256 if deep else 1)
    scale, offset = ([170 / 255, 200 / 255], [-85, -75]) if kind == ITULAB else ([1, 1], [-128, -128])
    a_and_b = stored.extract_band(1, n=2)
    if kind == CIELAB:
        a_and_b = (a_and_b + 128) % 256  # from signed numbers
    lab = (stored[0] * (100 / 255)).bandjoin(a_and_b.linear(scale, offset)).copy(interpretation="lab")
    result = lab.colourspace("rgb16" if deep else "srgb")
    if image.bands > 3:
        result = result.bandjoin(image[3])
    result = result.copy()
    result.remove("icc-profile-data")  # it was one of Lab
    return result
