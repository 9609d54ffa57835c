"""`photochrom inspect`: what it prints, writes and refuses."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from photochrom.cli.main import app
from photochrom.inference.colorizer import Colorizer


def inspect(*arguments):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        color = np.array([(200, 60, 40), (40, 90, 200)][i % 2], np.uint8)
        Image.fromarray(np.broadcast_to(color, (40 + i, 60, 3))).save(folder / f"{i}.png")
    return folder


def test_figures_are_printed_and_written(photos, tmp_path):
    made = inspect(photos, "-o", tmp_path / "colors.svg", "--json", tmp_path / "colors.json")
    assert made.exit_code == 0
    assert "photographs: 6" in made.output
    assert "start from a model (--init)" in made.output
    figures = json.loads((tmp_path / "colors.json").read_text())
    assert figures["colour bins"]["used"] == 2
    assert figures["kinds"]["warm"] == pytest.approx(0.5)
    assert [share for *_, share in figures["shares of colour bins (a, b, share)"]] == pytest.approx([0.5, 0.5])
    assert sum(figures["shares by distance from gray"]) == pytest.approx(1)
    assert (tmp_path / "colors.svg").read_text().startswith("<svg")


def test_a_photograph_that_is_there_twice_counts_once(photos):
    (photos / "again.png").write_bytes((photos / "0.png").read_bytes())
    assert "photographs: 6" in inspect(photos, photos).output


def test_photochroms_own_copies_are_named_and_left_out(photos):
    (photos / "copy.png").write_bytes(Colorizer()((photos / "0.png").read_bytes()))
    made = inspect(photos)
    assert made.exit_code == 1
    assert "photographs: 6" in made.output
    assert "copy.png: left out, as by a training: Photochrom's own colours are no truth" in made.output


def test_a_set_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    made = inspect(tmp_path)
    assert made.exit_code == 1
    assert "damaged.png" in made.output


def test_shares_are_percentages_and_counts_are_not(photos):
    printed = inspect(photos).output
    assert "near-gray photographs: 0.0%" in printed
    assert "effective 2.0" in printed


def test_two_files_have_two_names(photos, tmp_path):
    made = inspect(photos, "-o", tmp_path / "x.svg", "--json", tmp_path / "x.svg")
    assert made.exit_code == 2
    assert "is named for two files" in made.output


def test_nothing_is_written_over(photos, tmp_path):
    (tmp_path / "colors.svg").write_text("mine")
    assert inspect(photos, "-o", tmp_path / "colors.svg").exit_code == 2
    assert (tmp_path / "colors.svg").read_text() == "mine"
    assert inspect(photos, "-o", tmp_path / "colors.svg", "--overwrite").exit_code == 0


def test_a_damaged_photograph_is_named_and_the_others_are_counted(photos):
    (photos / "damaged.png").write_bytes((photos / "0.png").read_bytes()[:60])
    made = inspect(photos)
    assert made.exit_code == 1
    assert "photographs: 6" in made.output
    assert "damaged.png" in made.output
    assert "1 photographs were left out" in made.output


def test_a_folder_in_a_zip_is_looked_at_alone(photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        for path in photos.iterdir():
            file.write(path, f"{'red' if int(path.stem) % 2 == 0 else 'blue'}/{path.name}")
    assert "photographs: 3" in inspect(tmp_path / "all.zip" / "red").output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "none: there is no such folder or zip"),
        ("empty", "no photographs in"),
        ("one.png", "one.png: not a folder or zip; name a folder or a zip of photos"),
        ("one.png/faces", "one.png/faces: not a folder or zip"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one.png").write_bytes(b"a photograph")
    made = inspect(tmp_path / name)
    assert made.exit_code == 2
    assert said in made.output


def test_the_picture_is_named_as_what_it_is(photos, tmp_path):
    made = inspect(photos, "-o", tmp_path / "colors.png")
    assert (made.exit_code, (tmp_path / "colors.png").exists()) == (2, False)
    assert "colors.png: the picture is an SVG; name a file that ends in .svg" in made.output
