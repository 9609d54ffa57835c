"""Images as training pairs: found in folders and zips, filtered once, then sampled by step number alone."""

import hashlib
import io
import json
import logging
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from .._processes import available_processors
from ..core.color import AB_SCALE, L_SCALE, colorfulness, film_gray, rgb_to_gray, rgb_to_lab
from ..imaging.atomic import atomic_write
from ..imaging.photo import open_photo
from ..imaging.sources import SourceImage, find_images, is_held_out
from .recipe import Data

log = logging.getLogger(__name__)

PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # decoded by Pillow, three times as fast as by libvips
ANY_SIZE = 10**12  # pixels: training shrinks every image, so that there is no limit to set
PREVIEW = 64  # pixels of the short side at which colorfulness is measured
# Of the Dirichlet distribution of a film's sensitivities to red, green and blue: old films see little red.
FILM = (0.8, 2.0, 1.6)
GRAIN = 0.1  # standard deviation of the strongest grain, in gray units: 5 of L
RGB8 = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Library:
    """The images of one training, split into training and validation, and how many were left out and why."""

    training: tuple[SourceImage, ...]
    validation: tuple[SourceImage, ...]
    digest: str  # sha256 over the sorted keys of both
    near_gray: int
    unreadable: int
    repeated: int

    def record(self) -> dict[str, Any]:
        """Return the counts and the digest, as checkpoints and bundles store them."""
        return {**vars(self), "training": len(self.training), "validation": len(self.validation)}


def gather(settings: Data, cache: Path) -> Library:
    """Find, filter and split the images that a recipe names; ``cache`` is a JSON file of their colorfulness.

    Raises ValueError when a source is missing or no image is left to train on.
    """
    if not settings.photos:
        raise ValueError("no photos: name folders or zips in data.photos or with --data")
    found = []
    for source in settings.photos:
        found += find_images(source)
    images = {image.key: image for image in found}
    scores = _colorfulness_by_key(images, cache)
    training: dict[str, SourceImage] = {}
    validation: dict[str, SourceImage] = {}
    unreadable = near_gray = 0
    for key, image in sorted(images.items()):
        score = scores[key]
        if score is None:
            unreadable += 1
        elif score < settings.min_colorfulness:
            near_gray += 1
        else:
            (validation if is_held_out(image.crc, settings.validation) else training)[key] = image
    repeated = len(found) - len(images)
    log.info(
        "photos: %d for training, %d held out for validation; left out: %d near gray, %d unreadable, %d repeated",
        *(len(training), len(validation), near_gray, unreadable, repeated),
    )
    if not training:
        raise ValueError(
            f"no photo to train on: {len(images)} found, {unreadable} unreadable, {near_gray} less colorful than "
            f"data.min_colorfulness = {settings.min_colorfulness:g}, {len(validation)} held out"
        )
    digest = hashlib.sha256("\n".join(sorted({**training, **validation})).encode()).hexdigest()
    return Library(tuple(training.values()), tuple(validation.values()), digest, near_gray, unreadable, repeated)


def _colorfulness_by_key(images: dict[str, SourceImage], cache: Path) -> dict[str, float | None]:
    scores: dict[str, float | None] = json.loads(cache.read_text()) if cache.exists() else {}
    new = {key: image for key, image in images.items() if key not in scores}
    if new:
        log.info("measuring the colorfulness of %d new photos", len(new))
        with ThreadPoolExecutor(available_processors()) as pool:
            scores.update(zip(new, pool.map(_measure, new.values()), strict=True))
        with atomic_write(cache, overwrite=True) as file:
            file.write(json.dumps(scores).encode())
    return scores


def _measure(image: SourceImage) -> float | None:
    try:
        if open_photo(image.open(), ANY_SIZE, str(image)).is_colorized:
            raise ValueError("colorized by Photochrom, so no ground truth")
        return round(float(colorfulness(_planes(decode(image, PREVIEW)))), 2)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        log.warning("%s left out: %s", image, str(error).removeprefix(f"{image}: "))
        return None


def decode(image: SourceImage, side: int) -> RGB8:
    """Return an image upright in sRGB; a JPEG may come smaller, its short side still at least ``side`` pixels."""
    return np.asarray(_open_rgb(image, side))


def crop(image: SourceImage, size: int, scale: float, left: float, top: float) -> RGB8:
    """Return a square of ``scale`` times the short side, resized to ``size`` pixels; left and top place it, 0 to 1."""
    opened = _open_rgb(image, math.ceil(size / scale))
    side = min(opened.size) * scale
    x, y = (opened.width - side) * left, (opened.height - side) * top
    return np.asarray(opened.resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side)))


def _open_rgb(image: SourceImage, side: int) -> Image.Image:
    content = image.read()
    try:
        opened = Image.open(io.BytesIO(content), formats=PILLOW_FORMATS)
    except UnidentifiedImageError:  # any other format is decoded as the other commands do, with their errors
        pixels = open_photo(content, ANY_SIZE, str(image)).pixels()
        codes = pixels if pixels.dtype == np.uint8 else (pixels / np.float32(257)).round().astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(codes))
    opened.draft("RGB", (side, side))
    upright = ImageOps.exif_transpose(opened)
    mode = "CMYK" if upright.mode == "CMYK" else "RGB"
    transform = _srgb_transform(upright.info.get("icc_profile") or b"", mode)
    converted = upright.convert(mode)
    if transform is not None:
        converted = cast(Image.Image, ImageCms.applyTransform(converted, transform))
    return converted.convert("RGB")


@lru_cache(maxsize=64)
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    # None where the profile is damaged, of another mode, or changes no code by more than one.
    srgb, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
    try:
        transform = ImageCms.buildTransform(io.BytesIO(profile), srgb, mode, "RGB", intent)
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode != "RGB":
        return transform
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    codes = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    converted = ImageCms.applyTransform(Image.fromarray(codes), transform)
    change = np.abs(np.asarray(converted).astype(int) - codes)
    return transform if change.max() > 1 else None


def pair(rgb: Float[np.ndarray, "3 h w"], convention: str, target: str) -> tuple[Tensor, Tensor]:
    """Return the gray (1, h, w) in [-1, 1] and the target of sRGB in [0, 1].

    The target is ab / 110 (2, h, w) for ``ab``, sRGB in [-1, 1] (3, h, w) for ``rgb``.
    """
    lab = rgb_to_lab(rgb) if target == "ab" or convention == "lab" else None
    gray = lab[0] / L_SCALE - 1 if lab is not None and convention == "lab" else rgb_to_gray(rgb, convention)
    color = lab[1:] / AB_SCALE if lab is not None and target == "ab" else rgb * 2 - 1
    return torch.from_numpy(gray[None]), torch.from_numpy(np.ascontiguousarray(color))


def degrade(gray: Float[Tensor, "1 n n"], strength: float, rng: np.random.Generator) -> Float[Tensor, "1 n n"]:
    """Return the gray of an old print: faded, blurred and grainy, at random up to ``strength``.

    At 1: a gamma from 1/2 to 2, detail under three pixels lost, grain of 5 L units. At 0, gray as it is.
    """
    if not strength:
        return gray
    fading, softness, grain = rng.random(3) * strength
    size = gray.shape[-1]
    small = round(size / (1 + 2 * softness))
    light = (gray[0].numpy() / 2 + 0.5).clip(0, 1) ** 2 ** (fading * rng.choice((-1, 1)))
    shrunk = Image.fromarray(light).resize((small, small), Image.Resampling.BOX)
    soft = np.asarray(shrunk.resize((size, size), Image.Resampling.BICUBIC))
    grainy = soft * 2 - 1 + GRAIN * grain * rng.standard_normal((size, size), np.float32)
    return torch.from_numpy(grainy.clip(-1, 1).astype(np.float32))[None]


class TrainingPairs(Dataset[tuple[Tensor, ...]]):
    """Endless training pairs, in a new order each epoch: pair k depends on the seed and k alone."""

    def __init__(self, images: Iterable[SourceImage], settings: Data, target: str, seed: int) -> None:
        self.images, self.settings, self.target, self.seed = tuple(images), settings, target, seed

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        epoch, place = divmod(number, len(self.images))
        image = self.images[_permutation(self.seed, epoch, len(self.images))[place]]
        return self._augment(image, np.random.default_rng((self.seed, 1, number)))

    def _augment(self, image: SourceImage, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        scale, left, top, flip = rng.random(4)
        low, high = self.settings.scale
        rgb = crop(image, self.settings.size, low + (high - low) * scale, left, top)
        if self.settings.flip and flip < 0.5:
            rgb = rgb[:, ::-1]
        planes = _planes(rgb)
        gray, color = pair(planes, self.settings.gray, self.target)
        if self.settings.film and rng.random() < self.settings.film:
            gray = torch.from_numpy(film_gray(planes, rng.dirichlet(FILM).tolist())[None].astype(np.float32))
        return degrade(gray, self.settings.degrade, rng), color


class ValidationPairs(Dataset[tuple[Tensor, ...]]):
    """The largest square in the middle of each image, as gray, target, and sRGB in [0, 1]."""

    def __init__(self, images: Iterable[SourceImage], settings: Data, target: str) -> None:
        self.images, self.settings, self.target = tuple(images), settings, target

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        rgb = _planes(crop(self.images[number], self.settings.size, 1.0, 0.5, 0.5))
        return *pair(rgb, self.settings.gray, self.target), torch.from_numpy(rgb)


def _planes(rgb: RGB8) -> Float[np.ndarray, "3 h w"]:
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> Any:
    return np.random.default_rng((seed, 0, epoch)).permutation(count)
