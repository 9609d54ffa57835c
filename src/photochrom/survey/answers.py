"""The answers of a survey: a file of JSON lines that only grows."""

import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

from .plan import TRUTH

PREFIX = b'{"survey": "'  # of each line
LATE = 0.25  # seconds that pictures may be shown too long


@dataclass(frozen=True)
class Answer:
    """An answer of a participant to one trial. Times are in seconds."""

    survey: str  # identifies pictures and settings
    question: str  # real: which has the colors of the camera; better: which looks better
    participant: str  # random, says nothing about a person
    number: int  # of the participant, from 0, decides the trials
    trial: int  # from 1
    kind: str  # trial or check
    photo: str
    left: str  # model, "ground truth" or "tinted"
    right: str
    choice: str  # left, right or tie
    seconds: float  # for which pictures are to be shown; 0: until the answer
    shown: float  # for which they were
    response: float  # from the first sight of the pictures to the answer
    width: int  # of a picture, in CSS pixels
    marks: list[str]  # what was irregular: late, paused, repeated

    @property
    def chosen(self) -> str:
        """The source of the chosen picture; of a tie, that of the left one."""
        return self.right if self.choice == "right" else self.left

    @property
    def other(self) -> str:
        """The source of the picture that was not chosen."""
        return self.left if self.choice == "right" else self.right

    @property
    def models(self) -> list[str]:
        """The models among the two sources."""
        return [source for source in (self.left, self.right) if source != TRUTH]


def read_answers(path: Path) -> list[Answer]:
    """Return the answers of a file. Raises ValueError for what is none; an unfinished last line is left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if not PREFIX.startswith(lines[-1][: len(PREFIX)]):
        raise ValueError(f"{path}:{len(lines)}: not an answer of a survey; give a file that photochrom survey wrote")
    answers = []
    names = {field.name for field in fields(Answer)}
    for number, line in enumerate(lines[:-1], 1):
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        if not isinstance(values, dict) or values.keys() != names:
            raise ValueError(f"{path}:{number}: not an answer of a survey; give a file that photochrom survey wrote")
        answers.append(Answer(**values))
    return answers


class AnswerFile:
    """A file of answers that is open for appending; every answer is on the disk before `append` returns."""

    def __init__(self, path: Path, survey: str) -> None:
        """Open a file, or create it, and continue after its last whole line.

        Raises ValueError where it holds something else or answers of another survey, or is in use.
        """
        self.answers = read_answers(path) if path.exists() else []
        if any(answer.survey != survey for answer in self.answers):
            reason = "holds answers of a survey with other pictures or options"
            raise ValueError(f"{path}: {reason}; repeat them, or choose another -o")
        try:
            self.file: BinaryIO = path.open("a+b", buffering=0)
        except OSError as error:
            raise ValueError(f"{path}: cannot be written ({error.strerror}); choose another -o") from None
        if not _lock(self.file):
            self.file.close()
            raise ValueError(f"{path}: another survey writes to it; stop that one, or choose another -o")
        self.lock = threading.Lock()
        self._cut_unfinished_line()

    def _cut_unfinished_line(self) -> None:
        """Remove what an interrupted write has left: its answer was not confirmed and is sent again."""
        self.file.seek(0)
        content = self.file.read()
        self.file.truncate(content.rfind(b"\n") + 1)

    def append(self, answer: Answer) -> None:
        """Write one line, whole or not at all. Raises OSError."""
        line = json.dumps(asdict(answer)).encode() + b"\n"
        with self.lock:
            size = os.fstat(self.file.fileno()).st_size
            try:
                written = self.file.write(line)
                if written != len(line):
                    raise OSError("no space left for the answer")
                os.fsync(self.file.fileno())
            except OSError:
                self.file.truncate(size)
                raise
            self.answers.append(answer)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def without_repetitions(answers: Iterable[Answer]) -> list[Answer]:
    """Return the answers, each trial of a participant once: files may be joined that share lines."""
    return list({(answer.survey, answer.participant, answer.trial): answer for answer in answers}.values())


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed; False if another process has locked it."""
    with suppress(ImportError, OSError):  # where there are no locks
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
