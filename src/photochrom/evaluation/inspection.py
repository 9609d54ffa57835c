"""`photochrom inspect`: photographs of folders and zips brought together with what counts their colours."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..imaging.photo import PhotoError, open_photo
from ..imaging.sources import SourceImage, find_images
from .dataset_colors import RGB, Colors, colors_of

SIDE = 64  # pixels of the short side at which colours are counted
SHARES = ("near-gray photographs", "kinds")  # figures that are shares of 1
AHEAD = 64  # photographs that are read before they are counted


class Inspection:
    """Photographs to be looked at, each once; ``unread`` says afterwards which could not be, and why.

    Raises ValueError where there are none.
    """

    def __init__(self, sources: Sequence[Path]) -> None:
        found = [(source, member) for source in sources for member in find_images(source)]
        # Of a file that may not be read there is no CRC: it is told apart by its place.
        self.photographs = list(
            {member.crc or (source, member.name): (source, member) for source, member in found}.values()
        )
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

    def _small(self, source: Path, member: SourceImage) -> RGB | None:
        try:
            photo = open_photo(member.open(), name=f"{source}/{member.name}")
            if photo.is_colorized:
                raise PhotoError(f"{photo.name}: left out, as by a training: Photochrom's own colours are no truth")
            return np.asarray(photo.small(SIDE, 1))
        except (PhotoError, OSError) as error:
            self.unread.append(str(error))
            return None


def table(colors: Colors) -> str:
    """The figures, a line each."""
    lines = []
    for name, value in colors.figures().items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        said = (f"{part} {_shown(name, figure)}".strip() for part, figure in parts)
        lines.append(f"{name}: {', '.join(said)}")
    return "\n".join(lines)


def _shown(name: str, figure: float) -> str:
    if name in SHARES:
        return f"{figure:.1%}"
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:.1f}"
