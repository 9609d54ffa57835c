"""The queue of photos and the worker processes that colorize them, with limits on number, bytes and time."""

import itertools
import multiprocessing
import os
import queue
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal
from weakref import WeakKeyDictionary

from fastapi import HTTPException

from .._processes import interrupts_blocked
from .limits import FILM_EFFORT, Limits
from .worker import UPLOAD, ColorizeRequest, Failed, FilmProgress, Found, Opened, Predicted, serve

State = Literal["queued", "working", "done", "failed"]
REMOVED = "no such photo: it was removed, or deleted after a time without requests"
CANCELED = Failed(f"{UPLOAD}: canceled", 404)
CRASHED = Failed(f"{UPLOAD}: crashed its worker process (please report this); other photos are not affected", 500)
NO_SPACE = Failed(f"{UPLOAD}: no space for its outputs: remove photos, ask for fewer variants, or try later", 507)
RETRY_LATER = {"Retry-After": "10"}
START_SECONDS = 120
POLL_SECONDS = 0.2  # until a worker notices that its job is canceled
FOLDERS = "photochrom-web-"  # how the names of the servers' folders begin
CLIENT_SHARE = 4  # one client may take this part of the queue: a quarter
URGENT_LEAD = 8  # photos that an urgent job overtakes at most, so that many of them do not hold up the others
LOCK = "server"  # name of the file that a living server holds locked
TITLE_BYTES = 200  # that the name of an output takes from the photo's; file systems allow 255


def storage_error(name: str, error: OSError) -> HTTPException:
    """Return how a client learns that a file of a photo cannot be read or written."""
    if isinstance(error, FileNotFoundError):
        return HTTPException(404, REMOVED)
    return HTTPException(507, f"{name}: cannot be stored ({error.strerror})")


@dataclass(eq=False)
class Job:
    """A photo or a film, and its settings, state and results."""

    name: str  # as the client calls the file, never used as a path
    request: ColorizeRequest
    upload: tuple[int, int]  # inode and bytes of the photo, which other jobs may share
    client: str = ""  # address of the client; "" for one on this machine
    place: int = 0  # in the queue; the smallest comes first
    stored: int = 0  # bytes of what is written
    reserved: int = 0  # bytes that its next output may take at most
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "queued"
    opened: Opened | None = None
    seeds: list[int] = field(default_factory=list)  # whose files are written
    shapes: dict[int, tuple[int, int]] = field(default_factory=dict)  # of their color maps, by seed
    likely: tuple[tuple[str, float], ...] = ()  # the colors of a `Found`
    progress: FilmProgress | None = None  # None: not known yet, or the file is a photo
    notes: tuple[str, ...] = ()  # what was left aside when the photo was read, or is not in the outputs
    failure: Failed | None = None
    canceled: bool = False
    seconds: float | None = None
    last_request: float = field(default_factory=time.monotonic)
    finished: Future[None] = field(default_factory=Future)

    @property
    def is_film(self) -> bool:
        """Whether it colorizes a film."""
        return self.request.film_seconds is not None

    @property
    def problem(self) -> str | None:
        """Why it failed; None if it did not."""
        if not self.failure:
            return None
        return re.sub(f"^{UPLOAD}:", "film:", self.failure.reason) if self.is_film else self.failure.reason

    def output(self, seed: int) -> Path:
        """Return the path of a written output."""
        assert self.opened
        return self.request.folder / f"{seed}{self.opened.suffix}"

    def title(self, seed: int) -> str:
        """Return the file name of an output for the client: NAME-color.EXT, or NAME-color-SEED.EXT."""
        number = f"-{seed}" if self.request.options.variants > 1 else ""
        return f"{_shortened(Path(self.name).stem) or UPLOAD}-color{number}{self.output(seed).suffix}"

    def settings_title(self, seed: int) -> str:
        """Return the file name of the settings of an output: NAME.EXT.json, or that of one of several outputs.json."""
        several = self.request.options.variants > 1
        return f"{self.title(seed) if several else _shortened(self.name) or UPLOAD}.json"


def _shortened(name: str) -> str:
    return name.encode()[:TITLE_BYTES].decode(errors="ignore")


class Jobs:
    """All jobs and their workers, with the files in a private folder that `close` deletes.

    ``model``: path of the bundle to load first; ``threads``: of each of the worker ``processes``.
    """

    def __init__(self, model: str, limits: Limits, processes: int = 1, threads: int = 1) -> None:
        self.limits = limits
        remove_abandoned()
        self.root = Path(tempfile.mkdtemp(prefix=FOLDERS))
        self.alive = _locked(self.root)
        self.folder = self.root / "jobs"
        self.folder.mkdir()
        self.jobs: dict[str, Job] = {}
        self.uploads: list[tuple[int, str]] = []  # bytes and client of each photo that is being uploaded
        # The jobs of each folder of links, which keep the bytes of outputs on the disk when the jobs are removed.
        self.archives = WeakKeyDictionary[tempfile.TemporaryDirectory[str], set[Job]]()
        self.lock = threading.RLock()
        # In the order of their places, then of their numbers; None stops a worker.
        self.queue: queue.PriorityQueue[tuple[int, int, Job | None]] = queue.PriorityQueue()
        self.numbers = itertools.count()
        self.workers = [_Worker(self, model, threads) for _ in range(processes)]

    @contextmanager
    def admission(self, size: int = 0, client: str = "") -> Iterator[Path]:
        """Yield a folder for a photo, counted as ``size`` bytes in the block and deleted if that raises an error.

        ``client``: address of the client; "" for one on this machine, to which the whole queue is open. Raises
        HTTPException where the photo would exceed a limit.
        """
        upload, share = (size, client), self.limits.stored_bytes // CLIENT_SHARE
        with self.lock:
            waiting = [*(other for _, other in self.uploads), *(job.client for job in self._queued())]
            if len(waiting) >= self.limits.queued:
                raise HTTPException(429, f"{len(waiting)} photos are waiting already: try again later", RETRY_LATER)
            if client and waiting.count(client) >= max(1, self.limits.queued // CLIENT_SHARE):
                raise HTTPException(429, f"{waiting.count(client)} of your photos are waiting already", RETRY_LATER)
            if self.occupied() + size > self.limits.stored_bytes or (client and self.occupied(client) + size > share):
                full = f"{(share if client else self.limits.stored_bytes) >> 20} MB of photos are stored already"
                raise HTTPException(507, f"{full}: remove some, or try again later")
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            self.uploads.append(upload)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            with self.lock:
                self.uploads.remove(upload)

    def occupied(self, client: str = "") -> int:
        """Return the bytes of all files, or of those of a client, and of those that may still be written.

        Call it with the lock held.
        """
        jobs = set(self.jobs.values()).union(*self.archives.values())
        jobs = {job for job in jobs if client in ("", job.client)}
        incoming = sum(size for size, sender in self.uploads if client in ("", sender))
        photos = dict(job.upload for job in jobs)  # jobs of one photo share its bytes
        return incoming + sum(photos.values()) + sum(job.stored + job.reserved for job in jobs)

    def create_archive(self, jobs: Sequence[Job]) -> tempfile.TemporaryDirectory[str]:
        """Return a folder for links to the outputs of jobs, whose bytes count as long as it exists."""
        folder = tempfile.TemporaryDirectory(dir=self.folder)
        with self.lock:
            self.archives[folder] = set(jobs)
        return folder

    def waiting(self, before: Job | None = None) -> int:
        """Return how many photos wait: all, or those before a job."""
        queued = self._queued()
        return queued.index(before) if before in queued else len(queued)

    def _queued(self) -> list[Job]:
        with self.lock:
            queued = [job for job in self.jobs.values() if job.state == "queued"]
        return sorted(queued, key=lambda job: job.place)

    def submit(self, name: str, request: ColorizeRequest, client: str = "", is_urgent: bool = False) -> Job:
        """Queue the photo in the folder of a request; an urgent one, whose answer somebody waits for, comes sooner."""
        photo = (request.folder / UPLOAD).stat()
        job = Job(name, request, (photo.st_ino, photo.st_size), client)
        with self.lock:
            number = next(self.numbers)
            job.place = number - URGENT_LEAD if is_urgent else number
            self.jobs[job.id] = job
            self.queue.put((job.place, number, job))
        return job

    def resubmit(self, job: Job, name: str, request: ColorizeRequest, client: str = "") -> Job:
        """Queue the photo of a job with other settings. Raises HTTPException as `admission`, or where it is removed."""
        with self.admission(client=client) as folder:
            try:
                os.link(job.request.folder / UPLOAD, folder / UPLOAD)
            except OSError as error:
                raise storage_error(job.name, error) from None
            is_urgent = not request.outputs
            return self.submit(name or job.name, replace(request, folder=folder), client, is_urgent)

    def get(self, job_id: str) -> Job:
        """Return a job by its id. Raises HTTPException where there is none."""
        job = self.jobs.get(job_id)
        if job is None:
            raise HTTPException(404, REMOVED)
        job.last_request = time.monotonic()
        return job

    def remove(self, job: Job) -> None:
        """Cancel a job and delete its files."""
        with self.lock:
            self.jobs.pop(job.id, None)
            job.canceled = True
        if job.state != "working":  # otherwise its worker does the rest
            self.finish(job, CANCELED)

    def remove_expired(self) -> None:
        """Remove the jobs whose retention time is over."""
        oldest = time.monotonic() - self.limits.retention
        with self.lock:
            expired = [job for job in self.jobs.values() if job.finished.done() and job.last_request < oldest]
        for job in expired:
            self.remove(job)

    def close(self) -> None:
        """Cancel all jobs, stop the workers and delete all files. Further calls do nothing."""
        for job in list(self.jobs.values()):
            self.remove(job)
        for _ in self.workers:
            self.queue.put((-URGENT_LEAD - 1, next(self.numbers), None))  # before any photo
        for worker in self.workers:
            worker.join()
        shutil.rmtree(self.root, ignore_errors=True)
        self.alive.close()

    def reserve(self, job: Job, size: int) -> bool:
        """Count new bytes of a job and reserve those of its next output. Return whether there is room for both."""
        assert job.opened
        with self.lock:
            job.stored += size
            job.reserved = job.opened.output_size if len(job.seeds) < job.request.options.variants else 0
            return self.occupied() <= self.limits.stored_bytes

    def finish(self, job: Job, failure: Failed | None) -> None:
        """Set the final state of a job, and delete its files if it is canceled."""
        with self.lock:
            if job.state in ("queued", "working"):
                job.failure = CANCELED if job.canceled else failure
                job.state = "failed" if job.failure else "done"
            job.reserved, job.last_request = 0, time.monotonic()
        if job.canceled:
            shutil.rmtree(job.request.folder, ignore_errors=True)
        elif failure:
            for unfinished in job.request.folder.glob(".*"):
                if unfinished.is_dir():  # parts of a film
                    shutil.rmtree(unfinished, ignore_errors=True)
                else:
                    unfinished.unlink(missing_ok=True)
        with suppress(InvalidStateError):  # is set already
            job.finished.set_result(None)


def remove_abandoned() -> None:
    """Remove the folders of servers that were killed together with all their workers."""
    for lock in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*/{LOCK}"):
        with suppress(OSError, ImportError):
            import fcntl

            if not lock.is_file() or lock.is_symlink():  # another program's: opening a pipe would wait
                continue
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent)


def _locked(folder: Path) -> BinaryIO:
    """Return an open file that is locked as long as this process lives; it gets its name once it is locked."""
    unnamed = folder / f".{LOCK}"
    file = unnamed.open("wb")
    with suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        unnamed.rename(folder / LOCK)
    return file


class _Worker(threading.Thread):
    """A thread that passes jobs to its process, which it starts again after a crash, or after it had to be killed."""

    def __init__(self, jobs: Jobs, model: str, threads: int) -> None:
        super().__init__(daemon=True)
        self.jobs = jobs
        self.arguments = (model, threads, jobs.limits.pixels)
        self.start_process()
        self.start()

    def start_process(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="worker-", dir=self.jobs.root))
        context = multiprocessing.get_context("spawn")
        pipe, their_end = context.Pipe()
        arguments = (their_end, self.jobs.root, self.scratch, *self.arguments)
        process = context.Process(target=serve, args=arguments, daemon=True)
        with interrupts_blocked(), their_end:
            process.start()
        self.pipe, self.process, self.idle = pipe, process, False

    def stop_process(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def ensure_process(self) -> None:
        if not self.process.is_alive():
            self.stop_process()
            self.start_process()

    def run(self) -> None:
        while (job := self.jobs.queue.get()[-1]) is not None:
            with self.jobs.lock:
                if job.canceled:
                    continue
                job.state = "working"
            failure = self.colorize(job)
            if not self.idle:
                self.stop_process()
            self.jobs.finish(job, failure)
            with suppress(OSError):  # the next job reports it if it fails again
                self.ensure_process()
        self.stop_process()

    def colorize(self, job: Job) -> Failed | None:
        """Work on a job to its end. Return why it failed, or None."""
        limits = self.jobs.limits
        seconds = limits.film_seconds * FILM_EFFORT if job.is_film else limits.seconds
        late = Failed(f"{UPLOAD}: took longer than {seconds:g} seconds: ask for fewer steps, or a faster model", 504)
        not_ready = Failed(f"{UPLOAD}: no worker process was ready after {START_SECONDS} seconds", 500)
        try:
            self.ensure_process()
            failure = self.wait_until_idle(job, START_SECONDS, not_ready)
            if failure:
                return failure
            self.idle = False
            self.pipe.send(job.request)
            return self.wait_until_idle(job, seconds, late)
        except (EOFError, ConnectionError):
            return CRASHED
        except Exception as error:  # for example no memory for a process
            return Failed(f"{UPLOAD}: no worker process could be started ({error}): try again later", 500)

    def wait_until_idle(self, job: Job, seconds: float, late: Failed) -> Failed | None:
        """Follow the events of the process. Return why they ended too early, or what has failed, or None."""
        start = time.monotonic()
        while not self.idle:
            job.seconds = time.monotonic() - start
            if job.canceled:
                return CANCELED
            if job.seconds > seconds:
                return late
            if not self.pipe.poll(POLL_SECONDS):
                continue
            match self.pipe.recv():
                case Opened() as event:
                    job.opened = event
                case Predicted() as event:
                    job.shapes[event.seed] = event.shape
                    job.notes = event.notes
                    job.seeds.append(event.seed)
                case FilmProgress() as event:
                    job.progress = event
                    continue
                case Found() as event:
                    job.likely = event.colors
                    continue
                case end:
                    self.idle = True
                    return end
            if not self.jobs.reserve(job, event.size):
                return NO_SPACE
        return None
