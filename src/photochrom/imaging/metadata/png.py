"""PNG files: EXIF, XMP, texts and the resolution are in chunks before or after the pixels (PNG, third edition)."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

from ..notes import DAMAGED, NO_ATTACHMENTS
from . import exif, photoshop, png_text
from .colors import StatedColors, colors_of_codes, colors_of_gamma, colors_of_primaries
from .density import METER, NO_UNIT, make_density
from .record import MAX_BYTES, REST_BYTES, Metadata

KNOWN_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"pHYs", b"tIME")
# Chunks that describe how the pixels are stored, or frames of an animation.
ENCODING_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"iCCP", b"sRGB", b"cICP", b"mDCV"}
ENCODING_CHUNKS |= {b"cLLI", b"sBIT", b"bKGD", b"hIST", b"sPLT", b"acTL", b"fcTL", b"fdAT"}

COLOR_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")


def read_png(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds what a file says."""
    others, kept, colors, kind = set(), 0, {}, b""
    for kind, size in _png_chunks(file):
        if kind == b"IEND":
            file.seek(4, io.SEEK_CUR)  # its checksum
            metadata.note_rest(file.read(REST_BYTES))
        if kind == b"acTL" and int.from_bytes(file.read(4)) > 1:  # frames
            metadata.notes.add(NO_ATTACHMENTS)
        if kind in COLOR_CHUNKS:
            colors[kind] = file.read(min(size, 32))
        if kind == b"iCCP":
            metadata.has_profile = True
        if kind in ENCODING_CHUNKS:
            continue
        kept += size
        if kept > MAX_BYTES:
            metadata.notes.add(DAMAGED)
            return
        if kind in KNOWN_CHUNKS:
            with metadata.skip_damage():
                _add_chunk(metadata, kind, file.read(size))
        else:
            others.add(kind.decode() if kind.isalpha() else "damaged ones")
    if kind != b"IEND":  # without pixels, too, it is refused when they are read
        metadata.notes.add("the end of the PNG was missing; all of its pixels are there")
    metadata.note_others("PNG chunks", others)
    with metadata.skip_damage():
        metadata.colors = _stated_colors(colors)


def _stated_colors(chunks: dict[bytes, bytes]) -> StatedColors | None:
    """The color space that chunks state by numbers (PNG, third edition, 4.3)."""
    if b"cICP" in chunks:
        return colors_of_codes("cICP", chunks[b"cICP"][0], chunks[b"cICP"][1])
    colors = None
    if b"sRGB" not in chunks and b"gAMA" in chunks:
        colors = colors_of_gamma(struct.unpack(">I", chunks[b"gAMA"])[0] / 100_000)
    if b"sRGB" not in chunks and b"cHRM" in chunks and not colors:
        values = struct.unpack(">8I", chunks[b"cHRM"])
        colors = colors_of_primaries("cHRM", [value / 100_000 for value in values])
    return colors


def _add_chunk(metadata: Metadata, kind: bytes, body: bytes) -> None:
    if kind == b"eXIf":
        metadata.add_exif(body)
    elif kind == b"pHYs":
        x, y, unit = struct.unpack(">IIB", body)
        metadata.density = make_density(x, y, METER if unit == 1 else NO_UNIT)
    elif kind == b"tIME":
        metadata.chunks.append((kind, body))
    else:
        metadata.add_text(kind, body)


def _png_chunks(file: io.BufferedIOBase) -> Iterator[tuple[bytes, int]]:
    """Yields kind and size of each chunk of a PNG, with the file at its body."""
    place = 8
    head = b""
    while head[4:] != b"IEND":
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        yield head[4:], int.from_bytes(head[:4])
        place += 12 + int.from_bytes(head[:4])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def png_head(metadata: Metadata) -> Callable[[bytes], bytes]:
    """Returns a function that adds chunks to the start of a PNG, b"" where that does not reach its pixels yet."""
    chunks = [
        (b"eXIf", exif.pack_block(metadata.tags)),
        (b"iTXt", png_text.XMP_KEYWORD + b"\0\0\0\0\0" + metadata.packet),
    ]
    if metadata.resources:
        chunks.append(png_text.iptc_chunk(photoshop.pack_resources(metadata.resources)))
    if metadata.density:
        x, y, unit = metadata.density.per(METER)
        across, down = (min(0x7FFFFFFF, max(1, round(value))) for value in (x, y))
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, unit != NO_UNIT)))
    chunks += metadata.chunks
    chunks += [png_text.comment_chunk(comment) for comment in metadata.comments]
    ours = b"".join(_chunk(kind, body) for kind, body in chunks)

    def edit(head: bytes) -> bytes:
        place, kept = 8, head[:8]
        while place + 8 <= len(head):
            kind, end = head[place + 4 : place + 8], place + 12 + int.from_bytes(head[place : place + 4])
            if kind in (b"IDAT", b"IEND"):
                return kept + head[place:]
            if kind != b"pHYs":  # libvips writes one for every image
                kept += head[place:end]
            if kind == b"IHDR":
                kept += ours
            place = end
        return b""

    return edit
