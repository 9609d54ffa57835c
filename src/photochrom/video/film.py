"""Films colorized: shot by shot, so that one that is stopped goes on where it was."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float32

from .._version import __version__
from ..core import color
from ..imaging.atomic import atomic_path, atomic_write, check_free
from ..imaging.errors import FileExists, PhotoError, printable
from ..imaging.films import FILM_OUTPUTS
from ..imaging.limits import MAX_PIXELS
from ..imaging.metadata.xmp import SOURCE_TYPE
from ..imaging.photo import check_replaceable, model_size
from ..inference import contact_sheet
from ..inference.colorizer import Colorizer
from ..inference.grading import grade
from ..inference.hints import HintMaps
from ..inference.options import ColorOptions
from .chroma import chroma_planes, enlarge, shrink
from .coherence import AB, coherent_colors
from .hints import FilmHint, Hints, follow_hints
from .motion import Gray, MotionEstimator
from .reading import Film, Frame, film_errors, open_container
from .shots import mark_cuts, split_shots
from .writing import PartWriter, Quality, join, join_animation

EARLY = 12  # frames after the first of a shot that shows it in a preview
MARK = "Colorized by Photochrom"  # how the comment of an output ends, or begins
UNMARKED = (".gif", ".mpeg", ".mpg")  # suffixes of containers that have no metadata
Progress = Callable[[float, float | None], None]  # gets the seconds of a film that are done, and of all of it


def silent(done: float, whole: float | None) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class FilmOptions:
    """How a film is colorized.

    ``crf``: of the encoder, see `Quality`; ``preview``: seconds from the start after which the output ends.
    """

    color: ColorOptions = field(default_factory=ColorOptions)
    crf: int = 16
    preview: float | None = None
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
    hints: tuple[FilmHint, ...] = ()


@dataclass(frozen=True)
class ColorizedFilm:
    """A film that is written.

    ``mark``: what its metadata says of its colors; ``luma_error``: mean difference of its luma from the original's, in
    codes of 8 bits.
    """

    path: Path
    mark: str
    notes: tuple[str, ...]
    size: tuple[int, int]
    frames: int
    seconds: float
    luma_error: float


def colorize_film(
    colorizer: Colorizer,
    source: Path,
    target: Path,
    options: FilmOptions = FilmOptions(),
    progress: Progress = silent,
) -> ColorizedFilm:
    """Write a film in color at ``target``, whose suffix decides the container.

    What is done of each shot is kept in a folder beside the target until the film is whole, so that the same call goes
    on after it was stopped. Raises PhotoError for a film that cannot be read or written, and FileExists.
    """
    start = time.monotonic()
    if target.suffix.lower() not in FILM_OUTPUTS:
        raise ValueError(f"{printable(target)}: is no film; choose one of {', '.join(FILM_OUTPUTS)}")
    _check_target(target, options.overwrite)
    configured = colorizer.configured(options.color)
    quality = Quality(target.suffix.lower(), options.crf)
    with Film(source, options.max_pixels) as film, _Work.begin(target, _fingerprint(film, configured, options)) as work:
        _colorize_shots(configured, film, quality, options, work, progress)
        if not work.parts:
            raise PhotoError(f"{film.name}: has no frame that can be read")
        mark = _mark(configured, options)
        metadata = {
            "comment": "; ".join(filter(None, (comment_of(film.container.metadata), mark))),
            "DigitalSourceType": SOURCE_TYPE,
            "original_sha256": _sha256(source),
        }
        with atomic_path(target, options.overwrite) as path, film_errors(printable(target), "written"):
            if quality.suffix == ".gif":
                join_animation(work.parts, path, film.last_duration)
            else:
                join(work.parts, film, path, quality, metadata, options.preview)
        if quality.suffix in UNMARKED:
            film.notes.add(f"{quality.suffix} has no metadata: nothing in the output says that it is colorized")
        work.remove()
        error = float(np.mean(work.errors))
        notes = tuple(dict.fromkeys([*work.notes, *film.notes]))
        size = film.width, film.height
        return ColorizedFilm(target, mark, notes, size, work.frames, time.monotonic() - start, error)


def _colorize_shots(
    colorizer: Colorizer, film: Film, quality: Quality, options: FilmOptions, work: "_Work", progress: Progress
) -> None:
    motion = MotionEstimator()
    whole = film.duration if options.preview is None else min(options.preview, film.duration or options.preview)
    hints = _hints(colorizer, film, options, motion) if options.hints else {}
    frames = _frames(film, options, work.next_pts, work.frames)
    for shot in shots(colorizer, film, frames, options.color, motion, hints):
        with film_errors(work.name, "written"):
            part = work.new_part()
            writer = PartWriter(part, film, quality)
            count, last = 0, 0
            for frame, ab in shot:
                writer.write(frame, chroma_planes(frame.luma, ab, film.encoding, *writer.chroma_size))
                count, last = count + 1, frame.pts
                progress(film.seconds(frame.pts), whole)
            work.keep(part, count, last, writer.close(), film.notes)


def _frames(film: Film, options: FilmOptions, start: int | None = None, number: int = 0) -> Iterator[Frame]:
    """Return the frames of a film as `Film.frames`, to the end of the preview."""
    frames = film.frames(start, number)
    if options.preview is None:
        return frames
    limit = options.preview
    return takewhile(lambda frame: film.seconds(frame.pts) < limit, frames)


def _hints(colorizer: Colorizer, film: Film, options: FilmOptions, motion: MotionEstimator) -> Hints:
    height, width = _inference_size(colorizer, film, options.color)
    seen = ((frame.number, shrink(frame.luma, film.encoding, width, height)) for frame in _frames(film, options))
    return follow_hints(film, options.hints, mark_cuts(seen, motion))


def preview_shots(
    colorizer: Colorizer,
    source: Path,
    target: Path,
    options: FilmOptions,
    progress: Progress = silent,
) -> Path:
    """Write a contact sheet (JPEG) of one frame of each shot, colorized as a photo. Raises as `colorize_film`."""
    if options.overwrite:
        check_replaceable(target)
    configured, motion = colorizer.configured(options.color), MotionEstimator()
    grays, colors = [], []
    with Film(source, options.max_pixels) as film, atomic_write(target, options.overwrite) as file:
        height, width = _inference_size(configured, film, options.color)
        seen = ((frame, shrink(frame.luma, film.encoding, width, height)) for frame in film.frames())
        for shot in split_shots(mark_cuts(seen, motion)):
            for index, (frame, gray) in enumerate(shot):
                if index <= EARLY:
                    chosen = gray
                progress(film.seconds(frame.pts), film.duration)
            grays.append(_seen(configured, chosen))
            colors.append(grade(configured.predict(grays[-1:], options.color.seed)[0], options.color))
        file.write(contact_sheet.scenes(grays, colors, configured.provenance(options.color.seed, options.color)))
    return target


def shots(
    colorizer: Colorizer,
    film: Film,
    frames: Iterator[Frame],
    options: ColorOptions,
    motion: MotionEstimator,
    hints: Hints = MappingProxyType({}),
) -> Iterator[Iterator[tuple[Frame, AB]]]:
    """Yield the shots of a film, each as its frames with their ab in [-1, 1], at the inference size."""
    height, width = _inference_size(colorizer, film, options)

    def predict(frame: Frame, gray: Gray) -> AB:
        seen = _seen(colorizer, gray)
        own = hints.get(frame.number)
        maps = HintMaps(film, seen, own) if own else None
        (ab,) = colorizer.predict([seen], options.seed, maps)
        # Grading is linear in ab, as the mean over frames is: to grade what is predicted is to grade the film.
        return enlarge(grade(ab, options, maps), width, height)

    seen = ((frame, shrink(frame.luma, film.encoding, width, height)) for frame in frames)
    for shot in split_shots(mark_cuts(seen, motion)):
        yield coherent_colors(shot, predict, motion)


def _seen(colorizer: Colorizer, gray: Gray) -> Float32[np.ndarray, "1 h w"]:
    """Return a picture as a model sees it."""
    return color.rgb_to_gray(np.broadcast_to(gray, (3, *gray.shape)), colorizer.card.gray)[None]


def _inference_size(colorizer: Colorizer, film: Film, options: ColorOptions) -> tuple[int, int]:
    card = colorizer.card
    return model_size(film.width, film.height, card.inference_size(options.size), card.multiple, card.square)


def _check_target(target: Path, overwrite: bool) -> None:
    check_free(target, overwrite)
    if not target.exists():
        return
    with film_errors(printable(target), "read"), open_container(target) as made:
        if MARK not in comment_of(made.metadata):
            unknown = target.suffix.lower() in UNMARKED
            reason = "has no metadata that says that Photochrom made it" if unknown else "was not made by Photochrom"
            raise FileExists(f"{printable(target)}: {reason}, so it is never replaced; delete it first")


def comment_of(metadata: Mapping[str, str]) -> str:
    """Return the comment of a film; containers write its name in capitals or not."""
    return next((value for name, value in metadata.items() if name.lower() == "comment"), "")


def _mark(colorizer: Colorizer, options: FilmOptions) -> str:
    """Return what metadata says of the colors."""
    provenance = colorizer.provenance(options.color.seed, options.color)
    others = [f"hints {' '.join(map(str, options.hints))}"] if options.hints else []
    details = ", ".join(filter(None, (f"seed {provenance.seed}", provenance.options, *others)))
    return f"{MARK} {__version__} (model {provenance.model} {provenance.version}, {details})"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(film: Film, colorizer: Colorizer, options: FilmOptions) -> str:
    """Return what decides the frames of an output."""
    status = film.path.stat()
    model = colorizer.card.name, colorizer.card.weights
    parts = (
        __version__,
        status.st_size,
        status.st_mtime_ns,
        model,
        options.color,
        options.crf,
        options.preview,
        options.hints,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def work_folder(target: Path) -> Path:
    """Return the folder of what is done of an output before it is whole."""
    return target.with_name(f".{target.name}.parts")


@dataclass(eq=False)
class _Work:
    """The folder of what is done of a film: its finished parts, and a record of them."""

    folder: Path
    name: str
    fingerprint: str
    parts: list[Path] = field(default_factory=list)
    frames: int = 0
    next_pts: int | None = None
    errors: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def begin(cls, target: Path, fingerprint: str) -> Iterator["_Work"]:
        """Yield the work on a target, as far as it was done by a call of the same fingerprint before."""
        name = printable(target)
        with film_errors(name, "written"):
            target.parent.mkdir(parents=True, exist_ok=True)
            folder = work_folder(target)
            folder.mkdir(exist_ok=True)
            lock = (folder / "lock").open("w")
        with lock:
            with suppress(ImportError):
                import fcntl

                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise PhotoError(f"{name}: is being written by another process") from None
            work = cls(folder, name, fingerprint)
            work._read()
            try:
                yield work
            finally:
                if not work.parts:
                    work.remove()

    def _read(self) -> None:
        try:
            record = json.loads((self.folder / "record.json").read_text())
        except (OSError, ValueError):
            record = {}
        if record.get("fingerprint") == self.fingerprint:
            self.parts = [self.folder / name for name in record["parts"]]
        if self.parts and all(part.exists() for part in self.parts):
            self.frames, self.next_pts = record["frames"], record["next"]
            self.errors, self.notes = record["errors"], record["notes"]
        else:
            self.parts = []
        for file in self.folder.iterdir():
            if file not in self.parts and file.name not in ("lock", "record.json"):
                file.unlink()

    def new_part(self) -> Path:
        """Return the path of the next part."""
        return self.folder / f"{len(self.parts):06}.nut"

    def keep(self, part: Path, frames: int, last: int, error: float, notes: list[str]) -> None:
        """Record a part that is finished; ``last``: the time of its last frame."""
        self.parts.append(part)
        self.frames += frames
        self.next_pts = last + 1
        self.errors.append(error)
        self.notes = list(dict.fromkeys([*self.notes, *notes]))
        record = {
            "fingerprint": self.fingerprint,
            "parts": [path.name for path in self.parts],
            "frames": self.frames,
            "next": self.next_pts,
            "errors": self.errors,
            "notes": self.notes,
        }
        unfinished = self.folder / "record.new"
        unfinished.write_text(json.dumps(record))
        unfinished.replace(self.folder / "record.json")

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
