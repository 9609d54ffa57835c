"""Measure ways of colorizing images: a column of values for each metric, cached on disk.

Every `CHUNK` images of a row are cached in a file whose name depends on everything that decides its values. So an
interrupted run continues, and rows that were measured before (baselines, other models) cost nothing.
"""

import ast
import hashlib
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from .._processes import available_processors
from ..core.color import ab_bins, colorfulness, lab_to_rgb, rgb_to_lab
from ..imaging.atomic import atomic_write
from ..imaging.photo import open_photo
from ..imaging.sources import SourceImage
from . import metrics
from .dataset_colors import bin_indices
from .features import FeatureNetworks
from .matching import Images
from .protocols import RGB8, Protocol

Columns = dict[str, np.ndarray]
Progress = Callable[[int, int], None]  # gets the numbers of images done and in total

CHUNK = 32  # images in a cache file
PACKAGES = ("core", "imaging", "inference", "backbones", "evaluation")  # whose code decides a value
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
WEIGHT = "/weight"  # ends the name of the column of weights for a metric whose images do not count the same
GRAY, MEAN, TRUTH = BASELINES = ("grayscale", "mean color", "ground truth")


@dataclass(frozen=True)
class Row:
    """A way of colorizing that is measured."""

    name: str
    key: str  # differs for every way that gives other pixels
    colorize: Callable[[str, RGB8], Sequence[RGB8]]  # name and ground truth -> one or more results of the same size
    own_metrics: Callable[[RGB8], Mapping[str, float]] = lambda truth: {}
    model: str | None = None  # name or path, where it is a model
    cost: Callable[[RGB8], dict[str, float]] = lambda photo: {}  # to colorize a photo, by name and unit


@dataclass(frozen=True)
class Survey:
    """The images that can be measured under a protocol, and what they have in common."""

    images: Images
    protocol: Protocol
    mean_ab: Float[np.ndarray, "2"]
    prior: Float[np.ndarray, "bins"]  # frequency of each color bin
    digest: str  # sha256 of the names and contents of the images
    folder: Path  # where values of these images under this protocol are cached
    unreadable: Mapping[str, str]  # reasons, by name, of images left out


def to_float(pixels: RGB8) -> metrics.RGB:
    """Convert an image (h, w, 3) of 8 bits to (3, h, w) in [0, 1]."""
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)).astype(np.float32) / np.float32(255)


def to_uint8(rgb: metrics.RGB) -> RGB8:
    """Convert an image (3, h, w) in [0, 1] to (h, w, 3) of 8 bits."""
    return np.ascontiguousarray(np.moveaxis(np.rint(rgb * 255).astype(np.uint8), 0, -1))


def read_pixels(image: SourceImage) -> RGB8:
    """Read an image, upright, as 8-bit sRGB (h, w, 3). Raises PhotoError."""
    pixels = open_photo(image.open(), name=image.name).pixels()
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def survey(images: Images, protocol: Protocol, store: Path, progress: Progress = lambda done, total: None) -> Survey:
    """Read every image once, unless the cache folder ``store`` has the result.

    Raises ValueError when no image can be measured.
    """
    digest, folder = _identify(images, protocol, store)
    columns = _load(folder / "survey.npz")
    if columns is not None:
        return Survey(images, protocol, **columns, digest=digest, folder=folder, unreadable={})
    means, shares, readable, unreadable = [], [], {}, {}
    with ThreadPoolExecutor(available_processors()) as pool:
        # An interruption closes `map`, which cancels the images that wait.
        results = pool.map(partial(_mean_and_shares, protocol=protocol), images, images.values())
        for done, (name, result) in enumerate(zip(images, results, strict=True), 1):
            if isinstance(result, ValueError):
                unreadable[name] = str(result)
            else:
                readable[name] = images[name]
                means.append(result[0])
                shares.append(result[1])
            progress(done, len(images))
    if not means:
        raise ValueError("no photos to measure on")
    columns = {"mean_ab": np.mean(means, 0), "prior": np.mean(shares, 0)}
    if not unreadable:  # otherwise the files may be readable next time
        _write(folder / "survey.npz", columns)
    digest, folder = _identify(readable, protocol, store)
    return Survey(readable, protocol, **columns, digest=digest, folder=folder, unreadable=unreadable)


def _mean_and_shares(name: str, image: SourceImage, protocol: Protocol) -> tuple[np.ndarray, np.ndarray] | ValueError:
    try:
        pixels = protocol.prepare(read_pixels(image))
    except ValueError as error:
        return error
    height, width = pixels.shape[:2]
    if min(height, width) < metrics.SMALLEST_SIDE:
        needed = f"at least {metrics.SMALLEST_SIDE} on each side are needed"
        return ValueError(f"{name}: too small to measure: {width} x {height} pixels, {needed}")
    lab = rgb_to_lab(to_float(pixels))
    counts = np.bincount(bin_indices(lab).ravel(), minlength=len(ab_bins()))
    return lab[1:].mean((1, 2), dtype=np.float64), counts / counts.sum()


def _identify(images: Images, protocol: Protocol, store: Path) -> tuple[str, Path]:
    digest = _sha256(repr([(name, image.crc) for name, image in images.items()]))
    return digest, store / _sha256(f"{digest} {replace(protocol, text='')} {_code_digest()}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code_digest() -> str:
    texts = []
    for package in PACKAGES:
        for path in sorted((Path(__file__).parents[1] / package).rglob("*.*")):
            if path.suffix in (".py", ".toml"):
                text = path.read_text(encoding="utf-8")
                texts.append(code_only(text) if path.suffix == ".py" else text)
    return _sha256("".join(texts))


def code_only(source: str) -> str:
    """Return text that is the same for Python modules that differ only in comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def baselines(survey: Survey) -> list[Row]:
    """Return the rows of every report: grayscale, the mean color of all images everywhere, and the ground truth."""

    def flat(ab: Float[np.ndarray, "2"], name: str, truth: RGB8) -> list[RGB8]:
        lab = rgb_to_lab(to_float(truth))
        lab[1:] = np.reshape(ab, (2, 1, 1))
        return [to_uint8(lab_to_rgb(lab))]

    gray, mean = Row(GRAY, GRAY, partial(flat, np.zeros(2))), Row(MEAN, MEAN, partial(flat, survey.mean_ab))
    return [gray, mean, Row(TRUTH, TRUTH, lambda name, truth: [truth])]


def measure(
    survey: Survey,
    rows: Sequence[Row],
    networks: FeatureNetworks,
    progress: Progress = lambda done, total: None,
) -> dict[str, Columns]:
    """Return the columns of each row, with one value for each image.

    They are the metrics of single images, the share of pixels in each of the color ``bins`` (n, 262), and
    ``features/...`` and ``classes/...`` of the networks.
    """
    images = survey.images
    chunks: defaultdict[str, list[Columns]] = defaultdict(list)
    with ThreadPoolExecutor(available_processors()) as pool:
        for start in range(0, len(images), CHUNK):
            names = list(images)[start : start + CHUNK]
            missing = []
            for row in rows:
                columns = _load(_cache_file(survey, networks, row, start))
                if columns is None:
                    missing.append(row)
                else:
                    chunks[row.name].append(columns)
            measure_one = partial(_measure_image, rows=missing, networks=networks, survey=survey)
            values = list(pool.map(measure_one, names, map(images.get, names))) if missing else []
            for row in missing:
                columns = _join([image[row.name] for image in values], np.array)
                _write(_cache_file(survey, networks, row, start), columns)
                chunks[row.name].append(columns)
            progress(start + len(names), len(images))
    return {name: _join(columns, np.concatenate) for name, columns in chunks.items()}


def _join(parts: Sequence[Mapping[str, Any]], join: Callable[[list[Any]], np.ndarray]) -> Columns:
    return {name: join([part[name] for part in parts]) for name in parts[0]}


def _cache_file(survey: Survey, networks: FeatureNetworks, row: Row, start: int) -> Path:
    return survey.folder / _sha256(f"{networks.key} {row.key}")[:16] / f"{start:07d}.npz"


def _write(path: Path, columns: Columns) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, overwrite=True) as file:
        np.savez(file, allow_pickle=False, **columns)


def _load(path: Path) -> Columns | None:
    """The columns of a file, or None for one that is missing or damaged, so that they are computed again."""
    damage = suppress(OSError, ValueError, EOFError, zipfile.BadZipFile)
    with damage, path.open("rb") as file, np.load(file) as arrays:
        return dict(arrays)
    return None


def _measure_image(
    name: str, image: SourceImage, rows: Sequence[Row], networks: FeatureNetworks, survey: Survey
) -> dict[str, dict[str, Any]]:
    truth = survey.protocol.prepare(read_pixels(image))
    # The networks describe all results at once; the ground truth is first, and results that are it are not repeated.
    batch = [truth]
    indices: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        for result in row.colorize(name, truth):
            pixels = survey.protocol.prepare(result)
            if pixels.shape != truth.shape:
                size, true_size = f"{pixels.shape[1]} x {pixels.shape[0]}", f"{truth.shape[1]} x {truth.shape[0]}"
                raise ValueError(f"{row.name}: {name} has {size} pixels, its ground truth {true_size}")
            if pixels is not truth:
                batch.append(pixels)
            indices[row.name].append(0 if pixels is truth else len(batch) - 1)
    descriptions = networks(batch)
    true_rgb = to_float(truth)
    true_lab = rgb_to_lab(true_rgb)
    rarity = 1 / survey.prior[bin_indices(true_lab)]
    values = {}
    for row in rows:
        first = indices[row.name][0]
        columns = pixel_metrics(to_float(batch[first]), true_rgb, true_lab, rarity)
        columns |= {key: column[first] for key, column in descriptions.items()}
        for network in networks.classifiers:
            classes, features = descriptions[f"classes/{network}"], descriptions[f"features/{network}"]
            columns[f"class-agreement-{network}"] = float(classes[first].argmax() == classes[0].argmax())
            columns[f"pd-{network}"] = float(np.linalg.norm(features[first] - features[0]))
        if len(indices[row.name]) > 1:
            samples = [batch[index] for index in indices[row.name]]
            errors = [metrics.ab_distance(rgb_to_lab(to_float(p)), true_lab).mean(dtype=np.float64) for p in samples]
            columns["oracle-ab-error"] = float(min(errors))
            for metric, diversity in networks.diversity(samples).items():
                columns[f"oracle-{metric}"] = float(descriptions[metric][indices[row.name]].min())
                columns[f"diversity-{metric}"] = diversity
        values[row.name] = columns | dict(row.own_metrics(truth))
    return values


def pixel_metrics(
    rgb: metrics.RGB, truth: metrics.RGB, true_lab: metrics.Lab, rarity: Float[np.ndarray, "h w"]
) -> dict[str, Any]:
    """Return the metrics of pixels of one image; ``rarity`` is the weight of each pixel for ``auc-rebalanced``."""
    lab = rgb_to_lab(rgb)
    distance = metrics.ab_distance(lab, true_lab)
    auc = metrics.auc(distance)
    return {
        "mse": metrics.mse(rgb, truth),
        "psnr": metrics.psnr(rgb, truth),
        "psnr-ab": metrics.psnr(lab[1:], true_lab[1:], metrics.PEAK_AB),
        "ssim": metrics.ssim(rgb, truth),
        "mape": metrics.mape(rgb, truth),
        "chroma": float(np.hypot(*lab[1:]).mean(dtype=np.float64)),
        "ab-error": float(distance.mean(dtype=np.float64)),
        "ciede2000": float(metrics.ciede2000(lab, true_lab).mean(dtype=np.float64)),
        "colorfulness": float(colorfulness(rgb)),
        "colorfulness-absolute": float(colorfulness(rgb, absolute=True)),
        "auc": float(auc.mean()),
        "auc-rebalanced": float((auc * rarity).mean()),
        "auc-rebalanced" + WEIGHT: float(rarity.mean()),
        "bins": np.bincount(bin_indices(lab).ravel(), minlength=len(ab_bins())) / distance.size,
    }
