"""Many photographs: where copies go, what is skipped, and what one failure does to the others."""

import threading
from pathlib import Path

import pytest

from photochrom.inference import batch as album
from photochrom.inference.batch import BatchOptions, colorize_batch, plan
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.options import ColorOptions


def states(outcomes):
    return {outcome.task.source.name: outcome.status for outcome in outcomes}


@pytest.fixture(scope="module")
def colorizer(bundle):
    return Colorizer(bundle, threads=1)


def test_copies_go_beside_files_and_into_folders_beside_folders(photos):
    assert [t.target for t in plan([photos / "one.png"])] == [photos / "one-color.png"]
    targets = {t.target.relative_to(photos.parent) for t in plan([photos])}
    assert targets == {Path("album-color") / name for name in ("one.png", "two.jpg", "bad.jpg", "deeper/three.tif")}


def test_the_folder_one_stands_in_has_a_name(photos, monkeypatch):
    monkeypatch.chdir(photos)
    for here in (Path(), Path("deeper/..")):
        assert photos.parent / "album-color" / "one.png" in [t.target for t in plan([here])]


def test_out_names_a_folder_or_one_file(photos, tmp_path):
    out = tmp_path / "out"
    assert [t.target for t in plan([photos / "one.png"], out)] == [out / "one.png"]
    assert [t.target for t in plan([photos / "one.png"], out / "new.tif")] == [out / "new.tif"]
    assert out / "deeper/three.tif" in [t.target for t in plan([photos], out)]


def test_a_copy_is_never_an_original(photos):
    with pytest.raises(ValueError, match="is an original"):
        plan([photos], photos)
    with pytest.raises(ValueError, match="is an original"):
        plan([photos / "one.png"], photos / "one.png")


def test_two_copies_are_never_one_file(photos, tmp_path):
    (photos / "deeper/one.png").write_bytes((photos / "one.png").read_bytes())
    with pytest.raises(ValueError, match="would both become"):
        plan([photos / "one.png", photos / "deeper/one.png"], tmp_path / "out")


def test_copies_inside_the_folder_are_not_coloured_again(photos, colorizer):
    out = photos / "out"
    list(colorize_batch(colorizer, plan([photos], out), BatchOptions()))
    assert not [t for t in plan([photos], out) if out in t.source.parents]


def test_what_is_only_read_gets_another_ending():
    assert plan([Path("a/x.HEIC")])[0].target == Path("a/x-color.HEIC.jpg")
    assert [t.target for t in plan([Path("a/x.heic"), Path("a/x.jpg")])] == [
        Path("a/x-color.heic.jpg"), Path("a/x-color.jpg"),
    ]  # fmt: skip
    assert plan([Path("a/x.jp2")], Path("out"))[0].target == Path("out/x.jp2.tif")


def test_what_is_named_twice_is_coloured_once(photos):
    one = photos / "one.png"
    assert len(plan([one, one, photos / "deeper/../one.png"])) == 1
    assert len(plan([photos, photos], photos.parent / "out")) == 4


def test_a_glob_can_be_run_again(photos, colorizer):
    list(colorize_batch(colorizer, plan([photos / "one.png"]), BatchOptions()))
    tasks = plan(sorted(photos.glob("*.png")))
    assert [t.source.name for t in tasks] == ["one.png"]
    assert states(colorize_batch(colorizer, tasks, BatchOptions())) == {"one.png": "skipped"}


def test_copies_found_in_a_folder_are_left_alone(photos, colorizer):
    list(colorize_batch(colorizer, plan([photos / "one.png"]), BatchOptions()))
    outcomes = colorize_batch(colorizer, plan([photos]), BatchOptions())
    assert {o.task.source.name: o.reason for o in outcomes if o.status == "skipped"} == {
        "one-color.png": "already colorized by Photochrom"
    }


def test_outcomes_come_one_by_one(photos, colorizer, monkeypatch):
    """The second of a batch is written only after the first has been heard of."""
    heard, write = threading.Semaphore(1), album._write_output

    def waiting(*arguments):
        assert heard.acquire(timeout=10)
        return write(*arguments)

    monkeypatch.setattr(album, "_write_output", waiting)
    outcomes = colorize_batch(colorizer, [t for t in plan([photos]) if t.source.name != "bad.jpg"], BatchOptions())
    for outcome in outcomes:
        assert outcome.status == "written"
        heard.release()


def test_a_model_that_fails_on_one_photograph_fails_on_that_alone(photos, colorizer, monkeypatch):
    predict = Colorizer.predict

    def choosy(self, grays, seeds, hints):
        if any(gray.mean() > 0.3 for gray in grays):
            raise MemoryError("too much")
        return predict(self, grays, seeds, hints)

    monkeypatch.setattr(Colorizer, "predict", choosy)
    found = states(colorize_batch(colorizer, plan([photos]), BatchOptions()))
    assert found == {"one.png": "written", "two.jpg": "written", "three.tif": "failed", "bad.jpg": "failed"}


def test_a_folder_that_cannot_be_made_is_named(photos, colorizer):
    (photos / "file").write_text("in the way")
    outcomes = list(colorize_batch(colorizer, plan([photos / "one.png"], photos / "file" / "out"), BatchOptions()))
    assert "cannot be written (Not a directory)" in outcomes[0].reason


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_damaged_photograph_does_not_stop_the_rest(photos, colorizer, jobs):
    tasks = plan([photos])
    outcomes = list(colorize_batch(colorizer, tasks, BatchOptions(), jobs))
    assert states(outcomes) == {"one.png": "written", "two.jpg": "written", "three.tif": "written", "bad.jpg": "failed"}
    assert "bad.jpg" in next(o.reason for o in outcomes if o.status == "failed")
    written = sorted(p.name for p in (photos.parent / "album-color").rglob("*") if p.is_file())
    assert written == ["one.png", "three.tif", "two.jpg"]


def test_a_picture_of_a_kind_that_is_not_read_is_named(photos, colorizer):
    (photos / "page.GIF").write_bytes(b"GIF89a")
    (photos / "notes.txt").write_bytes(b"text")
    outcomes = list(colorize_batch(colorizer, plan([photos]), BatchOptions()))
    (failed,) = [outcome.reason for outcome in outcomes if outcome.task.source.suffix == ".GIF"]
    assert len(outcomes) == 5
    assert failed.startswith(f"{photos / 'page.GIF'}: is not a supported image; supported: JPEG")


def test_a_second_run_skips_what_is_there_and_overwrite_does_not(photos, colorizer):
    tasks = [t for t in plan([photos]) if t.source.name != "bad.jpg"]
    first = states(colorize_batch(colorizer, tasks, BatchOptions()))
    assert set(first.values()) == {"written"}
    before = tasks[0].target.read_bytes()
    assert set(states(colorize_batch(colorizer, tasks, BatchOptions(ColorOptions(saturation=0.0)))).values()) == {
        "skipped"
    }
    assert tasks[0].target.read_bytes() == before
    assert set(
        states(colorize_batch(colorizer, tasks, BatchOptions(ColorOptions(saturation=0.0), overwrite=True))).values()
    ) == {"written"}
    assert tasks[0].target.read_bytes() != before


def test_closing_stops_and_leaves_whole_files_only(photos, colorizer):
    for i in range(40):
        (photos / f"more{i}.png").write_bytes((photos / "one.png").read_bytes())
    outcomes = colorize_batch(colorizer, plan([photos]), BatchOptions())
    while next(outcomes).status != "written":
        pass
    outcomes.close()
    out = photos.parent / "album-color"
    found = [p for p in out.rglob("*") if p.is_file()]
    assert 0 < len(found) < 40
    assert not [p for p in found if p.name.startswith(".")]


def test_the_limit_on_pixels_is_passed_on(photos, colorizer):
    outcomes = list(colorize_batch(colorizer, plan([photos / "one.png"]), BatchOptions(max_pixels=100)))
    assert "limit of 100" in outcomes[0].reason
