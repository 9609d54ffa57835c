"""Runs over folders too large for one machine: the workers of a Dask cluster read, colorize and write the photos.

A worker is any process with photochrom installed; it keeps one colorizer and does one batch a thread.
"""

import logging
import os
import queue
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Future, LocalCluster, get_worker
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from .._processes import available_processors, interrupts_blocked
from .._version import __version__
from ..imaging.atomic import remove_abandoned
from ..imaging.errors import printable
from ..imaging.formats import WRITABLE
from ..imaging.paths import exists, is_folder
from ..inference.batch import check_batch, colorize_batch
from ..inference.bundle import installed, is_hub_address
from ..inference.colorizer import Colorizer
from ..inference.hub import with_commit
from ..inference.plan import PlanOptions, Task, plan
from ..inference.processing import BatchOptions, Outcome, SkipReason
from . import ClusterError
from .manifest import NAME, Entry, Manifest
from .remote import colorize_remote, is_address, plan_remote, to_address

MIN_BATCH, MAX_BATCH = 8, 64  # photos in a task of the cluster
BATCHES_PER_THREAD = 50  # so that all threads end at about the same time
QUEUED_PER_THREAD = 3  # batches at the scheduler, so that no thread waits and the scheduler need not hold all
CONNECT_SECONDS = 10  # to find the scheduler
FIRST_WORKER_SECONDS = 30
WORKER_POLL_SECONDS = 5
RESUME = "run the same command again to continue"
LOCAL = re.compile(r"local(?::([1-9]\d*))?")
LOGGERS = ("distributed", "tornado", "asyncio")  # of Dask

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """What to do with every photo: the model (a name, or a path that workers have too), its weights and the options."""

    model: str
    weights: str
    options: BatchOptions

    def settings(self, task: Task) -> dict[str, Any]:
        """Return all that decides the outputs of a photo, for the manifest."""
        color = asdict(self.options.color) | {"hints": list(map(str, self.options.color.hints))}
        model = {"model": self.model, "weights": self.weights}
        return {**model, "target": str(task.target), "extras": task.extras, "page": self.options.page, **color}


Result = tuple[Outcome, dict[str, Any]]  # of a worker for a photo, with further fields of its entry in the manifest


def colorize_photos(  # noqa: PLR0913 - each is an option of the command
    photos: Sequence[str],
    out: str | None,
    model: Colorizer,
    options: BatchOptions,
    outputs: PlanOptions,
    address: str,
    manifest: Path | None,
    notify: Notify,
) -> tuple[list[Task], Generator[Outcome]]:
    """Return the tasks of `plan_tasks`, and their outcomes in the same order. Raises ValueError.

    ``model`` needs no networks; the default of the manifest is `default_manifest`.
    """
    check_address(address)
    tasks = plan_tasks(photos, out, outputs)
    work = create_work(model, options, outputs["extras"], len(tasks))
    absolute = [_absolute(task) for task in tasks]
    outcomes = colorize_on_cluster(absolute, work, address, manifest or default_manifest(photos, out), notify)
    return tasks, _in_order(outcomes, dict(zip(absolute, tasks, strict=True)))


def _absolute(task: Task) -> Task:
    """Return the task with absolute paths, since workers may have another working directory."""
    source, target = (p.absolute() if isinstance(p, Path) else p for p in (task.source, task.target))
    return replace(task, source=source, target=target)


def _in_order(outcomes: Generator[Outcome], tasks: Mapping[Task, Task]) -> Generator[Outcome]:
    """Yield the outcomes in the order of the tasks, and with the paths of these.

    ``tasks``: the planned tasks by those of the outcomes.
    """
    early: dict[Task, Outcome] = {}
    with closing(outcomes):
        for absolute, task in tasks.items():
            while absolute not in early:
                outcome = next(outcomes)
                early[outcome.task] = outcome
            yield _with_paths_of(task, early.pop(absolute))
        yield from outcomes  # none; but the cluster ends with its generator


def _with_paths_of(task: Task, outcome: Outcome) -> Outcome:
    """Return an outcome of a task with absolute paths as that of the task itself."""
    names = {str(file): task.files[key] for key, file in outcome.task.files.items()}
    files = tuple(names[str(file)] for file in outcome.files)
    reason = outcome.reason
    if outcome.status == "failed":
        for path, name in ((outcome.task.source, task.source), (outcome.task.target, task.target)):
            reason = reason.replace(printable(path), printable(name))
    return replace(outcome, task=task, reason=reason, files=files)


def check_address(address: str) -> None:
    """Raise ValueError for an address that is neither `local`, `local:2` and so on, nor that of a scheduler."""
    if address.startswith("local") and not LOCAL.fullmatch(address):
        raise ValueError(f"--cluster {address}: give local, local:2 for two workers, or the address of a scheduler")


def plan_tasks(photos: Sequence[str], out: str | None, options: PlanOptions) -> list[Task]:
    """Return a task for each photo among files and folders, or in the folder at an address. Raises ValueError."""
    if not any(map(is_address, [*photos, out or ""])):
        return plan([Path(photo) for photo in photos], Path(out) if out else None, **options)
    if out is None or len(photos) != 1:
        raise ValueError("with addresses, name one folder, and the folder for the outputs with -o")
    return plan_remote(to_address(photos[0]), to_address(out), **options)


def create_work(model: Colorizer, options: BatchOptions, extras: Sequence[str], photos: int) -> Work:
    """Return the work after a check that the model supports it. Raises ValueError where it does not."""
    check_batch(model, options.color, extras, photos)
    name = str(model.model)
    if is_hub_address(name):
        location = with_commit(name)
    else:
        location = name if name == "default" or name in installed() else str(Path(name).resolve())
    return Work(location, model.card.weights, options)


def default_manifest(photos: Sequence[str], out: str | None) -> Path:
    """Return the path of the manifest: in the folder of the outputs, or in the current one if that is an address."""
    if out is not None:
        folder = Path() if is_address(out) else Path(out)
        return (folder.parent if folder.suffix.lower() in WRITABLE else folder) / NAME
    first = Path(photos[0]).absolute()
    return (first.with_name(f"{first.name}-color") if is_folder(first) else first.parent) / NAME


def colorize_on_cluster(
    tasks: Sequence[Task], work: Work, address: str, manifest_path: Path, notify: Notify
) -> Generator[Outcome]:
    """Yield the outcome of each task once it is in the manifest; tasks that the manifest has already are skipped.

    ``address``: of a Dask scheduler, or local or local:2 to start workers here; ``notify``: gets messages about it.
    Raises ManifestError for a wrong manifest, ClusterError where the cluster cannot be reached or fails.
    """
    try:
        with ExitStack() as stack:
            manifest = stack.enter_context(Manifest(manifest_path))
            if LOCAL.fullmatch(address):  # its workers are killed with what they are writing
                stack.callback(_remove_unfinished, tasks)
            client = stack.enter_context(connect(address, notify))
            yield from _spread(client, tasks, work, manifest, notify)
    except (ValueError, ClusterError):
        raise
    except Exception as error:  # schedulers and disks have many
        raise ClusterError(f"the cluster failed ({type(error).__name__}: {error}); {RESUME}") from error


def _remove_unfinished(tasks: Sequence[Task]) -> None:
    for folder in {task.target.parent for task in tasks if isinstance(task.target, Path)}:
        remove_abandoned(folder)


@contextmanager
def connect(address: str, notify: Notify) -> Iterator[Client]:
    """Connect to a cluster that has workers, after starting it if it is local. Raises ClusterError."""
    cluster: LocalCluster | str = address
    local = LOCAL.fullmatch(address)
    with ExitStack() as stack:
        stack.enter_context(_quiet_dask())
        try:
            if local:
                # In a thread of its own, so that this one can answer Ctrl-C.
                workers = int(local[1] or available_processors())
                cluster = ThreadPoolExecutor(1).submit(_start_local, workers).result()
                stack.enter_context(cluster)
                stack.callback(_kill_workers, cluster)
            client = stack.enter_context(Client(cluster, timeout=CONNECT_SECONDS))
            if not client.nthreads():
                notify(f"{address} has no workers yet: waiting for one")
            client.wait_for_workers(1, timeout=FIRST_WORKER_SECONDS)
        except (OSError, ValueError) as error:
            reason = f"no scheduler with workers responds ({error})"
            raise ClusterError(f"{address}: {reason}; --cluster local starts workers on this machine") from None
        yield client


def _start_local(workers: int) -> LocalCluster:
    # One thread each: two in one process would wait for each other. The profiler costs a tenth.
    with interrupts_blocked(), dask.config.set({"distributed.worker.profile.enabled": False}):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )


def _kill_workers(cluster: LocalCluster) -> None:
    """Kill the workers of a local cluster, which would otherwise wait for the end of their photos when it closes."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        with suppress(ProcessLookupError, TypeError):  # it has ended
            os.kill(nanny.pid, signal.SIGKILL)


@contextmanager
def _quiet_dask() -> Iterator[None]:
    # These loggers repeat again and again what `notify` and ClusterError say once. Some have a level of their own, so
    # that the level of their parents is not enough.
    names = [name for name in (*LOGGERS, *logging.root.manager.loggerDict) if name.partition(".")[0] in LOGGERS]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def batch_size(photos: int, threads: int) -> int:
    """Return the number of photos in a task of the cluster."""
    return min(max(photos // (BATCHES_PER_THREAD * max(1, threads)), MIN_BATCH), MAX_BATCH)


def _spread(client: Client, tasks: Sequence[Task], work: Work, manifest: Manifest, notify: Notify) -> Iterator[Outcome]:
    tasks_left = []
    for task in tasks:
        if not work.options.overwrite and manifest.has(str(task.source), work.settings(task)):
            yield Outcome(task, _skip_reason(task, manifest.skipped[str(task.source)]))
        else:
            tasks_left.append(task)
    size = batch_size(len(tasks_left), sum(client.nthreads().values()))
    batches = [tasks_left[start : start + size] for start in range(0, len(tasks_left), size)]
    # Tasks of workers that have ended are suspects, which are done one by one after all others; one that ends several
    # workers alone has failed.
    suspects: list[Task] = []
    for batch, results in _run(client, batches, work, notify):
        if results is None:
            suspects += batch
        else:
            yield from _record(results, work, manifest)
    for task in suspects:
        reason = f"{printable(task.source)}: ended every worker that colorized it (please report this)"
        failed: list[Result] = [(Outcome(task, reason), {})]
        for _, results in _run(client, [[task]], work, notify):
            yield from _record(results or failed, work, manifest)


def _skip_reason(task: Task, skipped: str) -> SkipReason:
    """Return why a task that the manifest has is skipped: what a run without one would say, as far as it shows here."""
    if skipped == SkipReason.COLORIZED:
        return SkipReason.COLORIZED
    files_exist = all(isinstance(file, Path) and exists(file) for file in task.files.values())
    return SkipReason.EXISTS if files_exist else SkipReason.IN_MANIFEST


def _run(
    client: Client, batches: Sequence[list[Task]], work: Work, notify: Notify
) -> Iterator[tuple[list[Task], list[Result] | None]]:
    """Yield each batch with its results as it ends; None in place of them where it has ended several workers."""
    waiting = list(reversed(batches))
    running: dict[Future[Any], list[Task]] = {}
    completions: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    has_workers = True
    while waiting or running:
        while waiting and len(running) < QUEUED_PER_THREAD * max(1, sum(client.nthreads().values())):
            batch = waiting.pop()
            future = client.submit(colorize_tasks, batch, work, pure=False)
            running[future] = batch
            future.add_done_callback(completions.put)
        try:
            future = completions.get(timeout=WORKER_POLL_SECONDS)
        except queue.Empty:
            has_workers = _check_workers(client, has_workers, notify)
            continue
        try:
            results = future.result()
        except KilledWorker:
            results = None
        except FutureCancelledError:
            raise ClusterError(f"the scheduler of the cluster does not respond any more; {RESUME}") from None
        yield running.pop(future), results


def _check_workers(client: Client, had_workers: bool, notify: Notify) -> bool:
    """Return whether the cluster has workers, after a message if the last one has ended."""
    try:
        has_workers = bool(client.nthreads())
    except Exception:  # the scheduler does not respond, which `_run` reports
        return had_workers
    # Dask starts a local worker again only if it had started completely before it ended.
    if not has_workers and client.cluster:
        client.cluster.scale(len(client.cluster.worker_spec))
    if had_workers and not has_workers:
        notify(f"no worker is left: waiting for others (Ctrl-C stops; {RESUME})")
    return has_workers


def _record(results: Sequence[Result], work: Work, manifest: Manifest) -> Iterator[Outcome]:
    entries, outcomes = [], []
    for outcome, details in results:
        outcomes.append(outcome)
        if outcome.reason in (SkipReason.OTHER_OPTIONS, SkipReason.OTHER_PHOTO):  # what it asks for is not done
            continue
        exists = outcome.reason is SkipReason.EXISTS
        details["outputs"] = list(map(str, outcome.task.files.values() if exists else outcome.files))
        if outcome.reason:
            details["skipped" if outcome.status == "skipped" else "error"] = outcome.reason
        settings, at = work.settings(outcome.task), datetime.now(UTC).isoformat(timespec="seconds")
        entries.append(Entry(str(outcome.task.source), settings, at=at, version=__version__, **details))
    manifest.add(entries)
    yield from outcomes


# The following functions run on workers.

_loading = threading.Lock()


@lru_cache(maxsize=1)
def _load_colorizer(model: str, weights: str) -> Colorizer:
    colorizer = Colorizer(model, threads=1)
    if colorizer.card.weights != weights:
        raise ClusterError(f"{model}: has other weights on {get_worker().address}: give all workers the same bundle")
    return colorizer


def colorize_tasks(tasks: Sequence[Task], work: Work) -> list[Result]:
    """Colorize a batch of photos on this worker. Raises ClusterError where it has another model."""
    with _loading:
        colorizer = _load_colorizer(work.model, work.weights)
    return [_colorize_task(colorizer, task, work.options) for task in tasks]


def _colorize_task(colorizer: Colorizer, task: Task, options: BatchOptions) -> Result:
    start = time.perf_counter()
    try:
        if is_address(task.source):
            # In the folder of the worker, which Dask clears after a kill.
            with tempfile.TemporaryDirectory(dir=get_worker().local_directory) as folder:
                outcome = colorize_remote(colorizer, task, options, Path(folder))
        else:
            (outcome,) = colorize_batch(colorizer, [task], options)
    except OSError as error:
        outcome = Outcome(task, f"{printable(task.source)}: {error.strerror} on its worker")
    seconds = round(time.perf_counter() - start, 3)
    return outcome, {"sha256": outcome.original, "seconds": seconds, "worker": get_worker().address}
