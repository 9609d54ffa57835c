"""`photochrom inspect`: output, files, refused calls."""

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


def test_values_are_printed_and_written(photos, tmp_path):
    result = inspect(photos, "-o", tmp_path / "colors.svg", "--json", tmp_path / "colors.json")
    assert result.exit_code == 0
    assert "photos: 6" in result.output
    assert "start from a trained model (--init)" in result.output
    values = json.loads((tmp_path / "colors.json").read_text())
    assert values["color bins"]["used"] == 2
    assert values["kinds"]["warm"] == pytest.approx(0.5)
    assert [share for *_, share in values["shares of color bins (a, b, share)"]] == pytest.approx([0.5, 0.5])
    assert sum(values["shares by distance from gray"]) == pytest.approx(1)
    assert (tmp_path / "colors.svg").read_text().startswith("<svg")


def test_a_photo_that_occurs_twice_counts_once(photos):
    (photos / "again.png").write_bytes((photos / "0.png").read_bytes())
    assert "photos: 6" in inspect(photos, photos).output


def test_outputs_of_photochrom_are_named_and_left_out(photos):
    (photos / "copy.png").write_bytes(Colorizer()((photos / "0.png").read_bytes()))
    result = inspect(photos)
    assert result.exit_code == 1
    assert "photos: 6" in result.output
    assert "copy.png: left out, like in training: colorized by Photochrom, so no ground truth" in result.output


def test_a_set_without_readable_photos_is_refused(tmp_path):
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    result = inspect(tmp_path)
    assert result.exit_code == 1
    assert "damaged.png" in result.output


def test_shares_are_percentages_and_counts_are_not(photos):
    printed = inspect(photos).output
    assert "near-gray photos: 0.0%" in printed
    assert "effective 2.0" in printed


def test_two_files_have_two_names(photos, tmp_path):
    result = inspect(photos, "-o", tmp_path / "x.svg", "--json", tmp_path / "x.svg")
    assert result.exit_code == 2
    assert "two outputs have the same path" in result.output


def test_files_are_not_overwritten_unless_requested(photos, tmp_path):
    (tmp_path / "colors.svg").write_text("mine")
    assert inspect(photos, "-o", tmp_path / "colors.svg").exit_code == 2
    assert (tmp_path / "colors.svg").read_text() == "mine"
    assert inspect(photos, "-o", tmp_path / "colors.svg", "--overwrite").exit_code == 0


def test_what_is_passed_over_is_counted(photos):
    (photos / "notes.txt").write_text("not a photo")
    (photos / "7").write_bytes((photos / "0.png").read_bytes()[:60])
    result = inspect(photos)
    assert "passed over: 1 .txt file\n" in result.output
    assert "photos/7: " in result.output


def test_a_damaged_photo_is_named_and_the_others_are_counted(photos):
    (photos / "damaged.png").write_bytes((photos / "0.png").read_bytes()[:60])
    result = inspect(photos)
    assert result.exit_code == 1
    assert "photos: 6" in result.output
    assert "damaged.png" in result.output
    assert "1 photo was left out" in result.output


def test_a_folder_in_a_zip_is_read_alone(photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        for path in photos.iterdir():
            file.write(path, f"{'red' if int(path.stem) % 2 == 0 else 'blue'}/{path.name}")
    assert "photos: 3" in inspect(tmp_path / "all.zip" / "red").output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "none: there is no such folder or zip"),
        ("empty", "no photos in"),
        ("one.png", "one.png: not a folder or zip; name a folder or a zip of photos"),
        ("one.png/faces", "one.png/faces: not a folder or zip"),
    ],
)
def test_a_missing_source_is_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one.png").write_bytes(b"a photo")
    result = inspect(tmp_path / name)
    assert result.exit_code == 2
    assert message in result.output


def test_a_chart_needs_the_suffix_svg(photos, tmp_path):
    result = inspect(photos, "-o", tmp_path / "colors.png")
    assert (result.exit_code, (tmp_path / "colors.png").exists()) == (2, False)
    assert "colors.png: the chart is an SVG file; name a file that ends in .svg" in result.output
