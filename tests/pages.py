"""The pages of the documentation and their code blocks."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}

FENCE = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<mark>[^\n]*) -->\n(?P=indent))?```(?P<language>\w*)(?P<info>[^\n]*)\n"
    r"(?P<code>.*?)^(?P=indent)```$",
    flags=re.M | re.S,
)
SLOW = (  # pages that train, export and measure several models
    "docs/how-to/add-a-metric.md",
    "docs/how-to/add-an-augmentation.md",
    "docs/how-to/arrays.md",
    "docs/how-to/compare.md",
    "docs/how-to/evaluation.md",
    "docs/how-to/restore.md",
    "docs/how-to/train-stages.md",
    "docs/tutorials/compare.md",
)
RUN = ("sh", "console", "python", "toml", "json", "ini")  # languages that `page_session` runs or reads
NO_CODE = ("", "text", "math", "mermaid", "html")  # what a reader only looks at


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    ``mark`` is the comment on the line before it: ``not run: REASON``, ``figures vary`` for a session whose numbers
    differ from run to run, or the name by which a script finds the block. ``title`` is the file that the block shows.
    """

    page: str
    line: int
    language: str
    title: str
    mark: str
    code: str

    @property
    def reason(self) -> str:
        """Why the block is not run; empty for one that is."""
        if self.mark == "test command":
            return "runs all tests, this one among them"
        _, _, reason = self.mark.partition("not run: ")
        return reason

    @property
    def can_run(self) -> bool:
        """Whether the block is run, written or read by `page_session`."""
        return not self.reason and (self.language in RUN or bool(self.title))

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """Return the code blocks of a page, in order."""
    blocks = []
    for match in FENCE.finditer(TEXTS[page]):
        title = re.search(r'title="([^"]*)"', match["info"])
        line = TEXTS[page].count("\n", 0, match.start("language")) + 1
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.M)
        blocks.append(Block(page, line, match["language"], title[1] if title else "", match["mark"] or "", code))
    return blocks


def all_blocks() -> list[Block]:
    """Return the code blocks of all pages that a reader would run, write or copy."""
    blocks = [block for page in TEXTS for block in blocks_of(page)]
    return [block for block in blocks if block.language not in NO_CODE or block.title]


def runnable_pages(folder: str) -> list[str]:
    """Return the pages of a folder that have a block to run."""
    runnable = {block.page for block in all_blocks() if block.can_run}
    return [page for page in TEXTS if page.startswith(folder) and page in runnable]


def parameters(pages: Iterable[str]) -> list[ParameterSet]:
    """Return pages as parameters of a test; those of `SLOW` are marked."""
    return [pytest.param(page, id=page, marks=[pytest.mark.slow] if page in SLOW else []) for page in pages]
