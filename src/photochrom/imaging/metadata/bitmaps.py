"""Plain bitmaps: comments of PNM (Netpbm), and the resolution of BMP, all that it says beside its pixels."""

import io
import struct

from ..bitmaps import COMMENT, PLAIN, parse_bmp, parse_pnm
from .density import METER, make_density
from .record import REST_BYTES, Metadata

EMBEDDED = b"DEBM"  # for a color space of BMP: a profile in the file


def read_pnm(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds the comments of a file, as one of several lines."""
    file.seek(0)
    data = file.read()
    kind, match = parse_pnm(data)
    comment = b"\n".join(COMMENT.findall(data if kind in PLAIN else match[0])).strip()
    if comment:
        metadata.comments.append(comment)
    width, height = int(match[1]), int(match[2])
    sizes = {b"4": -(-width // 8), b"5": width, b"6": 3 * width, b"f": 4 * width, b"F": 12 * width}  # of a row
    size = sizes.get(kind, len(data)) * height * (2 if kind in b"56" and int(match[3]) > 255 else 1)
    metadata.note_rest(data[match.end() + size :][:REST_BYTES])


def read_bmp(file: io.BufferedIOBase, metadata: Metadata) -> None:
    """Adds the resolution of a file."""
    file.seek(0)
    data = file.read()
    header = parse_bmp(data)
    end = max(int.from_bytes(data[2:6], "little"), header.end)  # of the file as it says, which may be 0
    if header.size >= 124:
        place, size = struct.unpack_from("<II", data, 126)
        end = max(end, 14 + place + size)
        if data[70:74] == EMBEDDED:
            metadata.notes.add("the color profile was left aside: profiles of BMP are not supported")
    if header.size >= 40:
        across, down = struct.unpack_from("<ii", data, 38)
        metadata.density = make_density(across, down, METER)
    metadata.note_rest(data[end:][:REST_BYTES])
