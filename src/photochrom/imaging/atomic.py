"""Atomic writes: files appear whole or not at all, and never replace another unless asked to."""

import glob
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedRandom
from pathlib import Path

from .errors import FileExists, photo_errors, printable

STALE_SECONDS = 600  # an unfinished file that nobody has written to for so long belongs to a killed run

BEGINNING = threading.Lock()  # a thread that is about to end the process holds it: no file is begun any more


@contextmanager
def atomic_write(path: Path, overwrite: bool = False) -> Iterator[BufferedRandom]:
    """Yields an open binary file that becomes `path` when the block ends. Raises FileExists or WriteError."""
    with atomic_path(path, overwrite) as temporary:
        with BEGINNING:
            file = temporary.open("x+b")
        with file:
            yield file


@contextmanager
def atomic_path(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary path; the file or folder that the block creates there becomes `path` when it ends.

    A folder never replaces another. Raises FileExists or WriteError.
    """
    _check_free(path, overwrite)
    _remove_stale(path.parent)
    temporary = path.with_name(f".{path.stem[:40]}.photochrom-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        with photo_errors(printable(path), "written"):
            yield temporary
            _publish(temporary, path, overwrite)
    finally:
        _remove(temporary)


def remove_unfinished(path: Path) -> None:
    """Removes what a process that was killed while it wrote `path` has left."""
    for unfinished in path.parent.glob(f".{glob.escape(path.stem[:40])}.photochrom-????????{path.suffix}"):
        _remove(unfinished)


def _check_free(path: Path, overwrite: bool = False) -> None:
    if path.exists() and not overwrite:
        raise FileExists(f"{printable(path)}: exists already; give another name or overwrite")


@cache  # once a run, since a folder may be long
def _remove_stale(folder: Path) -> None:
    for unfinished in folder.glob(".*.photochrom-????????*"):
        with suppress(OSError):
            if time.time() - unfinished.stat().st_mtime > STALE_SECONDS:
                _remove(unfinished)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)  # does nothing to a file
    with suppress(OSError):  # what cannot be removed must not hide the error that led here
        path.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        temporary.replace(path)
        return
    # Another run may have written `path` meanwhile. A rename would replace its file silently; a hard link fails.
    try:
        path.hardlink_to(temporary)
    except OSError:  # it exists, or is a folder, or the file system has no hard links
        _check_free(path)
        temporary.rename(path)
