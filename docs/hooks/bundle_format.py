"""The format of bundles as Markdown: the keys of ``model.json``, and the settings of each sampling procedure."""

from dataclasses import MISSING, fields
from typing import Any

from pydantic import TypeAdapter
from schemas import define, describe, docstring_of, field_texts

from photochrom.core.sampling import PROCEDURES
from photochrom.inference.bundle import ModelCard


def write_card_keys() -> str:
    """Return the definition of each key of ``model.json``."""
    return "\n\n".join(write_fields(ModelCard, "key"))


def write_procedures() -> str:
    """Return a section for each kind of procedure, with its settings and the networks that it calls."""
    parts = []
    for kind, cls in PROCEDURES.items():
        networks = ", ".join(f"`{name}`" for name in cls().capabilities.network_names)
        parts += [f"### {kind}", docstring_of(cls), f"Networks with the default settings: {networks}."]
        parts += write_fields(cls, kind)
    return "\n\n".join(parts)


def write_fields(cls: Any, anchor: str) -> list[str]:
    """Return the definition of each field of a dataclass."""
    schema = TypeAdapter(cls).json_schema()
    texts = field_texts(cls)
    entries = []
    for field in fields(cls):
        is_required = field.default is MISSING and field.default_factory is MISSING
        default = {} if field.default is MISSING else {"default": field.default}
        facts = describe({**schema["properties"][field.name], **default}, is_required=is_required)
        entries.append(define(field.name, f"{anchor}-{field.name}", facts, texts.get(field.name, "")))
    return entries
