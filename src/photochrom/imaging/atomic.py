"""Files that appear whole or not at all, and never over another unless asked for."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedRandom
from pathlib import Path

from .formats import PhotoError, named, shown

STALE = 600  # seconds after which an unfinished file belongs to a run that was killed


class Taken(PhotoError):
    """A file that is there already, and is not to be written over."""


@contextmanager
def whole(path: Path, overwrite: bool = False) -> Iterator[BufferedRandom]:
    """A file to be written, which becomes `path` at the end; what killed runs left in the folder is removed.

    Raises `Taken` where the file exists and `overwrite` is not given, PhotoError where writing fails.
    """
    name = shown(path)
    if path.exists() and not overwrite:
        raise Taken(f"{name}: exists already; give another name or overwrite")
    _sweep(path.parent)
    beside = path.with_name(f".{path.stem[:40]}.photochrom-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        with named(name, "written"), beside.open("x+b") as file:
            yield file
        with named(name, "written"):
            _publish(beside, path, overwrite)
    finally:
        beside.unlink(missing_ok=True)


@cache
def _sweep(folder: Path) -> None:
    """Removes what killed runs left in `folder`; looks once a run, since a folder may be long."""
    for left in folder.glob(".*.photochrom-????????.*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE:
                left.unlink()


def _publish(beside: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        beside.replace(path)
        return
    try:
        path.hardlink_to(beside)  # unlike a rename, fails where the file exists
    except FileExistsError:
        raise Taken(f"{shown(path)}: exists already; give another name or overwrite") from None
    except OSError:  # a file system without links
        if path.exists():
            raise Taken(f"{shown(path)}: exists already; give another name or overwrite") from None
        beside.rename(path)
