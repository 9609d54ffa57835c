"""Files of boxes: AVIF and HEIC (ISO 14496-12), and JPEG 2000 (ISO 15444-1)."""

import io
import re
import struct
from collections.abc import Iterator
from fractions import Fraction

from ..notes import NO_ATTACHMENTS
from .colors import StatedColors, colors_of_codes
from .density import METER, Density, make_density
from .record import MAX_BYTES, REST_BYTES, Metadata, read_part

JP2_UUIDS = {
    b"JpgTiffExif->JP2": "exif",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): "iptc",
}
# Kinds of auxiliary images: gain maps and others of Apple, and depth (ISO 23008-2).
ATTACHMENTS = re.compile(rb"urn:com:apple:photo:\d+:aux:|urn:mpeg:\w+:2015:auxid:2|urn:com:photo:aux:hdrgainmap")

# Boxes of a file of pictures, and padding; of others, the names of their kinds are noted, or that they are attached.
HEIF_BOXES = (b"ftyp", b"meta", b"mini", b"mdat", b"free", b"skip", b"wide", bytes(4))
JP2_BOXES = (b"jP  ", b"ftyp", b"rreq", b"jp2h", b"jp2c", b"free", bytes(4))
CODESTREAM = b"\xff\x4f\xff\x51"  # begins a JPEG 2000 without boxes


def boxes(file: io.BufferedIOBase, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, start and end of the bodies of boxes (ISO 14496-12, 4.2; JPEG 2000, I.4) in a part of a file."""
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        body = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            body += 8
        stop = start + size if size else end
        if stop < body or stop > end:
            return
        yield kind, body, stop
        start = stop


def _all_boxes(file: io.BufferedIOBase, metadata: Metadata) -> Iterator[tuple[bytes, int, int]]:
    """Yields the boxes of a file; adds a note of what follows them."""
    end = 0
    for kind, start, end in boxes(file, 0, file.seek(0, io.SEEK_END)):
        yield kind, start, end
    file.seek(end)
    metadata.note_rest(file.read(REST_BYTES))


def read_heif(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds what the items of an AVIF or HEIC say, whose pixels decoders turn by properties of the container."""
    metadata.is_upright = True
    for kind, start, stop in _all_boxes(file, metadata):
        if kind not in HEIF_BOXES:
            metadata.notes.add(NO_ATTACHMENTS)
        if kind != b"meta":
            continue
        parts = {inner: (body, end) for inner, body, end in boxes(file, start + 4, stop)}
        with metadata.skip_damage():
            metadata.colors = _stated_colors(file, parts)
        file.seek(parts[b"iloc"][0])
        places = parse_locations(read_part(file, parts[b"iloc"][1] - parts[b"iloc"][0]))
        kinds = _item_kinds(file, *parts[b"iinf"])
        file.seek(start)
        if b"tmap" in kinds.values() or ATTACHMENTS.search(read_part(file, stop - start)):
            metadata.notes.add(NO_ATTACHMENTS)
        for item, item_kind in kinds.items():
            if item_kind not in (b"Exif", b"mime"):
                continue
            with metadata.skip_damage():
                content = _item(file, places[item], parts.get(b"idat", (0, 0))[0])
                if item_kind == b"Exif":
                    metadata.add_exif(content[4 + int.from_bytes(content[:4]) :])
                elif b"xmpmeta" in content or b":RDF" in content:
                    metadata.add_packet(content)


def _stated_colors(file: io.BufferedIOBase, parts: dict[bytes, tuple[int, int]]) -> StatedColors | None:
    """The color space that the primary item has as a property by numbers (ISO 14496-12, 12.1.5)."""
    if b"iprp" not in parts:
        return None
    groups = {kind: (body, end) for kind, body, end in boxes(file, *parts[b"iprp"])}
    properties = list(boxes(file, *groups[b"ipco"]))
    for index in _properties_of(file, groups[b"ipma"], _read_at(file, *parts[b"pitm"])[4:]):
        kind, body, end = properties[index - 1]
        content = _read_at(file, body, min(end, body + 8)) if kind == b"colr" else b""
        if content.startswith(b"nclx"):
            return colors_of_codes("nclx", *struct.unpack(">4xHH", content))
    return None


def _properties_of(file: io.BufferedIOBase, box: tuple[int, int], item: bytes) -> list[int]:
    """The numbers from 1 of the properties of an item, from an ``ipma`` box."""
    content = _read_at(file, *box)
    stream, size = io.BytesIO(content[8:]), 2 if content[3] & 1 else 1  # of a number, whose first bit is a flag
    for _ in range(int.from_bytes(content[4:8])):
        name, count = stream.read(2 if content[0] == 0 else 4), int.from_bytes(stream.read(1))
        numbers = [int.from_bytes(stream.read(size)) & (1 << 8 * size - 1) - 1 for _ in range(count)]
        if int.from_bytes(name) == int.from_bytes(item):
            return [number for number in numbers if number]
        if not name:
            break
    return []


def _read_at(file: io.BufferedIOBase, start: int, stop: int) -> bytes:
    file.seek(start)
    return read_part(file, stop - start)


def _item(file: io.BufferedIOBase, extents: list[tuple[int, int]], data_at: int) -> bytes:
    content = b""
    if sum(length for _, length in extents) > MAX_BYTES:
        raise ValueError("too large")
    for offset, length in extents:
        # A negative offset counts from the start of the data in the metadata box itself.
        file.seek(offset if offset >= 0 else data_at - offset - 1)
        content += read_part(file, length)
    return content


def _item_kinds(file: io.BufferedIOBase, start: int, stop: int) -> dict[int, bytes]:
    """Numbers and kinds of the items of a file."""
    kinds = {}
    file.seek(start)
    header = 6 if file.read(1) == b"\0" else 8
    for kind, body, end in boxes(file, start + header, stop):
        if kind == b"infe":
            file.seek(body)
            entry = file.read(min(end - body, 16))
            size = 2 if entry[0] < 3 else 4
            kinds[int.from_bytes(entry[4 : 4 + size])] = entry[6 + size : 10 + size]
    return kinds


def parse_locations(box: bytes) -> dict[int, list[tuple[int, int]]]:
    """Returns offset and length of each part of the items in an ``iloc`` box; -1 - offset for one in ``idat``."""
    version, sizes = box[0], int.from_bytes(box[4:6])
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    stream = io.BytesIO(box[6:])

    def number(size: int) -> int:
        return int.from_bytes(stream.read(size))

    places: dict[int, list[tuple[int, int]]] = {}
    wide = 2 if version < 2 else 4
    for _ in range(number(wide)):
        item = number(wide)
        in_idat = version > 0 and number(2) & 15 == 1
        number(2)
        base = number(base_size)
        extents = []
        for _ in range(number(2)):
            if version > 0:
                number(index_size)
            offset, length = base + number(offset_size), number(length_size)
            extents.append((-1 - offset if in_idat else offset, length))
        if stream.tell() >= len(box) - 6 and not extents:
            break
        places[item] = extents
    return places


def read_jpeg_2000(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds what the boxes of a file say."""
    others = set()
    file.seek(0)
    if file.read(4) == CODESTREAM:
        return
    for kind, start, stop in _all_boxes(file, metadata):
        if kind == b"jp2h":
            for inner, body, end in boxes(file, start, stop):
                if inner == b"res ":
                    metadata.density = _capture_density(file, body, end)
        elif kind not in JP2_BOXES and not (kind == b"uuid" and _add_uuid(file, start, stop, metadata)):
            others.add(kind.decode("latin-1").strip())
    metadata.note_others("JPEG 2000 boxes", others)


def _add_uuid(file: io.BufferedIOBase, start: int, stop: int, metadata: Metadata) -> bool:
    """Adds what a box of metadata says; returns whether it is known."""
    file.seek(start)
    name, content = JP2_UUIDS.get(file.read(16)), read_part(file, stop - start - 16)
    if name == "exif":
        metadata.add_exif(content)
    elif name == "xmp":
        metadata.add_packet(content)
    elif name == "iptc":
        metadata.add_iptc(content)
    return name is not None


def _capture_density(file: io.BufferedIOBase, start: int, stop: int) -> Density | None:
    for _, body, _ in boxes(file, start, stop):
        file.seek(body)
        down, down_unit, across, across_unit, down_power, across_power = struct.unpack(">4H2b", file.read(10))
        x = Fraction(across, across_unit or 1) * Fraction(10) ** across_power
        y = Fraction(down, down_unit or 1) * Fraction(10) ** down_power
        return make_density(x, y, METER)
    return None


def write_avif(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds items of EXIF and XMP to an AVIF: their data at its end, and their entries in its ``meta`` box."""
    file.seek(0)
    blob = file.read()
    contents = [bytes(4) + metadata.exif_block("AVIF"), metadata.packet]
    stream = io.BytesIO(blob)
    (start, stop) = next((body, end) for kind, body, end in boxes(stream, 0, len(blob)) if kind == b"meta")
    parts = {kind: blob[body:end] for kind, body, end in boxes(stream, start + 4, stop)}
    places = parse_locations(parts[b"iloc"])
    items, (main,) = [max(places) + 1, max(places) + 2], struct.unpack(">H", parts[b"pitm"][4:6])
    entries = parts[b"iinf"]
    count = int.from_bytes(entries[4:6]) + len(items)
    parts[b"iinf"] = entries[:4] + count.to_bytes(2) + entries[6:]
    parts.setdefault(b"iref", bytes(4))
    end = len(blob) + 8  # after the head of a box of data
    for item, content, kind in zip(items, contents, (b"Exif\0", b"mime\0application/rdf+xml\0"), strict=True):
        parts[b"iinf"] += _box(b"infe", b"\2\0\0\0" + struct.pack(">HH", item, 0) + kind)
        parts[b"iref"] += _box(b"cdsc", struct.pack(">HHH", item, 1, main))
        places[item] = [(end, len(content))]
        end += len(content)
    parts[b"iloc"] = _pack_locations(places, 0)
    growth = sum(len(part) + 8 for part in parts.values()) - (stop - start - 4)
    parts[b"iloc"] = _pack_locations(places, growth)
    meta = _box(b"meta", bytes(4) + b"".join(_box(kind, part) for kind, part in parts.items()))
    file.seek(0)
    file.write(blob[: start - 8] + meta + blob[stop:] + _box(b"mdat", b"".join(contents)))


def _box(kind: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4) + kind + body


def _pack_locations(places: dict[int, list[tuple[int, int]]], shift: int) -> bytes:
    """An ``iloc`` box (version 1) whose items in the file are `shift` bytes further on; see `parse_locations`."""
    box = b"\1\0\0\0\x44\0" + len(places).to_bytes(2)
    for item, extents in places.items():
        in_idat = any(offset < 0 for offset, _ in extents)
        box += struct.pack(">4H", item, in_idat, 0, len(extents))
        for offset, length in extents:
            box += struct.pack(">II", -1 - offset if in_idat else offset + shift, length)
    return box
