"""Many photos: where outputs go, what is skipped, and what one failure does to the others."""

import os
import threading
from pathlib import Path

import pytest
import pyvips

from photochrom.inference import processing
from photochrom.inference.batch import colorize_batch, colorize_many
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.options import ColorOptions
from photochrom.inference.plan import Task, check_targets, plan
from photochrom.inference.processing import BatchOptions, SkipReason, preview


def statuses(outcomes):
    return {outcome.task.source.name: outcome.status for outcome in outcomes}


@pytest.fixture(scope="module")
def colorizer(bundle):
    return Colorizer(bundle, threads=1)


def test_outputs_go_beside_files_and_into_folders_beside_folders(photos):
    assert [t.target for t in plan([photos / "one.png"])] == [photos / "one-color.png"]
    targets = {t.target.relative_to(photos.parent) for t in plan([photos])}
    assert targets == {Path("album-color") / name for name in ("one.png", "two.jpg", "bad.jpg", "deeper/three.tif")}


def test_the_current_folder_has_a_name(photos, monkeypatch):
    monkeypatch.chdir(photos)
    for here in (Path(), Path("deeper/..")):
        assert photos.parent / "album-color" / "one.png" in [t.target for t in plan([here])]


def test_out_names_a_folder_or_one_file(photos, tmp_path):
    out = tmp_path / "out"
    assert [t.target for t in plan([photos / "one.png"], out)] == [out / "one.png"]
    assert [t.target for t in plan([photos / "one.png"], out / "new.tif")] == [out / "new.tif"]
    assert out / "deeper/three.tif" in [t.target for t in plan([photos], out)]


def test_an_output_is_never_an_original(photos):
    with pytest.raises(ValueError, match="is an original"):
        plan([photos], photos)
    with pytest.raises(ValueError, match="is an original"):
        plan([photos / "one.png"], photos / "one.png")


def targets(sources, out, **options):
    """Where each photo goes, both below the folder that the output folder is in."""
    base = out.parent
    return {
        task.source.relative_to(base).as_posix(): task.target.relative_to(out).as_posix()
        for task in plan(sources, out, **options)
    }


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_same_names_in_several_folders_are_kept_apart(tmp_path):
    touch(tmp_path, "a/x.jpg", "a/deep/y.jpg", "b/x.jpg", "c/z.jpg", "1/a/x.jpg")
    a, b, c, out = (tmp_path / name for name in ("a", "b", "c", "out"))
    assert targets([a, c], out) == {"a/x.jpg": "x.jpg", "a/deep/y.jpg": "deep/y.jpg", "c/z.jpg": "z.jpg"}
    assert targets([a, b, c / "z.jpg"], out) == {
        name: name for name in ("a/x.jpg", "a/deep/y.jpg", "b/x.jpg", "c/z.jpg")
    }
    assert targets([a / "x.jpg", b / "x.jpg"], out) == {name: name for name in ("a/x.jpg", "b/x.jpg")}
    assert targets([a / "x.jpg", tmp_path / "1/a"], out) == {name: name for name in ("a/x.jpg", "1/a/x.jpg")}
    assert targets([a, a / "x.jpg"], out) == {"a/x.jpg": "x.jpg", "a/deep/y.jpg": "deep/y.jpg"}


def test_two_outputs_are_never_one_file(tmp_path):
    names = {
        **{"a/x.heic": "x.heic-3.jpg", "a/x.jpg": "x.jpg", "a/x.heic.jpg": "x.heic.jpg"},
        **{"a/x.heic-2.jpg": "x.heic-2.jpg", "a/y.heic": "y.heic.jpg", "a/y.jpg": "y.jpg"},
    }
    touch(tmp_path, *names)
    assert targets([tmp_path / "a"], tmp_path / "out") == names
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "scan").write_bytes(b"\xff\xd8\xff")
    touch(tmp_path, "b/scan.jpg")
    assert targets([tmp_path / "b"], tmp_path / "out") == {"b/scan": "scan-2.jpg", "b/scan.jpg": "scan.jpg"}
    with pytest.raises(ValueError, match="would both become"):
        check_targets({name: Task(name, "out/x.jpg") for name in ("a/x.jpg", "b/x.jpg")})


@pytest.mark.parametrize("named_first", [False, True])
def test_a_named_photo_is_not_a_searched_one(tmp_path, named_first):
    touch(tmp_path, "a/x.jpg", "a/y.jpg")
    sources = [tmp_path / "a/x.jpg", tmp_path / "a"]
    tasks = plan(sources if named_first else sources[::-1])
    assert {task.target: task.searched for task in tasks} == {
        tmp_path / "a/x-color.jpg": False,
        tmp_path / "a-color/y.jpg": True,
    }


def test_outputs_inside_the_folder_are_not_colorized_again(photos, colorizer):
    out = photos / "out"
    list(colorize_batch(colorizer, plan([photos], out), BatchOptions()))
    assert not [t for t in plan([photos], out) if out in t.source.parents]


def test_outputs_have_the_suffix_of_a_format_that_can_be_written():
    assert plan([Path("a/x.HEIC")])[0].target == Path("a/x-color.jpg")
    assert plan([Path("a/x.jfif")])[0].target == Path("a/x-color.jfif")
    assert plan([Path("a/x.jp2")], Path("out"))[0].target == Path("out/x.tif")
    # Unless that is the name of another output.
    assert [t.target for t in plan([Path("a/x.heic"), Path("a/x.jpg")])] == [
        Path("a/x-color.heic.jpg"), Path("a/x-color.jpg"),
    ]  # fmt: skip
    both = [Path("a/x.heic"), Path("a/x.HEIF")]
    assert [t.target.name for t in plan(both, Path("out"))] == ["x.heic.jpg", "x.HEIF.jpg"]


def test_outputs_of_photos_without_a_suffix_get_one_by_content(photos):
    for name in ("1931", "st. louis"):
        (photos / name).write_bytes((photos / "one.png").read_bytes())
    assert plan([photos / "1931"])[0].target == photos / "1931-color.png"
    names = {t.source.name: t.target.name for t in plan([photos])}
    assert (names["1931"], names["st. louis"]) == ("1931.png", "st. louis.png")


def test_all_outputs_may_have_one_format(photos):
    (photos / "two.png").write_bytes((photos / "one.png").read_bytes())
    targets = {t.target.name for t in plan([photos], suffix=".png")}
    assert targets == {"one.png", "two.jpg.png", "two.png", "bad.png", "three.png"}
    with pytest.raises(ValueError, match="not of the format png"):
        plan([photos / "one.png"], photos / "new.jpg", suffix=".png")


def test_pipes_are_refused_by_name(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: is no file or folder; to pipe a photo in, name it -"):
        plan([tmp_path / "pipe"])


def test_a_photo_named_twice_is_colorized_once(photos):
    one = photos / "one.png"
    assert len(plan([one, one, photos / "deeper/../one.png"])) == 1
    assert len(plan([photos, photos], photos.parent / "out")) == 4


def test_a_glob_can_be_run_again(photos, colorizer):
    list(colorize_batch(colorizer, plan([photos / "one.png"]), BatchOptions()))
    tasks = plan(sorted(photos.glob("*.png")))
    assert [t.source.name for t in tasks] == ["one.png"]
    assert statuses(colorize_batch(colorizer, tasks, BatchOptions())) == {"one.png": "skipped"}


def test_outputs_in_a_searched_folder_are_skipped(photos, colorizer):
    list(colorize_batch(colorizer, plan([photos / "one.png"]), BatchOptions()))
    outcomes = colorize_batch(colorizer, plan([photos]), BatchOptions())
    assert {o.task.source.name: o.reason for o in outcomes if o.status == "skipped"} == {
        "one-color.png": "already colorized by Photochrom"
    }


def test_outcomes_come_one_by_one(photos, colorizer, monkeypatch):
    """The second photo of a batch is written only after the outcome of the first has arrived."""
    received, write = threading.Semaphore(1), processing._Job.write

    def wait_and_write(*arguments):
        assert received.acquire(timeout=10)
        return write(*arguments)

    monkeypatch.setattr(processing._Job, "write", wait_and_write)
    outcomes = colorize_batch(colorizer, [t for t in plan([photos]) if t.source.name != "bad.jpg"], BatchOptions())
    for outcome in outcomes:
        assert outcome.status == "written"
        received.release()


def test_a_model_that_fails_on_one_photo_colorizes_the_others(photos, colorizer, monkeypatch):
    predict = Colorizer.predict

    def fail_on_bright(self, grays, seeds, hints):
        if any(gray.mean() > 0.3 for gray in grays):
            raise MemoryError("too much")
        return predict(self, grays, seeds, hints)

    monkeypatch.setattr(Colorizer, "predict", fail_on_bright)
    result = statuses(colorize_batch(colorizer, plan([photos]), BatchOptions()))
    assert result == {"one.png": "written", "two.jpg": "written", "three.tif": "failed", "bad.jpg": "failed"}


def test_a_folder_that_cannot_be_created_is_reported(photos, colorizer):
    (photos / "file").write_text("in the way")
    task = Task(photos / "one.png", photos / "file" / "out" / "one.png")
    (outcome,) = colorize_batch(colorizer, [task], BatchOptions())
    assert "cannot be written (Not a directory)" in outcome.reason


def test_a_photo_in_a_folder_that_may_not_be_searched_fails_alone(photos, colorizer, monkeypatch):
    (photos / "locked").mkdir()
    look, locked = os.stat, str(photos / "locked") + "/"

    def refuse(path, *arguments, **options):
        if str(path).startswith(locked):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refuse)
    tasks = plan([photos / "locked/a.png", photos / "one.png"])
    assert statuses(preview(colorizer, tasks, BatchOptions())) == {"a.png": "failed", "one.png": "written"}
    assert statuses(colorize_batch(colorizer, tasks, BatchOptions())) == {"a.png": "failed", "one.png": "written"}


@pytest.mark.parametrize("kind", ["a file", "a link to nothing"])
@pytest.mark.parametrize("out", ["it", "it/out", "it/out/deeper", "it/x.jpg", "album-color"])
def test_a_file_in_the_way_of_the_output_folder_is_refused_once(photos, out, kind):
    in_the_way = photos.parent / Path(out).parts[0]
    if kind == "a file":
        in_the_way.write_text("in the way")
    else:
        in_the_way.symlink_to("nowhere")
    source = photos / "one.png" if out.endswith(".jpg") else photos
    folder = in_the_way if out.endswith(".jpg") else photos.parent / out
    with pytest.raises(ValueError, match=f"{folder}: cannot be a folder, since {in_the_way} is {kind}; choose another"):
        plan([source], None if out == "album-color" else photos.parent / out)


def test_links_in_a_circle_fail_alone(photos, colorizer):
    (photos / "circle.png").symlink_to("circle.png")
    tasks = plan([photos / "circle.png", photos / "one.png"])
    assert statuses(colorize_batch(colorizer, tasks, BatchOptions())) == {"circle.png": "failed", "one.png": "written"}
    with pytest.raises(ValueError, match="is a link to nothing"):
        plan([photos / "one.png"], photos / "circle.png" / "out")


@pytest.mark.parametrize("place", ["source", "out", "out file", "folder"])
def test_a_plan_in_a_folder_that_may_not_be_searched_raises_no_system_error(photos, monkeypatch, place):
    locked = str(photos / "locked") + os.sep

    def refuse(function):
        def call(path, *arguments, **options):
            if str(path).startswith(locked):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *arguments, **options)

        return call

    (photos / "locked").mkdir()
    for name in ("stat", "lstat", "scandir", "listdir", "readlink"):
        monkeypatch.setattr(os, name, refuse(getattr(os, name)))
    sources = {"source": photos / "locked/a.png", "folder": photos / "locked/deeper"}
    outs = {"out": photos / "locked/out", "out file": photos / "locked/a.png"}
    assert plan([sources.get(place, photos / "one.png")], outs.get(place))


def test_a_folder_in_the_way_of_an_output_is_reported(photos, colorizer):
    (photos / "one-color.png").mkdir()
    tasks = plan([photos / "one.png"])
    for options in (BatchOptions(), BatchOptions(overwrite=True)):
        (outcome,) = colorize_batch(colorizer, tasks, options)
        assert outcome.status == "failed"
        assert outcome.reason.startswith(f"{photos / 'one-color.png'}: ")
    (outcome,) = preview(colorizer, tasks, BatchOptions())
    assert "is a folder; remove it, or choose another -o" in outcome.reason


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_damaged_photo_does_not_stop_the_others(photos, colorizer, jobs):
    tasks = plan([photos])
    outcomes = list(colorize_batch(colorizer, tasks, BatchOptions(), jobs))
    assert statuses(outcomes) == {
        "one.png": "written",
        "two.jpg": "written",
        "three.tif": "written",
        "bad.jpg": "failed",
    }
    assert "bad.jpg" in next(o.reason for o in outcomes if o.status == "failed")
    written = sorted(p.name for p in (photos.parent / "album-color").rglob("*") if p.is_file())
    assert written == ["one.png", "three.tif", "two.jpg"]


def test_an_unsupported_image_is_reported(photos, colorizer):
    (photos / "page.PSD").write_bytes(b"8BPS")
    (photos / "notes.txt").write_bytes(b"text")
    outcomes = list(colorize_batch(colorizer, plan([photos]), BatchOptions()))
    (failed,) = [outcome.reason for outcome in outcomes if outcome.task.source.suffix == ".PSD"]
    assert len(outcomes) == 5
    assert failed.startswith(f"{photos / 'page.PSD'}: is a Photoshop file (PSD), which is not supported")


def test_a_second_run_skips_existing_outputs_unless_overwriting(photos, colorizer):
    tasks = [t for t in plan([photos]) if t.source.name != "bad.jpg"]
    first = statuses(colorize_batch(colorizer, tasks, BatchOptions()))
    assert set(first.values()) == {"written"}
    before = tasks[0].target.read_bytes()
    assert set(statuses(colorize_batch(colorizer, tasks, BatchOptions(ColorOptions(saturation=0.0)))).values()) == {
        "skipped"
    }
    assert tasks[0].target.read_bytes() == before
    assert set(
        statuses(colorize_batch(colorizer, tasks, BatchOptions(ColorOptions(saturation=0.0), overwrite=True))).values()
    ) == {"written"}
    assert tasks[0].target.read_bytes() != before


def test_closing_stops_and_leaves_only_whole_files(photos, colorizer):
    for i in range(40):
        (photos / f"more{i}.png").write_bytes((photos / "one.png").read_bytes())
    outcomes = colorize_batch(colorizer, plan([photos]), BatchOptions())
    while next(outcomes).status != "written":
        pass
    outcomes.close()
    out = photos.parent / "album-color"
    written = [p for p in out.rglob("*") if p.is_file()]
    assert 0 < len(written) < 40
    assert not [p for p in written if p.name.startswith(".")]


def test_the_page_is_chosen_and_the_notes_are_of_the_photo(tmp_path, colorizer):
    pages = pyvips.Image.arrayjoin([pyvips.Image.black(40, 32) + 60, pyvips.Image.black(40, 32) + 200], across=1)
    pages.cast("uchar").tiffsave(str(tmp_path / "scan.tif"), page_height=32)
    for page, shade, notes in ((None, 60, ("1 more page was left out (--page)",)), (2, 200, ())):
        tasks = plan([tmp_path / "scan.tif"], tmp_path / f"{page}.png")
        (outcome,) = colorize_batch(colorizer, tasks, BatchOptions(page=page))
        assert (outcome.reason, outcome.notes) == ("", notes)
        assert abs(pyvips.Image.new_from_file(str(tmp_path / f"{page}.png")).avg() - shade) < 40
    (outcome,) = colorize_batch(colorizer, plan([tmp_path / "scan.tif"], tmp_path / "3.png"), BatchOptions(page=3))
    assert outcome.reason == f"{tmp_path / 'scan.tif'}: has no page 3, only 2 pages; choose another --page"
    (outcome,) = colorize_many(tmp_path / "scan.tif", colorizer, out=tmp_path / "4.png", page=2, jobs=1)
    assert abs(pyvips.Image.new_from_file(str(outcome.files[0])).avg() - 200) < 40
    result = colorizer((tmp_path / "scan.tif").read_bytes(), page=2)
    assert abs(pyvips.Image.new_from_buffer(result, "").avg() - 200) < 40


def test_another_page_is_another_option(tmp_path, colorizer):
    pages = pyvips.Image.black(40, 64) + 60
    pages.cast("uchar").tiffsave(str(tmp_path / "scan.tif"), page_height=32)
    tasks = plan([tmp_path / "scan.tif"])
    runs = [(None, ""), (None, SkipReason.EXISTS), (2, SkipReason.OTHER_OPTIONS)]
    for page, reason in runs:
        (outcome,) = colorize_batch(colorizer, tasks, BatchOptions(page=page))
        assert outcome.reason == reason
    for overwrite, reason in ((True, ""), (False, SkipReason.EXISTS)):
        (outcome,) = colorize_batch(colorizer, tasks, BatchOptions(page=2, overwrite=overwrite))
        assert outcome.reason == reason
    (outcome,) = colorize_batch(colorizer, tasks, BatchOptions())
    assert outcome.reason == SkipReason.OTHER_OPTIONS


def test_the_limit_on_pixels_applies(photos, colorizer):
    outcomes = list(colorize_batch(colorizer, plan([photos / "one.png"]), BatchOptions(max_pixels=100)))
    assert "limit of 100" in outcomes[0].reason
