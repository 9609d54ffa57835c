"""Texts use the standard terms of the field, one term for one thing, and American spelling."""

import ast
import json
import re
import zipfile
from pathlib import Path

import pytest
from typer.main import get_command

from photochrom.cli.main import app

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "photochrom"
STATIC = [PACKAGE / name / "static" for name in ("server", "survey")]
SPELLING = (r"colour(?!space)", "color")  # colourspace: a method of libvips
TERMS = (
    SPELLING,
    (r"\bphotographs?\b", "photo"),
    (r"\bpaint(s|ed)\b", "colorize, predict"),
    (r"\bphotos? in color\b", "colorized photo, color photo"),
    (r"\b(judge[sd]?)\b", "discriminator"),
    (r"\bplayers?\b", "part, network"),
    (r"\b(wear|worn|dirt)\b", "augmentation, degrade, noise"),
    (r"\b(told|tellable)\b", "options, supported options"),
    (r"\bgray's\b", "relative to the grayscale baseline"),
    (r"\btruth's\b", "ratio to ground truth"),
    (r"\bsurpris(e|es|ed)\b", "negative log-likelihood"),
    (r"\b(lender|borrowed|borrows)\b", "pretrained_from, frozen weights"),
    (r"\bdoubts\b", "diagnostics"),
    (r"\breins\b", "regularization"),
    (r"\bknows? ImageNet\b", "pretrained on ImageNet"),
    (r"\bpass(es)? over the (photos|faces|images)\b", "epoch"),
    (r"\b(album|albums)\b", "batch"),
    (r"\b(parcel|parcels)\b", "remote task"),
    (r"\bthe house\b", "architecture"),
    (r"\bpin(s|ned)?\b(?! (weights|versions?)\b)", "color hint"),
    (r"(?<!local )(?<!\.)\bcopies\b(?= (are|of (them|photos|the photos)|that|as|again|were|to)\b|$|[,.;)])", "outputs"),
    (r"\b(draws|that draw)\b", "stochastic model, samples"),
    (r"\bseen by the model\b", "inference size"),
    (r"(?<!contact )(?<![-\w])sheets?\b(?! of paper|:)", "contact sheet"),
)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCRIPTS = [*sorted((ROOT / "benchmarks").glob("*.*")), *sorted((ROOT / "docs" / "pictures").glob("*.py"))]
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def lines_of_file(path):
    """Pairs of a line's place and its text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(f"{path.relative_to(ROOT)}:{number}", line) for number, line in enumerate(lines, 1)]


def texts_of_module(path):
    """Pairs of place and text for the docstrings and messages (strings with a space) of a module."""
    texts = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            text = re.sub(r"``.*?``", "", node.value)  # names of stored keys
            for offset, line in enumerate(text.splitlines()):
                texts.append((f"{path.relative_to(ROOT)}:{node.lineno + offset}", line))
    return texts


def texts_of_commands():
    """Pairs of place and text for the help of every command, argument and option."""
    texts = []
    for name, command in get_command(app).commands.items():
        texts.append((f"photochrom {name} --help", command.help or ""))
        for parameter in command.params:
            texts.append((f"photochrom {name} {parameter.name}", getattr(parameter, "help", None) or ""))
    return texts


def texts_of_cards():
    """Pairs of place and text for the summaries of bundles."""
    cards = [(path, path.read_text()) for path in sorted((PACKAGE / "inference" / "bundles").rglob("model.json"))]
    for path in sorted((ROOT / "photochrom-models").rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith("model.json")]
            cards.append((path, archive.read(name)))
    return [(str(path.relative_to(ROOT)), json.loads(card).get("summary", "")) for path, card in cards]


def findings(texts, terms=TERMS):
    lines = []
    for place, text in texts:
        for pattern, replacement in terms:
            match = re.search(pattern, text, flags=re.IGNORECASE)
            if match:
                lines.append(f"{place}: {match[0]} (use: {replacement})")
    return lines


def report(lines):
    return f"{len(lines)} terms to replace:\n" + "\n".join(lines)


def texts_of_files(files):
    texts = []
    for path in files:
        texts += lines_of_file(path)
    return texts


@pytest.mark.parametrize("files", [PAGES, SCRIPTS, RECIPES], ids=["pages", "scripts", "recipes"])
def test_pages_scripts_and_recipes_use_the_standard_terms(files):
    lines = findings(texts_of_files(files))
    assert not lines, report(lines)


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_and_messages_use_the_standard_terms(package):
    texts = []
    for path in sorted((PACKAGE / package).rglob("*.py")):
        texts += texts_of_module(path)
    lines = findings(texts)
    assert not lines, report(lines)


def test_code_and_tests_use_american_spelling():
    files = [*sorted(PACKAGE.rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py")), ROOT / "pyproject.toml"]
    files.remove(Path(__file__))
    lines = findings(texts_of_files(files), [SPELLING])
    assert not lines, report(lines)


@pytest.mark.parametrize("folder", STATIC, ids=lambda folder: folder.parent.name)
def test_the_web_pages_use_the_standard_terms(folder):
    files = [path for path in sorted(folder.iterdir()) if path.suffix in {".html", ".js", ".css", ".txt"}]
    lines = findings(texts_of_files(files))
    assert not lines, report(lines)


def test_help_and_model_cards_use_the_standard_terms():
    texts = texts_of_commands() + texts_of_cards()
    assert all(text for _, text in texts_of_cards())
    lines = findings(texts)
    assert not lines, report(lines)


def test_the_terms_are_recognized():
    examples = ["colour", "the photographs", "paints one picture", "over gray's", "pins a colour", "models that draw"]
    assert all(findings([("here", example)]) for example in examples)
    allowed = ["image.colourspace('srgb')", "pinned weights", "a contact sheet", "photo-sheet.jpg", "photographer"]
    assert not findings([("here", example) for example in allowed])
