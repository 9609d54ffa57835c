"""Color hints for films: each belongs to a place of a frame, and follows it through the shot."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile

import numpy as np

from ..imaging.errors import PhotoError
from ..inference.options import Hint
from .motion import Gray, MotionEstimator, trust
from .reading import Film
from .shots import split_shots

PATTERN = r"^\s*(\d{1,9})\s*,(.*)$"
SURE = 0.3  # trust in the motion of a place under which it is given up
LEVELS = 255  # to which the pictures of a shot are rounded while they wait

Hints = Mapping[int, Sequence[Hint]]  # by number of the frame, in pixels of the film


@dataclass(frozen=True)
class FilmHint:
    """A color at a place of a frame, counted from 0."""

    frame: int
    hint: Hint

    @classmethod
    def parse(cls, text: str) -> "FilmHint":
        """Return the hint that ``frame,x,y,#rrggbb`` describes. Raises ValueError for any other text."""
        match = re.match(PATTERN, text)
        if match is None or match[2].count(",") != 2:
            raise ValueError(f"hint {text!r}: write it as frame,x,y,#rrggbb, for example 250,120,80,#b03a2e")
        return cls(int(match[1]), Hint.parse(match[2]))

    def __str__(self) -> str:
        return f"{self.frame},{self.hint}"


def follow_hints(film: Film, hints: Sequence[FilmHint], marked: Iterator[tuple[int, Gray, bool]]) -> Hints:
    """Return where hints are in all frames of their shots.

    ``marked``: number and gray of each frame, and whether a shot begins there. It is read to the end of the last shot
    that has a hint, whose pictures wait in a temporary file. Raises PhotoError for a hint outside the film.
    """
    for hint in hints:
        if hint.hint.x >= film.width or hint.hint.y >= film.height:
            raise PhotoError(f"{film.name}: hint {hint} is outside the frames, of {film.width} x {film.height} pixels")
    places: dict[int, list[Hint]] = defaultdict(list)
    waiting = sorted(hints, key=lambda hint: hint.frame)
    count = 0
    for shot in split_shots(marked):
        if not waiting:
            break
        with _Pictures() as pictures:
            for number, gray in shot:
                pictures.add(gray)
                count = number + 1
            start = count - len(pictures)
            while waiting and waiting[0].frame < count:
                hint = waiting.pop(0)
                followed = dict(_follow(film, hint, pictures, start))
                for number, place in followed.items():
                    places[number].append(place)
                if len(followed) < len(pictures):
                    first, last = min(followed), max(followed)
                    film.notes.add(f"hint {hint}: its place was followed from frame {first} to {last} of its shot")
    if waiting:
        raise PhotoError(f"{film.name}: hint {waiting[0]} is after the last frame, {count - 1}")
    return places


def _follow(film: Film, hint: FilmHint, pictures: "_Pictures", start: int) -> Iterator[tuple[int, Hint]]:
    """Yield the numbers of frames and the hint in them, as far as its place can be followed."""
    yield hint.frame, hint.hint
    motion = MotionEstimator()
    for step, end in ((1, start + len(pictures)), (-1, start - 1)):
        at, gray = hint.frame, pictures[hint.frame - start]
        height, width = gray.shape
        x, y = (hint.hint.x + 0.5) * width / film.width, (hint.hint.y + 0.5) * height / film.height
        while at + step != end:
            other = pictures[at + step - start]
            flow = motion.flow(gray, other)
            row, column = int(y), int(x)
            if trust(gray, other, flow)[row, column] < SURE:
                break
            x, y = x + flow[row, column, 0], y + flow[row, column, 1]
            if not (0 <= x < width and 0 <= y < height):
                break
            at, gray = at + step, other
            yield at, Hint(int(x * film.width / width), int(y * film.height / height), hint.hint.rgb)


class _Pictures:
    """Pictures of a shot in a temporary file, since a shot may be long."""

    def __init__(self) -> None:
        self.file = TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self.shape = (0, 0)
        self.number = 0

    def __enter__(self) -> "_Pictures":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __len__(self) -> int:
        return self.number

    def add(self, gray: Gray) -> None:
        self.shape = gray.shape
        self.number += 1
        self.file.write(np.rint(gray * LEVELS).astype(np.uint8).tobytes())

    def __getitem__(self, index: int) -> Gray:
        size = self.shape[0] * self.shape[1]
        self.file.seek(index * size)
        picture = np.frombuffer(self.file.read(size), np.uint8).reshape(self.shape)
        self.file.seek(0, 2)
        return picture.astype(np.float32) / LEVELS
