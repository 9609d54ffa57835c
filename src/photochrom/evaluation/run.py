"""Evaluate models and images colorized elsewhere: check and load, measure, report."""

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..backbones.inception import VARIABLE
from ..core.sampling import describe
from ..core.sampling.autoregressive import bits_per_dim
from ..core.sampling.procedure import Procedure
from ..imaging.errors import printable
from ..imaging.photo import open_photo
from ..imaging.sources import Passed, cache_folder, describe_passed, source_title
from ..inference import bundle
from ..inference.colorizer import Colorizer
from ..inference.onnx import find_provider
from ..inference.options import ColorOptions
from .cost import model_cost
from .features import FeatureNetworks
from .inputs import match_images, select_images
from .matching import Images, find_truth, list_names
from .measure import BASELINES, GRAY, TRUTH, Columns, Row, baselines, measure, read_pixels, survey
from .protocols import RGB8, Protocol, find_protocol
from .report import EvaluationResult, draw_contact_sheet
from .summary import COLORLESS, compare_models, summarize

RANDOM, EXTREME = 24, 8  # photos on a contact sheet

Progress = Callable[[str, int, int], None]  # stage, photos done, all photos
Sampler = Mapping[str, Any]


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
    photos: int | None = None  # number of photos, those with the smallest hashes of their files; None: all
    cost: bool = True  # whether to measure what models cost
    device: str = "auto"
    force: bool = False
    contact_sheets: bool = False
    record: bool = False
    overwrite: bool = False
    command: str = ""


def combine_options(**choices: Sequence[Any] | None) -> list[Sampler]:
    """Return every combination of the values of sampler options, without those that are not given."""
    names = [name for name in choices if choices[name]]
    return [dict(zip(names, values, strict=True)) for values in product(*(choices[name] or () for name in names))]


def run(request: Request, progress: Progress = lambda stage, done, total: None) -> EvaluationResult:
    """Check a request, load what it needs, measure every row on every image, and report.

    Raises ValueError, ModuleNotFoundError or FileNotFoundError with a message for the user.
    """
    protocol = find_protocol(request.protocol)
    if request.record:
        _check_recordable(request)
    images, reference, warnings = _find_images(request, protocol)
    find_provider(request.device)
    inception = protocol.inception or ("fid" if os.environ.get(VARIABLE) else None)
    networks = FeatureNetworks(protocol.lpips_side, inception, request.device)
    rows = _with_unique_names([*_model_rows(request), *(match_images(folder, images) for folder in request.images)])
    warnings += networks.missing

    store = cache_folder() / "evaluate"
    overview = survey(images, protocol, store, partial(progress, "reading photos"))
    images = overview.images
    if overview.unreadable:
        warnings.append(f"left out, cannot be measured: {list_names(overview.unreadable)}")
        warnings += _check_number(request, protocol, len(images), list(overview.unreadable.values())[:5])
    rows = [*baselines(overview), *rows]
    tables = measure(overview, rows, networks, partial(progress, "measuring"))
    reference_columns = _measure_reference(reference, protocol, networks, store, progress)
    metrics, omissions = summarize(tables, reference_columns, request.force)
    warnings += [*_gray_warnings(np.array(list(images)), tables), *omissions]
    if len(images) == 1:
        warnings.append("only one photo: no intervals, no comparison, no distances between sets")

    models = {row.name: row.model for row in rows if row.model}
    photo = protocol.prepare(read_pixels(next(iter(images.values()))))
    costs: dict[str, dict[str, float]] = {}
    for row in rows if request.cost else ():
        if row.model:
            costs[row.name] = {}
            try:
                costs[row.name] = row.cost(photo)
            except Exception as error:  # the metrics are worth more than the cost
                warnings.append(f"{row.name}: its cost cannot be measured ({error})")
    return EvaluationResult(
        protocol=protocol,
        n=len(images),
        data={"sources": [printable(source_title(source)) for source in request.data], "digest": overview.digest},
        rows=metrics,
        comparisons=compare_models(tables, metrics),
        warnings=warnings,
        cost=costs,
        command=request.command,
        histograms={name: columns["bins"].mean(0) for name, columns in tables.items()},
        contact_sheets=list(_contact_sheets(images, rows, tables, protocol)) if request.contact_sheets else [],
        models=models,
        unreadable=overview.unreadable,
        columns=tables,
    )


def find_photos(request: Request) -> tuple[Protocol, Images]:
    """Return the protocol of a request and its photos by name. Raises as `run`."""
    protocol = find_protocol(request.protocol)
    images, _, _ = _find_images(request, protocol)
    return protocol, images


def _check_recordable(request: Request) -> None:
    color = request.color
    if color.saturation != 1 or color.size or request.force or any(request.samplers):
        reason = "leave out --saturation, --size, --force and all sampler options"
        raise ValueError(f"--record saves the metrics of a model with its own settings: {reason}")
    for name in request.models:
        if bundle.is_hub_address(name):
            raise ValueError(f"{name}: --record needs a folder: photochrom models pull {name} -o FOLDER")
        path = bundle.find(name)
        if not path.is_dir() or not os.access(path, os.W_OK):
            raise ValueError(f"{path}: not a writable folder, so --record cannot save metrics there")
        if request.protocol in bundle.read_card(path).scores and not request.overwrite:
            raise ValueError(f"{path}: already has metrics of protocol {request.protocol}; --overwrite replaces them")


def _find_images(request: Request, protocol: Protocol) -> tuple[Images, Images, list[str]]:
    """The images to measure, those to which distances between sets are taken if they are others, and warnings."""
    passed = Passed()
    images = truth = find_truth(request.data, request.held_out, passed)
    if request.photos:
        by_hash = sorted(truth, key=lambda name: truth[name].crc)
        chosen = set(by_hash[: request.photos])
        images = {name: image for name, image in truth.items() if name in chosen}
    if protocol.names:
        images = select_images(truth, protocol.names, request.lists)
    reference = select_images(truth, protocol.reference, request.lists) if protocol.reference else {}
    warnings = [f"passed over: {describe_passed(passed)}"] if passed else []
    warnings += _check_number(request, protocol, len(images))
    outside = protocol.names_outside(images)
    if outside:
        warnings.append(_forced(request, f"not in protocol {protocol.name} by their numbers: {list_names(outside)}"))
    return images, reference, warnings


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


def _model_rows(request: Request) -> list[Row]:
    """A row for each model and each of the samplers that differs in the options that the model supports."""
    rows = []
    unsupported = {choice for sampler in request.samplers for choice in sampler.items()}
    solvers: set[str] = set()
    for source in request.models:
        colorizer = Colorizer(source, threads=1, device=request.device)
        samplers: dict[str, Sampler] = {}
        for sampler in request.samplers:
            supported = applicable_options(colorizer.procedure, sampler)
            samplers[str(supported)] = supported
            unsupported -= supported.items()
        solvers |= set(colorizer.procedure.solvers) - {""}
        for sampler in samplers.values():
            rows.append(_model_row(source, sampler, colorizer.with_sampler(**sampler), request))
    if unsupported:
        choices = ", ".join(f"--{name} {value}" for name, value in sorted(unsupported, key=str))
        known = f"; their solvers: {', '.join(sorted(solvers))}" if solvers else ""
        problem = f"{'is' if len(unsupported) == 1 else 'are'} not supported by any selected model"
        raise ValueError(f"{choices} {problem}{known}")
    return rows


def applicable_options(procedure: Procedure, options: Sampler) -> Sampler:
    """Return those of the options that a procedure supports, with the solver among them if it knows that."""
    names = set(procedure.option_names(options.get("solver", "")))  # greedy has no temperature, for example
    if options.get("solver") not in procedure.solvers:
        names -= {"solver"}
    return {name: value for name, value in options.items() if name in names}


def _model_row(source: str, sampler: Sampler, colorizer: Colorizer, request: Request) -> Row:
    color, device = request.color, request.device
    card, size = colorizer.card, color.size
    sizes = (card.gray, card.multiple, card.size, size)
    decisive = (card.weights, describe(colorizer.procedure), *sizes, color.saturation, list(color.seeds))

    def colorize(name: str, truth: RGB8) -> list[RGB8]:
        stochastic = colorizer.procedure.capabilities.stochastic
        seeds = color.seeds if stochastic else [0]  # a deterministic model refuses others: all samples are equal
        samples = [colorizer(truth, seed=seed, saturation=color.saturation, size=size) for seed in seeds]
        return samples if stochastic else samples * len(color.seeds)

    def own_metrics(truth: RGB8) -> dict[str, float]:
        has_likelihood = colorizer.procedure.capabilities.has_likelihood
        return {"bits-per-dim": measure_likelihood(colorizer, truth, size)} if has_likelihood else {}

    name, key = " ".join([card.name, *map(str, sampler.values())]), f"model {json.dumps(decisive, sort_keys=True)}"
    return Row(name, key, colorize, own_metrics, source, partial(model_cost, source, sampler, colorizer, size, device))


def measure_likelihood(colorizer: Colorizer, photo: Any, size: int | None = None) -> float:
    """Return the negative log-likelihood (base 2) of a photo's coarse colors, per channel of a pixel.

    ``photo``: any that `Colorizer` takes. Raises ValueError for a model without likelihoods, PhotoError for a photo
    that cannot be read.
    """
    card, procedure = colorizer.card, colorizer.procedure
    if not procedure.capabilities.has_likelihood:
        raise ValueError(f"{card.name} has no likelihoods; choose an autoregressive model")
    opened = open_photo(photo)
    gray = colorizer.prepare(opened, ColorOptions(size=size)).gray
    color = opened.resize(card.inference_size(size), card.multiple, card.square) * 2 - 1
    nats = procedure.nll(colorizer.nets, gray[None], color[None])
    return float(bits_per_dim(nats.mean()))


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


def _measure_reference(
    images: Images, protocol: Protocol, networks: FeatureNetworks, store: Path, progress: Progress
) -> Columns | None:
    if not images:
        return None
    overview = survey(images, protocol, store, partial(progress, "reading reference photos"))
    if overview.unreadable:
        raise ValueError(f"reference photos that cannot be measured: {list_names(overview.unreadable)}")
    return measure(overview, baselines(overview)[-1:], networks, partial(progress, "reference"))[TRUTH]


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
        return draw_contact_sheet(groups)

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
        scores = {"n": result.n, "photographs": result.data["digest"][:16], "command": _without_folders(result.command)}
        for metric in result.headline:
            if metric in result.rows[row]:
                scores[metric] = float(f"{result.rows[row][metric].value:.5g}")
        path = bundle.find(source)
        card = bundle.read_card(path)
        bundle.write_card(path, replace(card, scores={**card.scores, result.protocol.name: scores}))


def _without_folders(command: str) -> str:
    """Return a command with paths that lead out of the current folder cut to their names, since a card is published."""
    arguments = []
    for argument in shlex.split(command):
        option, equals, value = argument.rpartition("=") if argument.startswith("-") else ("", "", argument)
        path = PurePath(value)
        is_elsewhere = path.is_absolute() or ".." in path.parts
        arguments.append(f"{option}{equals}{path.name if is_elsewhere else value}")
    return shlex.join(arguments)
