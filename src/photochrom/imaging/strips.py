"""Numpy inside a libvips pipeline: an image is processed in strips of rows, so memory does not grow with its size."""

import io
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

import numpy as np
import pyvips

from .._processes import available_processors
from . import tiff

WHOLE_PIXELS = 16_000_000  # at most 96 MB
STRIPS_AHEAD = 4  # computed before they are read, and one more for each thread

Process = Callable[[np.ndarray, int], np.ndarray]  # rows (h, w, c) and the number of the first -> rows (h, w, 3)


@contextmanager
def process_strips(
    image: pyvips.Image, rows: int, process: Process, depth: int, threads: int | None = None
) -> Iterator[pyvips.Image]:
    """Yields an RGB image of `depth` bits, to be read once: `process` of each strip of `rows` rows of `image`.

    By default on as many threads as there are processors. Errors of `process` are raised when the block ends. With one
    thread, a stream would save no time: an image of up to `WHOLE_PIXELS` is made in memory, a fifth faster.
    """
    threads = threads or available_processors()
    if threads == 1 and image.width * image.height <= WHOLE_PIXELS:
        yield _process_whole(image, rows, process, depth)
        return
    with closing(_map_ahead(process, image, rows, threads)) as strips:
        # libvips reads no raw pixels from a stream (`ppmload_source` is missing from its wheel), so they become a TIFF.
        header = memoryview(_bigtiff_header(image.width, image.height, rows, depth))
        file = _ForwardFile(chain([header], strips), len(header) + image.width * image.height * 3 * depth // 8)
        source = pyvips.SourceCustom()
        source.on_read(file.read)
        source.on_seek(file.seek)
        try:
            yield pyvips.Image.tiffload_source(source, access="sequential", fail_on="error")
        except pyvips.Error:
            if file.error is not None:
                raise file.error from None
            raise


def _process_whole(image: pyvips.Image, rows: int, process: Process, depth: int) -> pyvips.Image:
    result = np.empty((image.height, image.width, 3), f"u{depth // 8}")
    region = pyvips.Region.new(image)
    for top in range(0, image.height, rows):
        count = min(rows, image.height - top)
        pixels = _to_array(region.fetch(0, top, image.width, count), image)
        result[top : top + count] = process(pixels, top)
    return pyvips.Image.new_from_array(result)


def _to_array(strip: Any, image: pyvips.Image) -> np.ndarray:
    dtype = np.uint8 if image.format == "uchar" else np.uint16
    return np.frombuffer(strip, dtype).reshape(-1, image.width, image.bands)


def _map_ahead(process: Process, image: pyvips.Image, rows: int, threads: int) -> Generator[memoryview, None, None]:
    """Results in order, from several threads: numpy releases the interpreter's lock."""

    def process_when_read(strip: Future[Any], top: int) -> memoryview:
        return process(_to_array(strip.result(), image), top).data.cast("B")

    pending: deque[Future[memoryview]] = deque()
    # One thread reads, since libvips lets only one use a region.
    reader, workers = ThreadPoolExecutor(1), ThreadPoolExecutor(threads)
    try:
        region = reader.submit(pyvips.Region.new, image).result()
        for top in range(0, image.height, rows):
            strip = reader.submit(region.fetch, 0, top, image.width, min(rows, image.height - top))
            pending.append(workers.submit(process_when_read, strip, top))
            if len(pending) > threads + STRIPS_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        workers.shutdown(cancel_futures=True)  # after an error, no further strip is begun
        reader.shutdown(cancel_futures=True)


def _bigtiff_header(width: int, height: int, rows: int, depth: int) -> bytes:
    """What precedes the pixels of an uncompressed RGB BigTIFF (libtiff's design, 2007), `rows` rows to a strip."""
    tops = np.arange(0, height, rows)
    line = width * 3 * depth // 8
    pixels_at = 512 + 16 * len(tops)  # leaves room for the tags
    values = {256: width, 257: height, 258: [depth] * 3, 277: 3, 278: rows}  # size, bits, channels, rows of a strip
    values |= {259: 1, 262: 2, 284: 1}  # not compressed, RGB, the channels of a pixel together
    values |= {273: pixels_at + tops * line, 279: np.minimum(rows, height - tops) * line}  # places and sizes of strips
    tags = {tag: (tiff.LONG8, np.array(value, "<u8").tobytes()) for tag, value in values.items()}
    file = io.BytesIO(b"II+\0\x08\0\0\0" + bytes(8))
    tiff.write_tags(file, tiff.TagSets(tags, {}, {}, {}))
    return file.getvalue().ljust(pixels_at, b"\0")


class _ForwardFile:
    """A file of chunks, of which only the last one read is kept; seeking back further than that reads nothing."""

    def __init__(self, chunks: Iterator[memoryview], size: int) -> None:
        self.chunks, self.size = chunks, size
        self.position, self.chunk, self.chunk_start = 0, memoryview(b""), 0
        self.error: BaseException | None = None

    def read(self, count: int) -> memoryview:
        try:
            while self.position >= self.chunk_start + len(self.chunk):
                following = next(self.chunks)
                self.chunk_start += len(self.chunk)
                self.chunk = following
        except StopIteration:  # and so on, however often libvips asks
            return memoryview(b"")
        except BaseException as error:  # `process_strips` raises it in the thread that saves the image
            self.error = error
            return memoryview(b"")
        offset = self.position - self.chunk_start
        part = self.chunk[offset : offset + count] if offset >= 0 else self.chunk[:0]
        self.position += len(part)
        return part

    def seek(self, offset: int, whence: int) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position
