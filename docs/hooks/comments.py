"""Comments of attributes as their documentation: those on the lines before an attribute, and behind it.

The sources document the fields of dataclasses and the members of `Family` by comments. This is the extension of Griffe
that shows them in the pages of the Python API, too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import griffe


class AttributeComments(griffe.Extension):
    """Gives an attribute without a docstring its comments as one."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Set the docstring of an attribute of a class."""
        is_of_class = attr.parent is not None and attr.parent.is_class
        if attr.docstring or not is_of_class or not attr.lineno or not isinstance(attr.filepath, Path):
            return
        text = read_comment(attr.lines_collection[attr.filepath], attr.lineno, attr.endlineno or attr.lineno)
        if text:
            attr.docstring = griffe.Docstring(text, parent=attr)


def read_comment(lines: Sequence[str], first: int, last: int) -> str:
    """Return the comments of what stands in some lines, counted from 1, as a sentence; "" for none."""
    above: list[str] = []
    while first - 2 - len(above) >= 0 and lines[first - 2 - len(above)].lstrip().startswith("#"):
        above.insert(0, lines[first - 2 - len(above)].lstrip(" #"))
    behind = lines[last - 1].partition("  # ")[2].strip()
    comment = " ".join([*above, behind]).strip()
    return as_sentence(comment) if comment else ""


def as_sentence(text: str) -> str:
    """Return a text that begins with a capital and ends with a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
