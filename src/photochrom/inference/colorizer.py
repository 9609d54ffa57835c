"""Colour photographs with a bundle: one ONNX session per network, opened once and used for every photograph."""

import os
from collections.abc import Sequence
from copy import copy
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from ..core.sampling.autoregressive import bits_per_dim
from ..core.sampling.procedure import Hints
from ..imaging.formats import WRITTEN_AS
from ..imaging.photo import Photo, PhotoError, Provenance, open_photo
from .bundle import BundleError
from .hints import build_hints
from .onnx import SeededNoise, opened, with_options
from .options import Hint

Gray = Float[np.ndarray, "1 _h _w"]
AB = Float[np.ndarray, "2 _h _w"]
P = TypeVar("P", bound=PurePath)
BATCH = 8  # photographs that go through the model together, at most


class Colorizer:
    """A bundle ready to colour photographs.

    Args:
        model: an installed name (``photochrom models`` lists them), or the path of a bundle.
        threads: for networks and the full size; as many as there are processors for this process, when None.
        sampling: settings of a model of several steps, over its own: ``steps``, ``solver``, ``eta``, ``temperature``;
            see `core.sampling.Diffusion`, `core.restoring.Cold` and `core.autoregression.Autoregressive`.

    Raises BundleError for a bundle that is missing, damaged, of a newer format or not for colour, ValueError for a
    setting that its procedure does not have or allow.
    """

    def __init__(self, model: str | Path = "default", threads: int | None = None, **sampling: Any) -> None:
        self.card, self.procedure, self.nets = opened(model, threads, sampling)
        self.threads = threads
        if not self.procedure.colorizes:
            what = f"{self.card.procedure['kind']} {self.card.procedure.get('degradation', '')}".strip()
            raise BundleError(f"{model}: gives no colour to a photograph ({what}): choose a model that does")

    def with_sampler(self, **sampling: Any) -> "Colorizer":
        """The same model, in the same memory, with other settings of its sampling. Raises ValueError as at first."""
        other = copy(self)
        other.procedure = with_options(self.card.name, self.procedure, sampling)
        return other

    def __call__(
        self,
        photo: Any,
        seed: int = 0,
        saturation: float = 1.0,
        size: int | None = None,
        hints: Sequence[Hint | str] = (),
    ) -> Any:
        """A photograph in colour, as the same kind of thing as came in.

        Args:
            photo: a path (gives the path of a new file ``NAME-color.EXT`` beside it), the bytes of a file (gives
                bytes in the same format), a Pillow image, or an array (h, w) or (h, w, c) of uint8, uint16, or float in
                [0, 1].
            seed: which of the possible pictures; for models that draw.
            saturation: of the colours; 0 is gray, 1 as the model has them.
            size: short side in pixels at which the model sees the photograph; the bundle's own when None.
            hints: colours at places of the photograph, each a `Hint` or ``"x,y,#rrggbb"``.

        Raises PhotoError for a photograph that cannot be read, a hint outside it, and rather than overwrite a file;
        ValueError for a hint that is none.
        """
        taken = open_photo(photo)
        gray = self.look(taken, size)
        parsed = [Hint.parse(hint) if isinstance(hint, str) else hint for hint in hints]
        ab = self.predict([gray], seed, build_hints(taken, gray, parsed, saturation))[0]
        colored, mark = taken.merge(ab, saturation, self.threads), self.mark(seed)
        if isinstance(photo, str | os.PathLike):
            return colored.save(copy_of(Path(photo)), mark)
        if isinstance(photo, bytes | bytearray | memoryview):
            return colored.to_bytes(taken.suffix, mark)
        if not isinstance(photo, np.ndarray):
            return colored.pillow(mark)
        codes = colored.array()
        return (codes / np.iinfo(codes.dtype).max).astype(photo.dtype) if photo.dtype.kind == "f" else codes

    @property
    def has_likelihood(self) -> bool:
        """Whether it tells `bits_per_dim`."""
        return self.procedure.has_likelihood

    @property
    def iterative(self) -> bool:
        """Whether it can show the way to its colours."""
        return self.procedure.iterative

    def look(self, photo: Photo, size: int | None = None) -> Gray:
        """The small gray of a photograph that the model sees: (1, h, w) in [-1, 1].

        Raises PhotoError for one that the model has no memory for.
        """
        gray = photo.gray(self.side(size), self.card.multiple, self.card.gray, self.card.square)
        try:
            self.procedure.check_size(*gray.shape[1:])
        except ValueError as error:
            raise PhotoError(f"{photo.name}: {error}") from None
        return gray

    def side(self, size: int | None = None) -> int:
        """The short side at which the model sees photographs. Raises ValueError where it sees no other than its own."""
        return self.card.side(size)

    def predict(self, grays: Sequence[Gray], seeds: int | Sequence[int] = 0, hints: Hints | None = None) -> list[AB]:
        """Small grays in [-1, 1] -> their small ab in [-1, 1], batched by shape, at most `BATCH` at once.

        ``seeds``: one for all, or one for each. ``hints``: see `build_hints`. Raises BundleError for a model whose
        colours are not numbers.
        """
        seeds = [seeds] * len(grays) if isinstance(seeds, int) else seeds
        found: list[Any] = [None] * len(grays)
        for shape in {gray.shape for gray in grays}:
            places = [i for i, gray in enumerate(grays) if gray.shape == shape]
            for batch in (places[i : i + BATCH] for i in range(0, len(places), BATCH)):
                noise, together = SeededNoise([seeds[i] for i in batch]), np.stack([grays[i] for i in batch])
                try:
                    made = self.procedure(self.nets, together, noise, hints)
                except FloatingPointError:
                    raise self._broken() from None
                if not np.isfinite(made).all():
                    raise self._broken()
                for i, ab in zip(batch, made, strict=True):
                    found[i] = ab
        return found

    def _broken(self) -> BundleError:
        return BundleError(f"{self.card.name}: paints what is no colour (not a number): train it again")

    def trace(self, gray: Gray, seed: int = 0, hints: Hints | None = None) -> list[AB]:
        """The ab of one small gray from noise to the answer. Raises ValueError unless the model `traces`."""
        if not self.iterative:
            raise ValueError(f"{self.card.name}: leaves no trace; choose a model that paints in several steps")
        return [ab[0] for ab in self.procedure.trajectory(self.nets, gray[None], SeededNoise([seed]), hints)]

    def bits_per_dim(self, photo: Any, size: int | None = None) -> float:
        """-log2 of how likely the model holds the true coarse colours of a photograph, a channel of a pixel.

        At a temperature of 1, whatever it is sampled at. Raises ValueError for a model that tells no likelihoods,
        PhotoError for a photograph that cannot be read.
        """
        if not self.has_likelihood:
            raise ValueError(f"{self.card.name}: tells no likelihoods; choose an autoregressive model")
        taken = open_photo(photo)
        color = taken.small(self.side(size), self.card.multiple, self.card.square) * 2 - 1
        nats = self.procedure.nll(self.nets, self.look(taken, size)[None], color[None])
        return float(bits_per_dim(nats.mean()))

    def mark(self, seed: int = 0) -> Provenance:
        """What is written into a photograph coloured by this model."""
        return Provenance(model=self.card.name, version=self.card.weights, seed=seed)


def copy_of(path: Path) -> Path:
    """Where the coloured copy of a photograph goes when nobody says: ``NAME-color.EXT`` beside it."""
    return written_as(path.with_stem(f"{path.stem}-color"))


def written_as(path: P) -> P:
    """The path with a second ending where its own format can only be read: HEIC becomes .heic.jpg."""
    second = WRITTEN_AS.get(path.suffix.lower())
    return path.with_name(path.name + second) if second else path


def colorize(photo: Any, model: str | Path = "default", **settings: Any) -> Any:
    """One photograph in colour: ``Colorizer(model)(photo, **settings)``."""
    return Colorizer(model)(photo, **settings)
