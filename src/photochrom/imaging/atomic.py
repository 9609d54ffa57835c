"""Atomic writes: files appear whole or not at all, and never replace another unless asked to."""

import glob
import os
import platform
import shutil
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedRandom
from pathlib import Path
from typing import NoReturn

from .errors import FileExists, photo_errors, printable
from .paths import exists

STALE_SECONDS = 600  # an unfinished file that nobody has written to for so long belongs to a killed run
LOCK_SECONDS = 2  # more than a process takes to lock the file that it has created

BEGINNING = threading.Lock()  # a thread that is about to end the process holds it: no file is begun any more
_unfinished: set[Path] = set()  # the files and folders that this process is writing


@contextmanager
def atomic_write(path: Path, overwrite: bool = False) -> Iterator[BufferedRandom]:
    """Yields an open binary file that becomes `path` when the block ends. Raises FileExists or WriteError."""
    with atomic_path(path, overwrite) as temporary:
        with BEGINNING:
            file = temporary.open("x+b")
        with file:
            _lock(file)
            yield file


@contextmanager
def atomic_path(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary path; the file or folder that the block creates there becomes `path` when it ends.

    A folder never replaces another. Raises FileExists or WriteError.
    """
    check_free(path, overwrite)
    _remove_stale(path.parent)
    temporary = path.with_name(f".{path.stem[:40]}.photochrom-{_machine()}{uuid.uuid4().hex[:8]}{path.suffix}")
    _unfinished.add(temporary)
    try:
        with photo_errors(printable(path), "written"):
            yield temporary
            _publish(temporary, path, overwrite)
    finally:
        _remove(temporary)
        _unfinished.discard(temporary)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yields a folder that is removed when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="photochrom-"))
    _unfinished.add(folder)
    try:
        yield folder
    finally:
        _remove(folder)
        _unfinished.discard(folder)


def end_process(code: int) -> NoReturn:
    """Ends this process at once, whatever its threads are doing, and removes what it is writing."""
    BEGINNING.acquire()
    for path in list(_unfinished):
        _remove(path)
    os._exit(code)


def remove_unfinished(path: Path) -> None:
    """Removes what a process that was killed while it wrote `path` has left."""
    for unfinished in path.parent.glob(f".{glob.escape(path.stem[:40])}.photochrom-*{path.suffix}"):
        with suppress(OSError):
            if _is_abandoned(unfinished):  # and not a photo whose name begins in the same way
                _remove(unfinished)


def check_free(path: Path, overwrite: bool = False) -> None:
    """Raises FileExists where a file stands at `path` and is not to be replaced."""
    # False where the folder may not be searched: then writing fails.
    if exists(path) and not overwrite:
        raise FileExists(f"{printable(path)}: exists already; give another name or overwrite")


@cache  # once a run, since a folder may be long
def _remove_stale(folder: Path) -> None:
    remove_abandoned(folder, LOCK_SECONDS)


def remove_abandoned(folder: Path, seconds: float = 0) -> None:
    """Removes what processes that have ended were writing in a folder, if nobody has written to it for ``seconds``."""
    for unfinished in folder.glob(".*.photochrom-????????*"):
        with suppress(OSError):
            age = time.time() - unfinished.stat().st_mtime
            if age > STALE_SECONDS or (age >= seconds and _is_abandoned(unfinished)):
                _remove(unfinished)


@cache
def _machine() -> str:
    """Eight digits for all processes under one kernel, which see the locks of each other on any file system."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        name = platform.node()
    return f"{zlib.crc32(name.encode()):08x}"


def _lock(file: BufferedRandom) -> bool:
    """Locks a file until it is closed; False if another process has locked it, or where there are no locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _is_abandoned(unfinished: Path) -> bool:
    """Whether an unfinished file is that of a process of this machine that has ended."""
    if f".photochrom-{_machine()}" not in unfinished.name or not unfinished.is_file():
        return False
    with unfinished.open("r+b") as file:
        return _lock(file)


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
        check_free(path)
        temporary.rename(path)
