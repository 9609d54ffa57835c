"""What JPEG files say beside their pixels (ITU-T T.81): quality, and whether a file without an end is whole."""

import io
import operator
import random
import re
from functools import lru_cache

import pyvips

QUALITY = 98  # of lossy formats: half the largest error in lightness of 95, for two fifths more bytes
END = b"\xff\xd9"
MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")  # but for stuffed bytes and restarts, which are part of a scan
START_OF_SCAN, QUANTIZATION_TABLES = 0xDA, 0xDB
NO_FRAMES = (0xC4, 0xC8, 0xCC)  # markers between 0xC0 and 0xCF that do not start a frame
PROGRESSIVE = (0xC2, 0xCA)


def copy_quality(file: io.BufferedIOBase) -> int:
    """Returns the quality of a copy of a JPEG: `QUALITY`, or the first that is as fine as the JPEG itself."""
    steps = _luma_quantization(file)
    for quality in range(QUALITY, 100):
        if all(map(operator.le, _quantization_at(quality), steps)):
            return quality
    return 100


def _luma_quantization(file: io.BufferedIOBase) -> bytes:
    """The 64 steps by which a JPEG file rounds its luma (ITU-T T.81, B.2.4.1); b"" where there are none of 8 bits."""
    file.seek(2)
    head = file.read(4)
    while len(head) == 4 and head[0] == 0xFF and head[1] != START_OF_SCAN:
        body = file.read(max(0, int.from_bytes(head[2:]) - 2))
        if head[1] == QUANTIZATION_TABLES and body[:1] == b"\0":
            return body[1:65]
        head = file.read(4)
    return b""


@lru_cache
def _quantization_at(quality: int) -> bytes:
    return _luma_quantization(io.BytesIO(pyvips.Image.black(8, 8).jpegsave_buffer(Q=quality)))


def mend_end(file: io.BufferedIOBase) -> bytes | None:
    """Returns a JPEG file with an end marker where only that is missing, None if it has one.

    Raises ValueError if pixels are missing, too.
    """
    file.seek(-2, io.SEEK_END)
    if file.read(2) == END:
        return None
    file.seek(0)
    data = file.read()
    is_whole, last_scan = _walk_scans(data)
    if END in data[last_scan:]:
        return None
    data = data.rstrip(b"\0").removesuffix(b"\xff")  # padding, or half of the marker
    if not is_whole or not _has_all_pixels(data):
        raise ValueError("the JPEG is cut short")
    return data + END


def _walk_scans(data: bytes) -> tuple[bool, int]:
    """Whether the scans that begin in a JPEG bring every component at full precision; where the last of them is."""
    position, last_scan, progressive = 2, 0, False
    missing = {-1: {0}}  # coefficients of each component
    while match := MARKER.search(data, position):
        code = match[1][0]
        body = data[match.end() + 2 : match.end() + int.from_bytes(data[match.end() : match.end() + 2])]
        if 0xC0 <= code <= 0xCF and code not in NO_FRAMES:
            progressive = code in PROGRESSIVE
            missing = {component: set(range(64)) for component in body[6::3]}
        elif code == START_OF_SCAN and len(body) >= 6:
            last_scan = match.start()
            first, last, precision = body[-3:] if progressive else (0, 63, 0)
            for component in body[1:-3:2]:
                if precision & 15 == 0:  # of a scan with a coarser one, another scan brings the rest
                    missing.get(component, set()).difference_update(range(first, last + 1))
        position = match.end() + 2 + len(body)
    return not any(missing.values()), last_scan


def _has_all_pixels(data: bytes) -> bool:
    """Whether the pixels are the same whatever follows the data: then no more bits of the last scan were needed."""
    images = []
    for seed in range(2):
        bits = random.Random(seed).randbytes(400).replace(b"\xff", b"")
        rest = b"".join(bits + bytes([0xFF, restart]) for restart in range(0xD0, 0xD8))
        images.append(pyvips.Image.jpegload_buffer(data + rest * 2 + END, access="sequential"))
    try:
        return bool((images[0] - images[1]).abs().max() == 0)
    except pyvips.Error:
        return False
