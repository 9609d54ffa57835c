"""A call of `photochrom colorize`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .report import Mode

if TYPE_CHECKING:
    from ..imaging.sources import Passed
    from ..inference.plan import PlanOptions
    from ..inference.processing import BatchOptions


@dataclass(frozen=True)
class Call:
    """The values of the options, checked each by itself."""

    photos: list[str]
    out: str | None
    model: str
    options: "BatchOptions"
    extras: list[str]
    suffix: str
    hidden: bool
    device: str
    jobs: int | None
    cluster: str | None
    manifest: Path | None
    crf: int
    preview: float | None  # seconds
    preview_shots: bool
    film_hints: list[str]
    mode: Mode

    def outputs(self, passed: "Passed") -> "PlanOptions":
        """Return the options of `plan`."""
        return {
            "seeds": self.options.color.seeds,
            "extras": self.extras,
            "suffix": self.suffix,
            "hidden": self.hidden,
            "passed": passed,
        }
