"""Many photos: where each output goes, and a run over all of them that can be stopped and resumed."""

import queue
import threading
from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..imaging.atomic import atomic_write
from ..imaging.errors import FileExists, PhotoError, printable
from ..imaging.formats import SAVERS
from ..imaging.limits import MAX_PIXELS
from ..imaging.photo import open_photo
from ..imaging.sources import IMAGE_SUFFIXES, image_files
from . import contact_sheet
from .bundle import BundleError
from .colorizer import AB, BATCH, Colorizer, Prepared, output_path, writable_path
from .options import ColorOptions

FILE_SUFFIXES = (*IMAGE_SUFFIXES, ".pdf")  # an output path with one of these is a file, with any other a folder
EXTRAS = ("sheet", "uncertainty", "trace")  # images about the outputs of a photo; see `contact_sheet`
Location = Path | str  # a path, or the address of a file on a cluster's storage


class Status(StrEnum):
    """What became of a task."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    FAILED = "failed"


class SkipReason(StrEnum):
    """Why a task was skipped; the value is the text that users read."""

    EXISTS = "output already exists"
    COLORIZED = "already colorized by Photochrom"
    IN_MANIFEST = "already done according to the manifest"
    OTHER_OPTIONS = "output already exists, made with other options"


@dataclass(frozen=True)
class Task:
    """One photo and the files to make of it: an output for each seed and images about them, of `EXTRAS`.

    The names of all files derive from ``target``. ``searched``: the photo was found in a folder rather than named.
    """

    source: Location
    target: Location
    seeds: tuple[int, ...] = (0,)
    extras: tuple[str, ...] = ()
    searched: bool = False

    @property
    def outputs(self) -> dict[int, Location]:
        """The colorized photo of each seed: `target`, or `target-SEED` for several seeds."""
        if len(self.seeds) == 1:
            return {self.seeds[0]: self.target}
        name = PurePath(self.target)
        return {seed: self._beside_target(f"{name.stem}-{seed}{name.suffix}") for seed in self.seeds}

    @property
    def extra_files(self) -> dict[str, Location]:
        """A JPEG for each extra, named by its first and last seed: `target-7-sheet.jpg`, `target-7-9-sheet.jpg`."""
        first, last = self.seeds[0], self.seeds[-1]
        seeds = f"{first}" if first == last else f"{first}-{last}"
        stem = PurePath(self.target).stem
        return {extra: self._beside_target(f"{stem}-{seeds}-{extra}.jpg") for extra in self.extras}

    @property
    def files(self) -> list[Location]:
        """All files that are written."""
        return [*self.outputs.values(), *self.extra_files.values()]

    def _beside_target(self, name: str) -> Location:
        if isinstance(self.target, Path):
            return self.target.with_name(name)
        folder, slash, _ = self.target.rpartition("/")
        return f"{folder}{slash}{name}"


@dataclass(frozen=True)
class Outcome:
    """What became of a task; `reason` is a `SkipReason` or the error message; `files` are those that were written."""

    task: Task
    status: Status
    reason: str = ""
    files: tuple[Location, ...] = ()


@dataclass(frozen=True)
class BatchOptions:
    """How photos of a batch are colorized, whether existing files are replaced, and the largest photo in pixels."""

    color: ColorOptions = field(default_factory=ColorOptions)
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS


def plan(
    sources: Sequence[Path], out: Path | None = None, seeds: Sequence[int] = (0,), extras: Sequence[str] = ()
) -> list[Task]:
    """Return a task for each photo among files and folders; folders are searched recursively.

    The output of a file is `NAME-color.EXT` beside it; outputs of a folder keep their names in `FOLDER-color`. With
    `out`, outputs keep their names in that folder, or one photo becomes the file `out`. A photo named twice is
    colorized once; an output named beside its original is left out.

    Raises ValueError if two outputs would be one file, an output would be an original, or `out` cannot be written.
    """
    tasks: dict[Path, Task] = {}
    for source in sources:
        for task in _plan_source(source, out, alone=len(sources) == 1):
            tasks[Path(task.source).resolve()] = replace(task, seeds=tuple(seeds), extras=tuple(extras))
    if out is None:
        # An output of an earlier run that is named together with its original is not a photo to colorize.
        for file, _ in _resolve_files(tasks):
            tasks.pop(file, None)
    check_targets(_resolve_files(tasks), tasks)
    return list(tasks.values())


def _resolve_files(tasks: Mapping[Path, Task]) -> list[tuple[Path, Location]]:
    files: list[tuple[Path, Location]] = []
    for task in tasks.values():
        for file in task.files:
            files.append((Path(file).resolve(), task.source))
    return files


def _plan_source(source: Path, out: Path | None, alone: bool) -> list[Task]:
    if out is not None and out.suffix.lower() in FILE_SUFFIXES and not out.is_dir():
        if not alone or source.is_dir():
            raise ValueError(f"{printable(out)}: one file cannot hold several photos; give a folder with -o")
        if out.suffix.lower() not in SAVERS:
            raise ValueError(f"{printable(out)}: cannot be written; choose one of {', '.join(SAVERS)}, or a folder")
        return [Task(source, out)]
    if source.is_dir():
        return _plan_folder(source, out)
    if out is None:
        return [Task(source, output_path(source))]
    return [Task(source, out / writable_path(Path(source.name)))]


def _plan_folder(source: Path, out: Path | None) -> list[Task]:
    named = source if source.name.strip(".") else source.resolve()  # "." and ".." have no name of their own
    root = out or named.with_name(f"{named.name}-color")
    # Where the outputs lie inside the folder itself, those of an earlier run are not originals.
    outputs_inside = source.resolve() in root.resolve().parents
    tasks = []
    for path in image_files(source):
        if outputs_inside and root.resolve() in path.resolve().parents:
            continue
        tasks.append(Task(path, root / writable_path(path.relative_to(source)), searched=True))
    return tasks


def check_targets(files: Iterable[tuple[Location, Location]], originals: Container[Any]) -> None:
    """Raise ValueError if one of the files, each with its source, is an original or belongs to two sources."""
    sources: dict[Location, Location] = {}
    for file, source in files:
        if file in originals:
            raise ValueError(f"{printable(file)}: is an original, which is never overwritten; choose another -o")
        other = sources.setdefault(file, source)
        if other != source:
            both = f"{printable(source)} and {printable(other)}"
            raise ValueError(f"{both} would both become {printable(file)}; colorize one of them separately")


def check_batch(colorizer: Colorizer, color: ColorOptions, extras: Sequence[str], photos: int) -> None:
    """Raise ValueError for options that the model does not support or that do not fit the number of photos."""
    name = colorizer.card.name
    colorizer.card.inference_size(color.size)
    colorizer = colorizer.with_sampler(**color.sampler)
    if not colorizer.procedure.stochastic and (color.variants > 1 or "uncertainty" in extras):
        option = "--variants" if color.variants > 1 else "--uncertainty"
        raise ValueError(f"{name} is deterministic; {option} needs a stochastic model, for example ddpm")
    if "trace" in extras and not colorizer.procedure.iterative:
        raise ValueError(f"{name} has no steps to show; --trace needs an iterative model, for example ddpm")
    if "uncertainty" in extras and color.variants < 2:
        raise ValueError("--uncertainty compares variants; add for example --variants 8")
    if color.hints and photos != 1:
        raise ValueError(f"--hint and --hints apply to one photo, and there are {photos}; colorize it separately")


def colorize_batch(
    colorizer: Colorizer, tasks: Sequence[Task], options: BatchOptions, jobs: int = 1
) -> Generator[Outcome]:
    """Colorize photos on `jobs` threads and yield each outcome as it comes; a failed photo does not stop the others.

    Close the generator (or interrupt it) to stop: only whole files remain.
    """
    colorizer = colorizer.with_sampler(**options.color.sampler)
    stop = threading.Event()
    outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()

    def run(batch: Sequence[Task]) -> None:
        try:
            for outcome in _process(colorizer, batch, options, stop):
                outcomes.put(outcome)
        finally:
            outcomes.put(None)

    # Fill the model's batches with the variants of several photos, but leave work for every thread. Hints are those of
    # one photo.
    variants = len(tasks[0].seeds) if tasks else 1
    size = 1 if options.color.hints else max(1, min(BATCH // variants, len(tasks) // jobs))
    with ThreadPoolExecutor(jobs) as pool:
        batches = [pool.submit(run, tasks[start : start + size]) for start in range(0, len(tasks), size)]
        try:
            for _ in batches:
                yield from iter(outcomes.get, None)
        finally:
            stop.set()
        for batch in batches:
            batch.result()


@dataclass(eq=False)
class _Job:
    """A photo in progress, with the colors of each seed that exist so far."""

    task: Task
    options: BatchOptions
    prepared: Prepared
    colors: dict[int, AB] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    failure: Outcome | None = None

    def missing(self, file: Location) -> bool:
        return self.options.overwrite or not Path(file).exists()

    def needed_seeds(self) -> list[int]:
        """Return the seeds of missing outputs, or all seeds if an image about them is missing."""
        if any(map(self.missing, self.task.extra_files.values())):
            return list(self.task.seeds)
        return [seed for seed, output in self.task.outputs.items() if self.missing(output)]


def _process(
    colorizer: Colorizer, tasks: Sequence[Task], options: BatchOptions, stop: threading.Event
) -> Iterator[Outcome]:
    """Prepare each photo, predict `BATCH` images at a time and write them; only small grays stay in memory between."""
    images: list[tuple[_Job, int]] = []
    for task in tasks:
        if stop.is_set():
            return
        job = _prepare(colorizer, task, options)
        if isinstance(job, Outcome):
            yield job
        else:
            images.extend((job, seed) for seed in job.needed_seeds())
    last_seed = dict(images)
    for start in range(0, len(images), BATCH):
        if stop.is_set():
            return
        batch_jobs, seeds = zip(*images[start : start + BATCH], strict=True)
        grays = [job.prepared.gray for job in batch_jobs]
        colors = _predict(colorizer, grays, seeds, batch_jobs[0].prepared.hints)
        for job, seed, ab in zip(batch_jobs, seeds, colors, strict=True):
            _write_output(colorizer, job, seed, ab)
            if seed == last_seed[job]:
                yield _finish(colorizer, job)


def _prepare(colorizer: Colorizer, task: Task, options: BatchOptions) -> _Job | Outcome:
    if not options.overwrite and all(Path(file).exists() for file in task.files):
        return Outcome(task, Status.SKIPPED, SkipReason.EXISTS)
    try:
        photo = open_photo(task.source, options.max_pixels)
        if task.searched and photo.is_colorized:
            return Outcome(task, Status.SKIPPED, SkipReason.COLORIZED)
        return _Job(task, options, colorizer.prepare(photo, options.color))
    except Exception as error:
        return _failure(task, error)


def _predict(colorizer: Colorizer, grays: Sequence[Any], seeds: Sequence[int], hints: Any) -> Sequence[AB | Exception]:
    """Predict a batch; if it fails (out of memory), one by one, with errors in place of colors."""
    try:
        return colorizer.predict(grays, seeds, hints)
    except Exception as error:
        if len(grays) == 1:
            return [error]
    singles = zip(grays, seeds, strict=True)
    return [_predict(colorizer, [gray], [seed], hints)[0] for gray, seed in singles]


def _write_output(colorizer: Colorizer, job: _Job, seed: int, ab: AB | Exception) -> None:
    try:
        if isinstance(ab, Exception):
            raise ab
        photo = open_photo(job.task.source, job.options.max_pixels)
        result = colorizer.merge(photo, ab, seed, job.options.color.saturation)
        job.colors[seed] = result.ab  # not the result itself, which may hold a decoded photo
        output = Path(job.task.outputs[seed])
        if job.missing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            job.files.append(result.save(output, job.options.overwrite))
    except Exception as error:
        job.failure = job.failure or _failure(job.task, error)


def _finish(colorizer: Colorizer, job: _Job) -> Outcome:
    if job.failure is None:
        try:
            for extra, file in job.task.extra_files.items():
                if job.missing(file):
                    with atomic_write(Path(file), job.options.overwrite) as stream:
                        stream.write(_draw_extra(colorizer, job, extra))
                    job.files.append(Path(file))
        except Exception as error:
            job.failure = _failure(job.task, error)
    return replace(job.failure or Outcome(job.task, Status.WRITTEN), files=tuple(job.files))


def _draw_extra(colorizer: Colorizer, job: _Job, extra: str) -> bytes:
    seed = job.task.seeds[0]
    provenance = colorizer.provenance(seed)
    gray = open_photo(job.task.source, job.options.max_pixels).gray(contact_sheet.SIDE)
    if extra == "trace":
        saturation = np.float32(job.options.color.saturation)
        steps = colorizer.trajectory(job.prepared.gray, seed, job.prepared.hints)
        return contact_sheet.trace(gray, list(np.stack(steps) * saturation), provenance)
    draw = contact_sheet.variants if extra == "sheet" else contact_sheet.uncertainty
    return draw(gray, [job.colors[seed] for seed in job.task.seeds], provenance)


def _failure(task: Task, error: Exception) -> Outcome:
    """Return the outcome of a task that failed; an error of an unknown kind is a fault of Photochrom itself."""
    if isinstance(error, FileExists):  # another run wrote it in the meantime
        return Outcome(task, Status.SKIPPED, SkipReason.EXISTS)
    if isinstance(error, PhotoError):
        reason = str(error)
    elif isinstance(error, OSError):
        reason = f"{printable(task.target)}: cannot be written ({error.strerror or error})"
    else:
        cause = error if isinstance(error, BundleError) else f"{type(error).__name__}: {error} (please report this)"
        reason = f"{printable(task.source)}: {cause}"
    return Outcome(task, Status.FAILED, reason)
