"""What was done with each photograph of a long run: one JSON object a line, appended as it comes, read to go on."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

NAME = "photochrom.jsonl"


@dataclass(frozen=True)
class Entry:
    """A photograph and what came of it.

    ``source`` and ``outputs``: paths or addresses; ``sha256``: of the source's bytes; ``asked``: all that decides its
    colours (`asked`); ``seconds``: of work on it; ``error``: why it failed; ``worker``: who did it; ``at``: when, UTC.
    """

    source: str
    asked: Mapping[str, Any]
    outputs: tuple[str, ...] = ()
    sha256: str = ""
    seconds: float = 0.0
    error: str = ""
    worker: str = ""
    at: str = ""
    version: str = field(default="")


class Manifest:
    """The file, and what it says is done. Raises ValueError for a file that is something else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, str] = {}
        try:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
        whole = [line for line in lines if line.endswith(b"\n")]  # the last may have been cut short by a kill
        for number, line in enumerate(whole, 1):
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                raise ValueError(f"{path}, line {number}: is no manifest of photochrom: name another file") from None
            if not entry.error:
                self.done[entry.source] = _key(entry.asked)
        self.size = sum(map(len, whole))

    def has(self, source: str, asked: Mapping[str, Any]) -> bool:
        """Whether a photograph is done, as it is asked for now."""
        return self.done.get(source) == _key(asked)

    def add(self, entries: Iterable[Entry]) -> None:
        """Appended, and on the disc before this returns. Raises OSError."""
        text = "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in entries).encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.truncate(self.size)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self.size += len(text)


def _key(asked: Mapping[str, Any]) -> str:
    return json.dumps(asked, sort_keys=True)
