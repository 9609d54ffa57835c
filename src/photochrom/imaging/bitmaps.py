"""Plain bitmaps, which libvips' wheel does not read: PNM and PFM (Netpbm), and BMP without run lengths."""

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..core import color

GAP = rb"(?:\s|#[^\n]*\n)+"  # between the numbers of a PNM header; comments count as space
NUMBER = GAP + rb"[1-9]\d*"
# A whole PNM header and what begins the pixels: text may begin with P1 and a year.
HEADER = re.compile(
    rb"P(?:1" + NUMBER * 2 + rb"\s+[01#]|4" + NUMBER * 2 + rb"\s|[23]" + NUMBER * 3 + rb"\s+[\d#]|"
    rb"[56]" + NUMBER * 3 + rb"\s|[fF]" + NUMBER * 2 + GAP + rb"-?[\d.]+\s)"
)
PLAIN = b"123"  # kinds of PNM whose pixels are written as decimal numbers
COMMENT = re.compile(rb"#[ \t]*([^\r\n]*)")
CheckSize = Callable[[int, int], None]  # raises PhotoError for too many pixels


def decode_pnm(data: bytes, check_size: CheckSize) -> np.ndarray:
    """Returns the pixels of a PBM, PGM, PPM or PFM file (h, w, 1 or 3). Raises ValueError for a damaged one."""
    kind, match = parse_pnm(data)
    width, height = int(match[1]), int(match[2])
    check_size(width, height)
    shape = height, width, 3 if kind in b"36F" else 1
    body, count = data[match.end() :], width * height * shape[2]
    if kind in PLAIN:
        body = COMMENT.sub(b"", body)
    if kind in b"Ff":
        order = "<" if match[3].startswith(b"-") else ">"
        light = np.frombuffer(body, f"{order}f4", count).reshape(shape)[::-1]  # from the bottom up
        if not (light.min() >= 0 and light.max() <= 1):
            raise ValueError("floats must be linear light from 0 to 1")
        codes = color.linear_to_srgb(np.broadcast_to(np.moveaxis(light, -1, 0), (3, height, width)))
        return np.rint(np.moveaxis(codes, 0, -1) * 65535).astype(np.uint16)
    if kind in b"14":
        if kind == b"4":
            rows = np.frombuffer(body, np.uint8, height * -(-width // 8)).reshape(height, -1)
            bits = np.unpackbits(rows, axis=1)[:, :width]
        else:
            bits = np.frombuffer(re.sub(rb"[^01]", b"", body), np.uint8, count) - ord("0")
        return ((1 - bits) * 255).astype(np.uint8).reshape(shape)
    most = int(match[3])
    if not 0 < most < 1 << 16:
        raise ValueError(f"values up to {most}")
    if kind in b"23":
        values = np.array(body.split()[:count], np.int64)
    else:
        values = np.frombuffer(body, np.uint8 if most < 256 else ">u2", count)
    if len(values) < count or values.min() < 0:
        raise ValueError("damaged or cut short")
    largest, dtype = (255, np.uint8) if most < 256 else (65535, np.uint16)
    return np.rint(np.minimum(values, most) * (largest / most)).astype(dtype).reshape(shape)


def parse_pnm(data: bytes) -> tuple[bytes, re.Match[bytes]]:
    """Returns the digit or letter of a PNM file's kind, and its header.

    The groups of the header are width, height and, except for PBM, the largest value or the byte order. Raises
    ValueError for a damaged one.
    """
    kind = data[1:2]
    match = re.match(rb"P." + (GAP + rb"(-?[\d.]+)") * (2 if kind in b"14" else 3) + rb"\s", data)
    if not match:
        raise ValueError("damaged header")
    return kind, match


class BmpHeader(NamedTuple):
    """Of a BMP file: where its pixels start and end, the size of this header, and how the pixels are stored."""

    start: int
    size: int
    width: int
    height: int  # negative: rows from the top down
    bits: int  # of a pixel
    compression: int = 0
    bytes: int = 0  # of compressed pixels
    colors: int = 0  # of the palette; 0: as many as the bits allow

    @property
    def stride(self) -> int:
        """The bytes of a row of pixels that are not compressed; rows end at 32 bits."""
        return (self.width * self.bits + 31) // 32 * 4

    @property
    def end(self) -> int:
        """Where the pixels end."""
        return self.start + (self.bytes if self.compression else self.stride * abs(self.height))


def parse_bmp(data: bytes) -> BmpHeader:
    """Returns the header of a BMP file. Raises struct.error for one that is cut short."""
    start, size = struct.unpack_from("<II", data, 10)
    width, height, _, bits = struct.unpack_from("<HHHH" if size == 12 else "<iiHH", data, 18)  # 12: of OS/2
    rest = struct.unpack_from("<II8xI", data, 30) if size >= 40 else ()
    return BmpHeader(start, size, width, height, bits, *rest)


def decode_bmp(data: bytes, check_size: CheckSize) -> np.ndarray | None:
    """Returns the pixels of a BMP file (h, w, 3), or None for kinds that are rare: 16 bits, run lengths, alpha.

    Raises ValueError or struct.error for a damaged file.
    """
    header = parse_bmp(data)
    width, height, bits = header.width, header.height, header.bits
    if header.compression or bits not in (1, 4, 8, 24, 32):
        return None
    check_size(width, abs(height))
    rows = np.frombuffer(data, np.uint8, header.end - header.start, header.start).reshape(abs(height), header.stride)
    if height > 0:
        rows = rows[::-1]  # from the bottom up
    if bits > 8:
        channels = bits // 8
        return rows[:, : width * channels].reshape(-1, width, channels)[..., 2::-1]
    entry = 3 if header.size == 12 else 4
    colors = min(header.colors or 256, 1 << bits)
    palette = np.frombuffer(data, np.uint8, entry * colors, 14 + header.size).reshape(-1, entry)
    index = np.unpackbits(rows, axis=1).reshape(len(rows), -1, bits) @ np.uint8(1 << np.arange(bits)[::-1])
    if index[:, :width].max() >= len(palette):
        raise ValueError("damaged palette")
    return palette[index[:, :width], 2::-1]
