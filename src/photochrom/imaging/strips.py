"""Numpy inside a libvips pipeline: rows are worked on in strips, so that memory does not grow with the picture."""

import collections
import queue
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import starmap

import numpy as np
import pyvips

from .._processes import available_processors

AHEAD = 4  # strips computed before they are asked for


Strip = Callable[[np.ndarray, int], np.ndarray]  # rows (h, w, c) and the number of the first -> rows (h, w, 3)


def _strips(image: pyvips.Image, rows: int) -> Iterator[tuple[np.ndarray, int]]:
    region = pyvips.Region.new(image)
    dtype = np.uint8 if image.format == "uchar" else np.uint16
    for top in range(0, image.height, rows):
        count = min(rows, image.height - top)
        strip = np.frombuffer(region.fetch(0, top, image.width, count), dtype)
        yield strip.reshape(count, image.width, image.bands), top


def _ahead(strips: Iterator[tuple[np.ndarray, int]], work: Strip, threads: int) -> Iterator[np.ndarray]:
    """`work` of each strip, in order, on several threads (numpy lets go of the interpreter's lock)."""
    if threads == 1:
        yield from starmap(work, strips)
        return
    pending: collections.deque[Future[np.ndarray]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        for strip in strips:
            pending.append(pool.submit(work, *strip))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _header(width: int, height: int, rows: int, depth: int) -> bytes:
    """What stands before the pixels of an uncompressed RGB BigTIFF (BigTIFF design, 2007), ``rows`` rows to a strip."""
    line = width * 3 * depth // 8
    counts = [min(rows, height - top) * line for top in range(0, height, rows)]
    strips, tags = len(counts), 10
    bits = struct.pack("<3Hxx", depth, depth, depth)
    places = 16 + 8 + 20 * tags + 8  # of the arrays that are too long for their entries
    pixels = places + 2 * 8 * strips
    offsets = [pixels + top * rows * line for top in range(strips)]
    arrays = struct.pack(f"<{2 * strips}Q", *offsets, *counts)
    inside = strips == 1
    entries = (
        (256, 4, 1, struct.pack("<Q", width)),
        (257, 4, 1, struct.pack("<Q", height)),
        (258, 3, 3, bits),
        (259, 3, 1, struct.pack("<Q", 1)),  # no compression
        (262, 3, 1, struct.pack("<Q", 2)),  # RGB
        (273, 16, strips, struct.pack("<Q", offsets[0] if inside else places)),
        (277, 3, 1, struct.pack("<Q", 3)),
        (278, 4, 1, struct.pack("<Q", rows)),
        (279, 16, strips, struct.pack("<Q", counts[0] if inside else places + 8 * strips)),
        (284, 3, 1, struct.pack("<Q", 1)),  # channels of a pixel together
    )
    table = b"".join(struct.pack("<HHQ", *entry[:3]) + entry[3] for entry in entries)
    return struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, tags) + table + struct.pack("<Q", 0) + arrays


class _Strips:
    """The file of `_header` and of strips made in one thread (libvips lets only one read a region), read in another.

    Forward only, but for the header, which is kept.
    """

    def __init__(self, header: bytes, size: int, strips: Iterator[np.ndarray]) -> None:
        self.header, self.size, self.strips = header, size, strips
        self.place, self.start, self.strip = 0, len(header), memoryview(b"")  # where: the reader, the strip at hand
        self.stopped = False
        self.queue: queue.Queue[np.ndarray | None] = queue.Queue(AHEAD)
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._fill, daemon=True)
        self.thread.start()

    def _put(self, strip: np.ndarray | None) -> bool:
        while not self.stopped:
            try:
                self.queue.put(strip, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _fill(self) -> None:
        try:
            for strip in self.strips:
                if not self._put(strip):
                    return
        except BaseException as error:  # given to whoever saves the picture
            self.error = error
        self._put(None)

    def read(self, count: int) -> bytes:
        if self.place < len(self.header):
            part = self.header[self.place : self.place + count]
        else:
            while self.place >= self.start + len(self.strip):
                self.start += len(self.strip)
                strip = self.queue.get()
                if strip is None:  # and stays so, however often libvips asks again
                    self.queue.put(None)
                    return b""
                self.strip = strip.data.cast("B")
            at = self.place - self.start
            part = bytes(self.strip[at : at + count]) if at >= 0 else b""
        self.place += len(part)
        return part

    def seek(self, offset: int, whence: int) -> int:
        self.place = offset + (0, self.place, self.size)[whence]
        return self.place

    def stop(self) -> None:
        self.stopped = True
        self.thread.join()


@contextmanager
def process_strips(
    image: pyvips.Image, rows: int, work: Strip, depth: int, threads: int | None = None
) -> Iterator[pyvips.Image]:
    """`image` (8 or 16 bits) after `work` on strips of `rows` rows: an RGB image of `depth` bits, to be read once.

    ``threads``: that `work`; as many as there are processors, when None.
    What goes wrong while it is read, in `work` or in libvips, is raised on leaving.
    """
    header = _header(image.width, image.height, rows, depth)
    size = len(header) + image.width * image.height * 3 * depth // 8
    file = _Strips(header, size, _ahead(_strips(image, rows), work, threads or available_processors()))
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
        file.stop()
