"""Tags of TIFF files (TIFF 6.0, BigTIFF) and of EXIF blocks, which are TIFF files without pixels (EXIF 2.32)."""

import io
import struct
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# Bytes of one value of each type: BYTE, ASCII, SHORT, LONG, RATIONAL, their signed forms, UNDEFINED, floats, IFD;
# BigTIFF's LONG8, SLONG8 and IFD8; UTF-8 (EXIF 3.0).
VALUE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
VALUE_SIZES |= {16: 8, 17: 8, 18: 8}
NARROWER = {16: 4, 17: 9, 18: 13}  # LONG, SLONG and IFD take the place of BigTIFF's types in other files
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, LONG8 = 1, 2, 3, 4, 5, 7, 10, 16
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, SOFTWARE = 274, 282, 283, 296, 305
XMP, IPTC, PHOTOSHOP, EXIF, GPS = 700, 33723, 34377, 34665, 34853
MAKER_NOTE, COLOR_SPACE, INTEROPERABILITY = 37500, 40961, 40965
PIXEL_DATA = {273, 279, 288, 289, 324, 325, 330, 347, 513, 514, 519, 520, 521}  # places and tables of the pixels
MAX_ENTRIES, MAX_VALUE_BYTES, MAX_BYTES = 4096, 1 << 24, 1 << 26

Entry = tuple[int, int, int, bytes]  # tag, type, number of values, and the value or its offset
Tags = dict[int, tuple[int, bytes]]  # type and little-endian value by tag


class TagSets(NamedTuple):
    """The tags of the first directory and of its EXIF, GPS and interoperability directories.

    Maker notes may hold offsets in their file and follow its byte `order`; they were at `maker_note_at`.
    """

    image: Tags
    exif: Tags
    gps: Tags
    interoperability: Tags
    order: str = "<"
    maker_note_at: int = 0
    damaged: int = 0  # number of tags and directories that could not be read
    repeated: int = 0  # number of tags that were there already: the first one counts


class Layout:
    """How a TIFF file lays out numbers (byte order, 32-bit or 64-bit offsets), and where its first directory is."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        file.seek(0)
        head = file.read(4)
        if head[:2] not in (b"II", b"MM") or head[2:].strip(b"\0") not in (b"*", b"+"):
            raise ValueError("no TIFF header")
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = b"+" in head
        self.count = struct.Struct(self.order + ("Q" if self.big else "H"))
        self.entry = struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))
        self.pointer = struct.Struct(self.order + ("Q" if self.big else "I"))
        file.seek(8 if self.big else 4)
        (self.first,) = self.pointer.unpack(file.read(self.pointer.size))
        self.damaged, self.repeated, self.bytes_left, self.maker_note_at = 0, 0, MAX_BYTES, 0

    def read_entries(self, file: io.BufferedIOBase, offset: int) -> list[Entry]:
        """Returns the entries of the directory at an offset."""
        file.seek(offset)
        (count,) = self.count.unpack(file.read(self.count.size))
        size = self.entry.size
        block = file.read(min(count, MAX_ENTRIES) * size)
        self.damaged += len(block) // size < count
        return [self.entry.unpack_from(block, start) for start in range(0, len(block) - size + 1, size)]

    def read_tags(self, file: io.BufferedIOBase, offset: int) -> Tags:
        """Returns the tags of the directory at an offset, as many as can be read."""
        tags: Tags = {}
        try:
            entries = self.read_entries(file, offset)
        except (struct.error, OSError, OverflowError):
            self.damaged += 1
            return tags
        for tag, kind, number, value in entries:
            size = VALUE_SIZES.get(kind, 0) * number
            if tag in PIXEL_DATA or not number:
                continue
            if tag in tags:
                self.repeated += 1
                continue
            if not 0 < size <= min(MAX_VALUE_BYTES, self.bytes_left):
                self.damaged += 1
                continue
            if size > len(value):
                (place,) = self.pointer.unpack(value)
                file.seek(min(place, 1 << 62))
                value = file.read(size)
                self.bytes_left -= size
                if tag == MAKER_NOTE:
                    self.maker_note_at = place
            if len(value) < size:
                self.damaged += 1
                continue
            if tag == IPTC:
                kind = UNDEFINED  # often declared as LONG, though bytes must not be swapped
            tags[tag] = kind, _swap_bytes(kind, value[:size], self.order)
        return tags

    def append_directory(self, file: io.BufferedIOBase, tags: Tags, entries: list[Entry]) -> bytes:
        """Appends a directory of `tags` and old `entries`; returns its packed offset."""
        for tag, (kind, value) in tags.items():
            if not self.big and kind in NARROWER:
                kind, value = NARROWER[kind], np.frombuffer(value, "<u8").astype("<u4").tobytes()
            number = len(value) // VALUE_SIZES[kind]
            value = _swap_bytes(kind, value, self.order)
            if len(value) > self.pointer.size:
                offset = _seek_even_end(file)
                file.write(value)
                value = self.pointer.pack(offset)
            entries.append((tag, kind, number, value))
        start = _seek_even_end(file)
        file.write(self.count.pack(len(entries)))
        for entry in sorted(entries):
            file.write(self.entry.pack(*entry))
        file.write(self.pointer.pack(0))
        return self.pointer.pack(start)


def _swap_bytes(kind: int, value: bytes, order: str) -> bytes:
    """Converts values between little-endian and `order`, either way."""
    unit = 4 if kind in (RATIONAL, SRATIONAL) else VALUE_SIZES[kind]  # a rational is two numbers
    return np.frombuffer(value, f"{order}u{unit}").astype(f"<u{unit}").tobytes() if order == ">" else value


def _seek_even_end(file: io.BufferedIOBase) -> int:  # values and directories must start at even offsets
    file.seek(0, io.SEEK_END)
    file.write(b"\0" * (file.tell() % 2))
    return file.tell()


def short(value: int) -> tuple[int, bytes]:
    """Returns type and value of a tag that holds a SHORT."""
    return SHORT, value.to_bytes(2, "little")


def rational(value: Fraction) -> tuple[int, bytes]:
    """Returns type and value of a tag that holds a RATIONAL."""
    numerator, denominator = value.limit_denominator(1_000_000).as_integer_ratio()
    return RATIONAL, min(numerator, 0xFFFFFFFF).to_bytes(4, "little") + denominator.to_bytes(4, "little")


def read_tags(file: io.BufferedIOBase, page: int = 0) -> TagSets:
    """Returns the tags of a page of a TIFF file, or of an EXIF block, but for places of pixels; none if no TIFF."""
    try:
        layout = Layout(file)
        offset = layout.first
        for _ in range(page):
            entries = layout.read_entries(file, offset)
            file.seek(offset + layout.count.size + len(entries) * layout.entry.size)
            (offset,) = layout.pointer.unpack(file.read(layout.pointer.size))
    except (ValueError, struct.error, OSError, OverflowError):
        return TagSets({}, {}, {}, {}, damaged=1)
    image = layout.read_tags(file, offset)

    def follow(tags: Tags, tag: int) -> Tags:
        _, pointer = tags.pop(tag, (LONG, b""))
        return layout.read_tags(file, int.from_bytes(pointer, "little")) if pointer else {}

    exif, gps = follow(image, EXIF), follow(image, GPS)
    interoperability = follow(exif, INTEROPERABILITY)
    return TagSets(
        image, exif, gps, interoperability, layout.order, layout.maker_note_at, layout.damaged, layout.repeated
    )


def write_tags(file: io.BufferedIOBase, tags: TagSets, replaced: tuple[int, ...] = (), note_at: int = 0) -> None:
    """Adds tags to a TIFF `file`: a new first directory at its end also holds the old entries but those `replaced`.

    `note_at`: where in the file the maker note is already, if it is.
    """
    layout, image, exif = Layout(file), dict(tags.image), dict(tags.exif)
    entries: list[Entry] = []
    if note_at:
        kind, note = exif.pop(MAKER_NOTE)
        entries.append((MAKER_NOTE, kind, len(note), layout.pointer.pack(note_at)))

    def append(parent: Tags, tag: int, directory: Tags, entries: list[Entry]) -> None:
        if directory or entries:
            kind = LONG8 if layout.big else LONG
            parent[tag] = kind, _swap_bytes(kind, layout.append_directory(file, directory, entries), layout.order)

    append(exif, INTEROPERABILITY, tags.interoperability, [])
    append(image, EXIF, exif, entries)
    append(image, GPS, tags.gps, [])
    old = layout.read_entries(file, layout.first) if layout.first else []
    old = [entry for entry in old if entry[0] not in replaced and entry[0] not in image]
    pointer = layout.append_directory(file, image, old)
    file.seek(8 if layout.big else 4)
    file.write(pointer)
