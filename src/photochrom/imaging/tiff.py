"""Tags of TIFF files (TIFF 6.0, BigTIFF) and of EXIF blocks, which are TIFF files without pixels (EXIF 2.32)."""

import io
import struct
from typing import NamedTuple

import numpy as np

# Bytes of one value of each type: BYTE, ASCII, SHORT, LONG, RATIONAL, their signed forms, floats, and BigTIFF's LONG8.
VALUE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}
ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, LONG8 = 2, 3, 4, 5, 7, 10, 16
ORIENTATION, SOFTWARE, IPTC, EXIF, GPS = 274, 305, 33723, 34665, 34853
MAKER_NOTE, COLOR_SPACE, INTEROPERABILITY = 37500, 40961, 40965
# DocumentName, ImageDescription, Make, Model, PageName, DateTime, Artist, HostComputer, Copyright
TEXT_TAGS = (269, 270, 271, 272, 285, 306, 315, 316, 33432)
MAX_ENTRIES, MAX_VALUE_BYTES = 4096, 1 << 16

Entry = tuple[int, int, int, bytes]  # tag, type, number of values, and the value or its offset
Tags = dict[int, tuple[int, bytes]]  # type and little-endian value by tag


class TagSets(NamedTuple):
    """The tags of the first directory (texts and IPTC alone), of its EXIF directory and of its GPS directory."""

    image: Tags
    exif: Tags
    gps: Tags


class _Layout:
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

    def read_entries(self, file: io.BufferedIOBase, offset: int) -> list[Entry]:
        file.seek(offset)
        (count,) = self.count.unpack(file.read(self.count.size))
        return [self.entry.unpack(file.read(self.entry.size)) for _ in range(min(count, MAX_ENTRIES))]

    def read_tags(self, file: io.BufferedIOBase, offset: int) -> Tags:
        tags: Tags = {}
        for tag, kind, number, value in self.read_entries(file, offset):
            size = VALUE_SIZES.get(kind, 0) * number
            if not 0 < size <= MAX_VALUE_BYTES:
                continue
            if size > len(value):
                file.seek(self.pointer.unpack(value)[0])
                value = file.read(size)
            if tag == IPTC:
                kind = UNDEFINED  # often declared as LONG, though bytes must not be swapped
            unit = 4 if kind in (RATIONAL, SRATIONAL) else VALUE_SIZES[kind]  # a rational is two numbers
            tags[tag] = kind, np.frombuffer(value[:size], f"{self.order}u{unit}").astype(f"<u{unit}").tobytes()
        return tags

    def append_directory(self, file: io.BufferedIOBase, tags: Tags, entries: list[Entry]) -> bytes:
        """Appends a directory of `tags` and old `entries`; returns its packed offset."""
        for tag, (kind, value) in tags.items():
            number = len(value) // VALUE_SIZES[kind]
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


def _seek_even_end(file: io.BufferedIOBase) -> int:  # values and directories must start at even offsets
    file.seek(0, io.SEEK_END)
    file.write(b"\0" * (file.tell() % 2))
    return file.tell()


def read_tags(file: io.BufferedIOBase) -> TagSets:
    """Returns the tags of a TIFF file or an EXIF block, but for those that describe its pixels; none if damaged."""
    tags = TagSets({}, {}, {})
    try:
        layout = _Layout(file)
        first = layout.read_tags(file, layout.first)
        for tag, directory in ((EXIF, tags.exif), (GPS, tags.gps)):
            if tag in first:
                directory.update(layout.read_tags(file, int.from_bytes(first[tag][1], "little")))
    except (ValueError, struct.error, OSError):
        return TagSets({}, {}, {})
    for tag, (kind, value) in first.items():
        if tag == IPTC or (tag in TEXT_TAGS and kind == ASCII):
            tags.image[tag] = kind, value
    tags.exif.pop(MAKER_NOTE, None)  # these hold offsets in the file they come from
    tags.exif.pop(INTEROPERABILITY, None)
    return tags


def write_tags(file: io.BufferedIOBase, tags: TagSets) -> None:
    """Adds tags to a little-endian TIFF `file`: a new first directory at its end also holds the old entries."""
    layout, image = _Layout(file), dict(tags.image)
    for tag, directory in ((EXIF, tags.exif), (GPS, tags.gps)):
        if directory:
            image[tag] = LONG8 if layout.big else LONG, layout.append_directory(file, directory, [])
    entries = layout.read_entries(file, layout.first) if layout.first else []
    pointer = layout.append_directory(file, image, [entry for entry in entries if entry[0] not in image])
    file.seek(8 if layout.big else 4)
    file.write(pointer)
