"""Notebooks run from top to bottom, have pictures, and say nothing about the machine that ran them."""

import ast
import importlib.util
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from test_language import findings, report

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in PATHS]
LIMIT = 300  # seconds of one processor, which other work on the machine does not change
MAX_BYTES = 700_000
LONGEST_CELL, LONGEST_FUNCTION = 45, 16  # lines; what is longer belongs into the package
# Absolute paths, addresses of objects, and what Python prints of a warning.
MACHINE = r"(?<![\w.:/])/(home|Users|root|tmp|work|usr|opt|var|private)\b|[A-Z]:\\|0x[0-9a-f]{6,}|\w+Warning:|WARNING"


@pytest.fixture(scope="module")
def script():
    """The module that runs notebooks and stores their outputs."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clone(tmp_path):
    """A folder with what notebooks need of the repository."""
    for name in ("docs/notebooks", "docs/pictures", "recipes"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def pictures_of(notebook):
    kinds = [kind for output in outputs_of(notebook) for kind in output.get("data", {})]
    return [kind for kind in kinds if kind in ("image/jpeg", "image/png")]


def texts_of(output):
    """The texts of an output."""
    data = output.get("data", {})
    return [output.get("text", ""), *(text for kind, text in data.items() if kind.startswith("text/"))]


def problems_of(notebook):
    """What outputs must not have: errors, messages on stderr, and anything about the machine."""
    problems = []
    for output in outputs_of(notebook):
        if output.output_type == "error" or output.get("name") == "stderr":
            problems.append(str(output))
        problems += [text for text in texts_of(output) if re.search(MACHINE, text)]
    return problems


def processor_seconds():
    """Seconds of processors that child processes have taken, such as kernels that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def lines_of_cells(name, notebook):
    """Pairs of place and text for all lines of texts, code and outputs."""
    lines = []
    for number, cell in enumerate(notebook.cells):
        texts = [cell.source]
        for output in cell.get("outputs", ()):
            texts += texts_of(output)
        for text in texts:
            lines += [(f"{name}, cell {number}", line) for line in text.splitlines()]
    return lines


def test_there_are_five_notebooks():
    assert len(PATHS) == 5
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert all(f"({path.name})" in index for path in PATHS)


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_stored_outputs_are_complete_and_portable(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run all cells in order"
    assert len(pictures_of(notebook)) >= 4
    assert problems_of(notebook) == []
    assert path.stat().st_size < MAX_BYTES
    assert not any(cell.metadata for cell in notebook.cells), "execute.py removes what changes from run to run"


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_cells_use_the_standard_terms(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[0].source.startswith("# ")
    lines = findings(lines_of_cells(path.name, notebook))
    assert not lines, report(lines)


def test_terms_are_checked_in_texts_code_and_outputs():
    text, code = nbformat.v4.new_markdown_cell("The photograph"), nbformat.v4.new_code_cell("# the photograph")
    code.outputs = [nbformat.v4.new_output("stream", text="photographs")]
    notebook = nbformat.v4.new_notebook(cells=[text, code])
    assert len(findings(lines_of_cells("here", notebook))) == 3


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_code_is_short_and_follows_the_settings_of_ruff(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.source
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, path], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_problems_of_outputs_are_found():
    for text in ("/home/me/photos/a.jpg", "C:\\photos", "<Figure at 0x7f3a5c10>", "UserWarning: no", "see /tmp/x"):
        output = nbformat.v4.new_output("stream", name="stdout", text=text)
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
        assert problems_of(notebook), text
    harmless = nbformat.v4.new_output("stream", name="stdout", text="a / b, http://cv.iptc.org/tmp")
    assert not problems_of(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[harmless])]))


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_notebooks_run_within_five_minutes(path, script, clone, monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_CACHE", str(clone / "cache"))
    before = processor_seconds()
    fresh = script.execute(clone / "docs" / "notebooks" / path.name)
    seconds = processor_seconds() - before
    stored = nbformat.read(path, as_version=4)
    assert problems_of(fresh) == []
    assert len(pictures_of(fresh)) == len(pictures_of(stored))
    assert [cell.source for cell in fresh.cells] == [cell.source for cell in stored.cells]
    assert 0 < seconds < LIMIT
