"""Many photographs: where each coloured copy goes, and the run over them, which can be stopped and taken up again."""

import threading
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .colorizer import AB, Colorizer, Gray
from .formats import SAVERS, WRITTEN_AS
from .photo import MAX_PIXELS, PhotoError, open_photo

SUFFIXES = (*SAVERS, *WRITTEN_AS)
BATCH = 8  # photographs that go through the model together, at most


@dataclass(frozen=True)
class Task:
    """One photograph and the file its coloured copy becomes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a task: ``written``, ``skipped`` (the copy is there already), or ``failed`` for a reason."""

    task: Task
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Settings:
    """How photographs are coloured; see `Colorizer`."""

    seed: int = 0
    strength: float = 1.0
    size: int | None = None
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS


def plan(sources: Sequence[Path], out: Path | None = None) -> list[Task]:
    """The photographs among files and folders (searched through), each with its target.

    A file's copy is ``NAME-color.EXT`` beside it, a folder's copies keep their names in ``FOLDER-color``; with
    ``out``, copies keep their names in that folder, or one file becomes the file ``out``. What cannot be written in
    its own format gets another ending (HEIC: .jpg, JPEG 2000: .tif).

    Raises ValueError when two copies would be one file, or a copy an original.
    """
    tasks = [task for source in sources for task in _tasks(source, out, alone=len(sources) == 1)]
    originals = {task.source.resolve() for task in tasks}
    targets: dict[Path, Path] = {}
    for task in tasks:
        target = task.target.resolve()
        if target in originals:
            raise ValueError(f"{task.target}: is an original, which is never written over; name another folder with -o")
        if targets.setdefault(target, task.source) != task.source:
            raise ValueError(f"{task.source} and {targets[target]} would both become {task.target}: colour one apart")
    return tasks


def _tasks(source: Path, out: Path | None, alone: bool) -> list[Task]:
    if source.is_dir():
        named = source if source.name.strip(".") else source.resolve()  # "." and ".." have no name of their own
        root = out or named.with_name(f"{named.name}-color")
        found = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        inside = source.resolve() in root.resolve().parents  # then copies of an earlier run are no originals
        return [
            Task(p, root / _ending(p.relative_to(source)))
            for p in found
            if p.is_file() and not (inside and root.resolve() in p.resolve().parents)
        ]
    if out is None:
        return [Task(source, _ending(source.with_stem(f"{source.stem}-color")))]
    if alone and out.suffix.lower() in SAVERS and not out.is_dir():
        return [Task(source, out)]
    return [Task(source, out / _ending(Path(source.name)))]


def _ending(path: Path) -> Path:
    return path.with_suffix(WRITTEN_AS.get(path.suffix.lower(), path.suffix))


def pixels(source: Path) -> Iterator[np.ndarray]:
    """The photographs of a folder or zip as (h, w, 3) sRGB codes, in order of name. Raises ValueError."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for name in sorted(n for n in archive.namelist() if Path(n).suffix.lower() in SUFFIXES):
                yield open_photo(archive.read(name), name=name).pixels()
    elif source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES):
            yield open_photo(path).pixels()
    else:
        raise ValueError(f"{source}: give a folder or a zip of photographs")


def colorize_all(colorizer: Colorizer, tasks: Sequence[Task], settings: Settings, jobs: int = 1) -> Iterator[Outcome]:
    """Colour photographs on ``jobs`` threads, giving each outcome as it comes; the failed do not stop the rest.

    Close the iterator (or interrupt it) to stop: photographs begun are finished, whole files are kept.
    """
    stop = threading.Event()
    share = max(1, min(BATCH, len(tasks) // jobs))
    batches = iter([tasks[i : i + share] for i in range(0, len(tasks), share)])
    with ThreadPoolExecutor(jobs) as pool:
        pending: set[Future[list[Outcome]]] = set()
        try:
            while True:
                while len(pending) <= jobs and (batch := next(batches, None)):
                    pending.add(pool.submit(_batch, colorizer, batch, settings, stop))
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        finally:
            stop.set()
            for future in pending:
                future.cancel()


def _batch(colorizer: Colorizer, tasks: Sequence[Task], settings: Settings, stop: threading.Event) -> list[Outcome]:
    """Look at each photograph, ask the model once, then write each: none is held in memory in between."""
    outcomes: list[Outcome] = []
    seen: list[tuple[Task, Gray]] = []
    for task in tasks:
        if task.target.exists() and not settings.overwrite:
            outcomes.append(Outcome(task, "skipped"))
            continue
        try:
            seen.append((task, colorizer.look(open_photo(task.source, settings.max_pixels), settings.size)))
        except Exception as error:
            outcomes.append(_failed(task, error))
    colors = colorizer.predict([gray for _, gray in seen], settings.seed)
    for (task, _), ab in zip(seen, colors, strict=True):
        if stop.is_set():
            break
        outcomes.append(_write(colorizer, task, ab, settings))
    return outcomes


def _write(colorizer: Colorizer, task: Task, ab: AB, settings: Settings) -> Outcome:
    try:
        task.target.parent.mkdir(parents=True, exist_ok=True)
        colored = open_photo(task.source, settings.max_pixels).colored(ab, settings.strength)
        colored.save(task.target, colorizer.mark(settings.seed), settings.overwrite)
    except Exception as error:
        return _failed(task, error)
    return Outcome(task, "written")


def _failed(task: Task, error: Exception) -> Outcome:
    """One photograph must not end the others; what is no `PhotoError` is a fault of ours and is named as such."""
    if isinstance(error, PhotoError | OSError):
        return Outcome(task, "failed", str(error))
    return Outcome(task, "failed", f"{task.source}: {type(error).__name__}: {error} (please report this)")
