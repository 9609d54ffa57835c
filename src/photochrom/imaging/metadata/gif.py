"""GIF files: comments and XMP are in extensions between the images (GIF89a)."""

import io

from .record import MAX_BYTES, REST_BYTES, Metadata

EXTENSION, IMAGE, END, COMMENT, APPLICATION = b"!", b",", b";", b"\xfe", b"\xff"
XMP_NAME, XMP_TRAILER = b"XMP DataXMP", 257  # bytes after a packet, by which readers that do not know it find its end

ANIMATION_NAMES = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def read_gif(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds what a file says."""
    others = set()
    file.seek(10)
    _skip_colors(file, file.read(3)[0])
    kind = file.read(1)
    while kind in (EXTENSION, IMAGE) and file.tell() < MAX_BYTES:
        label = file.read(1) if kind == EXTENSION else b""
        if kind == IMAGE:
            _skip_colors(file, file.read(9)[8])
            file.seek(1, io.SEEK_CUR)
        blocks = _read_blocks(file)
        if label == COMMENT:
            metadata.comments.append(b"".join(block[1:] for block in blocks))
        elif label == APPLICATION and blocks[:1] == [bytes([11]) + XMP_NAME]:
            metadata.add_packet(b"".join(blocks[1:])[:-XMP_TRAILER])  # lengths are part of it
        elif label == APPLICATION and blocks and blocks[0][1:] not in ANIMATION_NAMES:
            others.add(blocks[0][1:].decode("latin-1"))
        kind = file.read(1)
    if kind == END:
        metadata.note_rest(file.read(REST_BYTES))
    metadata.note_others("GIF extensions", others)


def _skip_colors(file: io.BufferedIOBase, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << (flags & 7) + 1, io.SEEK_CUR)


def _read_blocks(file: io.BufferedIOBase) -> list[bytes]:
    """Reads blocks up to an empty one, each with its length before it."""
    blocks = []
    size = file.read(1)
    while size and size != b"\0":
        blocks.append(size + file.read(size[0]))
        size = file.read(1)
    return blocks
