"""Photographs on their way through the workers: a queue that is bounded in length, bytes and time."""

import multiprocessing
import os
import queue
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from .._processes import interrupts_blocked
from ..imaging.photo import MAX_PIXELS
from .worker import UPLOAD, Done, Failed, Opened, Order, Painted, Ready, Said, serve

State = Literal["queued", "working", "done", "failed"]
GONE = "no such photograph here: it was removed, or forgotten after a while"
LONGEST = 200  # bytes of a name: no file's may have more than 255
READY = 120  # seconds that a worker may take to begin
NOT_WANTED = Failed(f"{UPLOAD}: is not wanted any more", 404)
LOOK = 0.2  # seconds between two looks at whether a photograph is still wanted


class Refused(Exception):
    """What the limits do not allow, with the HTTP status that says so."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """``upload``: bytes of a photograph; ``pixels`` of it; ``queue``: photographs that wait; ``seconds`` of work on it.

    ``held``: bytes of all photographs and what was made of them; ``kept``: seconds until they are forgotten, from when
    they were last asked for.
    """

    upload: int = 200 << 20
    pixels: int = MAX_PIXELS
    queue: int = 64
    seconds: float = 600
    held: int = 4 << 30
    kept: float = 900


@dataclass(eq=False)
class Job:
    """A photograph, what is wanted of it, and what came of it. ``name``: what its owner calls it; no path."""

    name: str
    order: Order
    identity: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "queued"
    opened: Opened | None = None
    painted: list[int] = field(default_factory=list)
    failure: Failed | None = None
    wanted: bool = True
    seconds: float | None = None
    touched: float = field(default_factory=time.monotonic)
    finished: Future[None] = field(default_factory=Future)
    held: Mapping[int, int] = field(default_factory=dict)

    def weigh(self) -> None:
        """Note the bytes of each file that is there now, by inode: one photograph may be that of several jobs."""
        found: dict[int, int] = {}
        for folder, _, names in os.walk(self.order.folder):
            for name in names:
                with suppress(OSError):  # gone since
                    stat = Path(folder, name).stat()
                    found[stat.st_ino] = stat.st_size
        self.held = found

    def copy(self, seed: int) -> Path:
        """The coloured copy of a seed that is painted."""
        assert self.opened
        return self.order.folder / Painted.copy(seed, self.opened.suffix)

    def title(self, seed: int) -> str:
        """What the copy of a seed is called: NAME-color, with the seed where there are several."""
        several = f"-{seed}" if len(self.order.seeds) > 1 else ""
        stem = Path(self.name).stem.encode()[:LONGEST].decode(errors="ignore") or UPLOAD
        return f"{stem}-color{several}{self.copy(seed).suffix}"


class Jobs:
    """The queue, the workers (``count`` processes of ``threads`` threads) and what they made, in a private folder.

    ``models``: whole paths of bundles, the one that is asked for most first. Nothing outlives it: `close` removes all,
    and so do the workers where the process ends without.
    """

    def __init__(self, models: Sequence[str], limits: Limits, count: int = 1, threads: int = 1) -> None:
        self.limits = limits
        self.root = Path(tempfile.mkdtemp(prefix="photochrom-web-"))
        self.jobs: dict[str, Job] = {}
        self.coming: dict[object, int] = {}  # bytes of photographs on their way here
        self.lock = threading.Lock()
        self.queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.workers = [_Worker(self.root, models, threads, limits.pixels) for _ in range(count)]
        self.threads = [threading.Thread(target=self._work, args=(worker,), daemon=True) for worker in self.workers]
        for thread in self.threads:
            thread.start()

    def folder(self) -> Path:
        """A new folder for an upload."""
        return Path(tempfile.mkdtemp(dir=self.root))

    def forget(self) -> None:
        """Remove what is past its time."""
        now = time.monotonic()
        with self.lock:
            past = [job for job in self.jobs.values() if job.finished.done() and now - job.touched > self.limits.kept]
        for job in past:
            self.remove(job)

    @contextmanager
    def place(self, size: int = 0) -> Iterator[None]:
        """While a photograph of so many bytes comes in, it counts as one that waits.

        Raises Refused where one more would be too many.
        """
        this = object()
        with self.lock:
            ahead = len(self.coming) + sum(job.state == "queued" for job in self.jobs.values())
            if ahead >= self.limits.queue:
                raise Refused(f"{ahead} photographs are waiting already: try again in a while", 429)
            if self.held() + size > self.limits.held:
                raise Refused(f"{self.limits.held >> 20} MB of photographs are held already: remove some, or wait", 429)
            self.coming[this] = size
        try:
            yield
        finally:
            with self.lock:
                del self.coming[this]

    def held(self) -> int:
        """Bytes of all photographs, on their way here too, and of what was made of them. Ask under the lock."""
        files: dict[int, int] = {}
        for job in self.jobs.values():
            files |= job.held
        return sum(files.values()) + sum(self.coming.values())

    def crowded(self, job: Job) -> bool:
        """Whether a job has made more files than can be held."""
        job.weigh()
        with self.lock:
            return self.held() > self.limits.held

    def waiting(self, until: Job | None = None) -> int:
        """How many photographs wait, or wait before one of them."""
        with self.lock:
            ahead = list(self.jobs.values())
        if until in ahead:
            ahead = ahead[: ahead.index(until)]
        return sum(job.state == "queued" for job in ahead)

    def submit(self, name: str, order: Order) -> Job:
        """Queue a photograph that lies in its order's folder."""
        job = Job(name, order)
        job.weigh()
        with self.lock:
            self.jobs[job.identity] = job
        self.queue.put(job)
        return job

    def again(self, job: Job, order: Order) -> Job:
        """Queue the same photograph once more, with other wishes. Raises Refused where it is removed meanwhile."""
        folder = self.folder()
        try:
            os.link(job.order.folder / UPLOAD, folder / UPLOAD)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise Refused(GONE, 404) from None
        return self.submit(job.name, replace(order, folder=folder))

    def get(self, identity: str) -> Job:
        """A job by its identity. Raises Refused where there is none (any more)."""
        with self.lock:
            job = self.jobs.get(identity)
        if job is None:
            raise Refused(GONE, 404)
        job.touched = time.monotonic()
        return job

    def remove(self, job: Job) -> None:
        """Stop what is going on, and forget all about it."""
        with self.lock:
            self.jobs.pop(job.identity, None)
            job.wanted = False
            working = job.state == "working"
        if not working:
            self._end(job)

    def close(self) -> None:
        """Stop all, and forget all; once more does nothing."""
        for job in list(self.jobs.values()):
            self.remove(job)
        for _ in self.threads:
            self.queue.put(None)
        for thread in self.threads:
            thread.join()
        shutil.rmtree(self.root, ignore_errors=True)

    def _work(self, worker: "_Worker") -> None:
        while job := self.queue.get():
            with self.lock:
                job.state = "working" if job.wanted else "failed"
            try:
                if job.wanted:
                    worker.run(job, self.limits.seconds, self.crowded)
            except Exception as error:  # such as no memory for another process
                why = f"{UPLOAD}: no worker could begin ({error}): try again in a while"
                job.failure, job.state = job.failure or Failed(why, 500), "failed"
            finally:
                job.weigh()
                job.touched = time.monotonic()
                self._end(job)
        worker.stop()

    def _end(self, job: Job) -> None:
        if not job.wanted:
            shutil.rmtree(job.order.folder, ignore_errors=True)
        with self.lock:
            if not job.finished.done():
                job.finished.set_result(None)


class _Worker:
    """A process of `worker.serve`, begun anew where it ended, or had to be ended."""

    def __init__(self, root: Path, models: Sequence[str], threads: int, max_pixels: int) -> None:
        self.asked = root, models, threads, max_pixels
        self.context = multiprocessing.get_context("spawn")
        self.start()

    def start(self) -> None:
        pipe, theirs = self.context.Pipe()
        process = self.context.Process(target=serve, args=(theirs, *self.asked), daemon=True)
        try:
            with interrupts_blocked():
                process.start()
        except BaseException:
            pipe.close()
            raise
        finally:
            theirs.close()
        self.pipe, self.process, self.ready = pipe, process, False

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def run(self, job: Job, seconds: float, crowded: Callable[[Job], bool]) -> None:
        """Have a photograph coloured, noting what is said; where it is not wanted any more or too slow, end it."""
        try:
            if not self.process.is_alive():  # ended since, or could not begin
                self.stop()
                self.start()
            begun = time.monotonic()
            while not self.ready:
                if self.pipe.poll(LOOK):
                    self.ready = isinstance(self.pipe.recv(), Ready)
                elif not job.wanted:
                    job.failure, job.state = NOT_WANTED, "failed"
                    return
                elif time.monotonic() - begun > READY:
                    self._fail(job, Failed(f"{UPLOAD}: no worker was ready after {READY} seconds", 500))
                    return
            begun = time.monotonic()
            self.pipe.send(job.order)
            while True:
                job.seconds = time.monotonic() - begun
                if self.pipe.poll(LOOK) and _note(job, self.pipe.recv()):
                    return
                if failure := _ended(job, seconds, crowded):
                    self._fail(job, failure)
                    return
        except (EOFError, ConnectionError):
            self._fail(job, Failed(f"{UPLOAD}: brought its worker down (please report this); others go on", 500))

    def _fail(self, job: Job, failure: Failed) -> None:
        """End a photograph and the process that works on it, and begin another."""
        job.failure, job.state = failure, "failed"
        self.stop()
        self.start()


def _ended(job: Job, seconds: float, crowded: Callable[[Job], bool]) -> Failed | None:
    """Why a photograph is not to be worked on any longer."""
    if not job.wanted:
        return NOT_WANTED
    if (job.seconds or 0) > seconds:
        why = f"took longer than {seconds:g} seconds: try fewer steps, or a quicker model"
        return Failed(f"{UPLOAD}: {why}", 504)
    if crowded(job):
        return Failed(f"{UPLOAD}: there is no room for more copies: remove some photographs, or wait", 507)
    return None


def _note(job: Job, said: Said) -> bool:
    """What a worker said of a photograph; whether that was the last of it."""
    if isinstance(said, Opened):
        job.opened = said
    elif isinstance(said, Painted):
        job.painted.append(said.seed)
    elif isinstance(said, Failed):
        job.failure, job.state = said, "failed"
    else:
        job.state = "done"
    return isinstance(said, Failed | Done)
