"""The worker process: it colorizes one photo after another, and may crash or be killed without harm to the server."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyvips

from ..core.color import AB_SCALE, L_SCALE, fit_gamut, lab_to_rgb
from ..core.sampling.procedure import Hints
from ..imaging import formats, icc
from ..imaging.errors import PhotoTooLarge, WriteError, photo_errors
from ..imaging.photo import Photo, open_photo
from ..imaging.tones import BLACK_AND_WHITE
from ..inference.bundle import BundleError
from ..inference.colorizer import AB, Colorizer, Gray
from ..inference.options import ColorOptions
from .limits import PREVIEW_SIDE

UPLOAD = "photo"  # name of the uploaded file in the folder of a request, and of the photo in messages
FILM_SUFFIX = ".mp4"  # of all colorized films, since browsers play it
FILM_GROWTH, FILM_BYTES = 4, 512 << 20  # times the bytes of a film, and more, that its output and its parts may have
PROGRESS_SECONDS = 0.5  # from one `FilmProgress` to the next
ORIGINAL_PREVIEW = "original.jpg"
COLORS_SUFFIX = ".ab"  # of the color map of a seed: int16 (2, h, w), a and b of Lab times `COLORS_SCALE`
COLORS_SCALE = 64
CLEANUP_SECONDS = 10
CACHE_BYTES = 64 << 20
STATUSES = {PhotoTooLarge: 413, WriteError: 507, BundleError: 500}  # HTTP status of an error; 422 of any other


@dataclass(frozen=True)
class ColorizeRequest:
    """A photo to colorize: the file `UPLOAD` in ``folder``, where the results are written too.

    Without ``outputs`` it is a draft: only a preview of the original and color maps are written. ``place``: the pixel
    whose likely colors are asked for, instead of colors for all.
    """

    folder: Path
    model: str  # path of the bundle
    options: ColorOptions
    preview: int = PREVIEW_SIDE  # longest side of that preview, in pixels; 0: none
    page: int | None = None  # to read, from 1; None: the first that is not reduced in size
    outputs: bool = True
    suffix: str = ""  # of the outputs; "" for that of the photo
    colors: bool = True  # whether to predict any; otherwise only the preview of the original is written
    place: tuple[int, int] | None = None  # column and row
    film_seconds: float | None = None  # length of the longest film that is accepted; None: the file is a photo


@dataclass(frozen=True)
class Opened:
    """The photo is open; ``size``: bytes of the preview of the original, ``output_size``: most bytes of an output."""

    width: int
    height: int
    suffix: str
    size: int
    output_size: int


@dataclass(frozen=True)
class Predicted:
    """The files of a seed are written; ``shape``: of its color map, ``notes``: what of the photo is left aside."""

    seed: int
    size: int  # bytes
    shape: tuple[int, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FilmProgress:
    """How many seconds of a film are colorized, of how many (None: not known)."""

    done: float
    whole: float | None


@dataclass(frozen=True)
class Found:
    """The likely colors of a place, each as #rrggbb and with its probability, the likeliest first."""

    colors: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Failed:
    """Why the request failed, and the HTTP status for it."""

    reason: str
    status: int


IDLE = None  # sent once the first model is loaded, and as the last event of a request that did not fail
Event = Opened | Predicted | FilmProgress | Found | Failed | None


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
            noise = (seed, self.near) if self.procedure.capabilities.stochastic else ()
            settings = f"{self.procedure} {noise} {gray.shape}"
            key = hashlib.sha256(settings.encode() + gray.tobytes()).digest()
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
    formats.block_other_loaders()
    try:
        colorizers = {model: CachedColorizer(model, threads)}
        pipe.send(IDLE)
        while True:
            for event in _colorize(colorizers, pipe.recv(), threads, max_pixels, pipe.send):
                pipe.send(event)
    except (EOFError, ConnectionError):
        cleanup.join()


def _colorize(
    colorizers: dict[str, CachedColorizer],
    request: ColorizeRequest,
    threads: int,
    max_pixels: int,
    send: Callable[[FilmProgress], None] = lambda event: None,
) -> Iterator[Event]:
    try:
        if request.model not in colorizers:
            colorizers[request.model] = CachedColorizer(request.model, threads)
        colorizer = colorizers[request.model]
        if request.film_seconds is not None:
            yield from _write_film(colorizer, request, request.film_seconds, max_pixels, send)
        else:
            photo = open_photo(request.folder / UPLOAD, max_pixels, UPLOAD, request.page)
            if request.place:
                yield Found(likely_colors(colorizer, photo, request.options, *request.place))
            else:
                yield from _write(colorizer, photo, request)
        yield IDLE
    except ValueError as error:
        status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)
        # The client does not learn where the server keeps its files.
        yield Failed(str(error).replace(f"{request.folder}{os.sep}", ""), status)
    except OSError as error:
        yield Failed(f"{UPLOAD}: cannot be stored ({error.strerror})", 507)


def _write(colorizer: CachedColorizer, photo: Photo, request: ColorizeRequest) -> Iterator[Event]:
    size = 0
    if request.preview:
        size = (request.folder / ORIGINAL_PREVIEW).write_bytes(preview(photo, request.preview))
    # LZW, the least efficient of the lossless methods, makes noise larger by half; lossy methods never make it
    # larger. The rest is for the headers; metadata is copied from the upload.
    pixels = photo.width * photo.height * (4 if photo.alpha else 3) * photo.depth // 8
    growth = 1 if (request.suffix or photo.suffix) in (".jpg", ".avif") else 2
    output_size = growth * pixels + (request.folder / UPLOAD).stat().st_size if request.outputs else 0
    suffix = request.suffix or photo.suffix
    height, width = photo.model_size(colorizer.card.inference_size(request.options.size), 1, colorizer.card.square)
    yield Opened(photo.width, photo.height, suffix, size, output_size + 4 * height * width + (1 << 14))
    if not request.colors:
        return
    if not request.outputs and _is_bilevel(photo):  # which an output finds out by itself
        photo.reader.notes.add(BLACK_AND_WHITE)
    for result in colorizer.colorize_photo(photo, request.options):
        output, size = request.folder / f"{result.seed}{suffix}", 0
        if request.outputs:
            size += result.save(output).stat().st_size
        if request.preview:
            colors = np.rint(result.ab * (AB_SCALE * COLORS_SCALE)).clip(-(1 << 15), (1 << 15) - 1).astype("<i2")
            size += output.with_suffix(COLORS_SUFFIX).write_bytes(colors.tobytes())
        notes = tuple(note.removesuffix(formats.PAGE_OPTION) for note in photo.reader.notes)
        yield Predicted(result.seed, size, result.ab.shape[1:], notes)


def _write_film(
    colorizer: Colorizer,
    request: ColorizeRequest,
    longest: float,
    max_pixels: int,
    send: Callable[[FilmProgress], None],
) -> Iterator[Event]:
    from ..video.film import FilmOptions, colorize_film, work_folder
    from ..video.reading import Film

    source, target = request.folder / UPLOAD, request.folder / f"{request.options.seed}{FILM_SUFFIX}"
    advice = "colorize it with the command photochrom colorize, which has no limit, or cut it"
    too_long = f"{UPLOAD}: is longer than the limit of {longest:g} seconds: {advice}"
    most = FILM_GROWTH * source.stat().st_size + FILM_BYTES
    with Film(source, max_pixels) as film:
        if (film.duration or 0) > longest:
            raise PhotoTooLarge(too_long)
        yield Opened(film.width, film.height, FILM_SUFFIX, 0, most)
        yield FilmProgress(0, film.duration)
    last = time.monotonic()

    def report(done: float, whole: float | None) -> None:
        nonlocal last
        if done > longest:  # whatever the container says
            raise PhotoTooLarge(too_long)
        if time.monotonic() < last + PROGRESS_SECONDS:
            return
        last = time.monotonic()
        if sum(part.stat().st_size for part in work_folder(target).iterdir()) > most // 2:  # they are joined later
            raise WriteError(f"{UPLOAD}: the colorized film is too large to be stored: {advice}")
        send(FilmProgress(done, whole))

    made = colorize_film(colorizer, source, target, FilmOptions(request.options, max_pixels=max_pixels), report)
    yield Predicted(request.options.seed, target.stat().st_size, (0, 0), made.notes)


def _is_bilevel(photo: Photo) -> bool:
    image = photo.reader.open()
    return image.get_typeof("bits-per-sample") != 0 and image.get("bits-per-sample") == 1


def likely_colors(
    colorizer: Colorizer, photo: Photo, options: ColorOptions, column: int, row: int
) -> tuple[tuple[str, float], ...]:
    """Return likely colors of a pixel of a photo with their probabilities, at the lightness of the photo there."""
    prepared = colorizer.prepare(photo, replace(options, hints=()))
    _, height, width = prepared.gray.shape
    y, x = row * height // photo.height, column * width // photo.width
    colors = colorizer.procedure.likely_colors(colorizer.nets, prepared.gray[None], y, x)
    card = colorizer.card
    gray = photo.gray(card.inference_size(options.size), card.multiple, square=card.square)
    lightness = (gray[0, y, x] + 1) * L_SCALE
    codes = []
    for a, b, probability in colors:
        lab = np.array([lightness, a, b], np.float32).reshape(3, 1, 1)
        rgb = np.rint(lab_to_rgb(fit_gamut(lab)).ravel() * 255).astype(np.uint8)
        codes.append((f"#{rgb.tobytes().hex()}", probability))
    return tuple(codes)


def preview(photo: Photo, longest: int) -> bytes:
    """Return a photo as JPEG, upright and in sRGB, whose long side is at most `longest` pixels."""
    scale = max(photo.width, photo.height) / longest
    with photo_errors(photo.name, "read"):
        image = icc.to_standard(photo.reader.open(scale), photo.reader)
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", photo.orientation)  # which XMP alone may tell
        image = image.thumbnail_image(longest, height=longest, size="down").colourspace("srgb")
        return image.write_to_buffer(".jpg", Q=90)
