"""JPEG files: EXIF, XMP, Photoshop resources and comments are in segments before the pixels (ITU-T T.81, JFIF 1.02)."""

import io
import struct
from collections.abc import Callable, Iterator

from ..jpeg import START_OF_SCAN, segments
from ..notes import NO_ATTACHMENTS
from . import exif, photoshop, xmp
from .density import NO_UNIT, make_density
from .packet import MAX_BYTES as MAX_PACKET
from .record import MAX_BYTES, Metadata

APP0, COMMENT = 0xE0, 0xFE  # JPEG markers (ITU-T T.81, table B.1)
EXIF_HEAD, XMP_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION_HEAD, PHOTOSHOP_HEAD = b"http://ns.adobe.com/xmp/extension/\0", b"Photoshop 3.0\0"
# Segments that describe how the pixels are stored; and those of attachments.
ENCODING_HEADS = (b"ICC_PROFILE\0", b"Adobe\0", b"JFXX\0", b"Ducky", b"JFIF\0", b"AROT\0")
ATTACHMENT_HEADS = (b"MPF\0", b"urn:iso:std:iso:ts:21496")
SEGMENT_BYTES, EXTENSION_BYTES = 65_533, 65_400  # at most in a segment, and of extended XMP in one
MAX_EXTENSIONS = 4  # of which a file needs one


def read_jpeg(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds what a file says."""
    extensions: dict[bytes, bytearray] = {}
    resources, others = bytearray(), set()
    file.seek(0)
    for _, marker, body in segments(file.read(MAX_BYTES)):
        if marker == START_OF_SCAN:
            break
        with metadata.skip_damage():
            if body.startswith(EXTENSION_HEAD):
                _add_extension(extensions, body.removeprefix(EXTENSION_HEAD))
            elif body.startswith(PHOTOSHOP_HEAD):
                resources += body.removeprefix(PHOTOSHOP_HEAD)
            elif not _add_segment(metadata, marker, body):
                others.add(f"APP{marker - APP0}")
    with metadata.skip_damage():
        metadata.resources += photoshop.parse_resources(bytes(resources))
    metadata.note_others("JPEG segments", others)
    _merge_extension(metadata, extensions)


def _add_segment(metadata: Metadata, marker: int, body: bytes) -> bool:
    """Adds what a segment says; returns whether it is known."""
    if body.startswith(b"JFIF\0"):
        unit, x, y = struct.unpack_from(">BHH", body, 7)
        metadata.density = make_density(x, y, unit)
    elif body.startswith(EXIF_HEAD):
        metadata.add_exif(body)
    elif body.startswith(XMP_HEAD):
        metadata.add_packet(body.removeprefix(XMP_HEAD))
    elif marker == COMMENT:
        metadata.comments.append(body)
    elif body.startswith(ATTACHMENT_HEADS):
        metadata.notes.add(NO_ATTACHMENTS)
    else:
        return body.startswith(ENCODING_HEADS) or not APP0 <= marker < APP0 + 16
    return True


def _add_extension(extensions: dict[bytes, bytearray], body: bytes) -> None:
    digest, length, offset = struct.unpack_from(">32sII", body)
    part = body[40:]
    if offset + len(part) <= length <= MAX_PACKET and (digest in extensions or len(extensions) < MAX_EXTENSIONS):
        extension = extensions.setdefault(digest, bytearray(length))
        if len(extension) == length:
            extension[offset : offset + len(part)] = part


def _merge_extension(metadata: Metadata, extensions: dict[bytes, bytearray]) -> None:
    digest = xmp.extended_digest(metadata.packet) if b"HasExtendedXMP" in metadata.packet else None
    if digest is None:
        return
    try:
        metadata.packet = xmp.merge_extended(metadata.packet, bytes(extensions[digest.encode()]))
    except (KeyError, ValueError):
        metadata.notes.add("extended XMP was left out: it is damaged or incomplete")


def jpeg_head(metadata: Metadata) -> Callable[[bytes], bytes]:
    """Returns a function that adds segments to the start of a JPEG, b"" where that is too short yet."""
    block = exif.fit_block(metadata.tags, SEGMENT_BYTES - len(EXIF_HEAD), metadata.notes)
    packet, extension, digest = xmp.split_packet(metadata.packet, metadata.notes)
    x, y, unit = metadata.density.without_meters() if metadata.density else (1, 1, NO_UNIT)
    x, y = (min(65_535, max(1, round(value))) for value in (x, y))
    bodies = [
        (APP0, b"JFIF\0\1\1" + struct.pack(">BHHBB", unit, x, y, 0, 0)),
        (APP0 + 1, EXIF_HEAD + block),
        (APP0 + 1, XMP_HEAD + packet),
    ]
    for start, part in _parts(extension, EXTENSION_BYTES):
        bodies.append((APP0 + 1, EXTENSION_HEAD + struct.pack(">32sII", digest.encode(), len(extension), start) + part))
    for _, part in _parts(photoshop.pack_resources(metadata.resources), SEGMENT_BYTES - len(PHOTOSHOP_HEAD)):
        bodies.append((APP0 + 13, PHOTOSHOP_HEAD + part))
    for comment in (*metadata.comments, *(str(text).encode() for text in metadata.texts())):
        bodies += [(COMMENT, part) for _, part in _parts(comment, SEGMENT_BYTES)]
    ours = b"".join(b"\xff" + bytes([marker]) + (len(body) + 2).to_bytes(2) + body for marker, body in bodies)

    def edit(head: bytes) -> bytes:
        return head[:2] + ours + head[2:] if len(head) > 2 else b""

    return edit


def _parts(data: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """Yields the parts of at most `size` bytes, and where each starts."""
    for start in range(0, len(data), size):
        yield start, data[start : start + size]
