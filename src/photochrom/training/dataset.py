"""The photos of a training: found in folders and zips, near gray ones left out, split for validation."""

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._processes import available_processors
from ..core.color import colorfulness
from ..imaging.atomic import atomic_write
from ..imaging.photo import open_photo
from ..imaging.sources import Passed, SourceImage, describe_passed, find_images, is_held_out
from .decoding import ANY_SIZE, decode
from .recipe import Data

log = logging.getLogger(__name__)

PREVIEW = 64  # pixels of the short side at which colorfulness is measured


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
    found, passed = [], Passed()
    for source in settings.photos:
        found += find_images(source, passed)
    if passed:
        log.info("passed over: %s", describe_passed(passed))
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
    if settings.validation and not validation:
        few = "so that none is held out: the checkpoint best is the last one, and no metrics are measured"
        log.warning("%d photos are too few for data.validation = %g, %s", len(training), settings.validation, few)
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
        return round(float(colorfulness(decode(image, PREVIEW).transpose(2, 0, 1) / np.float32(255))), 2)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        log.warning("%s left out: %s", image, str(error).removeprefix(f"{image}: "))
        return None
