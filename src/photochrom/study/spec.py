"""Study files: TOML that says which families are compared, with which budget, and on which photos."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass

from ..evaluation.protocols import find_protocol
from ..training.recipe import STRICT, RecipeError, first_error, refuse_unknown_keys

PREVIOUS = "previous"


class StudyError(ValueError):
    """A study is invalid or cannot be run; the message names the key, its value and the choices."""


@dataclass(frozen=True, config=STRICT)
class Stage:
    """A ``[[families.NAME]]`` table: a training of a family; most families have one, ColTran has three."""

    recipe: Path  # relative to the study file
    set: tuple[str, ...] = ()  # `table.key=value` over the recipe
    share: float = Field(default=1.0, gt=0, le=1)  # of the budget
    init: str = ""  # weights to start from: a path or the name of a model; `previous`: those of the stage before
    exported: bool = True  # whether the bundle contains it; an autoencoder that the next stage starts from has no place


@dataclass(frozen=True, config=STRICT)
class Budget:
    """The ``[budget]`` table: how long each family is trained, all its stages together; one of the three."""

    minutes: float | None = Field(default=None, gt=0)  # on one device
    steps: int | None = Field(default=None, ge=1)
    images: int | None = Field(default=None, ge=1)  # seen in training, with repetitions

    @model_validator(mode="after")
    def _one_of_them(self) -> "Budget":
        if sum(value is not None for value in vars(self).values()) != 1:
            raise ValueError("give one of minutes, steps, images")
        return self

    def trainer(self, share: float, batch: int) -> dict[str, Any]:
        """Return the settings of `recipe.Trainer` for a share of the budget."""
        if self.minutes:
            return {"minutes": self.minutes * share}
        steps = self.steps or (self.images or 0) / batch
        return {"minutes": None, "steps": max(1, round(steps * share))}


@dataclass(frozen=True, config=STRICT)
class Axes:
    """The ``[axes]`` table: what is varied. Every combination of images and seeds is a training of each family."""

    images: tuple[int, ...] = ()  # numbers of training images, each set a part of the larger ones; default: all
    seeds: tuple[int, ...] = (0,)
    points: tuple[float, ...] = (1.0,)  # shares of the budget after which models are measured

    @field_validator("images", "seeds", "points")
    @classmethod
    def _increasing(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if list(values) != sorted(set(values)):
            raise ValueError("give each value once, in increasing order")
        return values

    @field_validator("points")
    @classmethod
    def _ending(cls, points: tuple[float, ...]) -> tuple[float, ...]:
        if not points or points[0] <= 0 or points[-1] != 1:
            raise ValueError("give shares of the budget above 0, the last of them 1.0")
        return points

    @field_validator("seeds")
    @classmethod
    def _some(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds:
            raise ValueError("give at least one seed, such as [0]")
        return seeds


@dataclass(frozen=True, config=STRICT)
class Test:
    """The ``[test]`` table: how models are measured, on the photos of ``--test``, or else on those held out."""

    protocol: str = "native"
    samples: int = Field(default=1, ge=1)  # of each photo
    photos: int | None = Field(default=None, ge=1)  # number of photos, by the hash of the file; default: all

    @field_validator("protocol")
    @classmethod
    def _known(cls, name: str) -> str:
        protocol = find_protocol(name)
        if protocol.n:
            raise ValueError(f"is defined on {protocol.n:,} photos of its own; choose native or square-64")
        return name


@dataclass(frozen=True, config=STRICT)
class Search:
    """The ``[search]`` table: a search for settings of each family on held-out photos, before its trainings."""

    keys: dict[str, tuple[float, float]]  # `table.key` of a recipe and its range, searched on a logarithmic scale
    trials: int = Field(default=8, ge=1)
    share: float = Field(default=0.25, gt=0, le=1)  # of the budget that each trial gets
    metric: Literal["ab_error", "loss"] = "ab_error"  # of `validation.metrics`; the least is the best

    @field_validator("keys")
    @classmethod
    def _ranges(cls, keys: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for key, (low, high) in keys.items():
            if not 0 < low < high:
                raise ValueError(f"{key}: give two values above 0, the smaller first")
        return keys


@dataclass(frozen=True, config=STRICT)
class Question:
    """The ``[question]`` table: families whose kind is compared with all others, such as those that diffuse."""

    group: tuple[str, ...]
    name: str  # of that kind, in the plural: "diffusion models"


@dataclass(frozen=True, config=STRICT)
class Study:
    """A valid study; ``set`` holds for the recipes of all families."""

    title: str
    families: dict[str, tuple[Stage, ...]]
    budget: Budget
    axes: Axes = Axes()
    test: Test = Test()
    set: tuple[str, ...] = ()
    search: Search | None = None
    question: Question | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        if len(self.families) < 2:
            raise ValueError("name two or more [[families.NAME]] to compare")
        for name, stages in self.families.items():
            if not any(stage.exported for stage in stages):
                raise ValueError(f"families.{name}: no stage is exported; leave out exported = false in one")
            if stages[0].init == PREVIOUS:
                raise ValueError(f"families.{name}: the first stage has no stage before it to start from")
            total = sum(stage.share for stage in stages)
            if abs(total - 1) > 1e-6:
                raise ValueError(f"families.{name}: the shares of its stages sum to {total:g}; they must sum to 1")
        unknown = set(self.question.group) - set(self.families) if self.question else set()
        if unknown:
            raise ValueError(f"question.group names {', '.join(sorted(unknown))}; choose of {', '.join(self.families)}")
        return self


def read_study(path: Path) -> Study:
    """Read a study file; the paths of its recipes become relative to the current folder. Raises StudyError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); give the path of a study (.toml)") from None
    except ValueError as error:
        raise StudyError(f"{path}: not TOML: {error}") from None
    try:
        _refuse_unknown_keys(tables, path)
        # JSON, since only there does strict pydantic accept lists as tuples and strings as paths.
        study = TypeAdapter(Study).validate_json(json.dumps(tables), strict=True)
    except RecipeError as error:
        raise StudyError(str(error)) from None
    except ValidationError as error:
        raise StudyError(f"{path}: {first_error(error).lstrip('.: ')}") from None
    for stages in study.families.values():
        for stage in stages:
            object.__setattr__(stage, "recipe", path.parent / stage.recipe)
    return study


def _refuse_unknown_keys(tables: Mapping[str, Any], path: Path) -> None:
    types = {field.name: field.type for field in fields(Study)}
    types |= {"search": Search, "question": Question}  # which may be missing
    refuse_unknown_keys(tables, types, f"{path}: ")
    stage_types = {field.name: field.type for field in fields(Stage)}
    families = tables.get("families")
    for name, stages in families.items() if isinstance(families, Mapping) else ():
        for stage in stages if isinstance(stages, list) else ():
            if isinstance(stage, Mapping):
                refuse_unknown_keys(stage, stage_types, f"{path}: families.{name}.")
