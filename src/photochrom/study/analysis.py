"""Read what the jobs of a study have written, and compare the families."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..evaluation.comparison import Comparison, compare, correct
from ..evaluation.measure import GRAY, TRUTH
from ..evaluation.metrics import find_metric
from ..evaluation.replicates import Effect, mean_over_seeds, slope
from .hypotheses import answer_questions
from .jobs import Job
from .plan import Plan
from .results import Measurement, StudyResult
from .spec import Study


def collect(study: Study, plan: Plan, failures: Mapping[Job, str]) -> StudyResult:
    """Read what the jobs of a plan have written, and compare. Raises ValueError where nothing was measured."""
    measurements = []
    for model in plan.models:
        if model.measures.exists():
            with np.load(model.measures.with_suffix(".npz")) as arrays:
                columns = dict(arrays)
            measurements.append(Measurement(model, json.loads(model.measures.read_text()), columns))
    if not measurements:
        raise ValueError("no model was measured, so there is nothing to compare")
    costs = {family: json.loads(path.read_text()) for family, path in plan.costs.items() if path.exists()}
    strips = {}
    for name, path in _with_baselines(plan.strips).items():
        if path.exists():
            strips[name] = path.read_bytes()
    searches = {name: json.loads(path.read_text()) for name, path in plan.searches.items() if path.exists()}
    reasons = {job.name: reason for job, reason in failures.items()}
    result = StudyResult(study, measurements, costs, strips, reasons, searches)
    comparisons = _compare_families(result)
    return replace(
        result,
        comparisons=comparisons,
        answers=answer_questions(result, comparisons) if study.question else (),
        slopes=_slopes(result),
        seed_shares=_seed_shares(result),
    )


def _with_baselines(strips: Mapping[str, Path]) -> dict[str, Path]:
    """Return the strips between those of grayscale and ground truth, which lie beside them."""
    folder = next(iter(strips.values())).parent
    return {GRAY: folder / f"{GRAY}.jpg", **strips, TRUTH: folder / f"{TRUTH}.jpg"}


def _compare_families(result: StudyResult) -> list[Comparison]:
    """Compare each two families with the most images at the end of their training, by each metric."""
    comparisons: list[Comparison] = []
    for metric in result.metrics:
        columns = {}
        for family in result.families:
            selected = [m.columns[metric] for m in result.select(family) if metric in m.columns]
            if selected:
                columns[family] = np.stack(selected)
        if find_metric(metric).compared and len(columns) > 1:
            comparisons += compare(metric, columns)
    return correct(comparisons)


def _slopes(result: StudyResult) -> dict[str, dict[str, Effect]]:
    slopes: defaultdict[str, dict[str, Effect]] = defaultdict(dict)
    for family in result.families:
        for metric in result.metrics:
            sizes, values = result.scaling(family, metric)
            if len(set(sizes)) > 1:
                slopes[family][metric] = slope(sizes, values)
    return dict(slopes)


def _seed_shares(result: StudyResult) -> dict[str, float]:
    shares = {}
    for family in result.families:
        runs = [m.columns["ab-error"] for m in result.select(family)]
        if len(runs) > 1:
            mean = mean_over_seeds(np.stack(runs))
            shares[family] = ((mean.seed_error or 0.0) / mean.standard_error) ** 2
    return shares
