"""Processors, memory and signals of this process."""

import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

INTERRUPTED = 130  # exit code after Ctrl-C, as of a shell: 128 + the number of SIGINT
_last_signal = [signal.SIGINT.value]


def on_signals(handler: Callable[[int, Any], object]) -> None:
    """Give Ctrl-C and SIGTERM to a handler, unless the process ignores them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, handler)


def leave(number: int, frame: Any = None) -> NoReturn:
    """Handle a signal: end the process at once, with one line. For imports, some of which swallow exceptions."""
    os.write(2, b"photochrom: stopped\n")
    os._exit(128 + number)


def interrupt(number: int, frame: Any = None) -> NoReturn:
    """Handle a signal: raise KeyboardInterrupt, and keep which signal it was for `exit_code`."""
    note_signal(number)
    raise KeyboardInterrupt


def note_signal(number: int) -> None:
    """Keep which signal stops the process, for `exit_code`."""
    _last_signal[0] = number


def exit_code() -> int:
    """Return the exit code of an interrupted process: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + _last_signal[0]


def available_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> float:
    """Return the bytes of memory that this process can still have; infinity where the system does not tell."""
    limits = [math.inf]
    with suppress(OSError, ValueError):  # ValueError: "max"
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    with suppress(OSError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    return min(limits)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes and threads started in this context ignore Ctrl-C; the parent process handles it."""
    from multiprocessing import resource_tracker

    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its process would otherwise unblock the signal here
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
