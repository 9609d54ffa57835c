"""The metrics that a report can show: one record each, defined in ``metrics.toml``."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric; a ``name`` that ends in ``*`` stands for one metric for each network."""

    name: str  # key in JSON and CSV
    better: Literal["higher", "lower", "truth"]  # truth: closer to the value of the ground truth
    label: str


_TABLES = tomllib.loads(Path(__file__).with_name("metrics.toml").read_text(encoding="utf-8"))
METRICS = [Metric(name, **table) for name, table in _TABLES.items()]


def find_metric(name: str) -> Metric:
    """Return the record of a metric by its key, such as ``fd-vgg16``. Raises ValueError for an unknown key."""
    for metric in METRICS:
        prefix = metric.name.removesuffix("*")
        if name == metric.name or (prefix != metric.name and name.startswith(prefix)):
            return metric
    raise ValueError(f"unknown metric {name!r}: add a record with its direction to metrics.toml")
