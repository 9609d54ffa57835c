"""Photos: opened upright as streams, read as gray, merged with colors, and saved whole or not at all."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from jaxtyping import Float32

from ..core import color
from . import formats, icc, metadata
from .atomic import atomic_write, temporary_folder
from .chroma import MAX_STRIP_ROWS, STRIP_PIXELS, ChromaEnlarger, chroma_shift, merge_chroma
from .errors import PhotoError, photo_errors, printable
from .limits import MAX_PIXELS
from .metadata import Provenance, Turn
from .paths import exists, is_folder
from .strips import process_strips
from .tones import BLACK_AND_WHITE, IN_COLOR, has_colors, has_shades

Gray = Float32[np.ndarray, "1 h w"]
AB = Float32[np.ndarray, "2 h w"]
MAX_ASPECT = 2  # of the image given to a model: long side in short sides


def open_photo(source: Any, max_pixels: int = MAX_PIXELS, name: str | None = None, page: int | None = None) -> "Photo":
    """Opens a page of a path, the bytes of a file, an array (h, w[, 1-4]) or a Pillow image.

    No pixel is used: damage inside shows when pixels are read, but for a JPEG that is cut short. `name` is what
    messages call it. `page` counts from 1; the default is the first that is not reduced in size.
    Raises PhotoError for what is missing or not supported, PhotoTooLarge for more pixels than `formats.check_size`.
    """
    if isinstance(source, io.BytesIO):
        source = source.getvalue()
    elif isinstance(source, bytearray | memoryview):
        source = bytes(source)
    original = Original(source)  # before anything of it is read
    if isinstance(source, np.ndarray):
        reader = formats.reader_of_array(source, name or "array")
        formats.choose_page(reader.name, page, 1)
    elif isinstance(source, bytes):
        reader = formats.reader_of_file(source, name or "bytes", max_pixels, page)
    elif isinstance(source, str | os.PathLike):
        reader = formats.reader_of_file(Path(source), name or printable(source), max_pixels, page)
    elif hasattr(source, "getexif"):
        reader = formats.reader_of_pillow(source, name or "Pillow image")
        formats.choose_page(reader.name, page, 1)
    else:
        raise PhotoError(f"{type(source).__name__}: give a path, the bytes of a file, an array or a Pillow image")
    header = reader.open()
    width, height = header.width, header.height
    formats.check_decoded_size(reader.name, reader.kind, header, max_pixels)
    orientation = reader.metadata.orientation
    if orientation >= 5:
        width, height = height, width
    depth, alpha = 8 if header.format == "uchar" else 16, bool(header.hasalpha())
    is_colorized = reader.metadata.has_provenance
    return Photo(
        original, reader, reader.name, reader.kind.suffix, width, height, depth, alpha, orientation, is_colorized
    )


class Original:
    """What a photo is opened from: a path, the bytes of a file, an array or a Pillow image.

    Of a path, it remembers the size and time of the file, so that a file that is replaced meanwhile is noticed.
    """

    def __init__(self, source: Any) -> None:
        self.source = source
        self.stamp = self._stamp()

    def _stamp(self) -> tuple[int, int] | None:
        """Returns size and modification time of the file; None for what is no file."""
        if isinstance(self.source, str | os.PathLike):
            with suppress(OSError):
                status = Path(self.source).stat()
                return status.st_size, status.st_mtime_ns
        return None

    def check_unchanged(self) -> None:
        """Raises PhotoError if the file is another than at first, by its size and modification time."""
        if self._stamp() != self.stamp:
            raise PhotoError(f"{printable(self.source)}: was changed while it was colorized; colorize it again")

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the file, read once; "" for an array or a Pillow image. Raises PhotoError."""
        if isinstance(self.source, str | os.PathLike):
            with photo_errors(printable(self.source), "read"), Path(self.source).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        return hashlib.sha256(self.source).hexdigest() if isinstance(self.source, bytes) else ""


def model_size(width: int, height: int, size: int, multiple: int, square: bool) -> tuple[int, int]:
    """Returns height and width at which a model sees an image: `size` on the short side, in multiples."""
    if square:
        return size, size
    scale = model_scale(width, height, size)
    rows, columns = (max(1, round(side * scale / multiple)) for side in (height, width))
    return rows * multiple, columns * multiple


def model_scale(width: int, height: int, size: int) -> float:
    """Returns the scale at which a model sees an image; a long one is seen with less than `size` on the short side."""
    return min(size / min(width, height), MAX_ASPECT * size / max(width, height))


def read_provenance(path: Path) -> Provenance | None:
    """Returns how the image in a file was colorized; None where it does not say so, or is none."""
    return _metadata_of(path).provenance


def check_replaceable(path: Path) -> None:
    """Raises PhotoError for an existing file that does not say that Photochrom made it: that is never replaced."""
    problem = ""
    if is_folder(path):
        problem = "is a folder; remove it, or choose another -o"
    elif exists(path) and not _metadata_of(path).has_provenance:
        problem = "exists and has no label of Photochrom, so it is never replaced; choose another -o"
    if problem:
        raise PhotoError(f"{printable(path)}: {problem}")


def _metadata_of(path: Path) -> metadata.Metadata:
    """Returns the metadata of a file, none where it cannot be read or is no image."""
    with suppress(PhotoError), photo_errors(printable(path), "read"), path.open("rb") as file:
        kind = formats.detect_kind(file.read(64), printable(path))
        return metadata.read_metadata(file, kind.title)
    return metadata.Metadata()


@dataclass(frozen=True)
class Photo:
    """An opened photo: size in pixels upright, depth in bits, EXIF Orientation (1 to 8) of the stored pixels.

    `original` is what was opened, `name` what messages call it, `suffix` that of a file that keeps its format, or as
    much of it as can be written.
    """

    original: Original
    reader: formats.Reader
    name: str
    suffix: str
    width: int
    height: int
    depth: int
    alpha: bool
    orientation: int
    is_colorized: bool

    def gray(self, size: int, multiple: int = 32, convention: str = "lab", square: bool = False) -> Gray:
        """Returns the gray for a model, in [-1, 1]; sizes: see `resize`, convention: `core.color.rgb_to_gray`."""
        rgb = self.resize(size, multiple, square)
        if has_colors(rgb):
            self.reader.notes.add(IN_COLOR)
        return color.rgb_to_gray(rgb, convention)[None].clip(-1, 1)

    def model_size(self, size: int, multiple: int, square: bool) -> tuple[int, int]:
        """Returns height and width of what `resize` returns."""
        return model_size(self.width, self.height, size, multiple, square)

    def resize(self, size: int, multiple: int = 32, square: bool = False) -> Float32[np.ndarray, "3 h w"]:
        """Returns the photo as a model sees it, sRGB in [0, 1]; encoded values are averaged, as in training.

        `size` is the short side (of a photo longer than 2 : 1, half the long side), or both sides if `square`.
        """
        height, width = self.model_size(size, multiple, square)
        if self.orientation >= 5:
            width, height = height, width
        with photo_errors(self.name, "read"):
            # At least twice the size: averaging needs pixels.
            image = self._read_small(1 / model_scale(self.width, self.height, size) / 2, width, height)
            icc.check_linear(image, self.name)
            if self.alpha and not image.numpy()[..., -1].any():
                raise PhotoError(f"{self.name}: every pixel is fully transparent; save it without an alpha channel")
            codes = self._upright_codes(image)
        return np.ascontiguousarray(codes, np.float32) / np.float32(np.iinfo(codes.dtype).max)

    def _read_small(self, shrink: float, width: int, height: int) -> pyvips.Image:
        """Returns stored pixels at this size; as the first to see all pixels, it finds the damage."""
        self.reader.check_tiles()
        for strict in (True, False):
            image = self.reader.open(shrink, strict)
            try:
                return image.resize(width / image.width, vscale=height / image.height).copy_memory()
            except pyvips.Error as error:
                # Where data is missing the rest would be gray; of other damage, viewers show what can be read.
                if not strict or self.reader.kind != formats.JPEG or "premature end" in error.detail:
                    raise
                if "Corrupt" in error.detail:
                    self.reader.notes.add("the JPEG is damaged: some of its pixels may be wrong")
        raise AssertionError

    def pixels(self) -> np.ndarray:
        """Returns the photo at full size: sRGB codes (h, w, 3), uint8 or uint16."""
        self.reader.check_tiles()
        with photo_errors(self.name, "read"):
            return np.moveaxis(self._upright_codes(self.reader.open()), 0, -1)

    def saver(self, name: str) -> tuple[formats.Format, dict[str, Any]]:
        """Returns the format of a file name or suffix, and the options with which libvips saves it.

        Raises PhotoError for a format that cannot be written, or cannot hold this photo.
        """
        kind = formats.WRITABLE.get(Path("x" + name).suffix.lower())
        problem = ""
        if kind is None:
            raise PhotoError(f"{printable(name)}: cannot be written; choose one of {', '.join(formats.WRITABLE)}")
        if self.alpha and not kind.alpha:
            problem = f"cannot keep the transparency of {self.name}"
        elif kind.max_side and max(self.width, self.height) > kind.max_side:
            problem = f"holds at most {kind.max_side} pixels a side, and {self.name} has {self.width} x {self.height}"
        if problem:
            raise PhotoError(f"{printable(name)}: {kind.title} {problem}; choose .png or .tif")
        options = dict(kind.saver)
        if kind == formats.JPEG:
            options["Q"] = self.reader.jpeg_quality
        return kind, options

    def _upright_codes(self, stored: pyvips.Image) -> np.ndarray:
        image = icc.to_standard(stored, self.reader)
        planes = np.moveaxis(image.numpy().reshape(image.height, image.width, -1), -1, 0)
        upright = _to_upright(planes, self.orientation)
        return np.broadcast_to(upright, (3, *upright.shape[1:]))


@dataclass(frozen=True)
class Colorized:
    """A photo colorized with one seed; its pixels are computed when it is saved or returned.

    `ab` is in [-1, 1], of any size (that of a model has the inference size), and includes the saturation. `threads`:
    number of threads; None: one for each available processor.
    """

    photo: Photo
    ab: AB
    provenance: Provenance
    threads: int | None = None

    @property
    def seed(self) -> int:
        """The seed of these colors."""
        return self.provenance.seed

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the photo was left aside, or is not in the output: complete once it is saved or returned."""
        return tuple(self.photo.reader.notes)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Writes a file in the format of its suffix, whole or not at all, and returns its path.

        L* changes by rounding alone (mean 0.1, at most 1), in JPEG and AVIF by 0.3, in grain up to 2.5. Raises as
        `atomic.atomic_write` and, with ``overwrite``, `check_replaceable` do; PhotoError for a suffix that cannot be
        written or a damaged photo.
        """
        path = Path(path)
        kind, options = self.photo.saver(path.name)
        if overwrite:
            check_replaceable(path)
        with atomic_write(path, overwrite) as file:
            self._write(file, kind, options)
        return path

    def to_bytes(self, suffix: str | None = None) -> bytes:
        """Returns the bytes of the file that `save` writes; the default suffix keeps the photo's format."""
        kind, options = self.photo.saver(suffix or self.photo.suffix)
        file = io.BytesIO()
        with photo_errors(self.photo.name, "written"):
            self._write(file, kind, options)
        return file.getvalue()

    def _write(self, file: io.BufferedIOBase, kind: formats.Format, options: dict[str, Any]) -> None:
        record = self._metadata(kind)
        with self._render(kind.depth) as image:
            metadata.write_image(file, image, kind.suffix, record, options)
        self.photo.reader.notes.add(*record.notes)

    def _metadata(self, kind: formats.Format) -> metadata.Metadata:
        """The metadata of a file of a format."""
        width, height = self.photo.width, self.photo.height
        stored = (height, width) if self.photo.orientation >= 5 else (width, height)
        turn = Turn(self.photo.orientation, stored)
        return self.photo.reader.metadata.corrected(turn, self.provenance, metadata.MEDIA_TYPES[kind.suffix])

    def array(self) -> np.ndarray:
        """Returns sRGB codes (h, w, 3), or (h, w, 4) with alpha: uint8 or uint16 like the photo."""
        with photo_errors(self.photo.name, "read"), self._render(16) as image:
            return image.numpy()

    def pillow(self) -> Any:
        """Returns a Pillow image, RGB or RGBA of 8 bits, with its profile and metadata in its `info`."""
        from PIL import Image

        with photo_errors(self.photo.name, "read"), self._render(8) as image:
            result = Image.fromarray(image.numpy())
        result.info.update(metadata.pillow_info(self._metadata(formats.TIFF)))
        result.info["icc_profile"] = pyvips.Operation.call("profile_load", "srgb")
        return result

    @contextmanager
    def _render(self, max_depth: int) -> Iterator[pyvips.Image]:
        """Yields the result as a stream to read once, with the depth of the photo but at most `max_depth`."""
        photo = self.photo
        depth = min(photo.depth, max_depth)
        header = photo.reader.open()
        gray = icc.to_standard(header, photo.reader)
        inverse = {6: 8, 8: 6}.get(photo.orientation, photo.orientation)
        ab = _to_upright(self.ab * np.float32(color.AB_SCALE), inverse)
        ab = _shrink_within(ab, gray.width, gray.height)
        chroma = ChromaEnlarger(chroma_shift(ab), gray.width, gray.height)
        rows = min(MAX_STRIP_ROWS, max(1, STRIP_PIXELS // gray.width))

        black_and_white = True

        def process(strip: np.ndarray, top: int) -> np.ndarray:
            nonlocal black_and_white
            if black_and_white and has_shades(strip):  # the first strip shows it of most photos
                black_and_white = False
            return merge_chroma(strip, chroma.rows(top, len(strip)), depth)

        with process_strips(gray, rows, process, depth, self.threads) as image:
            image = image.copy(interpretation="rgb16" if depth == 16 else "srgb")
            if photo.alpha:
                # A stream is read once: the alpha channel needs one of its own.
                image = image.bandjoin(icc.alpha_channel(photo.reader.open(), depth))
            with _upright_stream(image, photo.orientation) as upright:
                yield upright
        if black_and_white:
            photo.reader.notes.add(BLACK_AND_WHITE)
        photo.original.check_unchanged()


def _shrink_within(planes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Shrinks (c, h, w) by averaging where it is larger than width x height."""
    rows, columns = planes.shape[1:]
    image = pyvips.Image.new_from_array(np.ascontiguousarray(planes.transpose(1, 2, 0)))
    image = image.resize(min(1, width / columns), vscale=min(1, height / rows), kernel="linear")
    return np.ascontiguousarray(image.numpy().transpose(2, 0, 1))


def _to_upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """(..., h, w) as stored -> as it is to be seen (EXIF 2.32, tag Orientation)."""
    if orientation >= 5:
        array = array.swapaxes(-1, -2)
    flip_axes = {2: (-1,), 3: (-1, -2), 0: (-2,)}.get(orientation % 4, ())
    return np.ascontiguousarray(np.flip(array, flip_axes))


@contextmanager
def _upright_stream(image: pyvips.Image, orientation: int) -> Iterator[pyvips.Image]:
    """Turns a stream upright by way of tiles on disk, since the last rows stored may be the first ones seen."""
    if orientation == 1:
        yield image
        return
    with temporary_folder() as folder:
        path = str(folder / "stored.tif")
        image.tiffsave(path, tile=True, tile_width=256, tile_height=256, bigtiff=True)
        tiles = pyvips.Image.tiffload(path, revalidate=True).copy()
        tiles.set_type(pyvips.GValue.gint_type, "orientation", orientation)
        upright = tiles.autorot()
        yield upright.tilecache(tile_width=upright.width, tile_height=256, max_tiles=3)
