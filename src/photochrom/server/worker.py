"""The worker process: it colorizes one photo after another, and may crash or be killed without harm to the server."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from ..core.sampling.procedure import Hints
from ..imaging.errors import PhotoTooLarge, WriteError
from ..imaging.photo import open_photo
from ..inference.bundle import BundleError
from ..inference.colorizer import AB, Colorizer, Gray
from ..inference.contact_sheet import preview
from ..inference.options import ColorOptions

UPLOAD = "photo"  # name of the uploaded file in the folder of a request, and of the photo in messages
ORIGINAL_PREVIEW = "original.jpg"
PREVIEW_SIDE = 1600  # longest side of a preview, in pixels
CLEANUP_SECONDS = 10
CACHE_BYTES = 64 << 20


@dataclass(frozen=True)
class ColorizeRequest:
    """A photo to colorize: the file `UPLOAD` in ``folder``, where the results are written too.

    ``model``: path of the bundle; ``previews``: whether to write small JPEGs for a web page.
    """

    folder: Path
    model: str
    options: ColorOptions
    previews: bool = True

    def output(self, seed: int, suffix: str) -> Path:
        """Return the path of the output of a seed."""
        return self.folder / f"{seed}{suffix}"

    def preview(self, seed: int) -> Path:
        """Return the path of the preview of an output."""
        return self.folder / f"{seed}-preview.jpg"


@dataclass(frozen=True)
class Opened:
    """The photo is open. ``bytes_per_pixel``: uncompressed; ``size``: bytes of the preview of the original."""

    width: int
    height: int
    bytes_per_pixel: int
    suffix: str
    size: int


@dataclass(frozen=True)
class OutputWritten:
    """The output of a seed and its preview are written; ``size``: their bytes."""

    seed: int
    size: int


@dataclass(frozen=True)
class Failed:
    """Why the request failed, and the HTTP status for it."""

    reason: str
    status: int


Event = Opened | OutputWritten | Failed
IDLE = None  # sent once the first model is loaded, and after the last event of a request


class CachedColorizer(Colorizer):
    """A colorizer that keeps the last predicted colors (not photos), up to `CACHE_BYTES`."""

    def __init__(self, model: str, threads: int) -> None:
        super().__init__(model, threads)
        self.cache: OrderedDict[str, AB] = OrderedDict()

    def predict(self, grays: Sequence[Gray], seeds: int | Sequence[int] = 0, hints: Hints | None = None) -> list[AB]:
        """As `Colorizer.predict`; results with hints are not cached."""
        if hints is not None:
            return super().predict(grays, seeds, hints)
        seeds = [seeds] * len(grays) if isinstance(seeds, int) else seeds
        results = []
        for gray, seed in zip(grays, seeds, strict=True):
            key = self._key(gray, seed)
            if key not in self.cache:
                (self.cache[key],) = super().predict([gray], [seed])
            self.cache.move_to_end(key)
            results.append(self.cache[key])
        while sum(ab.nbytes for ab in self.cache.values()) > CACHE_BYTES:
            self.cache.popitem(last=False)
        return results

    def _key(self, gray: Gray, seed: int) -> str:
        # The procedure holds the sampler options; a deterministic model gives the same colors for every seed.
        settings = f"{self.procedure} {seed if self.procedure.stochastic else 0} {gray.shape}".encode()
        return hashlib.sha256(settings + np.ascontiguousarray(gray).tobytes()).hexdigest()


def serve(pipe: Connection, root: Path, scratch: Path, models: Sequence[str], threads: int, max_pixels: int) -> None:
    """Answer each `ColorizeRequest` from ``pipe`` with its events, the last of which is `IDLE`, until the server ends.

    ``root``: all files of the server, removed at its end; ``scratch``: folder for temporary files, which the server
    removes if it kills this process; ``models``: paths of bundles, the first of which is loaded at once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C
    cleanup = threading.Thread(target=_exit_with_server, args=(root,), daemon=True)
    cleanup.start()
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)  # for libvips and for Python
    try:
        colorizers = {models[0]: CachedColorizer(models[0], threads)}
        while True:
            pipe.send(IDLE)
            request = pipe.recv()
            for event in _colorize(colorizers, request, threads, max_pixels):
                pipe.send(event)
    except (EOFError, ConnectionError):
        cleanup.join()


def _exit_with_server(root: Path) -> None:
    server = multiprocessing.parent_process()
    assert server
    server.join()
    deadline = time.monotonic() + CLEANUP_SECONDS
    # Once may not be enough: the main thread may still write into the folder.
    while root.exists() and time.monotonic() < deadline:
        shutil.rmtree(root, ignore_errors=True)
    os._exit(1)


def _colorize(
    colorizers: dict[str, CachedColorizer], request: ColorizeRequest, threads: int, max_pixels: int
) -> Iterator[Event]:
    try:
        if request.model not in colorizers:
            colorizers[request.model] = CachedColorizer(request.model, threads)
        photo = open_photo(request.folder / UPLOAD, max_pixels, UPLOAD)
        size = 0
        if request.previews:
            size = (request.folder / ORIGINAL_PREVIEW).write_bytes(preview(photo, PREVIEW_SIDE))
        bytes_per_pixel = photo.depth // 8 * (4 if photo.alpha else 3)
        yield Opened(photo.width, photo.height, bytes_per_pixel, photo.suffix, size)
        for result in colorizers[request.model].colorize_photo(photo, request.options):
            output = result.save(request.output(result.seed, photo.suffix))
            size = output.stat().st_size
            if request.previews:
                image = preview(open_photo(output, max_pixels), PREVIEW_SIDE)
                size += request.preview(result.seed).write_bytes(image)
            yield OutputWritten(result.seed, size)
    except PhotoTooLarge as error:
        yield Failed(str(error), 413)
    except BundleError as error:
        yield Failed(str(error), 500)
    except WriteError as error:
        # The client is not told where the server keeps its files.
        yield Failed(str(error).replace(f"{request.folder}{os.sep}", ""), 507)
    except ValueError as error:
        yield Failed(str(error), 422)
    except OSError as error:
        yield Failed(f"{UPLOAD}: cannot be stored ({error.strerror})", 507)
