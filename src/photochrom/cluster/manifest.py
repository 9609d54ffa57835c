"""What was done with each photograph of a long run: one JSON object a line, appended as it comes, read to go on."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

NAME = "photochrom.jsonl"
BEGIN = b'{"source": "'  # of every line


@dataclass(frozen=True)
class Entry:
    """A photograph and what came of it.

    ``source`` and ``outputs``: paths or addresses; ``asked``: all that decides its colours; ``sha256``: of the source's
    bytes; ``seconds``: of work on it; ``skipped``: why nothing was made; ``error``: why it failed; ``worker``: who did
    it; ``at``: when, UTC.
    """

    source: str
    asked: Mapping[str, Any]
    outputs: tuple[str, ...] = ()
    sha256: str = ""
    seconds: float = 0.0
    skipped: str = ""
    error: str = ""
    worker: str = ""
    at: str = ""
    version: str = ""


class Manifest:
    """The file, held open, and what it says is done. Raises ValueError for another run's, or what is no manifest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, str] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.open("a+b")
        except OSError as error:
            raise ValueError(f"{path}: cannot be written ({error.strerror})") from None
        try:
            self._lock()
            self.file.truncate(self._read())
        except ValueError:
            self.file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _read(self) -> int:
        """How many bytes are whole lines."""
        self.file.seek(0)
        whole = 0
        for number, line in enumerate(self.file, 1):
            if not line.endswith(b"\n") and (line.startswith(BEGIN) or BEGIN.startswith(line)):  # cut short by a kill
                break
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                raise ValueError(
                    f"{self.path}, line {number}: is no manifest of photochrom: name another file"
                ) from None
            whole += len(line)
            if not entry.error:
                self.done[entry.source] = _key(entry.asked)
        return whole

    def _lock(self) -> None:
        with suppress(ImportError):  # where there are no such locks
            import fcntl

            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{self.path}: another run is writing it: wait for its end, or stop it") from None
            except OSError:  # a file system without locks
                return

    def has(self, source: str, asked: Mapping[str, Any]) -> bool:
        """Whether a photograph is done, as it is asked for now."""
        return self.done.get(source) == _key(asked)

    def differs(self, source: str, asked: Mapping[str, Any]) -> bool:
        """Whether a photograph is done, but as it was asked for at another time."""
        return source in self.done and not self.has(source, asked)

    def add(self, entries: Iterable[Entry]) -> None:
        """Appended, and on the disc before this returns. Raises OSError."""
        self.file.write("".join(json.dumps(asdict(entry)) + "\n" for entry in entries).encode())
        self.file.flush()
        os.fsync(self.file.fileno())


def _key(asked: Mapping[str, Any]) -> str:
    """Equal for what gives the same copies: a model is known by its weights, whatever it is called."""
    return json.dumps({name: value for name, value in asked.items() if name != "model"}, sort_keys=True)
