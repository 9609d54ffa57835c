"""Photographs: opened upright and streamed, read as gray, given colours, saved whole or not at all."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from jaxtyping import Float32

from ..core import color
from . import formats, metadata
from . import icc as profiles
from .atomic import atomic_write
from .chroma import LINES, STRIP, Chroma, merge_chroma, shifts
from .errors import PhotoError, PhotoTooLarge, WriteError, photo_errors, printable
from .formats import MAX_PIXELS
from .metadata import Provenance
from .strips import process_strips

__all__ = [
    "MAX_PIXELS",
    "ColorizedPhoto",
    "Photo",
    "PhotoError",
    "PhotoTooLarge",
    "Provenance",
    "WriteError",
    "open_photo",
]

LONGEST = 2  # the long side of the gray given to a model, in short sides
TILE = 256


def open_photo(source: Any, max_pixels: int = MAX_PIXELS, name: str | None = None) -> "Photo":
    """A photograph from a path, the bytes of a file, an array (h, w[, 1-4]), or a Pillow image.

    Only the header of a file is read. Of several pages, the first. `PhotoError` for what is missing, is no photograph,
    or has more than `max_pixels` (of files that are held whole in memory, see `formats.check_size`); damage further
    inside shows when the pixels are read.
    """
    if isinstance(source, np.ndarray):
        reader: formats.Reader = formats.reader_of_array(source, name or "array")
    elif isinstance(source, bytes | bytearray | memoryview):
        reader = formats.reader_of_bytes(bytes(source), name or "bytes", max_pixels)
    elif isinstance(source, str | os.PathLike):
        reader = formats.reader_of_path(Path(source), name or printable(source), max_pixels)
    elif hasattr(source, "getexif"):
        reader = formats.reader_of_pillow(source, name or "Pillow image")
    else:
        raise PhotoError(f"{type(source).__name__}: give a path, the bytes of a file, an array or a Pillow image")
    image = reader.open()
    whole = formats.whole(reader.kind, image)
    formats.check_size(reader.name, image.width, image.height, max_pixels, whole)
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    swapped = orientation >= 5
    return Photo(
        reader,
        image.height if swapped else image.width,
        image.width if swapped else image.height,
        8 if image.format == "uchar" else 16,
        bool(image.hasalpha()),
        orientation,
        metadata.is_colorized(image),
    )


@dataclass(frozen=True)
class Photo:
    """A photograph, upright. `width`, `height`: pixels; `depth`: 8 or 16 bits; `alpha`: whether some may be clear.

    `is_colorized`: whether it says that Photochrom coloured it already.
    """

    reader: formats.Reader
    width: int
    height: int
    depth: int
    alpha: bool
    orientation: int
    is_colorized: bool

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.reader.name

    @property
    def suffix(self) -> str:
        """The ending of a file that keeps this photograph's format, or of one that keeps as much."""
        return formats.SUFFIX.get(self.reader.kind, ".png")

    def gray(
        self, side: int, multiple: int = 32, convention: str = "lab", square: bool = False
    ) -> Float32[np.ndarray, "1 h w"]:
        """The gray a model looks at, in [-1, 1], at the size of `small`; `convention`: see `core.color.rgb_to_gray`."""
        return color.rgb_to_gray(self.small(side, multiple, square), convention)[None].clip(-1, 1)

    def small(self, side: int, multiple: int = 32, square: bool = False) -> Float32[np.ndarray, "3 h w"]:
        """The photograph as a model looks at it, upright, sRGB in [0, 1].

        Its short side is `side`, both are multiples of `multiple`. The aspect is kept to a multiple, unless it is to be
        `square`; of a photo longer than 2 : 1, the long side is 2 * `side`. Means are taken in the photo's own
        encoding, as in training.
        """
        scale = min(side / min(self.width, self.height), LONGEST * side / max(self.width, self.height))
        width, height = (max(1, round(n * scale / multiple)) * multiple for n in (self.width, self.height))
        if square:
            width = height = side
        elif self.orientation >= 5:
            width, height = height, width
        shrink = next((n for n in (8, 4, 2) if self.reader.kind == "jpeg" and 1 / scale >= 2 * n), 1)
        with photo_errors(self.name, "read"):
            image = self.reader.open(shrink)
            image = image.resize(width / image.width, vscale=height / image.height).copy_memory()
            profiles.check_light(image, self.name)
            pixels = profiles.standard(image, self.name).numpy().reshape(height, width, -1)
        top = np.float32(np.iinfo(pixels.dtype).max)
        rgb = np.broadcast_to(pixels.astype(np.float32).transpose(2, 0, 1) / top, (3, height, width))
        return _upright(rgb, self.orientation)

    def pixels(self) -> np.ndarray:
        """The whole photograph upright: sRGB codes (h, w, 3), uint8 or uint16."""
        with photo_errors(self.name, "read"):
            image = profiles.standard(self.reader.open(), self.name)
            planes = np.moveaxis(image.numpy().reshape(image.height, image.width, -1), -1, 0)
        return np.broadcast_to(np.moveaxis(_upright(planes, self.orientation), 0, -1), (self.height, self.width, 3))

    def merge(
        self, ab: Float32[np.ndarray, "2 h w"], saturation: float = 1.0, threads: int | None = None
    ) -> "ColorizedPhoto":
        """This photograph under `ab` in [-1, 1] (of any size, for the whole photo), its chroma times `saturation`.

        ``threads``: that compute it; as many as there are processors, when None.
        """
        return ColorizedPhoto(self, ab * np.float32(saturation) * np.float32(color.AB_SCALE), threads)


@dataclass(frozen=True)
class ColorizedPhoto:
    """A photograph with colours, computed anew whenever it is saved or asked for. `ab`: Lab units, upright."""

    photo: Photo
    ab: Float32[np.ndarray, "2 h w"]
    threads: int | None = None

    def save(self, path: str | Path, provenance: Provenance, overwrite: bool = False) -> Path:
        """Written to `path` in the format its ending names, with marks and metadata; whole or not at all.

        Lightness L* keeps to within the rounding of 8 or 16 bits (0.1 on average, at most 1), but JPEG and AVIF are
        coded anew: 0.2 to 0.3 on average, and up to 2.5 where a photograph is grainy or sharp. What killed runs left
        in the folder is removed.
        `PhotoError` where the ending is unknown, the file exists and `overwrite` is not given, or writing fails.
        """
        path = Path(path)
        options = self._options(path.name)
        with atomic_write(path, overwrite) as file, self._image(path.suffix, provenance) as image:
            image.write_to_target(pyvips.Target.new_to_descriptor(file.fileno()), path.suffix, **options)
            if path.suffix.lower() in formats.TIFF:
                metadata.tag(file, image, provenance)
        return path

    def to_bytes(self, suffix: str, provenance: Provenance) -> bytes:
        """The bytes of the file that `save` would write to a path with this ending."""
        options = self._options(suffix)
        with photo_errors(self.photo.name, "written"), self._image(suffix, provenance) as image:
            written = image.write_to_buffer(suffix, **options)
            if suffix.lower() not in formats.TIFF:
                return written
            file = io.BytesIO(written)
            metadata.tag(file, image, provenance)
            return file.getvalue()

    def array(self) -> np.ndarray:
        """(h, w, 3), or (h, w, 4) with alpha: uint8 or uint16 as the photograph, sRGB."""
        with photo_errors(self.photo.name, "read"), self._image(None, None) as image:
            return image.numpy()

    def pillow(self, provenance: Provenance | None = None) -> Any:
        """A Pillow image, RGB or RGBA, 8 bits, whose `info` holds profile, EXIF and XMP as Pillow writes them."""
        from PIL import Image

        with photo_errors(self.photo.name, "read"), self._image(".webp", provenance) as image:
            picture = Image.fromarray(image.numpy())
            picture.info.update(metadata.pillow_info(image, provenance))
        return picture

    def _options(self, ending: str) -> dict[str, Any]:
        suffix = Path("x" + ending).suffix.lower()
        if suffix not in formats.SAVERS:
            raise PhotoError(f"{printable(ending)}: cannot be written; choose one of {', '.join(formats.SAVERS)}")
        if self.photo.alpha and suffix in formats.OPAQUE:
            shown = printable(ending)
            raise PhotoError(f"{shown}: JPEG cannot keep the transparency of {self.photo.name}; choose .png or .tif")
        finer = {"Q": self.photo.reader.quality()} if suffix in formats.OPAQUE else {}
        return formats.SAVERS[suffix] | finer | {"profile": "srgb"}

    @contextmanager
    def _image(self, suffix: str | None, provenance: Provenance | None) -> Iterator[pyvips.Image]:
        """The coloured picture as a stream to be read once, `suffix` telling its depth (None: the photo's)."""
        photo = self.photo
        deep = photo.depth == 16 and (suffix is None or suffix.lower() in formats.DEEP)
        depth = 16 if deep else 8
        header = photo.reader.open()
        kept, resolution = metadata.fields(header), (header.xres, header.yres)  # before anything reads its pixels
        gray = profiles.standard(header, photo.name)
        chroma = Chroma(shifts(_within(_stored(self.ab, photo.orientation), gray)), gray.width, gray.height)
        rows = min(LINES, max(1, STRIP // gray.width))

        def work(strip: np.ndarray, top: int) -> np.ndarray:
            return merge_chroma(strip, chroma.rows(top, len(strip)), depth)

        with ExitStack() as stack:
            image = stack.enter_context(process_strips(gray, rows, work, depth, self.threads))
            image = image.copy(interpretation="rgb16" if deep else "srgb")
            if photo.alpha:
                image = image.bandjoin(profiles.alpha(photo.reader.open(), depth))
            if photo.orientation != 1:
                image = stack.enter_context(_turned(image, photo.orientation))
            yield metadata.add_metadata(image, resolution, kept, photo.reader.tags(), provenance)


def _within(planes: np.ndarray, photo: pyvips.Image) -> np.ndarray:
    """(c, h, w) made no larger than the photo, by means."""
    height, width = planes.shape[1:]
    if height <= photo.height and width <= photo.width:
        return planes
    image = pyvips.Image.new_from_array(np.ascontiguousarray(planes.transpose(1, 2, 0)))
    image = image.resize(min(1, photo.width / width), vscale=min(1, photo.height / height), kernel="linear")
    return np.ascontiguousarray(image.numpy().transpose(2, 0, 1))


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """(..., h, w) as stored -> as it is to be seen (EXIF 2.32, tag Orientation)."""
    if orientation >= 5:
        array = array.swapaxes(-1, -2)
    flips = {2: (-1,), 3: (-1, -2), 0: (-2,)}.get(orientation % 4, ())
    return np.ascontiguousarray(np.flip(array, flips))


def _stored(array: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of `_upright`."""
    return _upright(array, {6: 8, 8: 6}.get(orientation, orientation))


@contextmanager
def _turned(image: pyvips.Image, orientation: int) -> Iterator[pyvips.Image]:
    """A stream turned upright by way of tiles on disc, since its last rows may come first."""
    with tempfile.TemporaryDirectory(prefix="photochrom-") as folder:
        path = str(Path(folder) / "turned.tif")
        image.tiffsave(path, tile=True, tile_width=TILE, tile_height=TILE, bigtiff=True)
        tiles = pyvips.Image.tiffload(path, revalidate=True).copy()
        tiles.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        yield tiles.autorot().tilecache(
            tile_width=tiles.height if orientation >= 5 else tiles.width, tile_height=TILE, max_tiles=3
        )
