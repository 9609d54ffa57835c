"""Films among the photos of `photochrom colorize`."""

import json

import av
import numpy as np
import pytest
import pyvips
from typer.testing import CliRunner

from films import scene, write
from photochrom.cli import console
from photochrom.cli.main import app


def colorize(*arguments, model):
    return CliRunner().invoke(app, ["colorize", *map(str, arguments), "--model", str(model)])


def photo(path):
    pyvips.Image.new_from_array(np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)).write_to_file(str(path))


@pytest.fixture
def shoebox(tmp_path):
    folder = tmp_path / "shoebox"
    (folder / "1931").mkdir(parents=True)
    write(folder / "1931/wedding.mp4", scene(1))
    write(folder / "harbour.AVI", scene(2), "mpeg4")
    photo(folder / "portrait.png")
    (folder / "torn.mkv").write_bytes(b"no film")
    return folder


def test_a_folder_mixes_photos_and_films(bundle, shoebox, tmp_path):
    result = colorize(shoebox, model=bundle)
    outputs = tmp_path / "shoebox-color"
    assert result.exit_code == 1
    assert "torn.mkv: cannot be read" in result.stderr
    assert "1 of 4 photos and films failed" in result.stderr
    made = {str(path.relative_to(outputs)) for path in outputs.rglob("*") if path.is_file()}
    assert made == {"1931/wedding.mp4", "harbour.AVI", "portrait.png"}
    again = colorize(shoebox, model=bundle)
    assert "3 photos skipped: output already exists" in again.stderr


def test_what_would_be_written_is_printed(bundle, shoebox):
    result = colorize(shoebox, "--dry-run", model=bundle)
    assert "wedding.mp4" in result.stdout
    assert not (shoebox.parent / "shoebox-color").exists()


def test_a_line_of_json_about_a_film(bundle, tmp_path):
    source = write(tmp_path / "one.mp4", scene(1))
    result = colorize(source, "--json", "--crf", "30", model=bundle)
    line = json.loads(result.stdout)
    assert line["outputs"] == [str(tmp_path / "one-color.mp4")]
    assert line["status"] == "written"
    assert any("its luma differs" in note for note in line["notes"])


def test_the_container_is_that_of_the_output(bundle, tmp_path):
    source = write(tmp_path / "one.avi", scene(1), "mpeg4")
    assert colorize(source, "-o", tmp_path / "two.mkv", "--preview", "0.2", model=bundle).exit_code == 0
    with av.open(str(tmp_path / "two-preview.mkv")) as film:
        assert "matroska" in film.format.name
        assert len(list(film.decode(video=0))) == 5
    result = colorize(source, "-o", tmp_path / "two.jpg", model=bundle)
    assert (result.exit_code, "two.jpg: is no film; choose one of" in result.stderr) == (2, True)


def test_a_preview_shows_a_frame_of_each_shot(bundle, tmp_path):
    source = write(tmp_path / "one.mp4", [*scene(1), *scene(2), *scene(3, 20)])
    result = colorize(source, "--preview", "shots", model=bundle)
    assert result.stdout.splitlines() == [str(tmp_path / "one-color-shots.jpg")]
    sheet = pyvips.Image.new_from_file(result.stdout.strip())
    assert sheet.get_typeof("xmp-data")
    assert sheet.width * sheet.height > 3 * 32 * 64
    assert not (tmp_path / "one-color.mp4").exists()
    assert "already exists" in colorize(source, "--preview", "shots", model=bundle).stderr
    assert colorize(source, "--preview", "shots", "--overwrite", model=bundle).exit_code == 0
    photo(tmp_path / "one-color-shots.jpg")
    before = (tmp_path / "one-color-shots.jpg").read_bytes()
    assert colorize(source, "--preview", "shots", "--overwrite", model=bundle).exit_code == 1
    assert (tmp_path / "one-color-shots.jpg").read_bytes() == before  # it is of somebody else
    wrong = colorize(source, "--preview", "x", model=bundle)
    assert (wrong.exit_code, "--preview x: give a number of seconds, or shots" in wrong.stderr) == (2, True)


def test_an_animated_gif_stays_animated_unless_a_page_is_named(bundle, tmp_path):
    pages = [pyvips.Image.new_from_array(frame) for frame in scene(1, 4, 64, 48)]
    animation = pyvips.Image.arrayjoin(pages, across=1).copy()
    animation.set_type(pyvips.GValue.gint_type, "page-height", 48)
    animation.write_to_file(str(tmp_path / "one.gif"))
    assert colorize(tmp_path / "one.gif", "-o", tmp_path / "all.gif", model=bundle).exit_code == 0
    assert pyvips.Image.new_from_file(str(tmp_path / "all.gif")).get("n-pages") == 4
    assert colorize(tmp_path / "one.gif", "--page", 2, model=bundle).exit_code == 0
    assert not (tmp_path / "one-color.gif").exists()
    assert colorize(tmp_path / "one.gif", "-o", tmp_path / "one.png", model=bundle).exit_code == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--hint", "1,2,#ff0000"), "begins with the number of a frame"),
        (("--hint", "9,1,2,#ff0000"), "is after the last frame, 1"),
        (("--hint", "x,1,2,#ff0000"), "write it as frame,x,y"),
        (("--uncertainty",), "uncertainty"),
        (("--crf", "70"), "crf"),
        (("--page", "2"), "is a video"),
    ],
)
def test_what_films_do_not_have_is_refused(bundle, tmp_path, options, reason):
    result = colorize(write(tmp_path / "one.mp4", scene(1, 2)), *options, model=bundle)
    assert result.exit_code != 0
    assert reason in result.stderr
    assert not (tmp_path / "one-color.mp4").exists()


def test_without_the_extra_films_ask_for_it(bundle, shoebox, monkeypatch):
    monkeypatch.setitem(console.EXTRAS, "video", ("no_such_module",))
    result = colorize(shoebox / "1931/wedding.mp4", model=bundle)
    assert result.exit_code == 2
    assert "pip install" in result.stderr
    assert "[video]" in result.stderr
    result = colorize(shoebox, model=bundle)
    assert result.exit_code == 0
    assert "passed over: " in result.stderr
    assert "1 .mp4 file" in result.stderr
