"""Colorize photos with a bundle: one ONNX session per network, opened once and used for every photo."""

import io
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import numpy as np
from jaxtyping import Float

from ..core.sampling import describe, load_procedure
from ..core.sampling.procedure import Hints
from ..imaging.errors import PhotoError
from ..imaging.formats import READ_ONLY, WRITABLE
from ..imaging.limits import MAX_PIXELS
from ..imaging.metadata import Provenance
from ..imaging.photo import Colorized, Photo, open_photo
from ..imaging.sources import find_format, read_head
from .bundle import BundleError, read_description
from .grading import grade
from .hints import HintMaps, check_hints
from .onnx import SeededNoise, load_model, with_options
from .options import ColorKeywords, ColorOptions, SamplerOptions, check_stochastic, merge_options

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

Gray = Float[np.ndarray, "1 _h _w"]
AB = Float[np.ndarray, "2 _h _w"]
P = TypeVar("P", bound=PurePath)
StrPath = str | os.PathLike[str]
SameType = TypeVar("SameType", bytes, io.BytesIO, "NDArray[Any]", "Image.Image")  # a photo comes back as its own type
DEFAULTS = ColorOptions()


@dataclass(frozen=True)
class Prepared:
    """What a model needs of a photo: its gray at the inference size, in [-1, 1], and the hints at that size."""

    gray: Gray
    hints: Hints | None


class Colorizer:
    """A model ready to colorize photos.

    Args:
        model: name of an installed model (`photochrom models` lists them), path of a bundle, or an address of the
            Hugging Face hub, `hf://owner/name` or `hf://owner/name@revision` (extra `hub`).
        threads: number of threads for networks and pixels; None: one for each available processor.
        device: where networks run: `cpu`, `cuda` and others that the installed ONNX Runtime has; `auto`: a GPU first.
        sampler: sampler options other than the bundle's own: `steps`, `solver`, `eta`, `temperature`.

    Raises:
        BundleError: the bundle is missing, damaged, of a newer format, cannot be downloaded, or does not colorize.
        ValueError: the model does not support a sampler option or its value.
    """

    near: tuple[int | None, float] = (None, 1.0)  # as `SeededNoise`

    def __init__(
        self,
        model: str | Path = "default",
        threads: int | None = None,
        device: str = "auto",
        **sampler: Unpack[SamplerOptions],
    ) -> None:
        self.card, self.procedure, self.nets = load_model(model, threads, device, sampler)
        self.model, self.device, self.threads = model, device, threads
        self._check()

    @classmethod
    def without_networks(cls, model: str | Path = "default") -> "Colorizer":
        """Return a model that tells what it supports and writes, but cannot predict. Raises BundleError."""
        colorizer = cls.__new__(cls)
        colorizer.card, colorizer.procedure = read_description(model)
        colorizer.nets = {}
        colorizer.model, colorizer.device, colorizer.threads = model, "auto", None
        colorizer._check()
        return colorizer

    def _check(self) -> None:
        if not self.procedure.capabilities.colorizes:
            kind = f"{self.card.procedure['kind']} {self.card.procedure.get('degradation', '')}".strip()
            raise BundleError(f"{self.model}: this model does not colorize ({kind}); choose another model")

    @overload
    def __call__(
        self,
        photo: Any,
        *,
        output: StrPath,
        overwrite: bool = ...,
        page: int | None = ...,
        max_pixels: int = ...,
        **settings: Unpack[ColorKeywords],
    ) -> Path: ...
    @overload
    def __call__(
        self,
        photo: StrPath,
        *,
        overwrite: bool = ...,
        page: int | None = ...,
        max_pixels: int = ...,
        **settings: Unpack[ColorKeywords],
    ) -> Path: ...
    @overload
    def __call__(
        self, photo: SameType, *, page: int | None = ..., max_pixels: int = ..., **settings: Unpack[ColorKeywords]
    ) -> SameType: ...

    def __call__(
        self,
        photo: Any,
        *,
        output: StrPath | None = None,
        overwrite: bool = False,
        page: int | None = None,
        max_pixels: int = MAX_PIXELS,
        **settings: Any,
    ) -> Any:
        """Colorize a photo and return it as the type that came in.

        Args:
            photo: a path (returns the path of a new file `NAME-color.EXT` beside it), the bytes of a file (returns
                bytes in the same format), an `io.BytesIO`, a Pillow image (returns one of 8 bits, since Pillow has no
                RGB of 16), or an array (h, w) or (h, w, c) of uint8, uint16, or float in [0, 1].
            output: path of the file to write; its suffix decides the format. Returns that path for any photo.
            overwrite: whether an existing file may be replaced, if its metadata says that Photochrom made it.
            page: number of the page to read, from 1; None: the first that is not reduced in size.
            max_pixels: largest photo; a pixel of a file that is decoded in memory counts several times.
            settings: `options=ColorOptions(...)` and color options by name, which have priority.

        Raises:
            PhotoError: the photo cannot be read or a hint is outside it; `FileExists` or `WriteError` when writing.
            ValueError: an option is invalid or not supported by this model; for several variants see `variants`.
            TypeError: there is no such option.
        """
        options = merge_options(**settings)
        if options.variants > 1:
            raise ValueError(f"variants {options.variants}: a call returns one image; use Colorizer.variants()")
        is_path = isinstance(photo, str | os.PathLike)
        if output is None and is_path:
            output = output_path(Path(photo))
        elif output is not None and is_path and Path(output).resolve() == Path(photo).resolve():
            raise ValueError(f"{output}: is the original, which is never overwritten; choose another output")
        (result,) = self.variants(photo, page=page, max_pixels=max_pixels, options=options)
        if output is not None:
            return result.save(output, overwrite)
        if isinstance(photo, bytes | bytearray | memoryview):
            return result.to_bytes()
        if isinstance(photo, io.BytesIO):
            return io.BytesIO(result.to_bytes())
        if not isinstance(photo, np.ndarray):
            return result.pillow()
        codes = result.array()
        if photo.dtype.kind != "f":
            return codes
        return (codes / np.iinfo(codes.dtype).max).astype(photo.dtype)

    def variants(
        self,
        photo: Any,
        *,
        page: int | None = None,
        max_pixels: int = MAX_PIXELS,
        **settings: Unpack[ColorKeywords],
    ) -> Iterator[Colorized]:
        """Yield a photo colorized with each of `variants` seeds from `seed` on; arguments and errors as `__call__`."""
        options = merge_options(**settings)
        return self.colorize_photo(open_photo(photo, max_pixels, page=page), options)

    # The pipeline: prepare, predict, merge. `colorize_photo` runs it for one photo; a batch runs the steps itself, to
    # predict several photos at once.

    def colorize_photo(self, photo: Photo, options: ColorOptions) -> Iterator[Colorized]:
        """Yield the photo colorized with each seed of the options. Raises as `__call__`."""
        colorizer = self.configured(options)
        check_stochastic(self.card.name, colorizer.procedure.capabilities.stochastic, options)
        prepared = colorizer.prepare(photo, options)

        def colorize_with(seed: int) -> Colorized:
            (ab,) = colorizer.predict([prepared.gray], seed, prepared.hints)
            return colorizer.merge(photo, ab, seed, options, prepared.hints)

        return map(colorize_with, options.seeds)

    def prepare(self, photo: Photo, options: ColorOptions = DEFAULTS) -> Prepared:
        """Return the gray and the hints of a photo at the inference size. Raises as `__call__`."""
        self.check(photo, options)
        size = self.card.inference_size(options.size)
        gray = photo.gray(size, self.card.multiple, self.card.gray, self.card.square)
        return Prepared(gray, HintMaps(photo, gray, options.hints) if options.hints else None)

    def check(self, photo: Photo, options: ColorOptions) -> None:
        """Raise PhotoError if the size of a photo does not fit the model or the hints; no pixel is read."""
        check_hints(photo, options.hints)
        size = photo.model_size(self.card.inference_size(options.size), self.card.multiple, self.card.square)
        try:
            self.procedure.check_size(*size)
        except ValueError as error:
            raise PhotoError(f"{photo.name}: {error}") from None

    def predict(self, grays: Sequence[Gray], seeds: int | Sequence[int] = 0, hints: Hints | None = None) -> list[AB]:
        """Return the ab of each gray, both in [-1, 1]; grays of one shape are predicted together.

        ``seeds``: one for each gray, or one for all; ``hints``: those of one photo, to which all grays then belong.
        Raises BundleError for a model whose output is not a number.
        """
        seeds = [seeds] * len(grays) if isinstance(seeds, int) else seeds
        batches = defaultdict(list)
        for position, gray in enumerate(grays):
            batches[gray.shape].append(position)
        results: dict[int, AB] = {}
        for batch in batches.values():
            noise = SeededNoise([seeds[position] for position in batch], *self.near)
            try:
                ab = self.procedure(self.nets, np.stack([grays[position] for position in batch]), noise, hints)
            except FloatingPointError:
                ab = np.full(1, np.nan)
            # NaN would otherwise become a gray image, and nobody would know.
            if not np.isfinite(ab).all():
                raise BundleError(f"{self.card.name}: the model output is not a number; train the model again")
            results.update(zip(batch, ab, strict=True))
        return [results[position] for position in range(len(grays))]

    def merge(
        self, photo: Photo, ab: AB, seed: int, options: ColorOptions = DEFAULTS, hints: Hints | None = None
    ) -> Colorized:
        """Return the photo with the ab of a model, graded as in the options, under its own luminance."""
        provenance = self.provenance(seed, options, photo.reader.page, photo.original.sha256)
        return Colorized(photo, grade(ab, options, hints), provenance, self.threads)

    def provenance(
        self, seed: int, options: ColorOptions = DEFAULTS, page: int | None = None, original: str = ""
    ) -> Provenance:
        """Return what files colorized by this model say about it, about the page if it is not the default, and about
        the original, which is known by its sha256.
        """
        default = describe(load_procedure(self.card.procedure))
        sampler = describe(self.configured(options).procedure)
        other = {name: value for name, value in sampler.items() if value != default[name]}
        for name in ("saturation", "warmth", "local_saturation", "size", "hints"):
            if getattr(options, name) != getattr(DEFAULTS, name):
                other[name] = getattr(options, name)
        if options.near is not None:
            other |= {"near": options.near, "distance": options.distance}
        if page is not None:
            other["page"] = page
        if options.hints:
            other["hints"] = " ".join(map(str, options.hints))
        texts = [f"{name} {value}" for name, value in sorted(other.items())]
        return Provenance(self.card.name, self.card.weights, seed, ", ".join(texts), original)

    def configured(self, options: ColorOptions) -> "Colorizer":
        """Return this model with the sampler options and the nearness of these. Raises ValueError as `__init__`."""
        other = self.with_sampler(**options.sampler)
        other.near = (options.near, options.distance)
        return other

    def with_sampler(self, **sampler: Unpack[SamplerOptions]) -> "Colorizer":
        """Return this model with other sampler options; networks are shared. Raises ValueError as `__init__`."""
        other = copy(self)
        other.procedure = with_options(self.card.name, self.procedure, sampler)
        return other

    def trajectory(self, gray: Gray, seed: int = 0, hints: Hints | None = None) -> list[AB]:
        """Return the ab of a gray at each sampling step. Raises ValueError for a model that colorizes in one pass."""
        if not self.procedure.capabilities.iterative:
            raise ValueError(f"{self.card.name} has no steps to show; choose an iterative model, for example ddpm")
        steps = self.procedure.trajectory(self.nets, gray[None], SeededNoise([seed], *self.near), hints)
        return [ab[0] for ab in steps]


def output_path(photo: Path) -> Path:
    """Return the default output path of a photo: `NAME-color.EXT` beside it."""
    return writable_path(photo, "-color", head=read_head(photo))


def writable_path(photo: P, label: str = "", suffix: str = "", head: bytes = b"") -> P:
    """Return the path of a photo with a label after its name, and a suffix that can be written.

    That is ``suffix`` or, by default, the photo's own; `scan.heic` becomes `scan.jpg`. A photo whose suffix is none of
    an image keeps it as a part of its name and gets one by its ``head``, the first bytes: `scan.1901` becomes
    `scan.1901.jpg`.
    """
    stem, own = photo.stem, photo.suffix
    kind = WRITABLE.get(own.lower()) or READ_ONLY.get(own.lower()) or find_format(head)
    if kind and own.lower() not in (*WRITABLE, *READ_ONLY):
        stem, own = photo.name, ""
    if suffix and kind != WRITABLE[suffix]:
        own = suffix
    elif kind and own.lower() not in WRITABLE:
        own = kind.suffix
    return photo.with_name(f"{stem}{label}{own}")


@overload
def colorize(
    photo: Any,
    model: str | Path = ...,
    *,
    output: StrPath,
    overwrite: bool = ...,
    page: int | None = ...,
    max_pixels: int = ...,
    **settings: Unpack[ColorKeywords],
) -> Path: ...
@overload
def colorize(
    photo: StrPath,
    model: str | Path = ...,
    *,
    overwrite: bool = ...,
    page: int | None = ...,
    max_pixels: int = ...,
    **settings: Unpack[ColorKeywords],
) -> Path: ...
@overload
def colorize(
    photo: SameType,
    model: str | Path = ...,
    *,
    page: int | None = ...,
    max_pixels: int = ...,
    **settings: Unpack[ColorKeywords],
) -> SameType: ...


def colorize(photo: Any, model: str | Path = "default", **call: Any) -> Any:
    """Colorize one photo: `Colorizer(model)(photo, ...)`. For several photos, make a `Colorizer` once."""
    return Colorizer(model)(photo, **call)
