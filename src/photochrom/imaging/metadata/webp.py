"""WebP files: EXIF and XMP are in chunks at their end (RFC 9649)."""

import io

from .record import REST_BYTES, Metadata, read_part

ENCODING_CHUNKS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP")
HAS_EXIF, HAS_XMP = 8, 4  # flags of the extended header, which a file with a profile has


def read_webp(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds what a file says."""
    others = set()
    file.seek(4)
    place, end = 12, 8 + int.from_bytes(file.read(4), "little")
    while place + 8 <= end:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            break
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"EXIF":
            metadata.add_exif(read_part(file, size))
        elif head[:4] == b"XMP ":
            metadata.add_packet(read_part(file, size))
        elif head[:4] not in ENCODING_CHUNKS:
            others.add(head[:4].decode("latin-1"))
        place += 8 + size + size % 2
    file.seek(end)
    metadata.note_rest(file.read(REST_BYTES))
    metadata.note_others("WebP chunks", others)


def write_webp(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds EXIF and XMP to a file that has a profile."""
    size = file.seek(0, io.SEEK_END)
    for kind, body in ((b"EXIF", metadata.exif_block("WebP")), (b"XMP ", metadata.packet)):
        size += file.write(kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2))
    file.seek(4)
    file.write((size - 8).to_bytes(4, "little"))
    file.seek(20)
    (flags,) = file.read(1)
    file.seek(20)
    file.write(bytes([flags | HAS_EXIF | HAS_XMP]))
