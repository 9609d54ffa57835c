"""Numpy inside a libvips pipeline: an image is processed in strips of rows, so memory does not grow with its size."""

import struct
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import starmap

import numpy as np
import pyvips

from .._processes import available_processors

STRIPS_AHEAD = 4  # computed before they are read

Process = Callable[[np.ndarray, int], np.ndarray]  # rows (h, w, c) and the number of the first -> rows (h, w, 3)


@contextmanager
def process_strips(
    image: pyvips.Image, rows: int, process: Process, depth: int, threads: int | None = None
) -> Iterator[pyvips.Image]:
    """Yields an RGB image of `depth` bits, to be read once: `process` of each strip of `rows` rows of `image`.

    By default on as many threads as there are processors. Errors of `process` are raised when the block ends.
    """
    results = _map_ahead(process, _read_strips(image, rows), threads or available_processors())
    # libvips reads no raw pixels from a stream (`ppmload_source` is missing from its wheel), so they become a TIFF.
    header = _bigtiff_header(image.width, image.height, rows, depth)
    file = _StripFile(header, image.width * image.height * 3 * depth // 8, results)
    source = pyvips.SourceCustom()
    source.on_read(file.read)
    source.on_seek(file.seek)
    try:
        yield pyvips.Image.tiffload_source(source, access="sequential", fail_on="error")
    except pyvips.Error:
        if file.error is not None:
            raise file.error from None
        raise
    finally:
        file.pool.shutdown(cancel_futures=True)


def _read_strips(image: pyvips.Image, rows: int) -> Iterator[tuple[np.ndarray, int]]:
    region = pyvips.Region.new(image)
    dtype = np.uint8 if image.format == "uchar" else np.uint16
    for top in range(0, image.height, rows):
        pixels = region.fetch(0, top, image.width, min(rows, image.height - top))
        yield np.frombuffer(pixels, dtype).reshape(-1, image.width, image.bands), top


def _map_ahead(process: Process, strips: Iterator[tuple[np.ndarray, int]], threads: int) -> Iterator[np.ndarray]:
    """Results in order, from several threads: numpy releases the interpreter's lock."""
    if threads == 1:
        yield from starmap(process, strips)
        return
    pending: deque[Future[np.ndarray]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for strip in strips:
            pending.append(pool.submit(process, *strip))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _bigtiff_header(width: int, height: int, rows: int, depth: int) -> bytes:
    """What precedes the pixels of an uncompressed RGB BigTIFF (libtiff's design, 2007), `rows` rows to a strip."""
    line = width * 3 * depth // 8
    tops = range(0, height, rows)
    arrays_at = 16 + 8 + 20 * 10 + 8  # after header, number of tags, 10 tags, and pointer to the next directory
    pixels_at = arrays_at + 2 * 8 * len(tops)
    offsets = [pixels_at + top * line for top in tops]
    counts = [min(rows, height - top) * line for top in tops]
    single = len(tops) == 1  # then tags hold the values themselves instead of pointing to arrays
    entries = (
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, depth * (1 + (1 << 16) + (1 << 32))),  # three values of two bytes each
        (259, 3, 1, 1),  # no compression
        (262, 3, 1, 2),  # RGB
        (273, 16, len(tops), offsets[0] if single else arrays_at),
        (277, 3, 1, 3),  # channels
        (278, 4, 1, rows),
        (279, 16, len(tops), counts[0] if single else arrays_at + 8 * len(tops)),
        (284, 3, 1, 1),  # the channels of a pixel together
    )
    header = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(entries))
    for entry in entries:
        header += struct.pack("<HHQQ", *entry)
    return header + struct.pack(f"<{1 + 2 * len(tops)}Q", 0, *offsets, *counts)


class _StripFile:
    """A file of a header and strips of pixels, which are computed ahead and can be read forward only."""

    def __init__(self, header: bytes, pixel_bytes: int, strips: Iterator[np.ndarray]) -> None:
        self.header, self.size, self.strips = header, len(header) + pixel_bytes, strips
        self.position, self.strip, self.strip_start = 0, memoryview(b""), len(header)
        self.error: BaseException | None = None
        # One thread, since libvips lets only one read a region; libvips reads this file from others.
        self.pool = ThreadPoolExecutor(1)
        self.pending = deque(self.pool.submit(next, strips, None) for _ in range(STRIPS_AHEAD))

    def read(self, count: int) -> bytes:
        try:
            while self.position >= self.strip_start + len(self.strip):
                self.pending.append(self.pool.submit(next, self.strips, None))
                strip = self.pending.popleft().result()
                if strip is None:  # and so on, however often libvips asks
                    return b""
                self.strip_start += len(self.strip)
                self.strip = strip.data.cast("B")
        except BaseException as error:  # `process_strips` raises it in the thread that saves the image
            self.error = error
            return b""
        chunk, start = (self.strip, self.strip_start) if self.position >= len(self.header) else (self.header, 0)
        offset = self.position - start
        part = bytes(chunk[offset : offset + count]) if offset >= 0 else b""
        self.position += len(part)
        return part

    def seek(self, offset: int, whence: int) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position
