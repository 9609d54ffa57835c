"""A recipe: the TOML file that says what is trained, on which photos, how, and for how long."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from .. import models


class RecipeError(ValueError):
    """A recipe that cannot be followed; the message names the key, its value and the choices."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Data(_Table):
    """The ``[data]`` table: which photographs, and how they are cut into training pairs."""

    photos: tuple[Path, ...] = ()  # folders (searched through), zips (read in place), folders in a zip
    size: int = Field(default=128, ge=8)  # of the square crop, in pixels
    gray: Literal["lab", "luma", "mean"] = "lab"
    min_colorfulness: float = Field(default=9.0, ge=0)  # Hasler & Suesstrunk (2003), signed; grayer photos are left out
    validation: float = Field(default=0.02, ge=0, lt=1)  # share held out, by the hash of the photo
    scale: tuple[float, float] = (0.75, 1.0)  # side of the crop over the short side of the photo, drawn evenly
    flip: bool = True
    wear: float = Field(default=0.0, ge=0, le=1)  # how faded, soft and grainy the gray may be made: `data.worn`
    workers: int = Field(default=1, ge=0)

    @field_validator("scale")
    @classmethod
    def _ordered(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError("give two shares of the short side, minimum_size first, above 0 and up to 1")
        return scale


class Optimizer(_Table):
    """The ``[optimizer]`` table: AdamW, linear warm-up, cosine to zero, and an average of the weights."""

    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)  # not on biases and norms
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = Field(default=200, ge=0)
    clip: float = Field(default=5.0, gt=0)  # the largest norm of a player's gradient
    ema: float = Field(default=0.999, ge=0, lt=1)


class Trainer(_Table):
    """The ``[trainer]`` table: how long, on what, and how often something is written."""

    steps: int = Field(default=10_000, ge=1)
    batch: int = Field(default=32, ge=1)  # photos per step, over all devices together
    seed: int = Field(default=0, ge=0)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int | Literal["auto"] = 1
    nodes: int = Field(default=1, ge=1)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    log_every: int = Field(default=50, ge=1)
    validate_every: int = Field(default=500, ge=1)
    checkpoint_every: int = Field(default=500, ge=1)
    sample_every: int = Field(default=500, ge=1)
    validate_photos: int = Field(default=256, ge=1)  # at most so many of the held-out photos
    best: Literal["loss", "ab_error", "last"] = "loss"  # which validation picks the best checkpoint: least, or latest


class Recipe(_Table):
    """A whole recipe, checked; ``model`` is the family's frozen ``Config``."""

    family: str
    model: Any
    data: Data = Data()
    optimizer: Optimizer = Optimizer()
    trainer: Trainer = Trainer()


def read(path: Path, sets: Iterable[str] = (), photos: Iterable[Path] = ()) -> Recipe:
    """The recipe of a TOML file, or of a run's ``recipe.json``.

    Args:
        path: of the file.
        sets: ``table.key=value`` overrides; the value is TOML, a bare word is a string.
        photos: folders and zips that replace those of the recipe, where any are given.

    Raises RecipeError.
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
    if given := [str(photo) for photo in photos]:
        tables.setdefault("data", {})["photos"] = given
    return parse(tables, str(path))


def parse(tables: Mapping[str, Any], name: str = "recipe") -> Recipe:
    """The recipe of tables as TOML or `resolved` gives them. Raises RecipeError, starting with ``name``."""
    tables = dict(tables)
    table = tables.pop("model", None)
    if not isinstance(table, Mapping) or "family" not in table:
        raise RecipeError(f"{name}: [model] must name a family: choose one of {', '.join(models.family_names())}")
    family, *config = _model(dict(table), name)
    checked = _check(TypeAdapter(Recipe), {**tables, "family": family, "model": None}, name)
    return checked.model_copy(update={"model": config[0]})


def resolved(recipe: Recipe) -> dict[str, Any]:
    """A recipe with every default filled in, as plain JSON values that `parse` reads back."""
    tables = recipe.model_dump(mode="json", exclude={"family", "model"})
    config = TypeAdapter(type(recipe.model)).dump_python(recipe.model, mode="json")
    return {"model": {"family": recipe.family, **config}, **tables}


def _model(table: dict[str, Any], name: str) -> tuple[str, Any]:
    family = table.pop("family")
    try:
        config = models.load_family(family).Config
    except LookupError as error:
        raise RecipeError(f"{name}: model.family = {family!r}: {error.args[0]}") from None
    _known(table, config, f"{name}: model.")
    return family, _check(TypeAdapter(config), table, name, "model.")


def _known(table: Mapping[str, Any], config: type, where: str) -> None:
    """Raises RecipeError for a key that is no field of the dataclass, nor of one inside it; pydantic lets them pass."""
    kinds = get_type_hints(config)
    for key, value in table.items():
        if key not in kinds:
            raise RecipeError(f"{where}{key} is not known: choose one of {', '.join(kinds) or 'none'}")
        if is_dataclass(kinds[key]) and isinstance(value, Mapping):
            _known(value, kinds[key], f"{where}{key}.")


def _check(adapter: TypeAdapter[Any], table: Mapping[str, Any], name: str, prefix: str = "") -> Any:
    """The table as the adapter's type; JSON is the form in which strict pydantic takes lists as tuples."""
    try:
        return adapter.validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        raise RecipeError(_sentence(error, name, prefix)) from None


def _sentence(error: ValidationError, name: str, prefix: str) -> str:
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"]]
    key = prefix + ".".join(parts)
    if first["type"] == "extra_forbidden":
        table = Recipe.model_fields[parts[0]].annotation if len(parts) > 1 else Recipe
        choices = [c for c in getattr(table, "model_fields", {}) if c != "family"]
        return f"{name}: {key} is not known: choose one of {', '.join(choices)}"
    # Of a whole table the sentence names the key itself.
    given = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return f"{name}: {key.rstrip('.')}{given}: {first['msg'].removeprefix('Value error, ')}"


def override(tables: dict[str, Any], assignment: str) -> None:
    """Set one ``table.key=value`` in the tables; the value is TOML, a bare word is a string. Raises RecipeError."""
    dotted, equals, text = assignment.partition("=")
    *path, key = dotted.strip().split(".")
    for name in path:
        tables = tables.setdefault(name, {}) if isinstance(tables, dict) else tables
    if not (equals and path and key and isinstance(tables, dict)):
        raise RecipeError(f"--set {assignment}: write table.key=value, for instance trainer.steps=100")
    try:
        tables[key] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        tables[key] = text.strip()
