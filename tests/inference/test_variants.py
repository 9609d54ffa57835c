"""Several colourings of one photograph: which files, which colours, and the pictures about them."""

import threading

import numpy as np
import pytest
import pyvips

from photochrom.core import color
from photochrom.imaging.photo import Provenance, open_photo
from photochrom.inference import batch as album
from photochrom.inference import contact_sheet as sheet
from photochrom.inference.batch import EXTRAS, BatchOptions, colorize_batch, plan
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.hints import build_hints, hint_ab
from photochrom.inference.options import ColorOptions, Hint

MARK = Provenance("stochastic", "0", 0)


@pytest.fixture(scope="module")
def colorizer(stochastic_bundle):
    return Colorizer(stochastic_bundle, threads=1)


def pixels(path):
    return pyvips.Image.new_from_file(str(path)).numpy()


def read(content):
    return pyvips.Image.new_from_buffer(content, "")


def test_each_variant_is_the_picture_of_its_seed(photos, colorizer):
    (outcome,) = colorize_batch(colorizer, plan([photos / "one.png"], None, range(7, 17)), BatchOptions())
    assert outcome.status == "written"
    names = [path.name for path in outcome.task.files]
    assert names == [f"one-color-{seed}.png" for seed in range(7, 17)]
    alone = colorizer((photos / "one.png").read_bytes(), seed=16)
    assert (read(alone).numpy() == pixels(photos / "one-color-16.png")).all()
    assert (pixels(photos / "one-color-16.png") != pixels(photos / "one-color-15.png")).any()


def test_pictures_about_variants_are_written_and_marked(photos, colorizer):
    tasks = plan([photos], None, range(4), EXTRAS)
    outcomes = {o.task.source.name: o for o in colorize_batch(colorizer, tasks, BatchOptions())}
    assert {name: o.status for name, o in outcomes.items()} == dict.fromkeys(outcomes, "written") | {
        "bad.jpg": "failed"
    }
    folder = photos.parent / "album-color"
    for kind in EXTRAS:
        assert open_photo(folder / f"two-0-3-{kind}.jpg").is_colorized
    assert {o.status for o in colorize_batch(colorizer, tasks, BatchOptions())} == {"skipped", "failed"}


def test_what_is_missing_is_made_and_the_rest_is_left(photos, colorizer, monkeypatch):
    tasks = plan([photos / "one.png"], None, range(2))
    list(colorize_batch(colorizer, tasks, BatchOptions()))
    kept, lost = photos / "one-color-0.png", photos / "one-color-1.png"
    before, again = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    seen = []
    monkeypatch.setattr(colorizer, "predict", watched(colorizer.predict, seen))
    (outcome,) = colorize_batch(colorizer, tasks, BatchOptions())
    assert (outcome.status, outcome.files, seen) == ("written", (lost,), [[1]])
    assert (kept.stat().st_mtime_ns, lost.read_bytes()) == (before, again)


def watched(predict, seen):
    """`Colorizer.predict` that notes the seeds it is asked for."""

    def noting(grays, seeds, hints):
        seen.append(list(seeds))
        return predict(grays, seeds, hints)

    return noting


def test_pictures_of_other_seeds_are_others(photos, colorizer):
    names = set()
    for seeds in (range(2), range(5, 7), (5,)):
        (outcome,) = colorize_batch(colorizer, plan([photos / "one.png"], None, seeds, ("trace",)), BatchOptions())
        names |= {path.name for path in outcome.files if path.suffix == ".jpg"}
    assert names == {"one-color-0-1-trace.jpg", "one-color-5-6-trace.jpg", "one-color-5-trace.jpg"}


def test_stopped_among_variants_what_is_done_is_kept(photos, colorizer, monkeypatch):
    stop, seen = threading.Event(), []

    def predict(grays, seeds, hints, whole=colorizer.predict):
        stop.set()
        return watched(whole, seen)(grays, seeds, hints)

    monkeypatch.setattr(colorizer, "predict", predict)
    tasks = plan([photos / "one.png"], None, range(20), ("sheet",))
    assert list(album._process(colorizer, tasks, BatchOptions(), stop)) == []
    assert seen == [list(range(8))]
    assert len(list(photos.glob("one-color-*.png"))) == 8


def test_one_variant_that_fails_loses_no_other(photos, colorizer, monkeypatch):
    def predict(grays, seeds, hints, whole=colorizer.predict):
        if 1 in seeds:
            raise MemoryError("no memory")
        return whole(grays, seeds, hints)

    monkeypatch.setattr(colorizer, "predict", predict)
    (outcome,) = colorize_batch(colorizer, plan([photos / "one.png"], None, range(3), ("sheet",)), BatchOptions())
    assert outcome.status == "failed"
    assert [path.name for path in outcome.files] == ["one-color-0.png", "one-color-2.png"]


def test_variants_never_become_an_original(photos):
    (photos / "one-7.png").write_bytes((photos / "one.png").read_bytes())
    with pytest.raises(ValueError, match="is an original"):
        plan([photos / "one.png", photos / "one-7.png"], photos, range(7, 9))


def test_hints_go_through_the_sampler(photos, colorizer):
    path = photos / "one.png"
    hint = Hint.parse("20,10,#c03020")
    (outcome,) = colorize_batch(colorizer, plan([path]), BatchOptions(ColorOptions(hints=(hint,))))
    assert outcome.status == "written"
    lab = color.rgb_to_lab((pixels(photos / "one-color.png").transpose(2, 0, 1) / 255).astype(np.float32))
    found, wanted = lab[1:, 10, 20], hint_ab(hint) * color.AB_SCALE
    assert np.arctan2(*found[::-1]) == pytest.approx(np.arctan2(*wanted[::-1]), abs=0.1)  # its chroma is the gamut's
    same = read(colorizer(path.read_bytes(), hints=["20,10,#c03020"])).numpy()
    assert (same == pixels(photos / "one-color.png")).all()


def test_a_hint_changes_what_the_network_goes_on_from(photos, colorizer):
    """More than what is put on top of the finished picture."""
    photo = open_photo(photos / "one.png")
    gray = colorizer.prepare(photo).gray
    hints = build_hints(photo, gray, [Hint.parse("20,10,#c03020")])
    (through,), (plain,) = colorizer.predict([gray], 3, hints), colorizer.predict([gray], 3)
    assert np.abs(through - hints.at(*plain.shape[1:]).blend(plain[None])[0]).max() > 1e-3
    row, column = 10 * gray.shape[1] // photo.height, 20 * gray.shape[2] // photo.width
    np.testing.assert_allclose(through[:, row, column], hint_ab(Hint.parse("0,0,#c03020")), atol=1e-5)


def test_sampling_is_told_how(stochastic_bundle, bundle):
    assert Colorizer(stochastic_bundle, steps=5, solver="ancestral").procedure.steps == 5
    with pytest.raises(ValueError, match="schedule has 1000"):
        Colorizer(stochastic_bundle, steps=1001)
    with pytest.raises(ValueError, match="two-colors: steps: not supported, because this model has no sampler options"):
        Colorizer(bundle, steps=5)
    with pytest.raises(
        ValueError, match="stochastic: pace: not supported by this model; supported options: steps, solver, eta"
    ):
        Colorizer(stochastic_bundle, pace=5)
    with pytest.raises(ValueError, match="prediction: not supported by this model"):
        Colorizer(stochastic_bundle, prediction="noise")  # which this network was not taught


def test_a_trace_goes_from_noise_to_the_answer(photos, colorizer):
    gray = colorizer.prepare(open_photo(photos / "one.png")).gray
    path = colorizer.trajectory(gray, 5)
    assert len(path) == 4
    assert path[0].std() == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(path[-1], colorizer.predict([gray], 5)[0], atol=1e-6)


def test_disagreement_is_the_distance_from_the_mean():
    ab = np.zeros((2, 2, 4, 4), np.float32)
    ab[0, 0, 1, 2], ab[1, 0, 1, 2] = 30 / color.AB_SCALE, -30 / color.AB_SCALE
    found = sheet.disagreement(list(ab))
    assert found[1, 2] == pytest.approx(30)
    assert np.delete(found.ravel(), 6).max() == 0


def test_the_map_is_black_where_all_agree_and_bright_where_not():
    gray = np.zeros((1, 64, 64), np.float32)
    ab = np.zeros((2, 2, 16, 16), np.float32)
    ab[:, 1, :, :8] = np.array([1, -1])[:, None, None] * 0.5
    drawn = read(sheet.uncertainty(gray, list(ab), MARK)).numpy()
    assert drawn.shape == (64, 64, 3)
    assert drawn[:, 48:].max() < 10
    assert drawn[:, :16].min() > 245


def test_a_sheet_shows_the_gray_first_and_a_strip_all_that_fits():
    gray = np.zeros((1, 30, 40), np.float32)
    red = np.full((2, 8, 10), 0.4, np.float32)
    drawn = read(sheet.variants(gray, [red] * 3, MARK)).numpy().astype(int)
    assert drawn.shape == (30 * 2 + sheet.GAP, 40 * 2 + sheet.GAP, 3)
    assert np.ptp(drawn[10, 10]) < 5 < np.ptp(drawn[10, 60])
    assert read(sheet.trace(gray, [red] * 100, MARK)).width == sheet.MAX_STEPS * 44 - sheet.GAP


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(("width", "height"), [(640, 400), (1600, 200), (60, 40)])
def test_a_preview_is_upright_and_within_the_size(tmp_path, orientation, width, height):
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    image = pyvips.Image.new_from_array(np.tile(ramp, (height, 1))).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.write_to_file(str(tmp_path / "photo.jpg"))
    photo = open_photo(tmp_path / "photo.jpg")
    shown = read(sheet.preview(photo, 160))
    scale = min(1, 160 / max(width, height))
    assert (shown.width, shown.height) == (round(photo.width * scale), round(photo.height * scale))
    assert shown.bands == 3
    expected = photo.resize(min(photo.width, photo.height), 1).mean() * 255
    assert shown.numpy().mean() == pytest.approx(expected, abs=2)
    corner = shown.numpy()[0, 0].mean()
    assert (corner < 40) == (orientation in (1, 6))


def test_a_preview_has_eight_bits_and_no_alpha(tmp_path):
    pixels_rgba = np.full((40, 60, 4), 30000, np.uint16)
    pyvips.Image.new_from_array(pixels_rgba, interpretation="rgb16").write_to_file(str(tmp_path / "deep.png"))
    shown = read(sheet.preview(open_photo(tmp_path / "deep.png"), 50))
    assert (shown.width, shown.height, shown.bands, shown.format) == (50, 33, 3, "uchar")
    assert shown.numpy().mean() == pytest.approx(30000 / 257, abs=2)
