"""The figures in tables about the models of this repository are those of their model cards."""

import re
import sys

import pytest

from pages import ROOT, TEXTS

sys.path.insert(0, str(ROOT / "docs" / "hooks"))
from model_pages import read_models

SCORES = {name: card.scores["native"] for name, (_, card) in read_models().items()}
SECTIONS = {  # whose rows are about these models
    ("README.md", "## What it is good and bad at"),
    ("docs/explanation/classify.md", "## What we measured"),
    ("docs/explanation/unet.md", "## What we measured"),
    ("docs/reference/measurements.md", "## The models of this repository"),
}
COLUMNS = {  # what the heading of a column begins with, without spaces
    "aberror/baseline": "ab-error-to-gray",
    "aberror": "ab-error",
    "PSNR": "psnr",
    "colorfulness/groundtruth": "colorfulness-to-truth",
    "colorfulness": "colorfulness",
    "LPIPS(VGG)": "lpips-vgg",
    "LPIPSVGG16": "lpips-vgg",
    "fd-vgg16": "fd-vgg16",
}


def tables_of(text):
    """Yield the heading above each table, the heading of its columns and its rows, as lists of cells."""
    heading, rows = "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            heading = line
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            yield heading, rows[0], rows[2:]
            rows = []


def model_of(section, first):
    """Return the model of this repository that a row is about, with the settings of its card; None for any other.

    A row names such a model where all rows of the section do, or as `NAME.zip` or `NAME` (default).
    """
    if "--solver" in first or first.endswith("mean"):
        return None
    name = re.match(r"`([\w-]+)(\.zip)?`( \(default\))?", first)
    is_ours = name and (name[2] or name[3] or section in SECTIONS)
    return name[1] if is_ours else None


def metric_of(column):
    """Return the key of a metric in a model card, by the heading of a column; None for anything else."""
    name = column.replace(" ", "")
    return next((key for start, key in COLUMNS.items() if name.startswith(start)), None)


def figures():
    """Return the place, model, metric and text of each figure that a model card has too."""
    entries = []
    for page, text in TEXTS.items():
        for heading, columns, rows in tables_of(text):
            for first, *cells in rows:
                name = model_of((page, heading), first)
                pairs = zip(map(metric_of, columns[1:]), cells, strict=True)
                entries += [(page, name, metric, cell) for metric, cell in pairs if name and metric and cell]
    return entries


@pytest.mark.parametrize(("page", "name", "metric", "cell"), figures())
def test_a_figure_is_that_of_the_model_card(page, name, metric, cell):
    shown = cell.split()[0]
    digits = len(shown.partition(".")[2])
    assert abs(float(shown) - SCORES[name][metric]) <= 0.501 * 10**-digits, page


def test_the_figures_of_all_models_are_found():
    entries = figures()
    assert {name for _, name, _, _ in entries} == set(SCORES)
    assert {metric for _, _, metric, _ in entries} == set(COLUMNS.values())
    assert {page for page, _ in SECTIONS} <= {page for page, *_ in entries}
    assert sum(page == "README.md" for page, *_ in entries) == 9
