"""The manifest of a long run: one JSON object a line for each photo, appended as it is done, and read to resume."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..imaging.errors import printable
from ..inference.options import ColorOptions
from . import ManifestError

NAME = "photochrom.jsonl"
LINE_START = b'{"source": "'
OLD_NAMES = {"strength": "saturation", "about": "extras"}  # of options in manifests of earlier versions


@dataclass(frozen=True)
class Entry:
    """A photo and what became of it."""

    source: str  # path or address
    options: Mapping[str, Any]  # all that decides the outputs
    outputs: tuple[str, ...] = ()
    sha256: str = ""  # of the photo
    seconds: float = 0.0
    skipped: str = ""  # why there is no output
    error: str = ""
    worker: str = ""
    at: str = ""  # time in UTC
    version: str = ""


class Manifest(AbstractContextManager["Manifest"]):
    """An open manifest file. Raises ManifestError for a file of another kind and while another run writes it."""

    def __init__(self, path: Path) -> None:
        self.name = printable(path)  # in messages
        self.done: dict[str, str] = {}  # the options of each source, see `_key`
        self.skipped: dict[str, str] = {}  # why each source was skipped, "" if it was not
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.open("a+b")
            try:
                self._lock()
                self.file.truncate(self._read())
            except BaseException:
                self.file.close()
                raise
        except OSError as error:
            raise ManifestError(f"{self.name}: cannot be read or written ({error.strerror})") from None

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _lock(self) -> None:
        with suppress(ImportError, OSError):  # Windows and some file systems have no such locks
            import fcntl

            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ManifestError(f"{self.name}: another run writes it: wait for its end, or stop it") from None

    def _read(self) -> int:
        """Read all entries and return the number of bytes of complete lines."""
        self.file.seek(0)
        size = 0
        for number, line in enumerate(self.file, 1):
            # A kill leaves an incomplete last line.
            if not line.endswith(b"\n") and (line.startswith(LINE_START) or LINE_START.startswith(line)):
                break
            try:
                record = json.loads(line)
                if "asked" in record:  # the name of the options in earlier versions
                    record["options"] = record.pop("asked")
                entry = Entry(**record)
            except (ValueError, TypeError):
                raise ManifestError(f"{self.name}, line {number}: not a manifest of photochrom: name another") from None
            size += len(line)
            if not entry.error:
                self.done[entry.source] = _key(entry.options)
                self.skipped[entry.source] = entry.skipped
        return size

    def has(self, source: str, options: Mapping[str, Any]) -> bool:
        """Return whether a photo is done with these options."""
        return self.done.get(source) == _key(options)

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries and wait until they are on the disk. Raises OSError."""
        for entry in entries:
            self.file.write(json.dumps(asdict(entry)).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())


def _key(options: Mapping[str, Any]) -> str:
    """Return a text that is the same for options that give the same outputs, also for those of earlier versions."""
    values: dict[str, Any] = {"page": None, **asdict(ColorOptions())}  # for options that did not exist yet
    for name, value in options.items():
        values[OLD_NAMES.get(name, name)] = value
    if "seeds" in values:
        seeds = values.pop("seeds")
        values |= {"seed": seeds[0], "variants": len(seeds)}
    values.pop("model", None)  # a model is known by its weights, whatever its name
    return json.dumps(values, sort_keys=True)
