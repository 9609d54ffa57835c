"""What JPEG files say beside their pixels (ITU-T T.81): quality, and whether a file without an end is whole."""

import operator
import random
import re
from collections.abc import Iterator
from functools import lru_cache

import pyvips

QUALITY = 98  # of lossy formats: half the largest error in lightness of 95, for two fifths more bytes
END = b"\xff\xd9"
MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")  # but for stuffed bytes and restarts, which are part of a scan
END_OF_IMAGE, START_OF_SCAN, QUANTIZATION_TABLES = 0xD9, 0xDA, 0xDB
NO_FRAMES = (0xC4, 0xC8, 0xCC)  # markers between 0xC0 and 0xCF that do not start a frame
PROGRESSIVE = (0xC2, 0xCA)


def copy_quality(data: bytes) -> int:
    """Returns the quality of a copy of a JPEG: `QUALITY`, or the first that is as fine as the JPEG itself."""
    steps = _luma_quantization(data)
    for quality in range(QUALITY, 100):
        if all(map(operator.le, _quantization_at(quality), steps)):
            return quality
    return 100


def _luma_quantization(data: bytes) -> bytes:
    """The 64 steps by which a JPEG file rounds its luma (ITU-T T.81, B.2.4.1); b"" where there are none of 8 bits."""
    for _, code, body in segments(data):
        if code == START_OF_SCAN:
            break
        if code == QUANTIZATION_TABLES and body[:1] == b"\0":
            return body[1:65]
    return b""


@lru_cache
def _quantization_at(quality: int) -> bytes:
    return _luma_quantization(pyvips.Image.black(8, 8).jpegsave_buffer(Q=quality))


def segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yields start, marker and body of each segment of a JPEG, and its end marker.

    Passes over other bytes between segments, as decoders do.
    """
    position = 2
    while match := MARKER.search(data, position):
        code, start = match[1][0], match.end()
        if code == END_OF_IMAGE:
            yield match.start(), code, b""
            return
        position = start + max(2, int.from_bytes(data[start : start + 2]))
        yield match.start(), code, data[start + 2 : position]


def mend_end(data: bytes) -> tuple[bytes | None, bytes]:
    """Returns a JPEG file with an end marker where only that is missing, else None; and what follows it.

    Raises ValueError if pixels are missing, too.
    """
    is_whole, last_scan, end = _walk_scans(data)
    if end or END in data[last_scan:]:
        return None, data[end:].strip(b"\0" + END) if end else b""
    data = data.rstrip(b"\0").removesuffix(b"\xff")  # padding, or half of the marker
    if not is_whole or not _has_all_pixels(data):
        raise ValueError("the JPEG is cut short")
    return data + END, b""


def _walk_scans(data: bytes) -> tuple[bool, int, int]:
    """Whether the scans of a JPEG bring every component at full precision; start of the last, and the end or 0."""
    last_scan, end, progressive = 0, 0, False
    missing = {-1: {0}}  # coefficients of each component
    for start, code, body in segments(data):
        if 0xC0 <= code <= 0xCF and code not in NO_FRAMES:
            progressive = code in PROGRESSIVE
            missing = {component: set(range(64)) for component in body[6::3]}
        elif code == START_OF_SCAN and len(body) >= 6:
            last_scan = start
            first, last, precision = body[-3:] if progressive else (0, 63, 0)
            for component in body[1:-3:2]:
                if precision & 15 == 0:  # of a scan with a coarser one, another scan brings the rest
                    missing.get(component, set()).difference_update(range(first, last + 1))
        elif code == END_OF_IMAGE:
            end = start + len(END)
    return not any(missing.values()), last_scan, end


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
