"""Recipes: TOML files that say what to train, on which images, how, and for how long."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from .. import models

OLD_DATA_KEYS = {"wear": "degrade"}  # earlier names in [data], which recipes and run folders may still have
STRICT = ConfigDict(strict=True, allow_inf_nan=False)


class RecipeError(ValueError):
    """A recipe is invalid; the message names the key, its value and the choices."""


@dataclass(frozen=True, config=STRICT)
class Data:
    """The ``[data]`` table: which images, and how they are turned into training pairs."""

    photos: tuple[Path, ...] = ()  # folders (searched through), zips (read in place), folders in a zip
    images: int | None = Field(default=None, ge=1)  # number of training images, by the hash of the file; default: all
    size: int = Field(default=128, ge=8)  # side of the square crop, in pixels
    gray: Literal["lab", "luma", "mean"] = "lab"  # L of Lab, luma of BT.601, or the mean of R, G and B
    min_colorfulness: float = Field(default=9.0, ge=0)  # least of an image (Hasler & Suesstrunk 2003, signed)
    validation: float = Field(default=0.02, ge=0, lt=1)  # share held out, by the hash of the file
    scale: tuple[float, float] = (0.75, 1.0)  # side of the crop over the short side of the image, uniform
    resampling: Literal["smooth", "area"] = "smooth"  # Lanczos and bicubic filters, or means of areas
    flip: bool = True  # mirror half of the crops
    degrade: float = Field(default=0.0, ge=0, le=1)  # strength of an old print's defects in the gray input
    film: float = Field(default=0.0, ge=0, le=1)  # share of images in the gray of a random film, see `film_gray`
    memory: float = Field(default=8.0, ge=0)  # largest GB of decoded images to keep in main memory
    workers: int = Field(default=1, ge=0)  # processes that decode images which do not fit

    @field_validator("scale")
    @classmethod
    def _ordered(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError("give two shares of the short side, the smaller first, above 0 and up to 1")
        return scale

    @field_validator("film")
    @classmethod
    def _of_lab(cls, film: float, info: ValidationInfo) -> float:
        if film and info.data.get("gray", "lab") != "lab":
            raise ValueError("a film renders the L of Lab: choose data.gray = 'lab', or 0 here")
        return film


@dataclass(frozen=True, config=STRICT)
class Optimizer:
    """The ``[optimizer]`` table: AdamW, linear warm-up, then a schedule, and an average of the weights."""

    lr: float = Field(default=1e-3, gt=0)  # learning rate after the warm-up
    weight_decay: float = Field(default=1e-4, ge=0)  # weight decay, other than of biases and norms
    betas: tuple[float, float] = (0.9, 0.999)  # decay rates of AdamW
    warmup_steps: int = Field(default=200, ge=0)  # steps in which the learning rate rises from 0
    schedule: Literal["constant", "linear", "cosine"] = "cosine"  # the last two fall to zero at the end
    hold: float = Field(default=0.0, ge=0, lt=1)  # share of the training before the schedule begins to fall
    clip: float = Field(default=5.0, ge=0)  # largest gradient norm of each trainable part; 0: no limit
    ema: float = Field(default=0.999, ge=0, lt=1)  # decay of the moving average of the weights; 0: no average


@dataclass(frozen=True, config=STRICT)
class Trainer:
    """The ``[trainer]`` table: how long, on which devices, and how often something is written."""

    steps: int = Field(default=10_000, ge=1)  # number of training steps
    minutes: float | None = Field(default=None, gt=0)  # length of the run by the clock, in place of steps
    batch: int = Field(default=32, ge=1)  # images a step, over all devices together
    accumulate: int = Field(default=1, ge=1)  # parts of a batch that go through the model one by one
    seed: int = Field(default=0, ge=0)  # random seed of weights, crops and noise
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"  # auto: a GPU if there is one
    devices: int | Literal["auto"] = 1  # number of devices of each machine; auto: all
    nodes: int = Field(default=1, ge=1)  # number of machines
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"  # bf16 on a CUDA GPU that has it
    log_every: int = Field(default=50, ge=1)  # steps between entries of the log
    validate_every: int = Field(default=500, ge=0)  # steps between validations, also at both ends; 0: never
    checkpoint_every: int = Field(default=500, ge=1)  # steps between checkpoints
    sample_every: int = Field(default=500, ge=0)  # steps between images of samples, also at both ends; 0: never
    validate_photos: int = Field(default=256, ge=1)  # largest number of held-out images to validate on
    best: Literal["loss", "ab_error", "last"] = "loss"  # metric of the best checkpoint: the least, or the latest
    patience: int | None = Field(default=None, ge=1)  # validations in a row without a better one that end the run
    points: tuple[float, ...] = ()  # shares of the run, in (0, 1], after which its averaged weights are kept

    @field_validator("points")
    @classmethod
    def _increasing(cls, points: tuple[float, ...]) -> tuple[float, ...]:
        if sorted(set(points)) != list(points) or not all(0 < point <= 1 for point in points):
            raise ValueError("give shares of the run, each above the one before, above 0 and up to 1")
        return points

    @field_validator("patience")
    @classmethod
    def _of_a_metric(cls, patience: int | None, info: ValidationInfo) -> int | None:
        if patience and info.data.get("best") == "last":
            raise ValueError("the latest checkpoint is always the best: choose trainer.best = 'loss' or 'ab_error'")
        return patience


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """A valid recipe; ``model`` is the family's frozen ``Config``."""

    family: str
    model: Any
    data: Data = Data()
    optimizer: Optimizer = Optimizer()
    trainer: Trainer = Trainer()


def read(path: Path, sets: Iterable[str] = (), photos: Sequence[Path] = ()) -> Recipe:
    """Read a recipe from a TOML file, or from a run's ``recipe.json``. Raises RecipeError.

    Args:
        path: the file.
        sets: ``table.key=value`` overrides; the value is TOML, a bare word is a string.
        photos: folders and zips that replace those of the recipe, unless empty.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        tables = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}): give the path of a recipe (.toml)") from None
    except ValueError as error:
        raise RecipeError(f"{path}: not TOML: {error}") from None
    for assignment in sets:
        override(tables, assignment)
    if photos:
        tables.setdefault("data", {})["photos"] = list(map(str, photos))
    return parse(tables, str(path))


def parse(tables: Mapping[str, Any], name: str = "recipe") -> Recipe:
    """Return the recipe in tables as TOML or `resolved` gives them. Raises RecipeError, starting with ``name``."""
    settings = tables.get("model")
    if not isinstance(settings, Mapping) or "family" not in settings:
        raise RecipeError(f"{name}: [model] must name a family: choose one of {', '.join(models.family_names())}")
    family = settings["family"]
    try:
        config_type = models.load_family(family).Config
    except LookupError as error:
        raise RecipeError(f"{name}: model.family = {family!r}: {error.args[0]}") from None

    types = {"model": config_type, "data": Data, "optimizer": Optimizer, "trainer": Trainer}
    tables = {**tables, "model": {key: value for key, value in settings.items() if key != "family"}}
    data = tables.get("data")
    if isinstance(data, Mapping):
        # Where both names are given the last one counts; `override` puts its key at the end.
        tables["data"] = {OLD_DATA_KEYS.get(key, key): value for key, value in data.items()}
    refuse_unknown_keys(tables, types, f"{name}: ")
    parts = {}
    for key, table_type in types.items():
        # JSON, since only there does strict pydantic accept lists as tuples and strings as paths.
        text = json.dumps(tables.get(key, {}), default=str)
        try:
            parts[key] = TypeAdapter(table_type).validate_json(text, strict=True)
        except ValidationError as error:
            raise RecipeError(f"{name}: {key}{first_error(error)}") from None
    return Recipe(family, **parts)


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe with every default filled in, as plain JSON values that `parse` reads back."""
    tables = TypeAdapter(Recipe).dump_python(recipe, mode="json")
    return {"model": {"family": tables.pop("family"), **tables.pop("model")}, **tables}


def override(tables: dict[str, Any], assignment: str) -> None:
    """Set one ``table.key=value`` in the tables; the value is TOML, a bare word is a string. Raises RecipeError."""
    dotted, equals, text = assignment.partition("=")
    *path, key = dotted.strip().split(".")
    for name in path:
        if isinstance(tables, dict):
            tables = tables.setdefault(name, {})
    if not (equals and path and key and isinstance(tables, dict)):
        raise RecipeError(f"--set {assignment}: write table.key=value, for example trainer.steps=100")
    tables.pop(key, None)
    try:
        tables[key] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        tables[key] = text.strip()


def refuse_unknown_keys(table: Mapping[str, Any], types: Mapping[str, Any], prefix: str) -> None:
    """Raise RecipeError, starting with the prefix, for keys that pydantic would ignore, at every depth.

    ``types``: the type of each key; the fields of a dataclass are the keys of its table.
    """
    for key, value in table.items():
        if key not in types:
            raise RecipeError(f"{prefix}{key} is not known: choose one of {', '.join(types) or 'none'}")
        if is_dataclass(types[key]) and isinstance(value, Mapping):
            inner = {field.name: field.type for field in fields(types[key]) if field.init}
            refuse_unknown_keys(value, inner, f"{prefix}{key}.")


def first_error(error: ValidationError) -> str:
    """Return the first error as text: ``.key = value: reason``."""
    first = error.errors()[0]
    key = "".join(f".{part}" for part in first["loc"])
    # A whole table is not printed: the message names the key inside it.
    value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return f"{key}{value}: {first['msg'].removeprefix('Value error, ')}"
