"""Processors, memory and child processes of this process."""

import math
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> float:
    """Return the bytes of memory that this process can still have; infinity where the system does not tell."""
    limits = [math.inf]
    with suppress(OSError, ValueError):  # ValueError: "max"
        free = int((CGROUP / "memory.max").read_text()) - int((CGROUP / "memory.current").read_text())
        # Files that are cached count as used, but give way.
        cached = re.search(r"^inactive_file (\d+)", (CGROUP / "memory.stat").read_text(), re.MULTILINE)
        limits.append(max(0, free + (int(cached[1]) if cached else 0)))
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    return min(limits)


def return_free_memory() -> None:
    """Return to the system what the memory allocator holds although nothing uses it, where that is glibc's."""
    # AttributeError: another C library; TypeError: Windows; others: a Python without ctypes, or linked statically.
    with suppress(AttributeError, TypeError, ImportError, OSError):
        import ctypes

        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes and threads started in this context ignore Ctrl-C; the parent process handles it."""
    from multiprocessing import resource_tracker

    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The process of the tracker would otherwise unblock the signal here. It need not say that it cleans up after us.
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
