"""The results of a study: what was measured of each model, comparisons of families, and answers in words."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from ..evaluation.comparison import Comparison, compare, correct
from ..evaluation.metrics import find_metric
from ..evaluation.replicates import Effect, mean_over_seeds, slope
from .hypotheses import Answer, answer_questions
from .jobs import Job
from .plan import Model, Plan
from .spec import Study


@dataclass(frozen=True)
class Measurement:
    """What `measurement` found about a model: ``columns`` have a value for each photo or group of photos."""

    model: Model
    content: Mapping[str, Any]
    columns: Mapping[str, Float[np.ndarray, "n"]]

    def value(self, metric: str) -> float:
        """Return a metric of the whole test set."""
        return float(self.content["metrics"][metric]["value"])


@dataclass(frozen=True)
class StudyResult:
    """All that a report shows; mappings are by family, ``failures`` by the name of the job."""

    study: Study
    measurements: Sequence[Measurement]
    costs: Mapping[str, Mapping[str, float]]
    gallery: bytes | None
    failures: Mapping[str, str]
    searches: Mapping[str, Any] = field(default_factory=dict)  # by the name of the job: the trials and the best
    comparisons: Sequence[Comparison] = ()
    answers: Sequence[Answer] = ()
    slopes: Mapping[str, Mapping[str, Effect]] = field(default_factory=dict)  # by family and metric
    seed_shares: Mapping[str, float] = field(default_factory=dict)  # of the standard error of the ab error

    @property
    def families(self) -> list[str]:
        """The families of which something was measured, in the order of the study."""
        measured = {measurement.model.family for measurement in self.measurements}
        return [family for family in self.study.families if family in measured]

    @property
    def metrics(self) -> list[str]:
        """The metrics by which models are compared, and then other headline metrics, as far as they were measured."""
        names = dict.fromkeys(name for measurement in self.measurements for name in measurement.content["metrics"])
        compared = [name for name in names if find_metric(name).compared]
        return [*compared, *(name for name in names if find_metric(name).headline and name not in compared)]

    @property
    def baselines(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """The metrics of grayscale, the mean color and the ground truth."""
        return self.measurements[0].content["baselines"] if self.measurements else {}

    def select(self, family: str, images: int | None = None, point: float = 1.0) -> list[Measurement]:
        """Return the measurements of a family for each seed, by default with the most images."""
        images = images or (self.study.axes.images[-1] if self.study.axes.images else None)
        wanted = (family, images, point)
        return [m for m in self.measurements if (m.model.family, m.model.images, m.model.point) == wanted]

    def estimate(self, measurements: Sequence[Measurement], metric: str) -> Effect | float:
        """Return the mean of a metric over models of different seeds, with an interval where each photo has a value."""
        columns = [m.columns[metric] for m in measurements if metric in m.columns]
        if len(columns) == len(measurements) and len(columns[0]) > 1:
            return mean_over_seeds(np.stack(columns))
        return float(np.mean([m.value(metric) for m in measurements]))


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
    gallery = plan.gallery.read_bytes() if plan.gallery.exists() else None
    searches = {name: json.loads(path.read_text()) for name, path in plan.searches.items() if path.exists()}
    reasons = {job.name: reason for job, reason in failures.items()}
    result = StudyResult(study, measurements, costs, gallery, reasons, searches)
    comparisons = _compare_families(result)
    return replace(
        result,
        comparisons=comparisons,
        answers=answer_questions(result, comparisons) if study.question else (),
        slopes=_slopes(result),
        seed_shares=_seed_shares(result),
    )


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
            sizes, values = scaling(result, family, metric)
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


def scaling(
    result: StudyResult, family: str, metric: str
) -> tuple[Float[np.ndarray, "runs"], Float[np.ndarray, "runs n"]]:
    """Return the number of training images of each run of a family, and its values of a metric."""
    runs = [m for images in result.study.axes.images for m in result.select(family, images) if metric in m.columns]
    sizes = np.array([m.content["training_images"] for m in runs], np.float64)
    return sizes, np.stack([m.columns[metric] for m in runs]) if runs else np.zeros((0, 0))
