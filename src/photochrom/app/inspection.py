"""`photochrom inspect`: photographs of folders and zips brought together with what counts their colours."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..engine.album import Member, members
from ..engine.photo import PhotoError, open_photo
from ..evaluate.colors import RGB, Colors, colors_of

SIDE = 64  # pixels of the short side at which colours are counted
AHEAD = 64  # photographs that are read before they are counted


class Inspection:
    """Photographs to be looked at; ``unread`` says afterwards which could not be, and why. Raises ValueError."""

    def __init__(self, sources: Sequence[Path]) -> None:
        self.photographs = [(source, member) for source in sources for member in members(source)]
        self.unread: list[str] = []
        if not self.photographs:
            raise ValueError(f"no photographs in {', '.join(map(str, sources))}")

    def run(self, watch: Callable[[], None] = lambda: None) -> Colors:
        """Their colours; ``watch`` is called after each. Raises ValueError where none can be read."""
        return colors_of(rgb for rgb in self._seen(watch) if rgb is not None)

    def _seen(self, watch: Callable[[], None]) -> Iterator[RGB | None]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting: deque[Future[RGB | None]] = deque()
            for source, member in self.photographs:
                waiting.append(pool.submit(self._small, source, member))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
                    watch()
            for left in waiting:
                yield left.result()
                watch()

    def _small(self, source: Path, member: Member) -> RGB | None:
        try:
            return np.asarray(open_photo(member.open(), name=f"{source}/{member.name}").small(SIDE, 1))
        except (PhotoError, OSError) as error:
            self.unread.append(str(error))
            return None


def table(colors: Colors) -> str:
    """The figures, a line each."""
    lines = []
    for name, value in colors.figures().items():
        said = ", ".join(f"{k} {_shown(v)}" for k, v in value.items()) if isinstance(value, dict) else _shown(value)
        lines.append(f"{name}: {said}")
    return "\n".join(lines)


def _shown(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.1%}" if value <= 1 else f"{value:.1f}"
