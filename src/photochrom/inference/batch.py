"""Many photographs: where each coloured copy goes, and the run over them, which can be stopped and taken up again."""

import queue
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.sampling.procedure import Hints
from ..imaging.atomic import atomic_write
from ..imaging.errors import FileExists, printable
from ..imaging.formats import SAVERS
from ..imaging.photo import MAX_PIXELS, PhotoError, open_photo
from ..imaging.sources import IMAGE_SUFFIXES, image_files
from . import contact_sheet as sheet
from .bundle import BundleError
from .colorizer import AB, BATCH, Colorizer, Gray, copy_of, written_as
from .hints import build_hints
from .options import Hint

FILES = (*IMAGE_SUFFIXES, ".pdf")  # endings that nobody gives a folder
THERE = "there already"
ABOUT = ("sheet", "uncertainty", "trace")  # pictures about the copies of a photograph; see `engine.sheet`


@dataclass(frozen=True)
class Task:
    """One photograph, and what is made of it: a coloured copy for each seed, and pictures `about` them.

    ``target``: the copy, from whose name those of several copies and other pictures are made; ``searched``: found in a
    folder, not named.
    """

    source: Path
    target: Path
    seeds: tuple[int, ...] = (0,)
    about: tuple[str, ...] = ()
    searched: bool = False

    @property
    def copies(self) -> dict[int, Path]:
        """The coloured copy of each seed: ``target``, or ``target-SEED`` where there are several."""
        if len(self.seeds) == 1:
            return {self.seeds[0]: self.target}
        return {seed: self.target.with_stem(f"{self.target.stem}-{seed}") for seed in self.seeds}

    @property
    def pictures(self) -> dict[str, Path]:
        """Those about the copies, JPEG, with the seeds they show: ``target-7-sheet.jpg``, ``target-7-9-sheet.jpg``."""
        seeds = "-".join(str(seed) for seed in dict.fromkeys((self.seeds[0], self.seeds[-1])))
        return {kind: self.target.with_name(f"{self.target.stem}-{seeds}-{kind}.jpg") for kind in self.about}

    @property
    def files(self) -> list[Path]:
        """All that is written."""
        return [*self.copies.values(), *self.pictures.values()]


@dataclass(frozen=True)
class Outcome:
    """What became of a task: ``written``, or ``skipped`` or ``failed`` for a reason; and the files that were made."""

    task: Task
    state: str
    reason: str = ""
    files: tuple[Path | str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """How photographs are coloured; see `Colorizer`."""

    saturation: float = 1.0
    size: int | None = None
    hints: tuple[Hint, ...] = ()
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS


def plan(
    sources: Sequence[Path], out: Path | None = None, seeds: Sequence[int] = (0,), about: Sequence[str] = ()
) -> list[Task]:
    """The photographs (`IMAGE_SUFFIXES`) among files and folders (searched through), each with its target.

    A file's copy is ``NAME-color.EXT`` beside it, a folder's copies keep their names in ``FOLDER-color``; with
    ``out``, copies keep their names in that folder, or one file becomes the file ``out``. Several ``seeds`` make
    several copies, and what each of ``about`` (`ABOUT`) names is made too. What is named twice is coloured once; a copy
    named beside its original is left out.

    Raises ValueError when two copies would be one file, or a copy an original, or ``out`` names what is not written.
    """
    found = [task for source in sources for task in _tasks(source, out, alone=len(sources) == 1)]
    tasks = {task.source.resolve(): replace(task, seeds=tuple(seeds), about=tuple(about)) for task in found}
    copies = {file.resolve() for source, task in tasks.items() for file in task.files} - {
        source for source, task in tasks.items() if source in [file.resolve() for file in task.files]
    }
    if out is None:
        tasks = {source: task for source, task in tasks.items() if source not in copies}
    apart([(file, task.source) for task in tasks.values() for file in task.files], tasks, Path.resolve)
    return list(tasks.values())


def apart(
    copies: Iterable[tuple[Any, Any]], originals: Container[Any], place: Callable[[Any], Any] = lambda file: file
) -> None:
    """Raises ValueError where a copy, told with its source, would be an original or another's copy.

    ``place``: where a file really is, as ``originals`` have it.
    """
    taken: dict[Any, Any] = {}
    for file, source in copies:
        target = place(file)
        if target in originals:
            raise ValueError(
                f"{printable(target)}: is an original, which is never written over; name another folder with -o"
            )
        if taken.setdefault(target, source) != source:
            both = f"{printable(source)} and {printable(taken[target])}"
            raise ValueError(f"{both} would both become {printable(file)}: colour one apart")


def check(colorizer: Colorizer, settings: Settings, photos: int, seeds: Sequence[int], about: Sequence[str]) -> None:
    """Raises ValueError for what this model cannot do, or what makes no sense for so many ``photos`` or ``seeds``."""
    colorizer.side(settings.size)
    if (len(seeds) > 1 or "uncertainty" in about) and not colorizer.procedure.stochastic:
        asked = f"{len(seeds)} variants" if len(seeds) > 1 else "uncertainty"
        raise ValueError(f"{asked}: {colorizer.card.name} paints one picture of each; choose a model that draws")
    if "trace" in about and not colorizer.iterative:
        raise ValueError(f"trace: {colorizer.card.name} leaves none; choose a model that paints in several steps")
    if "uncertainty" in about and len(seeds) < 2:
        raise ValueError("uncertainty: is where variants disagree; ask for some with --variants 8")
    if settings.hints and photos != 1:
        raise ValueError(f"hints: are places in one photograph, and {photos} are named; colour it alone")


def _tasks(source: Path, out: Path | None, alone: bool) -> list[Task]:
    if out is not None and out.suffix.lower() in FILES and not out.is_dir():
        return [_to_file(source, out, alone)]
    if source.is_dir():
        named = source if source.name.strip(".") else source.resolve()  # "." and ".." have no name of their own
        root = out or named.with_name(f"{named.name}-color")
        inside = source.resolve() in root.resolve().parents  # then copies of an earlier run are no originals
        return [
            Task(p, root / written_as(p.relative_to(source)), searched=True)
            for p in image_files(source)
            if not (inside and root.resolve() in p.resolve().parents)
        ]
    if out is None:
        return [Task(source, copy_of(source))]
    return [Task(source, out / written_as(Path(source.name)))]


def _to_file(source: Path, out: Path, alone: bool) -> Task:
    if not alone or source.is_dir():
        raise ValueError(f"{printable(out)}: one file cannot take several photographs: name a folder with -o")
    if out.suffix.lower() not in SAVERS:
        raise ValueError(f"{printable(out)}: cannot be written; choose one of {', '.join(SAVERS)}, or a folder")
    return Task(source, out)


def colorize_all(colorizer: Colorizer, tasks: Sequence[Task], settings: Settings, jobs: int = 1) -> Iterator[Outcome]:
    """Colour photographs on ``jobs`` threads, giving each outcome as it comes; the failed do not stop the rest.

    Close the iterator (or interrupt it) to stop: photographs begun are finished, whole files are kept.
    """
    stop, lock = threading.Event(), threading.Lock()
    outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
    most = 1 if settings.hints else BATCH // max((len(task.seeds) for task in tasks), default=1)
    share = max(1, min(most, len(tasks) // jobs))
    batches = iter([tasks[i : i + share] for i in range(0, len(tasks), share)])

    def work() -> None:
        try:
            while batch := _next(batches, lock):
                for outcome in _batch(colorizer, batch, settings, stop):
                    outcomes.put(outcome)
        finally:
            outcomes.put(None)

    with ThreadPoolExecutor(jobs) as pool:
        workers = [pool.submit(work) for _ in range(jobs)]
        try:
            for _ in workers:
                yield from iter(outcomes.get, None)
        finally:
            stop.set()
        for worker in workers:
            worker.result()


def _next(batches: Iterator[Sequence[Task]], lock: threading.Lock) -> Sequence[Task] | None:
    with lock:
        return next(batches, None)


@dataclass(eq=False)
class _Job:
    """A photograph in the making: its small gray, and the colours of each seed that are there by now."""

    task: Task
    gray: Gray
    hints: Hints | None
    settings: Settings
    colors: dict[int, AB] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    failure: Outcome | None = None

    def missing(self, path: Path) -> bool:
        """Whether a file is to be made."""
        return self.settings.overwrite or not path.exists()

    @property
    def wanted(self) -> list[int]:
        """Seeds whose colours are needed: of copies to be made, or all, where pictures about them are."""
        every = any(self.missing(path) for path in self.task.pictures.values())
        return [seed for seed, copy in self.task.copies.items() if every or self.missing(copy)]


def _batch(colorizer: Colorizer, tasks: Sequence[Task], settings: Settings, stop: threading.Event) -> Iterator[Outcome]:
    """Look at each photograph, then ask the model for `BATCH` pictures at a time, and write those that have come.

    No photograph is held in memory meanwhile.
    """
    jobs: list[_Job] = []
    for task in tasks:
        if stop.is_set():
            return
        found = _look(colorizer, task, settings)
        if isinstance(found, Outcome):
            yield found
        else:
            jobs.append(_Job(task, *found, settings))
    asked = [(job, seed) for job in jobs for seed in job.wanted]
    last = dict(asked)
    for start in range(0, len(asked), BATCH):
        if stop.is_set():
            return
        part = asked[start : start + BATCH]
        hints = jobs[0].hints  # with hints, a batch is one photograph
        painted = _predict(colorizer, [job.gray for job, _ in part], [seed for _, seed in part], hints)
        for (job, seed), ab in zip(part, painted, strict=True):
            _copy(colorizer, job, seed, ab)
            if seed == last[job]:
                yield _finished(colorizer, job)


def _look(colorizer: Colorizer, task: Task, settings: Settings) -> tuple[Gray, Hints | None] | Outcome:
    if all(file.exists() for file in task.files) and not settings.overwrite:
        return Outcome(task, "skipped", THERE)
    try:
        photo = open_photo(task.source, settings.max_pixels)
        if task.searched and photo.is_colorized:
            return Outcome(task, "skipped", "coloured by Photochrom itself")
        gray = colorizer.look(photo, settings.size)
        return gray, build_hints(photo, gray, settings.hints, settings.saturation)
    except Exception as error:
        return _failed(task, error)


def _predict(
    colorizer: Colorizer, grays: Sequence[Gray], seeds: Sequence[int], hints: Hints | None
) -> Sequence[AB | Exception]:
    """Colours of each; where a batch fails (memory), one by one, with the error in place of those that still do."""
    try:
        return colorizer.predict(grays, seeds, hints)
    except Exception as error:
        if len(grays) == 1:
            return [error]
        return [_predict(colorizer, [gray], [seed], hints)[0] for gray, seed in zip(grays, seeds, strict=True)]


def _copy(colorizer: Colorizer, job: _Job, seed: int, ab: AB | Exception) -> None:
    """Keeps the colours of a seed, and writes its copy where that is to be made."""
    task, settings = job.task, job.settings
    try:
        if isinstance(ab, Exception):
            raise ab
        job.colors[seed] = ab * np.float32(settings.saturation)
        copy = task.copies[seed]
        if job.missing(copy):
            copy.parent.mkdir(parents=True, exist_ok=True)
            colored = open_photo(task.source, settings.max_pixels).merge(job.colors[seed], threads=colorizer.threads)
            job.files.append(colored.save(copy, colorizer.mark(seed), settings.overwrite))
    except Exception as error:
        job.failure = job.failure or _failed(task, error)


def _finished(colorizer: Colorizer, job: _Job) -> Outcome:
    """Writes the pictures about the copies that are to be made."""
    task, settings = job.task, job.settings
    try:
        for kind, path in task.pictures.items() if job.failure is None else ():
            if job.missing(path):
                with atomic_write(path, settings.overwrite) as file:
                    file.write(_picture(colorizer, job, kind))
                job.files.append(path)
    except Exception as error:
        job.failure = _failed(task, error)
    return replace(job.failure or Outcome(task, "written"), files=tuple(job.files))


def _picture(colorizer: Colorizer, job: _Job, kind: str) -> bytes:
    seed = job.task.seeds[0]
    large = open_photo(job.task.source, job.settings.max_pixels).gray(sheet.SIDE)
    if kind == "trace":
        path = colorizer.trace(job.gray, seed, job.hints)
        return sheet.strip(large, [ab * np.float32(job.settings.saturation) for ab in path], colorizer.mark(seed))
    colors = [job.colors[seed] for seed in job.task.seeds]
    return (sheet.variants if kind == "sheet" else sheet.uncertainty)(large, colors, colorizer.mark(seed))


def _failed(task: Task, error: Exception) -> Outcome:
    """One photograph must not end the others; what nobody foresaw is a fault of ours and is named as such."""
    if isinstance(error, FileExists):  # by another run, while this one worked
        return Outcome(task, "skipped", THERE)
    if isinstance(error, PhotoError):
        return Outcome(task, "failed", str(error))
    if isinstance(error, OSError):
        return Outcome(task, "failed", f"{printable(task.target)}: cannot be written ({error.strerror or error})")
    if isinstance(error, BundleError):
        return Outcome(task, "failed", f"{printable(task.source)}: {error}")
    return Outcome(task, "failed", f"{printable(task.source)}: {type(error).__name__}: {error} (please report this)")
