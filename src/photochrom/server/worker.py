"""A process that colours one photograph after another: it may crash, or be killed, and nothing else comes to harm."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from ..core.sampling.procedure import Hints
from ..imaging.errors import PhotoTooLarge, WriteError
from ..imaging.photo import open_photo
from ..inference.bundle import BundleError
from ..inference.colorizer import AB, Colorizer, Gray
from ..inference.contact_sheet import preview
from ..inference.hints import build_hints
from ..inference.options import Hint

UPLOAD = Path("photograph")  # in the folder of an order: what messages call it
BEFORE = "before.jpg"
PREVIEW = 1600  # pixels of the long side of what a page shows
LEAVING = 10  # seconds to remove what is left, at most
REMEMBERED = 64 << 20  # bytes of colours that are kept for the same question


@dataclass(frozen=True)
class Order:
    """A photograph to be coloured: `UPLOAD` in ``folder``, where all that is made of it is written too.

    ``shown``: whether a page is to show it, by small pictures.
    """

    folder: Path
    model: str
    seeds: tuple[int, ...] = (0,)
    saturation: float = 1.0
    size: int | None = None
    hints: tuple[Hint, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    shown: bool = True


@dataclass(frozen=True)
class Ready:
    """The worker is there, and its first model loaded."""


@dataclass(frozen=True)
class Opened:
    """What the photograph is: said once it is opened, and `BEFORE` is there for a page."""

    width: int
    height: int
    depth: int
    suffix: str


@dataclass(frozen=True)
class Painted:
    """A seed whose copy is there, with its preview for a page."""

    seed: int

    @staticmethod
    def copy(seed: int, suffix: str) -> str:
        """The name of the copy."""
        return f"{seed}{suffix}"

    @staticmethod
    def preview(seed: int) -> str:
        """The name of what a page shows of it."""
        return f"{seed}-preview.jpg"


@dataclass(frozen=True)
class Failed:
    """Why nothing more comes, and the HTTP status that says so."""

    reason: str
    status: int


@dataclass(frozen=True)
class Done:
    """All that was asked for is there."""


Said = Opened | Painted | Failed | Done


class Remembering(Colorizer):
    """A colorizer that answers a question a second time from memory: colours, not photographs, `REMEMBERED` bytes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known: OrderedDict[str, AB] = OrderedDict()

    def predict(self, grays: Sequence[Gray], seeds: int | Sequence[int] = 0, hints: Hints | None = None) -> list[AB]:
        """As `Colorizer.predict`; what a person has pinned is asked anew."""
        if hints is not None:
            return super().predict(grays, seeds, hints)
        seeds = [seeds] * len(grays) if isinstance(seeds, int) else seeds
        asked = [self._question(gray, seed) for gray, seed in zip(grays, seeds, strict=True)]
        new = {question: i for i, question in enumerate(asked) if question not in self.known}
        made = super().predict([grays[i] for i in new.values()], [seeds[i] for i in new.values()])
        answers = self.known | dict(zip(new, made, strict=True))
        for question in asked:
            self.known[question] = answers[question]
            self.known.move_to_end(question)
        while sum(ab.nbytes for ab in self.known.values()) > REMEMBERED:
            self.known.popitem(last=False)
        return [answers[question] for question in asked]

    def _question(self, gray: Gray, seed: int) -> str:
        about = f"{self.procedure} {seed if self.procedure.stochastic else 0} {gray.shape}".encode()
        return hashlib.sha256(about + np.ascontiguousarray(gray).tobytes()).hexdigest()


def _follow(root: Path) -> None:
    """Once the process that began this one has ended, in whatever way, so does this one, and nothing is left."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    until = time.monotonic() + LEAVING
    while root.exists() and time.monotonic() < until:  # what is at work may still write into it
        shutil.rmtree(root, ignore_errors=True)
    os._exit(1)


def serve(pipe: Connection, root: Path, models: Sequence[str], threads: int, max_pixels: int) -> None:
    """Answer each `Order` that comes by ``pipe`` with what is `Said` on it, until the process at the other end is gone.

    Then ``root``, the folder of all orders, is removed, and what is being worked on is dropped. The first of ``models``
    is loaded at once, the others when they are asked for, each once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to hear
    following = threading.Thread(target=_follow, args=(root,), daemon=True)
    following.start()
    try:
        colorizers = {models[0]: Remembering(models[0], threads)}
        pipe.send(Ready())
        while True:
            order = pipe.recv()
            os.chdir(order.folder)
            tempfile.tempdir = str(order.folder)  # so that nothing is left of an order whose folder is gone
            for said in _said(colorizers, order, threads, max_pixels):
                pipe.send(said)
            os.chdir(root)
    except (EOFError, ConnectionError):
        following.join()


def _said(colorizers: dict[str, Remembering], order: Order, threads: int, max_pixels: int) -> Iterator[Said]:
    try:
        if order.model not in colorizers:
            colorizers[order.model] = Remembering(order.model, threads)
        yield from colored(colorizers[order.model].with_sampler(**order.sampling), order, max_pixels)
    except PhotoTooLarge as error:
        yield Failed(str(error), 413)
    except BundleError as error:
        yield Failed(str(error), 500)
    except WriteError as error:
        yield Failed(str(error), 507)
    except ValueError as error:
        yield Failed(str(error), 422)
    except OSError as error:
        yield Failed(f"{UPLOAD}: cannot be kept ({error.strerror})", 507)


def colored(colorizer: Colorizer, order: Order, max_pixels: int) -> Iterator[Said]:
    """Colour the photograph of an order, in the current folder, seed by seed. Raises ValueError where it cannot be."""
    photo = open_photo(UPLOAD, max_pixels)
    gray = colorizer.look(photo, order.size)
    hints = build_hints(photo, gray, order.hints, order.saturation)
    if order.shown:
        Path(BEFORE).write_bytes(preview(photo, PREVIEW))
    yield Opened(photo.width, photo.height, photo.depth, photo.suffix)
    for seed in order.seeds:
        (ab,) = colorizer.predict([gray], seed, hints)
        copy = Path(Painted.copy(seed, photo.suffix))
        photo.merge(ab, order.saturation, colorizer.threads).save(copy, colorizer.mark(seed))
        if order.shown:
            Path(Painted.preview(seed)).write_bytes(preview(open_photo(copy, max_pixels), PREVIEW))
        yield Painted(seed)
    yield Done()
