"""Tags of TIFF files and of EXIF blocks (which are TIFF files without a picture): libvips leaves most of them out."""

import io
import struct
from dataclasses import dataclass

import numpy as np

SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8), start=1)) | {16: 8}  # bytes of each type of value
ASCII, LONG, UNDEFINED, LONG8 = 2, 4, 7, 16
SOFTWARE, EXIF, GPS, MAKER, INTEROP, IPTC = 305, 34665, 34853, 37500, 40965, 33723
KEPT = {269, 270, 271, 272, 285, 306, 315, 316, 33432}  # document, description, make, model, page, date, artist, ...
Entry = tuple[int, int, int, bytes]  # tag, type, number of values, value or where it is
Tags = dict[int, tuple[int, bytes]]  # type and value, little-endian


@dataclass(frozen=True)
class _Layout:
    """How a TIFF file lays out its numbers."""

    order: str
    big: bool

    @classmethod
    def of(cls, file: io.BufferedIOBase) -> "_Layout":
        head = file.read(4)
        if head[:2] not in (b"II", b"MM") or head[2:].strip(b"\0") not in (b"*", b"+"):
            raise ValueError("no TIFF header")
        layout = cls("<" if head[:2] == b"II" else ">", b"+" in head)
        if layout.big:
            file.read(4)
        return layout

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))

    @property
    def pointer(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    def read(self, file: io.BufferedIOBase, offset: int) -> list[Entry]:
        """The entries of a directory as they stand."""
        file.seek(offset)
        (entries,) = self.count.unpack(file.read(self.count.size))
        return [self.entry.unpack(file.read(self.entry.size)) for _ in range(min(entries, 4096))]

    def tags(self, file: io.BufferedIOBase, offset: int) -> Tags:
        """The values of a directory, but for those of unknown type or larger than 64 KiB."""
        found: Tags = {}
        for tag, kind, number, value in self.read(file, offset):
            size = SIZES.get(kind, 0) * number
            if not 0 < size <= 1 << 16:
                continue
            if size > len(value):
                file.seek(self.pointer.unpack(value)[0])
                value = file.read(size)
            unit = SIZES[kind] // 2 if kind in (5, 10) else SIZES[kind]
            if tag == IPTC:  # often said to be numbers, though it is bytes
                found[tag] = UNDEFINED, value[:size]
                continue
            found[tag] = kind, np.frombuffer(value[:size], f"{self.order}u{unit}").astype(f"<u{unit}").tobytes()
        return found


def _start(file: io.BufferedIOBase) -> tuple[_Layout, int]:
    file.seek(0)
    layout = _Layout.of(file)
    return layout, layout.pointer.unpack(file.read(layout.pointer.size))[0]


def read(file: io.BufferedIOBase) -> tuple[Tags, Tags, Tags]:
    """What is said of a photograph by a TIFF file or an EXIF block: its first directory, EXIF, GPS.

    Empty where the tags are damaged. Of the first directory, texts and IPTC alone; maker notes are left out, since they
    point into the file they came from.
    """
    try:
        layout, offset = _start(file)
        first = layout.tags(file, offset)
        exif, gps = (
            layout.tags(file, int.from_bytes(first[tag][1], "little")) if tag in first else {} for tag in (EXIF, GPS)
        )
    except (ValueError, struct.error, OSError):
        return {}, {}, {}
    texts = {tag: value for tag, value in first.items() if tag == IPTC or (tag in KEPT and value[0] == ASCII)}
    return texts, {tag: value for tag, value in exif.items() if tag not in (MAKER, INTEROP)}, gps


def _append(file: io.BufferedIOBase, layout: _Layout, entries: list[Entry]) -> int:
    """A directory at the end of `file`; gives where it starts."""
    file.seek(0, io.SEEK_END)
    file.write(b"\0" * (file.tell() % 2))
    start = file.tell()
    file.write(layout.count.pack(len(entries)))
    for entry in sorted(entries):
        file.write(layout.entry.pack(*entry))
    file.write(layout.pointer.pack(0))
    return start


def _entries(file: io.BufferedIOBase, layout: _Layout, tags: Tags) -> list[Entry]:
    entries = []
    for tag, (kind, value) in tags.items():
        number = len(value) // SIZES[kind]
        if len(value) > layout.pointer.size:
            file.seek(0, io.SEEK_END)
            file.write(b"\0" * (file.tell() % 2))
            place = layout.pointer.pack(file.tell())
            file.write(value)
            value = place
        entries.append((tag, kind, number, value))
    return entries


def add(file: io.BufferedIOBase, first: Tags, exif: Tags, gps: Tags) -> None:
    """The tags into a little-endian TIFF `file`, by a new first directory at its end that also holds the old one."""
    layout, offset = _start(file)
    old = layout.read(file, offset) if offset else []
    for tag, tags in ((EXIF, exif), (GPS, gps)):
        if tags:
            place = _append(file, layout, _entries(file, layout, tags))
            first = first | {tag: (LONG8 if layout.big else LONG, layout.pointer.pack(place))}
    added = _entries(file, layout, first)
    place = _append(file, layout, [entry for entry in old if entry[0] not in first] + added)
    file.seek(8 if layout.big else 4)
    file.write(layout.pointer.pack(place))


def block(first: Tags, exif: Tags, gps: Tags) -> bytes:
    """An EXIF block with the tags, as JPEG and libvips want it."""
    file = io.BytesIO(b"II*\0\0\0\0\0")
    add(file, first, exif, gps)
    return b"Exif\0\0" + file.getvalue()


def text(value: str) -> tuple[int, bytes]:
    """A tag that holds a text."""
    return ASCII, value.encode() + b"\0"
