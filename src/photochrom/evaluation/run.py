"""Evaluate models and images colorized elsewhere: prepare, measure, report."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..backbones.inception import VARIABLE
from ..core.sampling import describe
from ..imaging.errors import printable
from ..imaging.sources import source_title
from ..inference import bundle
from ..inference.colorizer import Colorizer
from ..inference.contact_sheet import sheet
from ..inference.options import ColorOptions
from .cost import model_cost
from .features import FeatureNetworks
from .inputs import find_truth, list_names, match_images, select_images
from .measure import BASELINES, GRAY, TRUTH, Columns, Images, Row, baselines, measure, read_pixels, survey
from .protocols import RGB8, Protocol, find_protocol
from .report import EvaluationResult
from .summary import COLORLESS, compare_models, summarize

RANDOM, EXTREME = 24, 8  # photos on a contact sheet

Progress = Callable[[str, int, int], None]  # stage, photos done, all photos
Sampler = Mapping[str, int | float | str]


@dataclass(frozen=True)
class Request:
    """The options of `photochrom evaluate`, whose help explains them."""

    data: Sequence[Path]
    models: Sequence[str] = ()
    samplers: Sequence[Sampler] = ({},)  # a model has a row for each that differs in the options it supports
    images: Sequence[Path] = ()
    protocol: str = "native"
    lists: Path | None = None
    color: ColorOptions = field(default_factory=ColorOptions)
    held_out: float = 1.0
    force: bool = False
    contact_sheets: bool = False
    record: bool = False
    overwrite: bool = False
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelRow(Row):
    """A model (name or path ``source``) with the sampler options that it is measured with."""

    source: str
    sampler: Sampler
    colorizer: Colorizer


@dataclass(frozen=True)
class Evaluation:
    """A checked request with everything loaded."""

    request: Request
    protocol: Protocol
    images: Images
    reference: Images
    networks: FeatureNetworks
    rows: Sequence[Row]
    warnings: list[str]


def prepare(request: Request) -> Evaluation:
    """Find the images, load the networks, and refuse what cannot be done.

    Raises ValueError, ModuleNotFoundError or FileNotFoundError with a message for the user.
    """
    protocol = find_protocol(request.protocol)
    if request.record:
        _check_recordable(request)
    images = truth = find_truth(request.data, request.held_out)
    if protocol.names:
        images = select_images(truth, protocol.names, request.lists)
    reference = select_images(truth, protocol.reference, request.lists) if protocol.reference else {}
    warnings = _check_number(request, protocol, len(images))
    others = protocol.names_outside(images)
    if others:
        warnings.append(_forced(request, f"not in protocol {protocol.name} by their numbers: {list_names(others)}"))
    networks = FeatureNetworks(protocol.lpips_side, protocol.inception or ("fid" if os.environ.get(VARIABLE) else None))
    rows: list[Row] = []
    unsupported = set().union(*request.samplers)
    for source in request.models:
        for row in _model_rows(source, request.samplers, request.color):
            rows.append(row)
            unsupported -= row.sampler.keys()
    if unsupported:
        names = ", --".join(sorted(unsupported))
        raise ValueError(f"--{names} {'is' if len(unsupported) == 1 else 'are'} not supported by any selected model")
    rows += [match_images(folder, images) for folder in request.images]
    warnings += networks.missing
    return Evaluation(request, protocol, images, reference, networks, _with_unique_names(rows), warnings)


def _with_unique_names(rows: Sequence[Row]) -> list[Row]:
    """The rows; a name that occurs again is numbered from 2."""
    unique: dict[str, Row] = {}
    for row in rows:
        name, number = row.name, 1
        while name in unique or name in BASELINES:
            number += 1
            name = f"{row.name} ({number})"
        unique[name] = replace(row, name=name)
    return list(unique.values())


def _check_recordable(request: Request) -> None:
    color = request.color
    if color.saturation != 1 or color.size or request.force or any(request.samplers):
        reason = "leave out --saturation, --size, --force and all sampler options"
        raise ValueError(f"--record saves the metrics of a model with its own settings: {reason}")
    for name in request.models:
        path = bundle.find(name)
        if not path.is_dir() or not os.access(path, os.W_OK):
            raise ValueError(f"{path}: not a writable folder, so --record cannot save metrics there")
        if request.protocol in bundle.read_card(path).scores and not request.overwrite:
            raise ValueError(f"{path}: already has metrics of protocol {request.protocol}; --overwrite replaces them")


def _check_number(request: Request, protocol: Protocol, n: int, reasons: Sequence[str] = ()) -> list[str]:
    if protocol.n in (None, n):
        return []
    problem = f"protocol {protocol.name} is defined on {protocol.n:,} photos, not on {n:,}"
    return [_forced(request, "; ".join([problem, *reasons]))]


def _forced(request: Request, problem: str) -> str:
    """Return a warning about a problem that --force allows; without it, raise ValueError."""
    if not request.force:
        raise ValueError(f"{problem}: use the photos of the protocol, or --force to measure these anyway")
    return f"{problem}: not comparable with published scores"


def _model_rows(source: str, samplers: Sequence[Sampler], color: ColorOptions) -> list[ModelRow]:
    colorizer = Colorizer(source, threads=1)
    rows: dict[str, ModelRow] = {}
    for sampler in samplers:
        options = colorizer.procedure.applicable_options(sampler)
        rows.setdefault(str(options), _model_row(source, options, colorizer.with_sampler(**options), color))
    return list(rows.values())


def _model_row(source: str, sampler: Sampler, colorizer: Colorizer, color: ColorOptions) -> ModelRow:
    card, size = colorizer.card, color.size
    sizes = (card.gray, card.multiple, card.size, size)
    decisive = (card.weights, describe(colorizer.procedure), *sizes, color.saturation, list(color.seeds))

    def colorize(name: str, truth: RGB8) -> list[RGB8]:
        return [colorizer(truth, seed=s, saturation=color.saturation, size=size) for s in color.seeds]

    def own_metrics(truth: RGB8) -> dict[str, float]:
        has_likelihood = colorizer.procedure.capabilities.has_likelihood
        return {"bits-per-dim": colorizer.bits_per_dim(truth, size)} if has_likelihood else {}

    name, key = " ".join([card.name, *map(str, sampler.values())]), f"model {json.dumps(decisive, sort_keys=True)}"
    return ModelRow(name, key, colorize, own_metrics, source=source, sampler=sampler, colorizer=colorizer)


def run(request: Request, progress: Progress = lambda stage, done, total: None) -> EvaluationResult:
    """Prepare an evaluation, measure every row on every image, and report; raises the errors of `prepare`."""
    evaluation = prepare(request)
    protocol, images, warnings = evaluation.protocol, dict(evaluation.images), evaluation.warnings
    store, total = _cache_folder() / "evaluate", len(images)
    seen = survey(images, protocol, store, lambda done: progress("reading photos", done, total))
    for name in seen.unreadable:
        del images[name]
    n = len(images)
    if seen.unreadable:
        warnings.append(f"left out, cannot be measured: {list_names(seen.unreadable)}")
        warnings += _check_number(request, protocol, n, list(seen.unreadable.values())[:5])
    rows = [*baselines(seen), *evaluation.rows]
    tables = measure(images, rows, protocol, evaluation.networks, seen, lambda done: progress("measuring", done, n))
    metrics, omissions = summarize(tables, _measure_reference(evaluation, store, progress), request.force)
    warnings += [*_gray_warnings(np.array(list(images)), tables), *omissions]
    if n == 1:
        warnings.append("only one photo: no intervals, no comparison, no distances between sets")
    photo = protocol.prepare(read_pixels(next(iter(images.values()))))
    costs: dict[str, dict[str, float]] = {}
    models: dict[str, str] = {}
    for row in evaluation.rows:
        if not isinstance(row, ModelRow):
            continue
        models[row.name], costs[row.name] = row.source, {}
        try:
            costs[row.name] |= model_cost(row.source, row.sampler, row.colorizer, photo, request.color.size)
        except Exception as error:  # the metrics are worth more than the cost
            warnings.append(f"{row.name}: its cost cannot be measured ({error})")
    return EvaluationResult(
        protocol,
        n,
        {"sources": [printable(source_title(source)) for source in request.data], "digest": seen.digest},
        metrics,
        compare_models(tables),
        warnings,
        costs,
        request.command,
        histograms={name: columns["bins"].mean(0) for name, columns in tables.items()},
        contact_sheets=list(_contact_sheets(images, rows, tables, protocol)) if request.contact_sheets else [],
        models=models,
        unreadable=seen.unreadable,
    )


def _cache_folder() -> Path:
    cache = os.environ.get("PHOTOCHROM_CACHE")
    return Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photochrom"


def _measure_reference(evaluation: Evaluation, store: Path, progress: Progress) -> Columns | None:
    images, protocol, n = evaluation.reference, evaluation.protocol, len(evaluation.reference)
    if not images:
        return None
    seen = survey(images, protocol, store, lambda done: progress("reading reference photos", done, n))
    if seen.unreadable:
        raise ValueError(f"reference photos that cannot be measured: {list_names(seen.unreadable)}")
    truth = baselines(seen)[-1:]
    tables = measure(images, truth, protocol, evaluation.networks, seen, lambda done: progress("reference", done, n))
    return tables[TRUTH]


def _gray_warnings(names: np.ndarray, tables: Mapping[str, Columns]) -> Iterator[str]:
    gray_truth = tables[TRUTH]["chroma"] < COLORLESS
    for row, columns in tables.items():
        gray = columns["chroma"] < COLORLESS
        if row not in BASELINES:
            gray &= ~gray_truth
        if gray.any() and row not in BASELINES[:2]:
            yield f"{row}: photos without color: {list_names(names[gray].tolist())}"


def _contact_sheets(
    images: Images, rows: Sequence[Row], tables: Mapping[str, Columns], protocol: Protocol
) -> Iterator[tuple[str, bytes]]:
    """Caption and JPEG of random photos, and of those with the best and worst relative ab error of each model."""
    gray, _, truth_row, *models = rows
    columns, names = [gray, *models, truth_row], list(images)

    def draw(indices: np.ndarray) -> bytes:
        groups = []
        for index in indices:
            truth = protocol.prepare(read_pixels(images[names[index]]))
            groups.append([protocol.prepare(row.colorize(names[index], truth)[0]) for row in columns])
        return sheet(groups)

    if models:
        order = ", ".join(row.name for row in columns)
        chosen = np.random.default_rng(0).permutation(len(names))[:RANDOM]
        yield f"{len(chosen)} at random: {order}", draw(chosen)
    for row in models:
        ranking = np.argsort(tables[row.name]["ab-error"] / np.maximum(tables[GRAY]["ab-error"], 1))
        yield f"{row.name}, best: {order}", draw(ranking[:EXTREME])
        yield f"{row.name}, worst: {order}", draw(ranking[::-1][:EXTREME])


def record_scores(result: EvaluationResult) -> None:
    """Save the headline metrics of each model in its model.json. Raises WriteError."""
    for row, source in result.models.items():
        # "photographs" is the key of the digest in existing bundles.
        scores = {"n": result.n, "photographs": result.data["digest"][:16], "command": result.command}
        for metric in result.headline:
            if metric in result.rows[row]:
                scores[metric] = float(f"{result.rows[row][metric].value:.5g}")
        bundle.record(bundle.find(source), result.protocol.name, scores)
