"""Formulas as GitHub writes them, ``$...$`` and blocks of the language ``math``, as MathML, which needs no script."""

import logging
import re
from typing import Any
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from mkdocs.exceptions import PluginError

log = logging.getLogger("mkdocs.hooks.formulas")

# As on GitHub, a formula begins and ends next to a character that is no space, and touches no letters or digits: so
# "$5 or $6" is none. \x02 begins what Markdown has taken out already, such as code.
BODY = r"((?:[^$\\\x02]|\\.)+?)"
INLINE = rf"(?<![\\$\w])\$(?=[^\s$]){BODY}(?<!\s)\$(?![\w$])"
QUOTED = r"(?<![\\$\w])\$`([^`\n]+)`\$(?![\w$])"
DISPLAY = rf"(?<![\\$])\$\${BODY}\$\$(?!\$)"  # notebooks have no blocks of the language math
# Commands that the converter does not have, and what it calls them.
OTHER_NAMES = {"{aligned}": "{split}", r"\operatorname*": r"\operatorname"}
# Spaces as TeX has them, where browsers would have others: pairs of a pattern and what replaces it.
OPENING = r"(<mo[^>]*>(?!&#x00029;|&#x0005D;|&#x0007D;|&#x0007C;|&#x02016;|[)\]}])[^<]*</mo>)"  # or an operator
SPACES = (
    (r'<mo(?: \w+="false")*>(&#x0007C;|&#x02016;)</mo>', r'<mo lspace="0" rspace="0" stretchy="false">\1</mo>'),
    (OPENING + r"<mo>(&#x02212;|&#x0002B;)</mo>", r'\1<mo form="prefix">\2</mo>'),  # a sign, not a difference
    (r"<mo>((?:arg ?)?(?:max|min)|sup|inf)</mo>(?=<mo)", r'<mo lspace="0.167em" rspace="0">\1</mo>'),
    (r"(<mi>(?:log|exp|sin|cos|tan)</mi>)(?=<m(?!o))", r'\1<mspace width="0.167em"/>'),
)
BEFORE_CODE, AFTER_CODE = 195, 185  # priorities: Markdown takes out code at 190 and escapes at 180


class Formula(InlineProcessor):
    """Replaces formulas that a pattern finds in text; Markdown has taken code out of it before."""

    def __init__(self, pattern: str, md: Markdown, display: str = "inline") -> None:
        super().__init__(pattern, md)
        self.display = display

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[Element | str, int, int]:  # type: ignore[override]
        """Return the place of the MathML, and which part of the text it replaces."""
        return self.md.htmlStash.store(to_mathml(m[1], self.display)), m.start(0), m.end(0)


class Formulas(Extension):
    """The extension of Markdown for formulas in text; `render_block` is for blocks."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Register the patterns, and that a backslash before a dollar makes it one."""
        md.ESCAPED_CHARS.append("$")
        md.inlinePatterns.register(Formula(QUOTED, md), "quoted-formula", BEFORE_CODE)
        md.inlinePatterns.register(Formula(DISPLAY, md, "block"), "display-formula", AFTER_CODE + 1)
        md.inlinePatterns.register(Formula(INLINE, md), "formula", AFTER_CODE)


def render_block(source: str, *_: Any, **__: Any) -> str:
    """Return a block of the language ``math`` as a formula that stands by itself."""
    return f'<div class="formula">{to_mathml(source, "block")}</div>'


def to_mathml(latex: str, display: str = "inline") -> str:
    """Return LaTeX as MathML. A command that is not known is a warning, which ends a strict build."""
    known = latex.strip()
    for name, other in OTHER_NAMES.items():
        known = known.replace(name, other)
    try:
        mathml: str = convert(known, display=display)
    except Exception as error:
        raise PluginError(f"formula {latex!r}: {error!r}") from error
    text = re.sub(r"<[^>]*>", " ", mathml)
    unknown = re.findall(r"\\[a-zA-Z]+", text)
    if re.search(r"&(?!#?\w+;)", text) and r"\&" not in latex:  # what separates columns is left over
        unknown += re.findall(r"\\begin\{.*?\}", latex)
    if unknown:
        log.warning("formula %r: %s: not known; write it with other commands", latex, ", ".join(unknown))
    for pattern, replacement in SPACES:
        mathml = re.sub(pattern, replacement, mathml)
    return mathml
