"""Folders too large for one machine: photographs coloured by the workers of a Dask cluster, which read and write them.

A worker is any process with photochrom in it; each keeps one colorizer, and works on as many batches as it has threads.
"""

import logging
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import dask
import typer
from distributed import Client, Future, LocalCluster, as_completed, get_worker
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from .._processes import available_processors, interrupts_blocked
from .._version import __version__
from ..cli.console import fail, report
from ..imaging.formats import SAVERS
from ..inference.batch import BatchOptions, Outcome, SkipReason, Status, Task, check_batch, colorize_batch, plan
from ..inference.bundle import installed
from ..inference.colorizer import Colorizer
from .manifest import NAME, Entry, Manifest
from .remote import Parcel, addressed, carried, digest_of, is_address, parcels

BATCH = 8, 64  # photographs to a task of the cluster, at least and at most
TASKS = 50  # of a thread in a run, where batches allow: its end is then even, and the scheduler has little to do
AHEAD = 3  # tasks under way for each thread of the cluster, so that none waits and the scheduler holds few
ANSWER = 10  # seconds to find a scheduler
PATIENCE = 30  # seconds until it has workers
LOOK = 5  # seconds between two looks at whether workers are left
GO_ON = "the same command goes on with what is missing"
LOCAL = re.compile(r"local(?::([1-9]\d*))?")


class ClusterError(Exception):
    """A cluster that is not there, or is there no more."""


@dataclass(frozen=True)
class Work:
    """What is asked of every photograph: the model (a name, or a path that workers have too) and how it is used."""

    model: str
    weights: str
    sampling: Mapping[str, Any]
    settings: BatchOptions

    def asked(self, task: Task | Parcel) -> dict[str, Any]:
        """All that decides what a photograph's copies are, for a manifest."""
        hints = [str(hint) for hint in self.settings.color.hints]
        about = {
            "seeds": list(task.seeds),
            "about": list(task.about if isinstance(task, Parcel) else task.extras),
            "target": str(task.target),
            "hints": hints,
        }
        how = {"saturation": self.settings.color.saturation, "size": self.settings.color.size}
        return {"model": self.model, "weights": self.weights, **self.sampling, **how, **about}


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
                cluster = stack.enter_context(_begun(int(here[1] or available_processors()))) if here else address
                client = stack.enter_context(Client(cluster, timeout=ANSWER))
                if not client.nthreads():
                    typer.echo(f"photochrom: {address} has no workers yet: waiting for one", err=True)
                client.wait_for_workers(1, timeout=PATIENCE)
            except (OSError, ValueError) as error:
                why = f"no scheduler with workers answers ({error})"
                raise ClusterError(f"{address}: {why}: local begins a cluster here") from None
            yield client
    finally:
        logging.disable(logging.NOTSET)


def _begun(count: int) -> LocalCluster:
    """Workers of one thread: two in one process would wait for each other. Nobody looks at Dask's profile of them."""
    with interrupts_blocked(), dask.config.set({"distributed.worker.profile.enabled": False}):
        return LocalCluster(
            n_workers=count, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
        )


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
            yield Outcome(_shown(task), Status.SKIPPED, SkipReason.IN_MANIFEST)
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
    with _watched(client):
        for future in running:
            tasks = given.pop(future.key)
            came = _result(future, tasks, work, alone)
            if came is None:
                suspects.extend(tasks)
            yield from _noted(manifest, came or [])
            future.release()
            alone = not (waiting or given)
            give_more()


@contextmanager
def _watched(client: Client) -> Iterator[None]:
    """Says when no worker is left: others may come, so the run waits for them."""
    ended = threading.Event()

    def watch() -> None:
        there = True
        while not ended.wait(LOOK):
            try:
                before, there = there, bool(client.nthreads())
            except Exception:  # the scheduler is gone, as the run itself will tell
                return
            if before and not there:
                typer.echo(f"photochrom: no worker is left: waiting for others (Ctrl-C stops; {GO_ON})", err=True)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _result(
    future: Future[Any], tasks: Sequence[Task | Parcel], work: Work, alone: bool
) -> Sequence[tuple[Entry, Outcome]] | None:
    """What a worker found; None where those that were given the photographs ended, but had others too (``alone``)."""
    try:
        return future.result()
    except KilledWorker:
        if not alone:
            return None
        reasons = [f"{task.source}: brought every worker down that was given it (please report this)" for task in tasks]
        return [
            (_entry(task, work, error=reason), Outcome(_shown(task), Status.FAILED, reason))
            for task, reason in zip(tasks, reasons, strict=True)
        ]
    except FutureCancelledError:
        raise ClusterError(f"the cluster is gone: its scheduler does not answer; {GO_ON}") from None


def _noted(manifest: Manifest, came: Sequence[tuple[Entry, Outcome]]) -> Iterator[Outcome]:
    """Outcomes, once they are written down; a copy that was asked for otherwise is not what is asked for now."""
    other = [entry.skipped == SkipReason.EXISTS and manifest.differs(entry.source, entry.asked) for entry, _ in came]
    manifest.add(entry for (entry, _), differs in zip(came, other, strict=True) if not differs)
    for (_, outcome), differs in zip(came, other, strict=True):
        yield replace(outcome, reason=SkipReason.OTHER_OPTIONS) if differs else outcome


def colorize_archive(  # noqa: PLR0913 - each is an option of the command
    photos: Sequence[str],
    out: str | None,
    model: str,
    sampling: Mapping[str, Any],
    settings: BatchOptions,
    seeds: Sequence[int],
    about: Sequence[str],
    address: str,
    manifest: Path | None,
) -> None:
    """``photochrom colorize --cluster``: as without, but that what was done is in a manifest, from which it goes on.

    Raises ValueError for a wrong call.
    """
    if address.startswith("local") and not LOCAL.fullmatch(address):
        raise ValueError(f"cluster {address!r}: give local, local:2 for two workers, or the address of a scheduler")
    tasks = _planned(photos, out, seeds, about)
    if not tasks:
        fail(f"no photographs in {', '.join(photos)}", 1)
    colorizer = Colorizer(model, **sampling)
    check_batch(colorizer, settings.color, about, len(tasks))
    named = model if model == "default" or model in installed() else str(Path(model).resolve())
    work = Work(named, colorizer.card.weights, sampling, settings)
    try:
        with Manifest(manifest or _beside(photos, out)) as written, connected(address) as client:
            report([_shown(task) for task in tasks], spread(client, tasks, work, written))
    except ClusterError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        fail(f"stopped; {GO_ON}", 130)
    except ValueError:
        raise
    except Exception as error:  # a scheduler or a disc that fails has many
        fail(f"the cluster failed ({type(error).__name__}: {error}); {GO_ON}", 1)


def _planned(
    photos: Sequence[str], out: str | None, seeds: Sequence[int], about: Sequence[str]
) -> Sequence[Task | Parcel]:
    if not any(map(is_address, [*photos, out or ""])):
        tasks = plan([Path(photo) for photo in photos], Path(out) if out else None, seeds, about)
        return [
            replace(task, source=Path(task.source).absolute(), target=Path(task.target).absolute()) for task in tasks
        ]
    if out is None or len(photos) != 1:
        raise ValueError("addresses: name one folder, and with -o the folder for the copies")
    return parcels(addressed(photos[0]), addressed(out), seeds, about)


def _beside(photos: Sequence[str], out: str | None) -> Path:
    """Where the manifest is when nobody says: in the folder of the copies, or here where that is an address."""
    if out is not None:
        folder = Path() if is_address(out) else Path(out)
        return (folder.parent if folder.suffix.lower() in SAVERS else folder) / NAME
    first = Path(photos[0]).absolute()
    return (first.with_name(f"{first.name}-color") if first.is_dir() else first.parent) / NAME


def _shown(task: Task | Parcel) -> Task:
    return task if isinstance(task, Task) else Task(task.source, task.target, task.seeds, task.about)


def _entry(task: Task | Parcel, work: Work, **said: Any) -> Entry:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(str(task.source), work.asked(task), at=at, version=__version__, **said)


# What follows is run by workers.


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _colorizer(model: str, weights: str, sampling: tuple[tuple[str, Any], ...]) -> Colorizer:
    found = Colorizer(model, threads=1, **dict(sampling))
    if found.card.weights != weights:
        raise ClusterError(f"{model}: has other weights on {get_worker().address}: give all workers one bundle")
    return found


def painted(tasks: Sequence[Task | Parcel], work: Work) -> list[tuple[Entry, Outcome]]:
    """A batch of photographs, coloured by this worker. Raises ClusterError where it has not the model that is meant."""
    with _loading:
        colorizer = _colorizer(work.model, work.weights, tuple(sorted(work.sampling.items())))
    return [_painted(colorizer, task, work) for task in tasks]


def _painted(colorizer: Colorizer, task: Task | Parcel, work: Work) -> tuple[Entry, Outcome]:
    begun = time.perf_counter()
    try:
        if isinstance(task, Parcel):
            with tempfile.TemporaryDirectory(dir=get_worker().local_directory) as folder:  # Dask clears it after a kill
                outcome, digest = carried(colorizer, task, work.settings, Path(folder))
        else:
            (outcome,) = colorize_batch(colorizer, [task], work.settings)
            digest = digest_of(Path(task.source))
    except OSError as error:
        outcome, digest = Outcome(_shown(task), Status.FAILED, f"{task.source}: {error.strerror} on its worker"), ""
    there = outcome.reason is SkipReason.EXISTS
    said = {
        "outputs": tuple(map(str, task.files if there else outcome.files)),
        "sha256": digest,
        "seconds": round(time.perf_counter() - begun, 3),
        "skipped": outcome.reason if outcome.status is Status.SKIPPED else "",
        "error": outcome.reason if outcome.status is Status.FAILED else "",
        "worker": get_worker().address,
    }
    return _entry(task, work, **said), replace(outcome, task=_shown(task), files=() if there else outcome.files)
