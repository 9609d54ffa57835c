"""Worker processes: each colorizes photos on cores of its own, and may crash without harm to the other photos."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from .._processes import available_memory, available_processors
from ..imaging.atomic import end_process, remove_unfinished
from ..imaging.errors import printable
from .colorizer import Colorizer
from .onnx import CPU, find_provider
from .plan import Task
from .processing import BatchOptions, Outcome, process_batch

COMMAND = ("-P", "-c", f"from {__name__} import main; main()")
# Libraries that would start threads of their own.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VIPS_CONCURRENCY")
WORTH_SECONDS = 3  # of one core, for which starting workers takes no longer than it saves: each takes 0.6 seconds
PHOTO_SECONDS, BYTE_SECONDS = 0.06, 1.5e-7  # of one core, for each photo and for each byte of it
WORKER_MEMORY = 300 << 20  # bytes; more for photos that are not decoded row by row
EXIT_SECONDS = 1  # for a process to leave before it is killed


def suggest_jobs(colorizer: Colorizer, tasks: Sequence[Task], options: BatchOptions) -> int:
    """Return how many workers are worth their start: one for each processor, or 1 for few photos and for a GPU."""
    seconds = 0.0
    for task in tasks if find_provider(colorizer.device) == CPU else ():
        if any(options.is_due(file) for file in task.files.values()):
            with suppress(OSError):
                seconds += PHOTO_SECONDS + BYTE_SECONDS * Path(task.source).stat().st_size
        if seconds > WORTH_SECONDS:
            return max(1, min(available_processors(), int(available_memory() / WORKER_MEMORY)))
    return 1


@contextmanager
def start_workers(colorizer: Colorizer, options: BatchOptions, count: int) -> Iterator[list["Worker"]]:
    """Yield workers that share the processors; they stop at once when the block ends."""
    threads = max(1, available_processors() // count)
    with tempfile.TemporaryDirectory(prefix="photochrom-", ignore_cleanup_errors=True) as scratch:
        workers = [Worker(colorizer, options, threads, scratch) for _ in range(count)]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.close()
            for worker in workers:
                worker.wait()


class Worker:
    """A process that colorizes batches of photos; one that dies is replaced.

    ``scratch``: a folder for its temporary files, which it removes if this process is killed.
    """

    def __init__(self, colorizer: Colorizer, options: BatchOptions, threads: int, scratch: str) -> None:
        self.setup = (colorizer.model, threads, colorizer.device), colorizer.procedure, options, scratch
        self.environment = os.environ | dict.fromkeys(THREADS, str(threads))
        self.environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": scratch}
        self.closed = False
        self.lock = threading.Lock()  # no process starts after `close`
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command, pipe = [sys.executable, *COMMAND], subprocess.PIPE
        # A process group of its own, since signals to the group, such as Ctrl-C, are for this process alone.
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=self.environment, process_group=0)
        with suppress(BrokenPipeError):
            _send(process.stdin, self.setup)
        return process

    def colorize(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield the outcome of each task, until it is closed; the photo with which the process dies fails."""
        with self.lock:
            if self.closed:
                return
            if self.process.poll() is not None:  # it died in the batch before, or idle
                self.process = self._start()
        remaining = list(tasks)
        try:
            _send(self.process.stdin, remaining)
            while remaining:
                outcome = pickle.load(self.process.stdout)  # type: ignore[arg-type]
                del remaining[0]
                yield outcome
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            reason = self.wait()
            _remove_unfinished(remaining)
            if len(tasks) == 1 and not self.closed:
                yield Outcome(tasks[0], f"{printable(tasks[0].source)}: {reason}")
                return
        for task in remaining:  # each alone, to find the one
            yield from self.colorize([task])

    def close(self) -> None:
        """Tell the process to stop at once; it leaves only whole files."""
        with self.lock, suppress(OSError):
            self.closed = True
            self.process.stdin.close()  # type: ignore[union-attr]

    def wait(self) -> str:
        """Wait for the end of the process, for a second at most, and return why it ended."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_SECONDS)
        self.process.kill()
        code = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        if code == -9:
            return "its process was killed, perhaps for want of memory; try a smaller --jobs"
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process crashed ({cause}); the file may be damaged (please report this)"


def _send(stream: IO[bytes] | None, message: object) -> None:
    assert stream
    pickle.dump(message, stream)
    stream.flush()


def _remove_unfinished(tasks: Sequence[Task]) -> None:
    for task in tasks:
        for file in task.files.values():
            remove_unfinished(Path(file))


def main() -> None:
    """Be a worker: colorize batches from stdin, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where there are no process groups
    requests, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no result
    arguments, procedure, options, scratch = pickle.load(requests)
    colorizer = Colorizer(*arguments)
    colorizer.procedure = procedure  # with the sampler options of the run
    batches: SimpleQueue[list[Task]] = SimpleQueue()

    def receive() -> None:
        with suppress(EOFError):
            while True:
                batches.put(pickle.load(requests))
        shutil.rmtree(scratch, ignore_errors=True)
        end_process(0)

    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    with suppress(BrokenPipeError):
        while True:
            for outcome in process_batch(colorizer, batches.get(), options, threading.Event()):
                _send(results, outcome)
    receiver.join()
