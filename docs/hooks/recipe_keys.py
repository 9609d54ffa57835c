"""The keys of recipes as Markdown: each table with its keys, their types, limits, defaults and comments."""

import inspect
import sys
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter
from schemas import as_code, define, describe, docstring_of, field_texts

from photochrom import models
from photochrom.training.recipe import Data, Optimizer, Trainer


def write_tables() -> str:
    """Return a section for each table of a recipe; the table ``[model]`` has one for each family."""
    names = models.family_names()
    choices = " or ".join(map(as_code, names))
    parts = ["## [model]", define("family", "model-family", f"{choices}, required", "The model family."), FAMILIES]
    for family in names:
        cls = models.load_family(family)
        module = sys.modules[cls.__module__]
        about = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0]
        parts += [f'### [model] family = "{family}"', about]
        parts += write_table("model", cls.Config(), f"model-{family}", 4)
    for name, table in {"data": Data, "optimizer": Optimizer, "trainer": Trainer}.items():
        parts += [f"## [{name}]", docstring_of(table), *write_table(name, table(), name, 3)]
    return "\n\n".join(parts)


FAMILIES = "The other keys of this table are those of the family:"


def write_table(name: str, settings: Any, anchor: str, level: int) -> list[str]:
    """Return the entries of a table, with its defaults, and then a section for each table inside it.

    Args:
        name: how the table is written in a recipe, such as ``model.net``.
        settings: the dataclass with all defaults.
        anchor: of the table, before the names of keys.
        level: of the headings of tables inside it.
    """
    cls = type(settings)
    properties = TypeAdapter(cls).json_schema()["properties"]
    texts = field_texts(cls)
    entries, inner = [], []
    for field in fields(cls):
        if not field.init:
            continue
        value = getattr(settings, field.name)
        place = f"{anchor}-{field.name}"
        if is_dataclass(value):
            head = f"{'#' * level} [{name}.{field.name}] {{ #{place} }}"
            parts = [texts.get(field.name, ""), docstring_of(type(value))]
            inner += [head, *parts, *write_table(f"{name}.{field.name}", value, place, min(level + 1, 6))]
            continue
        facts = describe({**properties[field.name], "default": value})
        entries.append(define(field.name, place, facts, texts.get(field.name, "")))
    return [*entries, *inner]
