"""Pictures that are drawn from the code show the code as it is."""

from pathlib import Path

import pytest

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"


@pytest.fixture
def architecture(monkeypatch):
    monkeypatch.syspath_prepend(PICTURES)
    import architecture

    return architecture


def test_the_picture_of_the_packages_shows_the_imports_of_the_code(architecture):
    stored = architecture.PICTURE.read_text(encoding="utf-8")
    assert stored == architecture.make_picture(), "run `python docs/pictures/architecture.py`"


def test_arrows_that_follow_from_others_are_left_out(architecture):
    imports = {"cli": {"server", "core"}, "server": {"inference"}, "inference": {"core"}, "core": set()}
    kept = architecture.without_implied(imports)
    assert kept == {"cli": {"server"}, "server": {"inference"}, "inference": {"core"}, "core": set()}
    assert architecture.find_all_below("cli", kept) == {"server", "inference", "core"}  # nothing is lost


def test_no_arrow_crosses_a_box(architecture):
    """At the height of each row between its ends, an arrow is beside the boxes."""
    layers = architecture.read_layers()
    packages = [package for layer in layers for package in layer]
    imports, _ = architecture.read_imports(packages)
    row_of = {package: row for row, layer in enumerate(layers) for package in layer}
    half = architecture.BOX_WIDTH / architecture.COLUMN / 2
    for package, others in architecture.without_implied(imports).items():
        for other in others:
            start, end = architecture.COLUMNS[package], architecture.COLUMNS[other]
            rows = row_of[other] - row_of[package]
            for between in range(1, rows):
                x = start + (end - start) * between / rows
                boxes = [architecture.COLUMNS[name] for name in layers[row_of[package] + between]]
                assert all(abs(x - box) > half for box in boxes), f"{package} -> {other}: change COLUMNS"
