"""Variants of one photo: which files, which colors, and the images about them."""

import threading

import numpy as np
import pytest
import pyvips

from photochrom.core import color
from photochrom.imaging.photo import Provenance, open_photo
from photochrom.inference import contact_sheet, processing
from photochrom.inference.batch import colorize_batch
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.hints import HintMaps, hint_ab
from photochrom.inference.options import ColorOptions, Hint
from photochrom.inference.plan import EXTRAS, plan
from photochrom.inference.processing import BatchOptions

PROVENANCE = Provenance("stochastic", "0", 0)


@pytest.fixture(scope="module")
def colorizer(stochastic_bundle):
    return Colorizer(stochastic_bundle, threads=1)


def pixels(path):
    return pyvips.Image.new_from_file(str(path)).numpy()


def read(content):
    return pyvips.Image.new_from_buffer(content, "")


def test_each_variant_has_the_colors_of_its_seed(photos, colorizer):
    (outcome,) = colorize_batch(colorizer, plan([photos / "one.png"], None, range(7, 17)), BatchOptions())
    assert outcome.status == "written"
    names = [path.name for path in outcome.task.files.values()]
    assert names == [f"one-color-{seed}.png" for seed in range(7, 17)]
    alone = colorizer((photos / "one.png").read_bytes(), seed=16)
    assert (read(alone).numpy() == pixels(photos / "one-color-16.png")).all()
    assert (pixels(photos / "one-color-16.png") != pixels(photos / "one-color-15.png")).any()


def test_images_about_variants_are_written_with_provenance(photos, colorizer):
    tasks = plan([photos], None, range(4), EXTRAS)
    outcomes = {o.task.source.name: o for o in colorize_batch(colorizer, tasks, BatchOptions())}
    assert {name: o.status for name, o in outcomes.items()} == dict.fromkeys(outcomes, "written") | {
        "bad.jpg": "failed"
    }
    folder = photos.parent / "album-color"
    for kind in EXTRAS:
        assert open_photo(folder / f"two-0-3-{kind}.jpg").is_colorized
    assert {o.status for o in colorize_batch(colorizer, tasks, BatchOptions())} == {"skipped", "failed"}


def test_only_missing_outputs_are_written(photos, colorizer, monkeypatch):
    tasks = plan([photos / "one.png"], None, range(2))
    list(colorize_batch(colorizer, tasks, BatchOptions()))
    existing, missing = photos / "one-color-0.png", photos / "one-color-1.png"
    before, again = existing.stat().st_mtime_ns, missing.read_bytes()
    missing.unlink()
    predicted_seeds = []
    monkeypatch.setattr(colorizer, "predict", recording(colorizer.predict, predicted_seeds))
    (outcome,) = colorize_batch(colorizer, tasks, BatchOptions())
    assert (outcome.status, outcome.files, predicted_seeds) == ("written", (missing,), [[1]])
    assert (existing.stat().st_mtime_ns, missing.read_bytes()) == (before, again)


def recording(predict, predicted_seeds):
    """`Colorizer.predict` that records the seeds."""

    def record(grays, seeds, hints):
        predicted_seeds.append(list(seeds))
        return predict(grays, seeds, hints)

    return record


def test_images_about_other_seeds_have_other_names(photos, colorizer):
    names = set()
    for seeds in (range(2), range(5, 7), (5,)):
        (outcome,) = colorize_batch(colorizer, plan([photos / "one.png"], None, seeds, ("trace",)), BatchOptions())
        names |= {path.name for path in outcome.files if path.suffix == ".jpg"}
    assert names == {"one-color-0-1-trace.jpg", "one-color-5-6-trace.jpg", "one-color-5-trace.jpg"}


def test_outputs_written_before_a_stop_stay(photos, colorizer, monkeypatch):
    stop, predicted_seeds = threading.Event(), []

    def predict(grays, seeds, hints, whole=colorizer.predict):
        stop.set()
        return recording(whole, predicted_seeds)(grays, seeds, hints)

    monkeypatch.setattr(colorizer, "predict", predict)
    tasks = plan([photos / "one.png"], None, range(20), ("sheet",))
    assert list(processing.process_batch(colorizer, tasks, BatchOptions(), stop)) == []
    assert predicted_seeds == [list(range(8))]
    assert len(list(photos.glob("one-color-*.png"))) == 8


def test_a_variant_that_fails_does_not_stop_the_others(photos, colorizer, monkeypatch):
    def predict(grays, seeds, hints, whole=colorizer.predict):
        if 1 in seeds:
            raise MemoryError("no memory")
        return whole(grays, seeds, hints)

    monkeypatch.setattr(colorizer, "predict", predict)
    (outcome,) = colorize_batch(colorizer, plan([photos / "one.png"], None, range(3), ("sheet",)), BatchOptions())
    assert outcome.status == "failed"
    assert [path.name for path in outcome.files] == ["one-color-0.png", "one-color-2.png"]


def test_a_variant_is_never_an_original(photos):
    (photos / "one-7.png").write_bytes((photos / "one.png").read_bytes())
    with pytest.raises(ValueError, match="is an original"):
        plan([photos / "one.png", photos / "one-7.png"], photos, range(7, 9))


def test_hints_are_met_by_a_sampler(photos, colorizer):
    path = photos / "one.png"
    hint = Hint.parse("20,10,#c03020")
    (outcome,) = colorize_batch(colorizer, plan([path]), BatchOptions(ColorOptions(hints=(hint,))))
    assert outcome.status == "written"
    lab = color.rgb_to_lab((pixels(photos / "one-color.png").transpose(2, 0, 1) / 255).astype(np.float32))
    actual, expected = lab[1:, 10, 20], hint_ab(hint) * color.AB_SCALE
    assert np.arctan2(*actual[::-1]) == pytest.approx(np.arctan2(*expected[::-1]), abs=0.1)
    same = read(colorizer(path.read_bytes(), hints=["20,10,#c03020"])).numpy()
    assert (same == pixels(photos / "one-color.png")).all()


def test_a_hint_changes_what_the_sampler_continues_from(photos, colorizer):
    """A hint does more than change the result."""
    photo = open_photo(photos / "one.png")
    prepared = colorizer.prepare(photo)
    assert prepared.hints is None
    gray = prepared.gray
    hints = HintMaps(photo, gray, [Hint.parse("20,10,#c03020")])
    (with_hint,), (without,) = colorizer.predict([gray], 3, hints), colorizer.predict([gray], 3)
    assert np.abs(with_hint - hints.at(*without.shape[1:]).blend(without[None])[0]).max() > 1e-3
    row, column = 10 * gray.shape[1] // photo.height, 20 * gray.shape[2] // photo.width
    np.testing.assert_allclose(with_hint[:, row, column], hint_ab(Hint.parse("0,0,#c03020")), atol=1e-5)


def test_sampler_options_are_checked(stochastic_bundle, bundle):
    assert Colorizer(stochastic_bundle, steps=5, solver="ancestral").procedure.steps == 5
    with pytest.raises(ValueError, match="schedule has 1000"):
        Colorizer(stochastic_bundle, steps=1001)
    with pytest.raises(ValueError, match="two-colors: steps: not supported, because this model has no sampler options"):
        Colorizer(bundle, steps=5)
    with pytest.raises(
        ValueError,
        match="stochastic: pace: not supported by this model or its solver; supported options: steps, solver, eta",
    ):
        Colorizer(stochastic_bundle, pace=5)
    with pytest.raises(ValueError, match="prediction: not supported by this model"):
        Colorizer(stochastic_bundle, prediction="noise")  # the network was not trained for it


def test_a_trajectory_goes_from_noise_to_the_result(photos, colorizer):
    gray = colorizer.prepare(open_photo(photos / "one.png")).gray
    path = colorizer.trajectory(gray, 5)
    assert len(path) == 4
    assert path[0].std() == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(path[-1], colorizer.predict([gray], 5)[0], atol=1e-6)


def test_disagreement_is_the_distance_from_the_mean():
    ab = np.zeros((2, 2, 4, 4), np.float32)
    ab[0, 0, 1, 2], ab[1, 0, 1, 2] = 30 / color.AB_SCALE, -30 / color.AB_SCALE
    distances = contact_sheet.disagreement(list(ab))
    assert distances[1, 2] == pytest.approx(30)
    assert np.delete(distances.ravel(), 6).max() == 0


def test_the_map_is_black_where_variants_agree_and_bright_elsewhere():
    gray = np.zeros((1, 64, 64), np.float32)
    ab = np.zeros((2, 2, 16, 16), np.float32)
    ab[:, 1, :, :8] = np.array([1, -1])[:, None, None] * 0.5
    image = read(contact_sheet.uncertainty(gray, list(ab), PROVENANCE)).numpy()
    assert image.shape == (64, 64, 3)
    assert image[:, 48:].max() < 10
    assert image[:, :16].min() > 245


def test_a_sheet_starts_with_grayscale_and_a_strip_holds_all_that_fits():
    gray = np.zeros((1, 30, 40), np.float32)
    red = np.full((2, 8, 10), 0.4, np.float32)
    image = read(contact_sheet.variants(gray, [red] * 3, PROVENANCE)).numpy().astype(int)
    assert image.shape == (30 * 2 + contact_sheet.GAP, 40 * 2 + contact_sheet.GAP, 3)
    assert np.ptp(image[10, 10]) < 5 < np.ptp(image[10, 60])
    assert (
        read(contact_sheet.trace(gray, [red] * 100, PROVENANCE)).width
        == contact_sheet.MAX_STEPS * 44 - contact_sheet.GAP
    )
