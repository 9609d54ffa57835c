"""What a training does to its process: signals, and what Lightning says."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def ignore_interrupts(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the main one decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def own_signals() -> Iterator[None]:
    """The signal handlers are, afterwards, what they were before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing from Lightning but errors."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
