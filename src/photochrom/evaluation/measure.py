"""Photographs and ways of colouring them in, a column of figures for each out; what is measured once is kept.

Work goes photo by photo on all processors. Every `CHUNK` photographs of a row are kept in a file, named after all that
decides them, so a run that was stopped goes on, and rows that are there already (gray, mean colour, truth, another
model) cost nothing the next time.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ..core.color import ab_bins, ciede2000, colorfulness, lab_to_rgb, rgb_to_lab
from . import metrics
from .dataset_colors import bins_of
from .features import Networks
from .protocols import Protocol

RGB8 = UInt8[np.ndarray, "h w 3"]
Columns = dict[str, np.ndarray]
CHUNK = 32  # photographs to a file
# The packages whose code decides a figure.
DECIDES = ("core", "imaging", "inference", "backbones", "evaluation")
COLORLESS = 0.5  # Lab units of mean chroma, less than which is rounding
WEIGHT = "/weight"  # after the name of a column that is not weighted evenly


@dataclass(frozen=True)
class Photograph:
    """A true photograph: ``name`` without ending, ``crc`` of its file, ``read`` gives it upright in 8-bit sRGB."""

    name: str
    crc: int
    read: Callable[[], RGB8]


@dataclass(frozen=True)
class Row:
    """A way of colouring: ``paint`` gives one or more pictures of a photograph from its truth, each of its size.

    ``key`` tells it from any other way that would paint otherwise. ``own`` gives what only this row can tell.
    """

    name: str
    key: str
    paint: Callable[[Photograph, RGB8], Sequence[RGB8]]
    own: Callable[[RGB8], Mapping[str, float]] = lambda truth: {}


@dataclass(frozen=True)
class Survey:
    """What all photographs have in common: mean ab, how frequent each colour bin is, and what names them.

    ``digest`` is of the photographs, ``key`` of these and of how they are measured.
    """

    mean_ab: tuple[float, float]
    prior: tuple[float, ...]
    digest: str
    key: str


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def planes(pixels: RGB8) -> metrics.RGB:
    """(h, w, 3) codes -> (3, h, w) in [0, 1]."""
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)).astype(np.float32) / np.float32(255)


def codes(rgb: metrics.RGB) -> RGB8:
    """The opposite of `planes`."""
    return np.ascontiguousarray(np.moveaxis(np.rint(rgb * 255).astype(np.uint8), 0, -1))


def survey(
    photographs: Sequence[Photograph],
    protocol: Protocol,
    store: Path,
    unread: dict[str, str],
    watch: Callable[[int], None] = lambda done: None,
) -> Survey:
    """Look at every photograph once; those that cannot be read go to ``unread`` with their reason.

    ``watch`` is told how many have been looked at.

    Raises ValueError when there is no photograph, or none in colour.
    """
    digest, key = _names_of(photographs, protocol)
    kept = store / key / "survey.json"
    with suppress(OSError, ValueError, KeyError):  # not there, or damaged: then made anew
        said = json.loads(kept.read_text())
        return Survey(tuple(said["mean_ab"]), tuple(said["prior"]), digest, key)

    def look(photograph: Photograph) -> tuple[np.ndarray, np.ndarray] | str:
        try:
            pixels = protocol.prepare(photograph.read())
        except ValueError as error:
            return str(error)
        if min(pixels.shape[:2]) < metrics.SMALLEST:
            size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            return f"{photograph.name}: {size} pixels, too small to measure: {metrics.SMALLEST} a side are needed"
        lab = rgb_to_lab(planes(pixels))
        counts = np.bincount(bins_of(lab).ravel(), minlength=len(ab_bins()))
        return lab[1:].mean((1, 2), dtype=np.float64), counts / counts.sum()

    with ThreadPoolExecutor(_processors()) as pool:
        found = []
        for one in pool.map(look, photographs):
            found.append(one)
            watch(len(found))
    failed = {p.name: said for p, said in zip(photographs, found, strict=True) if isinstance(said, str)}
    unread |= failed
    seen = [item for item in found if not isinstance(item, str)]
    if not seen:
        raise ValueError("no photographs to measure on")
    mean, prior = (np.mean(column, 0) for column in zip(*seen, strict=True))
    if not failed:  # what could not be read today may be tomorrow
        made = {"mean_ab": mean.tolist(), "prior": prior.tolist()}
        _write(kept, lambda beside: beside.write_text(json.dumps(made)))
    digest, key = _names_of([p for p in photographs if p.name not in failed], protocol)
    return Survey(tuple(mean.tolist()), tuple(prior.tolist()), digest, key)


def _names_of(photographs: Sequence[Photograph], protocol: Protocol) -> tuple[str, str]:
    """Digests of photographs, and of these as a protocol has them measured."""
    digest = hashlib.sha256(repr([(p.name, p.crc) for p in photographs]).encode()).hexdigest()
    measured = f"{digest} {replace(protocol, text='')} {_code()}"
    return digest, hashlib.sha256(measured.encode()).hexdigest()


@cache
def _code() -> str:
    """Digest of the code that measures and colours: another version keeps its figures apart."""
    root = Path(__file__).parents[1]
    files = (path for part in DECIDES for path in sorted((root / part).rglob("*.py")))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def baselines(found: Survey) -> list[Row]:
    """The rows that every table has: gray, the photographs' mean colour everywhere, and the truth itself."""

    def flat(ab: tuple[float, float]) -> Callable[[Photograph, RGB8], list[RGB8]]:
        def paint(photograph: Photograph, truth: RGB8) -> list[RGB8]:
            lab = rgb_to_lab(planes(truth))
            return [codes(lab_to_rgb(np.stack([lab[0], *(np.full_like(lab[0], value) for value in ab)])))]

        return paint

    rows = {"gray": flat((0.0, 0.0)), "mean colour": flat(found.mean_ab), "truth": lambda photograph, truth: [truth]}
    return [Row(name, name, paint) for name, paint in rows.items()]


def measure(
    photographs: Sequence[Photograph],
    rows: Sequence[Row],
    protocol: Protocol,
    networks: Networks,
    found: Survey,
    store: Path,
) -> Iterator[tuple[int, Mapping[str, Columns]]]:
    """Measure the rows on the photographs, chunk by chunk: how many are done, and, last, the columns of every row.

    Columns are by photograph in their order: the figures of `metrics`, shares of the colour ``bins`` (n, 262),
    ``features/...`` and ``classes/...`` of `Networks`, and, for rows that paint several pictures, ``diversity-...`` and
    the ``oracle-...`` best of them.
    """
    parts: dict[str, list[Columns]] = {row.name: [] for row in rows}
    with ThreadPoolExecutor(_processors()) as pool:
        for start in range(0, len(photographs), CHUNK):
            chunk = photographs[start : start + CHUNK]
            files = {row.name: _place(store, found, networks, row) / f"{start:07d}.npz" for row in rows}
            kept = {name: columns for name, file in files.items() if (columns := _load(file))}
            if new := [row for row in rows if row.name not in kept]:
                made = list(pool.map(lambda p: _figures(p, new, protocol, networks, found), chunk))
                for row in new:
                    kept[row.name] = _stacked([figures[row.name] for figures in made])
                    _write(files[row.name], lambda beside: _save(beside, kept[row.name]))  # noqa: B023
            for name, part in parts.items():
                part.append(kept[name])
            yield start + len(chunk), {}
    yield len(photographs), {name: _joined(part) for name, part in parts.items()}


def _place(store: Path, found: Survey, networks: Networks, row: Row) -> Path:
    return store / found.key / hashlib.sha256(f"{networks.key} {row.key}".encode()).hexdigest()[:16]


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    write(beside)
    beside.replace(path)


def _load(path: Path) -> Columns | None:
    """The columns of a file, None where it is missing or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _save(path: Path, columns: Columns) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def _stacked(rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


def _joined(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _figures(
    photograph: Photograph, rows: Sequence[Row], protocol: Protocol, networks: Networks, found: Survey
) -> dict[str, dict[str, Any]]:
    """Every figure of one photograph, by row."""
    truth = protocol.prepare(photograph.read())
    painted = {row.name: [protocol.prepare(p) for p in row.paint(photograph, truth)] for row in rows}
    for name, pictures in painted.items():
        for picture in pictures:
            if picture.shape != truth.shape:
                sizes = (f"{p.shape[1]} x {p.shape[0]}" for p in (picture, truth))
                raise ValueError("{}: {} is {} pixels, its truth {}".format(name, photograph.name, *sizes))
    others = [p for pictures in painted.values() for p in pictures if p is not truth]
    own = {row.name: row.own for row in rows}
    true_seen, *all_seen = networks([truth, *others])
    seen = iter(all_seen)
    true_rgb = planes(truth)
    true_lab = rgb_to_lab(true_rgb)
    rarity = 1 / np.asarray(found.prior)[bins_of(true_lab)]
    result: dict[str, dict[str, Any]] = {}
    for name, pictures in painted.items():
        looks = [true_seen if p is truth else next(seen) for p in pictures]
        figures = _pixels(planes(pictures[0]), true_rgb, true_lab, rarity) | looks[0]
        for network in networks.classifiers:
            ours, theirs = (seen[f"classes/{network}"].argmax() for seen in (looks[0], true_seen))
            features = [seen[f"features/{network}"] for seen in (looks[0], true_seen)]
            figures[f"class-agreement-{network}"] = float(ours == theirs)
            figures[f"pd-{network}"] = float(np.linalg.norm(features[0] - features[1]))
        if len(pictures) > 1:
            figures |= _several(pictures, looks, true_lab, networks)
        result[name] = {**figures, **own[name](truth)}
    return result


def _pixels(
    rgb: metrics.RGB, truth: metrics.RGB, true_lab: metrics.Lab, rarity: Float[np.ndarray, "h w"]
) -> dict[str, Any]:
    lab = rgb_to_lab(rgb)
    distance = metrics.ab_distance(lab, true_lab)
    shares = metrics.auc(distance)
    return {
        "mse": metrics.mse(rgb, truth),
        "psnr": metrics.psnr(rgb, truth),
        "psnr-ab": metrics.psnr_ab(lab, true_lab),
        "ssim": metrics.ssim(rgb, truth),
        "mape": metrics.mape(rgb, truth),
        "chroma": float(np.hypot(*lab[1:]).mean(dtype=np.float64)),
        "ab-error": float(distance.mean(dtype=np.float64)),
        "ciede2000": float(ciede2000(lab, true_lab).mean(dtype=np.float64)),
        "colorfulness": float(colorfulness(rgb)),
        "colorfulness-absolute": float(colorfulness(rgb, absolute=True)),
        "auc": float(shares.mean()),
        "auc-rebalanced": float((shares * rarity).mean()),
        "auc-rebalanced" + WEIGHT: float(rarity.mean()),
        "bins": np.bincount(bins_of(lab).ravel(), minlength=len(ab_bins())) / distance.size,
    }


def _several(
    pictures: Sequence[RGB8], looks: Sequence[Mapping[str, Any]], true_lab: metrics.Lab, networks: Networks
) -> dict[str, float]:
    """How far several pictures of one photograph are from one another, and the best of them, which needs an oracle."""
    errors = [metrics.ab_distance(rgb_to_lab(planes(p)), true_lab).mean(dtype=np.float64) for p in pictures]
    best = {f"oracle-{metric}": float(min(seen[metric] for seen in looks)) for metric in networks.perceptual}
    spread = {f"diversity-{metric}": apart for metric, apart in networks.spread(pictures).items()}
    return {"oracle-ab-error": float(min(errors)), **best, **spread}
