"""Types, defaults, limits and descriptions of settings as Markdown, from JSON schemas, dataclasses and docstrings."""

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from comments import as_sentence, read_comment

Schema = Mapping[str, Any]

LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}


def define(term: str, anchor: str, facts: str, text: str) -> str:
    """Return an entry of a definition list: a term that can be linked to, facts in a smaller type, and a text."""
    head = f"`{term}`{{ #{anchor} .term }}" + (f" <small>{facts}</small>" if facts else "")
    return f"{head}\n:   {text or '&nbsp;'}"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table of Markdown."""
    lines = [header, ("---",) * len(header), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def describe(schema: Schema, *, is_required: bool = False) -> str:
    """Return the type, the limits and the default of a value, such as ``integer, at least 8, default `128```."""
    parts = [describe_type(schema), *describe_limits(schema)]
    if is_required:
        parts.append("required")
    elif schema.get("default") not in (None, ""):
        parts.append(f"default {as_code(schema['default'])}")
    return ", ".join(part for part in parts if part)


def describe_type(schema: Schema) -> str:
    """Return the type of values in words; a name with a schema of its own is a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        kinds = [describe_type(kind) for kind in schema["anyOf"] if kind.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values:
        return " or ".join(map(as_code, values))
    kind = schema.get("type", "any")
    if kind == "array":
        items = schema.get("prefixItems", [schema.get("items", {})])
        number = f"{len(items)} " if "prefixItems" in schema else ""
        return f"array of {number}{_in_plural(describe_type(items[0]))}"
    if kind == "string" and schema.get("format") in ("path", "binary"):
        return str(schema["format"])
    return str(kind)


def _in_plural(kind: str) -> str:
    return f"{kind}s" if kind in ("integer", "number", "string", "boolean", "array", "object", "path") else kind


def describe_limits(schema: Schema) -> list[str]:
    """Return the limits of a value, each in words."""
    limits = dict(schema)
    for kind in schema.get("anyOf", ()):
        limits.update(kind)
    if "prefixItems" in limits:
        return []
    if "minimum" in limits and "maximum" in limits:
        between = f"{format_number(limits.pop('minimum'))} to {format_number(limits.pop('maximum'))}"
        return [between, *describe_limits({key: value for key, value in limits.items() if key != "anyOf"})]
    return [text.format(format_number(limits[key])) for key, text in LIMITS.items() if key in limits]


def format_number(number: float) -> str:
    """Return a number without a fraction that is zero."""
    return f"{int(number)}" if number == int(number) else f"{number:g}"


def as_code(value: Any) -> str:
    """Return a value as it is written in JSON and TOML, as code."""
    return f"`{json.dumps(value, default=str)}`"


def docstring_of(cls: type) -> str:
    """Return the docstring of a class or, where it has none, of the class that it is nested in."""
    text = cls.__doc__ or ""
    if text and not text.startswith(f"{cls.__name__}("):  # which dataclasses write themselves
        return inspect.cleandoc(text)
    *outer, _ = cls.__qualname__.split(".")
    scope: Any = sys.modules[cls.__module__]
    for name in outer:
        scope = getattr(scope, name)
    return docstring_of(scope) if outer else ""


def field_texts(cls: type) -> dict[str, str]:
    """Return what the source says about each field of a dataclass: its comments, else the docstring's "``name``: text".

    Comments stand on the lines before a field, or behind it.
    """
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        if base.__module__.startswith("photochrom"):
            texts.update(names_in(docstring_of(base)))
            texts.update(comments_of(base))
    return texts


def names_in(docstring: str) -> dict[str, str]:
    """Return the texts of a docstring that explain a name: "``name``: text"."""
    line = " ".join(docstring.split())
    pieces = re.split(r"(?:^|(?<=[.;:,] ))``(\w+)``: ", line)
    texts = {}
    for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
        texts[name] = as_sentence(text.strip(" ;,"))
    return texts


def comments_of(cls: type) -> dict[str, str]:
    """Return the comments of each field of a class."""
    lines = textwrap.dedent(inspect.getsource(cls)).splitlines()
    (definition,) = ast.parse("\n".join(lines)).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            texts[node.target.id] = read_comment(lines, node.lineno, node.end_lineno or node.lineno)
    return {name: text for name, text in texts.items() if text}
