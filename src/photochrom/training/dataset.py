"""Photographs as training pairs: found in folders and zips, sorted out once, then drawn by step number alone."""

import hashlib
import io
import json
import logging
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from ..core.color import AB_SCALE, L_SCALE, colorfulness, rgb_to_gray, rgb_to_lab
from .log import rewrite
from .recipe import Data

log = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
MARK = b"urn:photochrom:1.0:"  # in the XMP of every copy that `engine.metadata` marks
RGB8 = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Photo:
    """Where one photograph lies, and the CRC-32 and length of its bytes: the same in a folder and in a zip."""

    source: str
    name: str
    crc: int
    length: int

    @property
    def key(self) -> str:
        """What names the photograph, wherever it lies."""
        return f"{self.crc:08x}-{self.length}"


@dataclass(frozen=True)
class Library:
    """The photographs of one training: those to learn from, those held out, and what was left out."""

    training: tuple[Photo, ...]
    validation: tuple[Photo, ...]
    digest: str  # sha256 over the sorted keys of both
    near_gray: int
    unreadable: int
    repeated: int

    def record(self) -> dict[str, Any]:
        """The counts and the digest, for the run's papers."""
        return {**vars(self), "training": len(self.training), "validation": len(self.validation)}


def gather(settings: Data, cache: Path) -> Library:
    """Find, judge and split the photographs that a recipe names.

    Args:
        settings: the ``[data]`` table.
        cache: JSON file of colourfulness by photo; what it holds is not looked at again.

    Raises ValueError when a source is missing or no photograph is left to train on.
    """
    if not settings.photos:
        raise ValueError("no photographs: name folders or zips in data.photos or with --data")
    found = [photo for source in settings.photos for photo in _photos(Path(source))]
    photos = {photo.key: photo for photo in found if photo}
    verdicts = _verdicts(photos, cache)
    readable = [key for key in sorted(photos) if verdicts[key] is not None]
    kept = [photos[key] for key in readable if float(verdicts[key] or 0) >= settings.min_colorfulness]
    border = settings.validation * 2**32
    library = Library(
        training=tuple(p for p in kept if p.crc >= border),
        validation=tuple(p for p in kept if p.crc < border),
        digest=hashlib.sha256("\n".join(p.key for p in kept).encode()).hexdigest(),
        near_gray=len(readable) - len(kept),
        unreadable=len(photos) - len(readable) + found.count(None),
        repeated=len(found) - len(photos) - found.count(None),
    )
    counts = [len(library.training), len(library.validation), library.near_gray, library.unreadable, library.repeated]
    log.info("photographs: %d to learn from, %d held out; left out: %d near gray, %d unreadable, %d repeated", *counts)
    if not library.training:
        raise ValueError(
            f"no photograph to train on: {len(photos) + found.count(None)} found, {library.unreadable} unreadable, "
            f"{library.near_gray} less colourful than data.min_colorfulness = {settings.min_colorfulness:g}"
        )
    return library


def _photos(source: Path) -> list[Photo | None]:
    """What a folder, a zip or a folder in a zip holds, None for a file that cannot be read."""
    if source.is_dir():
        paths = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        return [_measured(source, path) for path in paths]
    archive = next((p for p in (source, *source.parents) if zipfile.is_zipfile(p)), None)
    if archive is None:
        raise ValueError(
            f"{source}: {'not a folder or a zip' if source.exists() else 'there is no such folder or zip'}"
        )
    inside = "" if archive == source else f"{source.relative_to(archive).as_posix()}/"
    try:
        entries = _archive(str(archive), os.getpid()).infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{archive}: a damaged zip ({error}): make it again, or unpack what is left of it") from None
    names = [e for e in entries if e.filename.startswith(inside) and e.filename.lower().endswith(SUFFIXES)]
    if inside and not names:
        raise ValueError(f"{source}: {archive.name} has no photographs in a folder of that name")
    return [Photo(str(archive), e.filename, e.CRC, e.file_size) for e in names]


def _measured(source: Path, path: Path) -> Photo | None:
    try:
        content = path.read_bytes()
    except OSError as error:
        log.warning("%s left out: %s", path, error.strerror)
        return None
    return Photo(str(source), str(path.relative_to(source)), zlib.crc32(content), len(content))


def _verdicts(photos: Mapping[str, Photo], cache: Path) -> dict[str, float | None]:
    """Colourfulness by key, None for what cannot be read."""
    known: dict[str, float | None] = json.loads(cache.read_text()) if cache.exists() else {}
    new = [photo for key, photo in photos.items() if key not in known]
    if new:
        log.info("looking at %d photographs", len(new))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            known |= zip((p.key for p in new), pool.map(_verdict, new), strict=True)
        rewrite(cache, json.dumps(known))
    return known


def _verdict(photo: Photo) -> float | None:
    try:
        content = _bytes(photo)
        zipped = Image.open(io.BytesIO(content)).info.get("XML:com.adobe.xmp", "")  # as PNG keeps it
        if MARK in content or MARK.decode() in zipped:
            raise ValueError("Photochrom's own colours are no truth")
        return round(float(colorfulness(_planes(decode(photo, 64)))), 2)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        reason = "no picture that can be read" if isinstance(error, UnidentifiedImageError) else error
        log.warning("%s/%s left out: %s", photo.source, photo.name, reason)
        return None


@lru_cache(maxsize=64)
def _archive(source: str, process: int) -> zipfile.ZipFile:
    """A zip, opened once in each process: two that share a file handle would move it under each other."""
    return zipfile.ZipFile(source)


def _bytes(photo: Photo) -> bytes:
    if Path(photo.source).is_dir():
        return (Path(photo.source) / photo.name).read_bytes()
    return _archive(photo.source, os.getpid()).read(photo.name)


def _open(photo: Photo, side: int) -> Image.Image:
    image = Image.open(io.BytesIO(_bytes(photo)))
    image.draft("RGB", (side, side))
    return _standard(ImageOps.exif_transpose(image))


def _standard(image: Image.Image) -> Image.Image:
    """An image in sRGB, through its profile where that says anything else."""
    mode = "CMYK" if image.mode == "CMYK" else "RGB"
    to_srgb = _to_srgb(image.info.get("icc_profile") or b"", mode)
    image = image.convert(mode)
    return (ImageCms.applyTransform(image, to_srgb) if to_srgb else image).convert("RGB")  # type: ignore[union-attr]


@lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the colours of a profile; None where it is damaged, of another mode, or moves no code by more than one."""
    srgb, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
    try:
        transform = ImageCms.buildTransform(io.BytesIO(profile), srgb, mode, "RGB", intent)
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode != "RGB":
        return transform
    codes = np.stack(np.meshgrid(*[np.linspace(0, 255, 9).astype(np.uint8)] * 3), -1).reshape(27, 27, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(codes), transform)).astype(int) - codes
    return transform if np.abs(moved).max() > 1 else None


def decode(photo: Photo, side: int) -> RGB8:
    """A photograph upright in sRGB; a JPEG may come smaller, its short side still at least ``side`` pixels."""
    return np.asarray(_open(photo, side))


def pair(rgb: Float[np.ndarray, "3 h w"], convention: str, target: str) -> tuple[Tensor, Tensor]:
    """sRGB in [0, 1] -> gray (1, h, w) in [-1, 1], and ab / 110 (2, h, w) or sRGB in [-1, 1] (3, h, w)."""
    lab = rgb_to_lab(rgb) if target == "ab" or convention == "lab" else None
    gray = lab[0] / L_SCALE - 1 if lab is not None and convention == "lab" else rgb_to_gray(rgb, convention)
    color = lab[1:] / AB_SCALE if lab is not None and target == "ab" else rgb * 2 - 1
    return torch.from_numpy(gray[None]), torch.from_numpy(np.ascontiguousarray(color))


def worn(gray: Float[Tensor, "1 n n"], wear: float, rng: np.random.Generator) -> Float[Tensor, "1 n n"]:
    """Gray in [-1, 1] as an old print may show it: faded, soft and grainy, at random up to ``wear``.

    At 1, the most: a gamma from a half to two, detail under three pixels lost, grain of 5 L units. At 0 nothing.
    """
    if not wear:
        return gray
    fading, softness, grain = rng.random(3) * wear
    size = gray.shape[-1]
    small = round(size / (1 + 2 * softness))
    light = (gray[0].numpy() / 2 + 0.5).clip(0, 1) ** 2 ** (fading * rng.choice((-1, 1)))
    soft = (
        Image.fromarray(light)
        .resize((small, small), Image.Resampling.BOX)
        .resize((size, size), Image.Resampling.BICUBIC)
    )
    grainy = np.asarray(soft) * 2 - 1 + 0.1 * grain * rng.standard_normal((size, size), np.float32)
    return torch.from_numpy(grainy.clip(-1, 1).astype(np.float32))[None]


class Pairs(Dataset[tuple[Tensor, ...]]):
    """Endless training pairs: number k depends on the seed and k alone, so any process may make it.

    Each pass over the photographs is a new permutation; crop, flip and wear are drawn per pair.
    """

    def __init__(self, photos: tuple[Photo, ...], settings: Data, target: str, seed: int) -> None:
        self.photos, self.settings, self.target, self.seed = photos, settings, target, seed

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        turn, place = divmod(number, len(self.photos))
        photo = self.photos[_permutation(self.seed, turn, len(self.photos))[place]]
        return self._pair(photo, np.random.default_rng((self.seed, 1, number)))

    def _pair(self, photo: Photo, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        scale, left, top, flip = rng.random(4)
        low, high = self.settings.scale
        rgb = crop(photo, self.settings.size, low + (high - low) * scale, left, top)
        rgb = rgb[:, ::-1] if self.settings.flip and flip < 0.5 else rgb
        gray, color = pair(_planes(rgb), self.settings.gray, self.target)
        return worn(gray, self.settings.wear, rng), color


class HeldOut(Pairs):
    """The validation pairs, and sRGB in [0, 1] after them: the largest square in the middle of each photograph."""

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        rgb = _planes(crop(self.photos[number], self.settings.size, 1.0, 0.5, 0.5))
        return *pair(rgb, self.settings.gray, self.target), torch.from_numpy(rgb)


def crop(photo: Photo, size: int, scale: float, left: float, top: float) -> RGB8:
    """A square of ``scale`` times the short side, brought to ``size`` pixels; left and top in [0, 1] place it."""
    image = _open(photo, math.ceil(size / scale))
    side = min(image.size) * scale
    x, y = (image.width - side) * left, (image.height - side) * top
    square = image.resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side))
    return np.asarray(square)


def _planes(rgb: RGB8) -> Float[np.ndarray, "3 h w"]:
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


@lru_cache(maxsize=2)
def _permutation(seed: int, turn: int, count: int) -> Any:
    return np.random.default_rng((seed, 0, turn)).permutation(count)
