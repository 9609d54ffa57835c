"""Devices, processes and signals of a training."""

import logging
import os
import platform
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from lightning_fabric.utilities.exceptions import MisconfigurationException
from lightning_fabric.utilities.rank_zero import rank_zero_only

from .recipe import Trainer


def is_main_process() -> bool:
    """Return whether this process is the only one, or the first, of a training: it writes and reports."""
    return not rank_zero_only.rank  # type: ignore[attr-defined]


def create_fabric(settings: Trainer) -> Fabric:
    """Return the devices, processes and precision of a training. Raises ValueError where a machine lacks them."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric")
    single = settings.devices == 1 and settings.nodes == 1
    precision = settings.precision
    if precision == "auto":
        on_cuda = settings.accelerator != "cpu" and torch.cuda.is_available()
        has_bf16 = on_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16-mixed" if has_bf16 else "32-true"
    torch.set_float32_matmul_precision("high")
    try:
        return Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            # While one part of a model takes its step, the parameters of the others are unused.
            strategy="auto" if single else "ddp_find_unused_parameters_true",
            precision=precision,
        )
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        choice = f"trainer.accelerator = {settings.accelerator!r}, devices = {settings.devices!r}"
        raise ValueError(f"{choice}: not on this machine ({' '.join(str(error).split())})") from None


def describe_device(fabric: Fabric) -> str:
    """Return the name of the processors that train, and their number: ``NVIDIA H100 x 2``, or of threads of a CPU."""
    if fabric.device.type == "cuda":
        return f"{torch.cuda.get_device_name(fabric.device)} x {fabric.world_size}"
    names = []
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    threads = torch.get_num_threads() * fabric.world_size
    return f"{name}, {threads} {'thread' if threads == 1 else 'threads'}"


@contextmanager
def launched(fabric: Fabric) -> Iterator[None]:
    """Start the other processes of this machine; they end with the block, or when this one fails.

    They would wait for a failed one forever.
    """
    fabric.launch()
    launcher = fabric.strategy.launcher
    try:
        yield
    except BaseException:
        for process in launcher.procs if isinstance(launcher, _SubprocessScriptLauncher) else ():
            process.kill()
        raise
    if fabric.world_size == 1:
        return
    fabric.barrier()
    if not is_main_process():
        # Python's shutdown may wait forever for a thread of torch (https://github.com/pytorch/pytorch/issues/190489).
        os._exit(0)
    torch.distributed.destroy_process_group()


@contextmanager
def handle_signals(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Give Ctrl-C and SIGTERM to a handler, and to the earlier ones afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def ignore_interrupts(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the main one decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
