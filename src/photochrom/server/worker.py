"""The worker process: it colorizes one photo after another, and may crash or be killed without harm to the server."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pyvips

from ..core.sampling.procedure import Hints
from ..imaging import formats, icc
from ..imaging.errors import PhotoTooLarge, WriteError, photo_errors
from ..imaging.photo import Photo, open_photo
from ..inference.bundle import BundleError
from ..inference.colorizer import AB, Colorizer, Gray
from ..inference.options import ColorOptions

UPLOAD = "photo"  # name of the uploaded file in the folder of a request, and of the photo in messages
ORIGINAL_PREVIEW = "original.jpg"
PREVIEW_SUFFIX = ".preview.jpg"  # beside an output
PREVIEW_SIDE = 1600  # longest side of a preview, in pixels
CLEANUP_SECONDS = 10
CACHE_BYTES = 64 << 20
STATUSES = {PhotoTooLarge: 413, WriteError: 507, BundleError: 500}  # HTTP status of an error; 422 of any other


@dataclass(frozen=True)
class ColorizeRequest:
    """A photo to colorize: the file `UPLOAD` in ``folder``, where the results are written too."""

    folder: Path
    model: str  # path of the bundle
    options: ColorOptions
    previews: bool = True  # whether to write small JPEGs for a web page
    page: int | None = None  # to read, from 1; None: the first that is not reduced in size


@dataclass(frozen=True)
class Opened:
    """The photo is open; ``size``: bytes of the preview of the original, ``output_size``: most bytes of an output."""

    width: int
    height: int
    suffix: str
    size: int
    output_size: int


@dataclass(frozen=True)
class OutputWritten:
    """The output of a seed and its preview are written; ``size``: their bytes, ``notes``: what is not in the output."""

    seed: int
    size: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """Why the request failed, and the HTTP status for it."""

    reason: str
    status: int


IDLE = None  # sent once the first model is loaded, and as the last event of a request that did not fail
Event = Opened | OutputWritten | Failed | None


class CachedColorizer(Colorizer):
    """A colorizer that keeps the last predicted colors (not photos), up to `CACHE_BYTES`."""

    def __init__(self, model: str, threads: int) -> None:
        super().__init__(model, threads)
        self.cache: dict[bytes, AB] = {}  # the one that was used last comes last

    def predict(self, grays: Sequence[Gray], seeds: int | Sequence[int] = 0, hints: Hints | None = None) -> list[AB]:
        """As `Colorizer.predict`; results with hints are not cached."""
        if hints is not None:
            return super().predict(grays, seeds, hints)
        seeds = [seeds] * len(grays) if isinstance(seeds, int) else seeds
        results = []
        for gray, seed in zip(grays, seeds, strict=True):
            # The procedure holds the sampler options; a deterministic model gives the same colors for every seed.
            settings = f"{self.procedure} {seed if self.procedure.capabilities.stochastic else 0} {gray.shape}".encode()
            key = hashlib.sha256(settings + gray.tobytes()).digest()
            if key not in self.cache:
                (self.cache[key],) = super().predict([gray], [seed])
            self.cache[key] = self.cache.pop(key)
            results.append(self.cache[key])
        while sum(ab.nbytes for ab in self.cache.values()) > CACHE_BYTES:
            del self.cache[next(iter(self.cache))]
        return results


def serve(pipe: Connection, root: Path, scratch: Path, model: str, threads: int, max_pixels: int) -> None:
    """Answer each `ColorizeRequest` from ``pipe`` with its events until the server ends.

    ``root``: all files of the server, removed at its end; ``scratch``: folder for temporary files, which the server
    removes if it kills this process; ``model``: path of the bundle to load first.
    """

    def exit_with_server() -> None:
        multiprocessing.parent_process().join()  # type: ignore[union-attr]
        deadline = time.monotonic() + CLEANUP_SECONDS
        # Once may not be enough: the main thread may still write into the folder.
        while root.exists() and time.monotonic() < deadline:
            shutil.rmtree(root, ignore_errors=True)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C
    cleanup = threading.Thread(target=exit_with_server, daemon=True)
    cleanup.start()
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)  # for libvips and for Python
    try:
        colorizers = {model: CachedColorizer(model, threads)}
        pipe.send(IDLE)
        while True:
            for event in _colorize(colorizers, pipe.recv(), threads, max_pixels):
                pipe.send(event)
    except (EOFError, ConnectionError):
        cleanup.join()


def _colorize(
    colorizers: dict[str, CachedColorizer], request: ColorizeRequest, threads: int, max_pixels: int
) -> Iterator[Event]:
    try:
        if request.model not in colorizers:
            colorizers[request.model] = CachedColorizer(request.model, threads)
        photo = open_photo(request.folder / UPLOAD, max_pixels, UPLOAD, request.page)
        size = 0
        if request.previews:
            size = (request.folder / ORIGINAL_PREVIEW).write_bytes(preview(photo, PREVIEW_SIDE))
        # LZW, the least efficient of the lossless methods, makes noise larger by half; lossy methods never make it
        # larger. The rest is for the preview and the headers; metadata is copied from the upload.
        pixels = photo.width * photo.height * (4 if photo.alpha else 3) * photo.depth // 8
        growth = 1 if photo.suffix in (".jpg", ".avif") else 2
        output_size = growth * pixels + (request.folder / UPLOAD).stat().st_size + (1 << 14)
        yield Opened(photo.width, photo.height, photo.suffix, size, output_size)
        for result in colorizers[request.model].colorize_photo(photo, request.options):
            output = result.save(request.folder / f"{result.seed}{photo.suffix}")
            size = output.stat().st_size
            if request.previews:
                image = preview(open_photo(output, max_pixels), PREVIEW_SIDE)
                size += output.with_suffix(PREVIEW_SUFFIX).write_bytes(image)
            notes = tuple(note.removesuffix(formats.PAGE_OPTION) for note in photo.reader.notes)
            yield OutputWritten(result.seed, size, notes)
        yield IDLE
    except ValueError as error:
        status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)
        # The client does not learn where the server keeps its files.
        yield Failed(str(error).replace(f"{request.folder}{os.sep}", ""), status)
    except OSError as error:
        yield Failed(f"{UPLOAD}: cannot be stored ({error.strerror})", 507)


def preview(photo: Photo, longest: int) -> bytes:
    """Return a photo as JPEG, upright and in sRGB, whose long side is at most `longest` pixels."""
    scale = max(photo.width, photo.height) / longest
    with photo_errors(photo.name, "read"):
        image = icc.to_standard(photo.reader.open(scale), photo.reader)
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", photo.orientation)  # which XMP alone may tell
        image = image.thumbnail_image(longest, height=longest, size="down").colourspace("srgb")
        return image.write_to_buffer(".jpg", Q=90)
