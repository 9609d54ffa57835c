"""Photos processed in one process: a batch of tasks is predicted together, and each photo written on its own."""

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ..imaging.atomic import atomic_write
from ..imaging.errors import FileExists, PhotoError, printable
from ..imaging.limits import MAX_PIXELS
from ..imaging.notes import Notes
from ..imaging.paths import exists
from ..imaging.photo import Original, Photo, check_replaceable, open_photo, read_provenance
from . import contact_sheet
from .bundle import BundleError
from .colorizer import AB, Colorizer, Prepared
from .grading import grade
from .options import ColorOptions
from .plan import Location, Task

BATCH = 8  # most images that go through the model together


class SkipReason(StrEnum):
    """Why a task was skipped; the value is the text that users read."""

    EXISTS = "output already exists"
    COLORIZED = "already colorized by Photochrom"
    IN_MANIFEST = "already done according to the manifest"
    OTHER_OPTIONS = "output already exists, made with another model, seed or options"
    OTHER_PHOTO = "output already exists, made from another photo, or from an earlier version of this one"


@dataclass(frozen=True)
class Outcome:
    """What became of a task; `reason` is a `SkipReason` or the error message; `files` are those that were written.

    `notes` say what of the photo was left aside or is not in the outputs. `size`: width and height in pixels, where the
    photo was opened; `seconds`: time spent on it; `original`: sha256 of the photo, where an output has its colors.
    """

    task: Task
    reason: str = ""
    files: tuple[Location, ...] = ()
    notes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    seconds: float = 0.0
    original: str = ""

    @property
    def status(self) -> Literal["written", "skipped", "failed"]:
        """Whether the task was written, skipped or failed."""
        if isinstance(self.reason, SkipReason):
            return "skipped"
        return "failed" if self.reason else "written"


@dataclass(frozen=True)
class BatchOptions:
    """How photos of a batch are colorized, whether existing files are replaced, the largest photo in pixels, and the
    page to read (from 1; None: the first that is not reduced in size).
    """

    color: ColorOptions = field(default_factory=ColorOptions)
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
    page: int | None = None

    def is_due(self, file: Location) -> bool:
        """Return whether a file is to be written: it does not exist, or is to be replaced."""
        return self.overwrite or not exists(file)


@dataclass(eq=False)
class _Job:
    """A photo in progress: the seeds to predict, and the colors, files and first error so far."""

    colorizer: Colorizer
    task: Task
    options: BatchOptions
    original: Original
    size: tuple[int, int]
    prepared: Prepared
    seeds: Sequence[int]
    seconds: float = 0.0
    colors: dict[int, AB] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    reason: str = ""

    def write(self, seed: int, ab: AB | Exception) -> None:
        """Write the output of a seed and, after the last one, the images about all of them."""
        if isinstance(ab, Exception):
            raise ab
        result = self.colorizer.merge(self.photo, ab, seed, self.options.color, self.prepared.hints)
        self.colors[seed] = result.ab  # not the result itself, which may hold a decoded photo
        output = Path(self.task.files[seed])
        if self.options.is_due(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            self.files.append(result.save(output, self.options.overwrite))
            self.notes.add(*result.photo.reader.notes)
        if seed != self.seeds[-1] or self.reason:
            return
        for extra in self.task.extras:
            path = Path(self.task.files[extra])
            if self.options.is_due(path):
                with atomic_write(path, self.options.overwrite) as stream:
                    stream.write(self._draw(extra))
                self.files.append(path)

    def finish(self) -> Outcome:
        """Return what became of the task, and leave the photo."""
        vars(self).pop("photo", None)  # its batch holds this job to the end
        files, notes = tuple(self.files), tuple(self.notes)
        original = self.original.sha256 if files else ""
        return Outcome(self.task, self.reason, files, notes, self.size, self.seconds, original)

    @cached_property
    def photo(self) -> Photo:
        """The photo, opened anew for the outputs: pixels of all photos of a batch would take too much memory."""
        photo = open_photo(self.task.source, self.options.max_pixels, page=self.options.page)
        self.original.check_unchanged()
        return replace(photo, original=self.original)

    def _draw(self, extra: str) -> bytes:
        seed, page = self.task.seeds[0], self.photo.reader.page
        provenance = self.colorizer.provenance(seed, self.options.color, page, self.original.sha256)
        gray = self.photo.gray(contact_sheet.SIDE)
        self.original.check_unchanged()
        if extra == "trace":
            hints, color = self.prepared.hints, self.options.color
            steps = self.colorizer.trajectory(self.prepared.gray, seed, hints)
            return contact_sheet.trace(gray, [grade(ab, color, hints) for ab in steps], provenance)
        draw = contact_sheet.variants if extra == "sheet" else contact_sheet.uncertainty
        return draw(gray, [self.colors[seed] for seed in self.task.seeds], provenance)


def process_batch(
    colorizer: Colorizer, tasks: Sequence[Task], options: BatchOptions, stop: threading.Event
) -> Iterator[Outcome]:
    """Prepare each photo, predict `BATCH` images at a time and write them; only small grays stay in memory between.

    Yields an outcome for each task, in their order, until `stop` is set.
    """
    jobs: deque[Any] = deque()  # a `_Job`, or the `Outcome` of a photo that needs none
    images: list[tuple[_Job, int]] = []
    for task in tasks:
        if stop.is_set():
            return
        job = _prepare(colorizer, task, options)
        jobs.append(job)
        if isinstance(job, _Job):
            images.extend((job, seed) for seed in job.seeds)
    for start in range(0, len(images), BATCH):
        if stop.is_set():
            return
        batch = images[start : start + BATCH]
        begin = time.perf_counter()
        predictions = _predict(colorizer, batch)
        each = (time.perf_counter() - begin) / len(batch)
        for (job, seed), ab in zip(batch, predictions, strict=True):
            while isinstance(jobs[0], Outcome):
                yield jobs.popleft()
            begin = time.perf_counter()
            try:
                job.write(seed, ab)
            except Exception as error:
                job.reason = job.reason or _explain(job.task, error)
            job.seconds += each + time.perf_counter() - begin
            if seed == job.seeds[-1]:
                jobs.popleft()
                yield job.finish()
    yield from jobs


def preview(colorizer: Colorizer, tasks: Sequence[Task], options: BatchOptions) -> Generator[Outcome]:
    """Yield what `colorize_batch` would do with each photo as far as its header shows, and write nothing.

    `files` are those that would be written. No network is needed: see `Colorizer.without_networks`.
    """
    for task in tasks:
        photo = _open_due(colorizer, task, options)
        if isinstance(photo, Outcome):
            yield photo
            continue
        try:
            colorizer.check(photo, options.color)
        except PhotoError as error:
            yield Outcome(task, str(error))
        else:
            files = tuple(file for file in task.files.values() if options.is_due(file))
            yield Outcome(task, files=files, size=(photo.width, photo.height))


def _open_due(colorizer: Colorizer, task: Task, options: BatchOptions) -> Photo | Outcome:
    """Return the opened photo of a task that has files to write, else its outcome."""
    if task.problem:
        return Outcome(task, f"{printable(task.source)}: cannot be read ({task.problem})")
    try:
        original = Original(task.source)
        reason = _compare_existing(colorizer, task, options, original)
        if reason:
            return Outcome(task, reason, original=original.sha256 if reason is SkipReason.EXISTS else "")
        photo = replace(open_photo(task.source, options.max_pixels, page=options.page), original=original)
        if task.searched and photo.is_colorized:
            return Outcome(task, SkipReason.COLORIZED)
        photo.saver(Path(task.target).name)  # before the work, rather than after it
    except Exception as error:
        return Outcome(task, _explain(task, error))
    return photo


def _compare_existing(colorizer: Colorizer, task: Task, options: BatchOptions, original: Original) -> SkipReason | None:
    """Return why to skip a task: all its files exist, or one that exists is of another call; None for neither.

    Raises PhotoError for a folder, or a file that Photochrom did not make, in the place of one.
    """
    for file in task.files.values():
        check_replaceable(Path(file))
    existing = {key: Path(file) for key, file in task.files.items() if not options.is_due(file)}
    page = options.page
    if existing and page is not None:
        page = open_photo(task.source, options.max_pixels, page=page).reader.page  # None if it is the default
    for key, file in existing.items():
        seed = key if isinstance(key, int) else task.seeds[0]  # which images about several seeds have
        recorded = read_provenance(file)
        if recorded is None or replace(recorded, original="") != colorizer.provenance(seed, options.color, page):
            return SkipReason.OTHER_OPTIONS
        # Outputs of early versions do not say of which photo they are.
        if recorded.original and recorded.original != original.sha256:
            return SkipReason.OTHER_PHOTO
    return SkipReason.EXISTS if len(existing) == len(task.files) else None


def _prepare(colorizer: Colorizer, task: Task, options: BatchOptions) -> _Job | Outcome:
    start = time.perf_counter()
    photo = _open_due(colorizer, task, options)
    if isinstance(photo, Outcome):
        return photo
    size = photo.width, photo.height
    try:
        prepared = colorizer.prepare(photo, options.color)
    except Exception as error:
        return Outcome(task, _explain(task, error), size=size, seconds=time.perf_counter() - start)
    due = {key for key, file in task.files.items() if options.is_due(file)}
    needs_all = due.intersection(task.extras)  # which are about all seeds
    seeds = [seed for seed in task.seeds if needs_all or seed in due]
    notes = Notes(photo.reader.notes)  # a second reader does not see what only the first strict one does
    seconds = time.perf_counter() - start
    return _Job(colorizer, task, options, photo.original, size, prepared, seeds, seconds, notes=notes)


def _predict(colorizer: Colorizer, images: Sequence[tuple[_Job, int]]) -> Sequence[AB | Exception]:
    """Predict a batch; if it fails (out of memory), one by one, with errors in place of colors."""
    grays = [job.prepared.gray for job, _ in images]
    try:
        return colorizer.predict(grays, [seed for _, seed in images], images[0][0].prepared.hints)
    except Exception as error:
        if len(images) == 1:
            return [error]
    return [_predict(colorizer, [image])[0] for image in images]


def _explain(task: Task, error: Exception) -> str:
    """Return why a task failed or was skipped; an error of an unknown kind is a fault of Photochrom itself."""
    if isinstance(error, FileExists):  # another run wrote it in the meantime
        return SkipReason.EXISTS
    if isinstance(error, PhotoError):
        return str(error)
    if isinstance(error, OSError):
        return f"{printable(task.target)}: cannot be written ({error.strerror or error})"
    cause = error if isinstance(error, BundleError) else f"{type(error).__name__}: {error} (please report this)"
    return f"{printable(task.source)}: {cause}"
