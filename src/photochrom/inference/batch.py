"""A run over many photos, which can be stopped and resumed."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..imaging.atomic import atomic_write
from ..imaging.errors import FileExists, PhotoError, printable
from ..imaging.limits import MAX_PIXELS
from ..imaging.photo import Photo, open_photo
from . import contact_sheet
from .bundle import BundleError
from .colorizer import AB, Colorizer, Prepared
from .options import ColorOptions
from .plan import Location, Task

BATCH = 8  # most images that go through the model together


class SkipReason(StrEnum):
    """Why a task was skipped; the value is the text that users read."""

    EXISTS = "output already exists"
    COLORIZED = "already colorized by Photochrom"
    IN_MANIFEST = "already done according to the manifest"
    OTHER_OPTIONS = "output already exists, made with other options"


@dataclass(frozen=True)
class Outcome:
    """What became of a task; `reason` is a `SkipReason` or the error message; `files` are those that were written.

    `notes` say what of the photo was left aside or is not in the outputs.
    """

    task: Task
    reason: str = ""
    files: tuple[Location, ...] = ()
    notes: tuple[str, ...] = ()

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
        return self.overwrite or not Path(file).exists()


def check_batch(colorizer: Colorizer, color: ColorOptions, extras: Sequence[str], photos: int) -> None:
    """Raise ValueError for options that the model does not support or that do not fit the number of photos."""
    name = colorizer.card.name
    colorizer.card.inference_size(color.size)
    colorizer = colorizer.with_sampler(**color.sampler)
    if not colorizer.procedure.capabilities.stochastic and (color.variants > 1 or "uncertainty" in extras):
        option = "--variants" if color.variants > 1 else "--uncertainty"
        raise ValueError(f"{name} is deterministic; {option} needs a stochastic model, for example classify")
    if "trace" in extras and not colorizer.procedure.capabilities.iterative:
        raise ValueError(f"{name} has no steps to show; --trace needs an iterative model, for example ddpm")
    if "uncertainty" in extras and color.variants < 2:
        raise ValueError("--uncertainty compares variants; add for example --variants 8")
    if color.hints and photos != 1:
        raise ValueError(f"--hint and --hints apply to one photo, and there are {photos}; colorize it separately")


def colorize_batch(
    colorizer: Colorizer, tasks: Sequence[Task], options: BatchOptions, jobs: int = 1
) -> Generator[Outcome]:
    """Colorize photos and yield their outcomes in the order of the tasks; a failed photo does not stop the others.

    `jobs`: number of worker processes, which share the processors; 1 for this process alone. Close the generator (or
    interrupt it) to stop: only whole files remain.
    """
    colorizer = colorizer.with_sampler(**options.color.sampler)
    stop = threading.Event()
    # Fill the model's batches with the variants of several photos, but leave work for every process. Hints are those of
    # one photo.
    variants = len(tasks[0].seeds) if tasks else 1
    size = 1 if options.color.hints else max(1, min(BATCH // variants, len(tasks) // jobs))
    batches = {start: queue.SimpleQueue[Outcome | None]() for start in range(0, len(tasks), size)}

    def run(start: int) -> None:
        process = idle.get()
        try:
            for outcome in process(tasks[start : start + size]):
                batches[start].put(outcome)
        finally:
            idle.put(process)
            batches[start].put(None)

    idle = queue.SimpleQueue[Callable[[Sequence[Task]], Iterator[Outcome]]]()
    with ThreadPoolExecutor(jobs) as pool, ExitStack() as workers:
        workers.callback(stop.set)
        if jobs == 1:
            idle.put(partial(process_batch, colorizer, options=options, stop=stop))
        else:
            from .workers import start_workers  # it imports this module

            for worker in workers.enter_context(start_workers(colorizer, options, min(jobs, len(batches)))):
                idle.put(worker.colorize)
        futures = [pool.submit(run, start) for start in batches]
        for outcomes in batches.values():
            yield from iter(outcomes.get, None)
    for future in futures:
        future.result()


@dataclass(eq=False)
class _Job:
    """A photo in progress: the seeds to predict, and the colors, files and first error so far."""

    colorizer: Colorizer
    task: Task
    options: BatchOptions
    prepared: Prepared
    seeds: Sequence[int]
    colors: dict[int, AB] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)  # in order, each once
    reason: str = ""

    def write(self, seed: int, ab: AB | Exception) -> None:
        """Write the output of a seed and, after the last one, the images about all of them."""
        if isinstance(ab, Exception):
            raise ab
        result = self.colorizer.merge(self._open(), ab, seed, self.options.color.saturation)
        self.colors[seed] = result.ab  # not the result itself, which may hold a decoded photo
        output = Path(self.task.files[seed])
        if self.options.is_due(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            self.files.append(result.save(output, self.options.overwrite))
            self.notes |= dict.fromkeys(result.photo.reader.notes)
        if seed != self.seeds[-1] or self.reason:
            return
        for extra in self.task.extras:
            path = Path(self.task.files[extra])
            if self.options.is_due(path):
                with atomic_write(path, self.options.overwrite) as stream:
                    stream.write(self._draw(extra))
                self.files.append(path)

    def _open(self) -> Photo:
        return open_photo(self.task.source, self.options.max_pixels, page=self.options.page)

    def _draw(self, extra: str) -> bytes:
        seed = self.task.seeds[0]
        provenance = self.colorizer.provenance(seed)
        gray = self._open().gray(contact_sheet.SIDE)
        if extra == "trace":
            saturation = np.float32(self.options.color.saturation)
            steps = self.colorizer.trajectory(self.prepared.gray, seed, self.prepared.hints)
            return contact_sheet.trace(gray, list(np.stack(steps) * saturation), provenance)
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
        for (job, seed), ab in zip(batch, _predict(colorizer, batch), strict=True):
            while isinstance(jobs[0], Outcome):
                yield jobs.popleft()
            try:
                job.write(seed, ab)
            except Exception as error:
                job.reason = job.reason or _explain(job.task, error)
            if seed == job.seeds[-1]:
                jobs.popleft()
                yield Outcome(job.task, job.reason, tuple(job.files), tuple(job.notes))
    yield from jobs


def _prepare(colorizer: Colorizer, task: Task, options: BatchOptions) -> _Job | Outcome:
    due = {key for key, file in task.files.items() if options.is_due(file)}
    if not due:
        return Outcome(task, SkipReason.EXISTS)
    needs_all = due.intersection(task.extras)  # which are about all seeds
    seeds = [seed for seed in task.seeds if needs_all or seed in due]
    try:
        photo = open_photo(task.source, options.max_pixels, page=options.page)
        if task.searched and photo.is_colorized:
            return Outcome(task, SkipReason.COLORIZED)
        prepared = colorizer.prepare(photo, options.color)
    except Exception as error:
        return Outcome(task, _explain(task, error))
    return _Job(colorizer, task, options, prepared, seeds)


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
