"""Folders too large for one machine: photographs coloured by the workers of a Dask cluster, which read and write them.

A worker is any process with photochrom in it; each keeps one colorizer, and works on as many batches as it has threads.
"""

import hashlib
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from distributed import Client, Future, LocalCluster, as_completed, get_worker
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from .. import __version__
from ..engine.album import Outcome, Settings, Task, check, colorize_all, is_photo, plan
from ..engine.bundle import installed
from ..engine.colorizer import Colorizer, written_as
from ..engine.stream import processors
from .manifest import NAME, Entry, Manifest
from .terminal import fail, report

BATCH = 8, 64  # photographs to a task of the cluster, at least and at most
TASKS = 50  # of a thread in a run, where batches allow: its end is then even, and the scheduler has little to do
AHEAD = 3  # tasks under way for each thread of the cluster, so that none waits and the scheduler holds few
PATIENCE = 30  # seconds to find a scheduler
GO_ON = "the same command goes on with what is missing"
LOCAL = re.compile(r"local(?::(\d+))?")


class ClusterError(Exception):
    """A cluster that is not there, or is there no more."""


@dataclass(frozen=True)
class Parcel:
    """A photograph at an address (`fsspec`), and the address of its copy: a `Task` for what is no path."""

    source: str
    target: str
    seeds: tuple[int, ...] = (0,)
    about: tuple[str, ...] = ()

    def unpacked(self, folder: Path) -> Task:
        """The task that it is once it lies in a folder."""
        source, target = (Path(PurePosixPath(address).name) for address in (self.source, self.target))
        return Task(folder / "in" / source, folder / "out" / target, self.seeds, self.about)


@dataclass(frozen=True)
class Work:
    """What is asked of every photograph: the model (a name, or a path that workers have too) and how it is used."""

    model: str
    weights: str
    sampling: Mapping[str, Any]
    settings: Settings

    def asked(self, task: Task | Parcel) -> dict[str, Any]:
        """All that decides what a photograph's copies are, for a manifest."""
        settings = {name: asdict(self.settings)[name] for name in ("strength", "size")}
        made = {"seeds": list(task.seeds), "about": list(task.about), "target": str(task.target)}
        return {"model": self.model, "weights": self.weights, **self.sampling, **settings, **made}


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A cluster: ``local`` begins one here, ``local:2`` of so many workers; else the address of a scheduler.

    Raises ClusterError where there is none.
    """
    logging.disable(logging.CRITICAL)  # what Dask would say, on and on, reaches the user as one sentence of ours
    try:
        with ExitStack() as stack:
            here = LOCAL.fullmatch(address)
            try:
                cluster = stack.enter_context(_begun(int(here[1] or processors()))) if here else address
                client = stack.enter_context(Client(cluster, timeout=PATIENCE))
                client.wait_for_workers(1, timeout=PATIENCE)
            except (OSError, ValueError) as error:
                why = f"no scheduler with workers answers ({error})"
                raise ClusterError(f"{address}: {why}: local begins a cluster here") from None
            yield client
    finally:
        logging.disable(logging.NOTSET)


def _begun(count: int) -> LocalCluster:
    threads = max(1, processors() // count)
    return LocalCluster(count, threads, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL)


def is_address(text: str) -> bool:
    """Whether it is one that `fsspec` reads, and no path."""
    return "://" in text


def parcels(source: str, out: str, seeds: Sequence[int], about: Sequence[str]) -> list[Parcel]:
    """The photographs at an address, searched through, with copies of their names at another. Raises ValueError."""
    try:
        files, root = fsspec.url_to_fs(source)
        found = files.find(root)
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(f"{source}: cannot be listed ({error})") from None
    photographs = sorted(name for name in found if is_photo(PurePosixPath(name).name))
    inside = (PurePosixPath(name).relative_to(root.rstrip("/")) for name in photographs)
    named = zip(photographs, inside, strict=True)
    return [
        Parcel(files.unstrip_protocol(name), f"{out.rstrip('/')}/{written_as(Path(part))}", tuple(seeds), tuple(about))
        for name, part in named
    ]


def batch_of(photographs: int, threads: int) -> int:
    """How many photographs to a task of the cluster."""
    return min(max(photographs // (TASKS * max(1, threads)), BATCH[0]), BATCH[1])


def spread(client: Client, tasks: Sequence[Task | Parcel], work: Work, manifest: Manifest) -> Iterator[Outcome]:
    """Colour photographs on a cluster, giving each outcome once it is in the manifest.

    What the manifest has is left out. Photographs that were with workers that ended are suspects, and go on one by one
    when all others are done; one that brings several down alone has failed. Raises ClusterError where the scheduler is
    gone.
    """
    todo = []
    for task in tasks:
        if manifest.has(str(task.source), work.asked(task)) and not work.settings.overwrite:
            yield Outcome(_shown(task), "skipped", f"done already, says {manifest.path}")
        else:
            todo.append(task)
    batch = batch_of(len(todo), sum(client.nthreads().values()))
    waiting = [todo[i : i + batch] for i in reversed(range(0, len(todo), batch))]
    suspects: list[Task | Parcel] = []
    given: dict[Any, Sequence[Task | Parcel]] = {}
    running = as_completed(with_results=False)

    def give(tasks: Sequence[Task | Parcel]) -> None:
        future = client.submit(painted, tasks, work, pure=False)
        given[future.key] = tasks
        running.add(future)

    def give_more() -> None:
        while waiting and len(given) < AHEAD * max(1, sum(client.nthreads().values())):
            give(waiting.pop())
        if not given and suspects:
            give([suspects.pop()])

    alone = False
    give_more()
    for future in running:
        tasks = given.pop(future.key)
        came = _result(future, tasks, work, alone)
        if came is None:
            suspects.extend(tasks)
        entries, outcomes = came or ((), ())
        future.release()
        manifest.add(entries)
        yield from outcomes
        alone = not (waiting or given)
        give_more()


def colorize_archive(  # noqa: PLR0913 - each is an option of the command
    photos: Sequence[str],
    out: str | None,
    model: str,
    sampling: Mapping[str, Any],
    settings: Settings,
    seeds: Sequence[int],
    about: Sequence[str],
    address: str,
    manifest: Path | None,
) -> None:
    """``photochrom colorize --cluster``: as without, but that what was done is in a manifest, from which it goes on.

    Raises ValueError for a wrong call.
    """
    tasks = _planned(photos, out, seeds, about)
    if not tasks:
        fail(f"no photographs in {', '.join(photos)}", 1)
    colorizer = Colorizer(model, **sampling)
    check(colorizer, settings, len(tasks), seeds, about)
    named = model if model == "default" or model in installed() else str(Path(model).resolve())
    work = Work(named, colorizer.card.weights, sampling, settings)
    written = Manifest(manifest or _beside(tasks))
    try:
        with connected(address) as client:
            report([_shown(task) for task in tasks], spread(client, tasks, work, written))
    except ClusterError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        fail(f"stopped; {GO_ON}", 130)


def _planned(
    photos: Sequence[str], out: str | None, seeds: Sequence[int], about: Sequence[str]
) -> Sequence[Task | Parcel]:
    if not any(map(is_address, [*photos, out or ""])):
        tasks = plan([Path(photo) for photo in photos], Path(out) if out else None, seeds, about)
        return [replace(task, source=task.source.absolute(), target=task.target.absolute()) for task in tasks]
    if out is None or len(photos) != 1:
        raise ValueError("addresses: name one folder, and with -o the folder for the copies")
    source, target = (text if is_address(text) else Path(text).resolve().as_uri() for text in (photos[0], out))
    return parcels(source, target, seeds, about)


def _beside(tasks: Sequence[Task | Parcel]) -> Path:
    """Where the manifest is when nobody says: in the folder of all copies, or here where that is an address."""
    folders = [task.target.absolute().parent for task in tasks if isinstance(task, Task)]
    return Path(os.path.commonpath(folders)) / NAME if folders else Path(NAME)


def _result(
    future: Future[Any], tasks: Sequence[Task | Parcel], work: Work, alone: bool
) -> tuple[Sequence[Entry], Sequence[Outcome]] | None:
    """What a worker found; None where those that were given the photographs ended, but had others too (``alone``)."""
    try:
        return future.result()
    except KilledWorker:
        if not alone:
            return None
        reasons = [f"{task.source}: brought every worker down that was given it (please report this)" for task in tasks]
        failed = list(zip(tasks, reasons, strict=True))
        entries = [_entry(task, work, error=reason) for task, reason in failed]
        return entries, [Outcome(_shown(task), "failed", reason) for task, reason in failed]
    except (FutureCancelledError, OSError) as error:
        raise ClusterError(f"the cluster is gone ({error}); {GO_ON}") from None


def _shown(task: Task | Parcel) -> Task:
    return task if isinstance(task, Task) else Task(Path(task.source), Path(task.target), task.seeds, task.about)


def _entry(task: Task | Parcel, work: Work, **said: Any) -> Entry:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(str(task.source), work.asked(task), at=at, version=__version__, **said)


# What follows is run by workers.


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _colorizer(model: str, sampling: tuple[tuple[str, Any], ...]) -> Colorizer:
    return Colorizer(model, threads=1, **dict(sampling))


def painted(tasks: Sequence[Task | Parcel], work: Work) -> tuple[list[Entry], list[Outcome]]:
    """A batch of photographs, coloured by this worker. Raises BundleError where it has not the model that is meant."""
    with _loading:
        colorizer = _colorizer(work.model, tuple(sorted(work.sampling.items())))
    if colorizer.card.weights != work.weights:
        raise ClusterError(f"{work.model}: has other weights on {get_worker().address}: give all workers one bundle")
    done = [_painted(colorizer, task, work) for task in tasks]
    return [entry for entry, _ in done], [outcome for _, outcome in done]


def _painted(colorizer: Colorizer, task: Task | Parcel, work: Work) -> tuple[Entry, Outcome]:
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="photochrom-") as folder:
        if isinstance(task, Parcel):
            outcome, digest = _carried(colorizer, task, work.settings, Path(folder))
        else:
            (outcome,) = colorize_all(colorizer, [task], work.settings)
            digest = _digest(task.source)
    failed = outcome.state == "failed"
    made = () if failed else tuple(str(file) for file in outcome.files or outcome.task.files)
    error = outcome.reason if failed else ""
    said = {"outputs": made, "sha256": digest, "error": error, "worker": get_worker().address}
    return _entry(task, work, seconds=round(time.perf_counter() - begun, 3), **said), outcome


def _carried(colorizer: Colorizer, parcel: Parcel, settings: Settings, folder: Path) -> tuple[Outcome, str]:
    """A photograph fetched, coloured, and its copies brought to where they belong, each whole or not at all."""
    task, shown = parcel.unpacked(folder), _shown(parcel)
    try:
        files, source = fsspec.url_to_fs(parcel.source)
        there, target = fsspec.url_to_fs(parcel.target)
        home = target.rpartition("/")[0]
        if not settings.overwrite and all(there.exists(f"{home}/{file.name}") for file in task.files):
            return Outcome(shown, "skipped", "there already"), ""
        task.source.parent.mkdir()
        files.get_file(source, str(task.source))
        digest = _digest(task.source)
        (outcome,) = colorize_all(colorizer, [task], settings)
        if outcome.state == "failed":
            return Outcome(shown, "failed", outcome.reason.replace(str(task.source), parcel.source)), digest
        there.makedirs(home, exist_ok=True)
        for file in outcome.files:
            there.put_file(str(file), f"{home}/{file.name}.part")
            there.mv(f"{home}/{file.name}.part", f"{home}/{file.name}")
    except (OSError, ValueError, ImportError) as error:
        return Outcome(shown, "failed", f"{parcel.source}: cannot be fetched or brought back ({error})"), ""
    return replace(outcome, task=shown, files=tuple(Path(home) / file.name for file in outcome.files)), digest


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
