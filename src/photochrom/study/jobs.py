"""Jobs: commands that are run one on each device, those that are done already left out."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .._processes import available_processors

POLL_SECONDS = 0.2
STOP_SECONDS = 60  # for a training to write its checkpoint before it is killed

Report = Callable[["Job", str], None]  # a job and what became of it: started, done, or why it failed


@dataclass(frozen=True, eq=False)
class Job:
    """A command that is done once its output ``file`` exists.

    ``create_command`` is called when the job starts, since a command may depend on the outputs of ``needs``.
    ``weight``: how long it takes relative to others. ``alone``: no other job runs beside it, so its times are true.
    """

    name: str
    file: Path
    create_command: Callable[[], Sequence[str]]
    needs: tuple["Job", ...] = ()
    weight: float = 1.0
    alone: bool = False

    @property
    def is_done(self) -> bool:
        """Whether its output exists."""
        return self.file.exists()

    @property
    def log(self) -> Path:
        """The file of what its command prints."""
        return self.file.with_name(f"{self.file.name}.log")


@dataclass(frozen=True, eq=False)
class Device:
    """A share of the machine for one job: processors, and variables that name its GPU."""

    processors: tuple[int, ...]
    variables: Mapping[str, str]


def find_devices(number: int | None = None) -> list[Device]:
    """Return as many devices as asked for, by default the GPUs, or else one for each processor.

    They share the processors. Raises ValueError for more devices than processors.
    """
    import torch

    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(available_processors())
    gpus = torch.cuda.device_count()
    count = number or gpus or len(processors)
    if count > len(processors):
        raise ValueError(f"--jobs {count}: there are only {len(processors)} processors; give at most that number")
    devices = []
    for place in range(count):
        share = tuple(processors[place::count])
        variables = {"OMP_NUM_THREADS": str(len(share))}
        if gpus:
            variables["CUDA_VISIBLE_DEVICES"] = str(place % gpus)
        devices.append(Device(share, variables))
    return devices


def find_jobs_left(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs to run: those that no other job needs, unless they are done, and what these need.

    So files that were only needed for others may be removed, such as checkpoints of models that are measured.
    """
    needed = {need for job in jobs for need in job.needs}
    left: set[Job] = set()

    def add(job: Job) -> None:
        if job not in left and not job.is_done:
            left.add(job)
            for need in job.needs:
                add(need)

    for job in jobs:
        if job not in needed:
            add(job)
    return [job for job in jobs if job in left]


def run_jobs(jobs: Sequence[Job], devices: Sequence[Device], report: Report) -> dict[Job, str]:
    """Run `find_jobs_left`, each once those that it needs are done; return why jobs failed.

    A job that needs one that failed is not run, and counts as failed. Ctrl-C stops the processes as well.
    """
    waiting = find_jobs_left(jobs)
    running: dict[Device, tuple[Job, subprocess.Popen[bytes]]] = {}
    failures: dict[Job, str] = {}
    try:
        while waiting or running:
            for device in devices:
                if device not in running:
                    job = _next_job(waiting, [job for job, _ in running.values()])
                    if job is not None:
                        waiting.remove(job)
                        running[device] = (job, _start(job, device))
                        report(job, "started")
            time.sleep(POLL_SECONDS)
            for device, (job, process) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[device]
                if process.returncode == 0 and job.is_done:
                    report(job, "done")
                    continue
                for failed, reason in _with_dependents(job, _last_line(job, process.returncode), waiting).items():
                    failures[failed] = reason
                    report(failed, reason)
                waiting = [other for other in waiting if other not in failures]
    finally:
        _stop([process for _, process in running.values()])
    return failures


def _next_job(waiting: Sequence[Job], running: Sequence[Job]) -> Job | None:
    """Return the first job that can start beside those that are running."""
    if any(job.alone for job in running):
        return None
    for job in waiting:
        if all(need.is_done for need in job.needs) and not (job.alone and running):
            return job
    return None


def _start(job: Job, device: Device) -> subprocess.Popen[bytes]:
    job.file.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("wb") as log, _limited_to(device.processors):
        return subprocess.Popen(
            list(job.create_command()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | device.variables,
            process_group=0,  # signals to our group, such as Ctrl-C, are for this process alone
        )


@contextmanager
def _limited_to(processors: Sequence[int]) -> Iterator[None]:
    """Processes that are started in this context run on these processors only."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _last_line(job: Job, code: int) -> str:
    lines = job.log.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("photochrom: ") if lines else f"ended with exit code {code}"


def _with_dependents(job: Job, reason: str, waiting: Sequence[Job]) -> dict[Job, str]:
    """Return a failed job and those that need it, directly or not, with reasons; ``waiting`` in order of need."""
    failed = {job: reason}
    for other in waiting:
        needed = next((need for need in other.needs if need in failed), None)
        if needed is not None:
            failed[other] = f"needs {needed.name}, which failed"
    return failed


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes so that a training writes its checkpoint; kill those that take too long."""
    for process in processes:
        process.terminate()  # Ctrl-C is ignored by what a shell runs in the background
    end = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
