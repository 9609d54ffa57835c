"""The photos of a training: found in folders and zips, near gray ones left out, split for validation."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._processes import available_processors
from ..core.color import colorfulness
from ..imaging.atomic import atomic_write
from ..imaging.photo import open_photo
from ..imaging.sources import Passed, SourceImage, cache_folder, describe_passed, find_images, is_held_out
from .decoding import ANY_SIZE, decode
from .recipe import Data

log = logging.getLogger(__name__)

PREVIEW = 64  # pixels of the short side at which colorfulness is measured


@dataclass(frozen=True)
class Library:
    """The images of one training, split into training and validation, and how many were left out and why."""

    training: tuple[SourceImage, ...]
    validation: tuple[SourceImage, ...]
    digest: str  # sha256 over the sorted keys of the training images
    unused: int  # beyond the number asked for
    near_gray: int
    unreadable: int
    repeated: int

    def record(self) -> dict[str, Any]:
        """Return the counts and the digest, as checkpoints and bundles store them."""
        return {**vars(self), "training": len(self.training), "validation": len(self.validation)}


def gather(settings: Data) -> Library:
    """Find, filter and split the images that a recipe names. Their colorfulness is remembered (`cache_folder`).

    Raises ValueError when a source is missing, or no image is left to train on, or fewer than `Data.images`.
    """
    images, repeated = _find(settings.photos)
    library = _split(images, _colorfulness_by_key(images), settings, repeated)
    training, validation = len(library.training), len(library.validation)
    log.info(
        "photos: %d for training, %d held out for validation; left out: %d near gray, %d unreadable, %d repeated, "
        "%d beyond data.images",
        *(training, validation, library.near_gray, library.unreadable, repeated, library.unused),
    )
    if not training:
        raise ValueError(
            f"no photo to train on: {len(images)} found, {library.unreadable} unreadable, {library.near_gray} less "
            f"colorful than data.min_colorfulness = {settings.min_colorfulness:g}, {validation} held out"
        )
    if settings.images and training < settings.images:
        raise ValueError(f"data.images = {settings.images}: there are only {training} photos to train on")
    if settings.validation and not validation:
        few = "so that none is held out: the checkpoint best is the last one, and no metrics are measured"
        log.warning("%d photos are too few for data.validation = %g, %s", training, settings.validation, few)
    return library


def _find(sources: Sequence[Path]) -> tuple[dict[str, SourceImage], int]:
    """Return the images of all sources by key, in the order of the keys, and how many were there more than once."""
    if not sources:
        raise ValueError("no photos: name folders or zips in data.photos or with --data")
    images: list[SourceImage] = []
    passed = Passed()
    for source in sources:
        images += find_images(source, passed)
    if passed:
        log.info("passed over: %s", describe_passed(passed))
    by_key = {image.key: image for image in images}
    return dict(sorted(by_key.items())), len(images) - len(by_key)


def _split(
    images: Mapping[str, SourceImage], scores: Mapping[str, float | None], settings: Data, repeated: int
) -> Library:
    """Split images by the hashes of their files, so that it does not matter which others there are.

    With `Data.images`, the training images with the smallest hashes are used: a smaller set is a part of a larger one.
    """
    training: list[SourceImage] = []
    validation: list[SourceImage] = []
    unreadable = near_gray = 0
    for key, image in images.items():
        score = scores[key]
        if score is None:
            unreadable += 1
        elif score < settings.min_colorfulness:
            near_gray += 1
        else:
            (validation if is_held_out(image.crc, settings.validation) else training).append(image)
    by_hash = sorted(training, key=lambda image: image.crc)
    used = sorted(by_hash[: settings.images], key=lambda image: image.key)
    digest = hashlib.sha256("\n".join(image.key for image in used).encode()).hexdigest()
    unused = len(training) - len(used)
    return Library(tuple(used), tuple(validation), digest, unused, near_gray, unreadable, repeated)


def _colorfulness_by_key(images: Mapping[str, SourceImage]) -> dict[str, float | None]:
    """Return the colorfulness of images by their keys, None of those that cannot be read."""
    cache = cache_folder() / f"colorfulness-{PREVIEW}.json"
    known: dict[str, float] = json.loads(cache.read_text()) if cache.exists() else {}
    new = {key: image for key, image in images.items() if key not in known}
    if not new:
        return {**known}
    log.info("measuring the colorfulness of %d new photos", len(new))
    with ThreadPoolExecutor(available_processors()) as pool:
        measured = dict(zip(new, pool.map(_measure, new.values()), strict=True))
    known |= {key: score for key, score in measured.items() if score is not None}
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cache, overwrite=True) as file:
            file.write(json.dumps(known).encode())
    except OSError as error:
        log.warning("%s: the colorfulness of photos cannot be remembered (%s)", cache, error.strerror)
    return known | measured


def _measure(image: SourceImage) -> float | None:
    try:
        content = image.read()
        if open_photo(content, ANY_SIZE, str(image)).is_colorized:
            raise ValueError("colorized by Photochrom, so no ground truth")
        rgb = decode(image, PREVIEW, content).transpose(2, 0, 1) / np.float32(255)
        return round(float(colorfulness(rgb)), 2)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        log.warning("%s left out: %s", image, str(error).removeprefix(f"{image}: "))
        return None
