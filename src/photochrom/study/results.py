"""The results of a study: what was measured of each model, and what follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from ..evaluation.comparison import Comparison
from ..evaluation.metrics import find_metric
from ..evaluation.replicates import Effect, mean_over_seeds
from .plan import Model
from .spec import Study

Verdict = Literal["holds", "does not hold", "undecided"]


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
class Answer:
    """A question, whether what it asks holds, and the figures that say so."""

    question: str
    verdict: Verdict
    figures: str
    details: Sequence[str] = ()


@dataclass(frozen=True)
class StudyResult:
    """All that a report shows; mappings are by family, ``failures`` by the name of the job."""

    study: Study
    measurements: Sequence[Measurement]
    costs: Mapping[str, Mapping[str, float]]
    strips: Mapping[str, bytes]  # JPEG of the same photos, by family and by baseline
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

    def scaling(self, family: str, metric: str) -> tuple[Float[np.ndarray, "runs"], Float[np.ndarray, "runs n"]]:
        """Return the number of training images of each run of a family, and its values of a metric."""
        runs: list[Measurement] = []
        for images in self.study.axes.images:
            runs += [m for m in self.select(family, images) if metric in m.columns]
        sizes = np.array([m.content["training_images"] for m in runs], np.float64)
        return sizes, np.stack([m.columns[metric] for m in runs]) if runs else np.zeros((0, 0))
