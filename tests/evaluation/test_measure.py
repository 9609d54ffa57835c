"""Images are measured one by one, cached, continued after an interruption, and never confused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import memory_image
from fake_networks import FakeNetworks, sample_image
from photochrom.core.color import rgb_to_lab
from photochrom.evaluation import measure as module
from photochrom.evaluation import metrics
from photochrom.evaluation.measure import BASELINES, Row, baselines, code_only, measure, survey, to_float, to_uint8
from photochrom.evaluation.protocols import Protocol, find_protocol

NATIVE = find_protocol("native")
SQUARE = Protocol("square", "", "crop", 16)


def measured(images, rows, networks, store, protocol=NATIVE):
    summary = survey(images, protocol, store)
    return measure(summary, [*baselines(summary), *rows], networks)


def test_columns_hold_the_metrics_of_each_image(images, faded, networks, tmp_path):
    tables = measured(images, [faded], networks, tmp_path)
    gray, _, truth, row = tables.values()
    assert set(tables) == {"grayscale", "mean color", "ground truth", "faded"}
    for index in (0, 33, 69):
        true_rgb = to_float(sample_image(index))
        rgb = to_float(sample_image(index) // 2 + 60)
        assert row["psnr"][index] == pytest.approx(metrics.psnr(rgb, true_rgb))
        assert row["ssim"][index] == pytest.approx(metrics.ssim(rgb, true_rgb))
        np.testing.assert_allclose(row["features/fake"][index], rgb.mean((1, 2)), rtol=1e-5)
    assert not truth["ab-error"].any()
    assert (truth["class-agreement-fake"] == 1).all()
    np.testing.assert_allclose(gray["chroma"], 0, atol=0.02)
    chroma = [np.hypot(*rgb_to_lab(to_float(sample_image(i)))[1:]).mean() for i in range(70)]
    np.testing.assert_allclose(gray["ab-error"], chroma, atol=0.02)
    assert all(len(column) == 70 for column in row.values())
    np.testing.assert_allclose(truth["bins"].sum(1), 1)


def test_progress_counts_images(images, networks, tmp_path):
    reading, measuring = [], []
    summary = survey(images, NATIVE, tmp_path, lambda *progress: reading.append(progress))
    measure(summary, baselines(summary), networks, lambda *progress: measuring.append(progress))
    assert reading == [(done, 70) for done in range(1, 71)]
    assert measuring == [(32, 70), (64, 70), (70, 70)]


def test_mean_color_is_the_mean_over_all_images(images, tmp_path):
    summary = survey(images, NATIVE, tmp_path)
    means = [rgb_to_lab(to_float(sample_image(i)))[1:].mean((1, 2)) for i in range(70)]
    assert summary.mean_ab == pytest.approx(np.mean(means, 0))
    flat = baselines(summary)[1].colorize("p0", np.full((8, 8, 3), 128, np.uint8))[0]
    assert rgb_to_lab(to_float(flat))[1:, 0, 0] == pytest.approx(summary.mean_ab, abs=1)


def test_several_samples_have_a_diversity_and_an_oracle(images, faded, networks, tmp_path):
    row = measured(images, [faded], networks, tmp_path)["faded"]
    assert (row["oracle-ab-error"] <= row["ab-error"] + 1e-9).all()
    first, second = sample_image(5) // 2 + 60, sample_image(5) // 3 + 80
    assert row["diversity-lpips-fake"][5] == pytest.approx(np.abs(first - second.astype(float)).mean() / 255)
    single = Row("single", "single", lambda name, truth: [truth])
    columns = measured(images, [single], networks, tmp_path)["single"]
    assert not any(name.startswith(("oracle", "diversity")) for name in columns)


def test_measured_rows_come_from_the_cache(images, faded, networks, tmp_path):
    first = measured(images, [faded], networks, tmp_path)
    calls = FakeNetworks.calls
    again = measured(images, [faded], networks, tmp_path)
    assert FakeNetworks.calls == calls
    assert all(np.array_equal(first["faded"][name], again["faded"][name]) for name in first["faded"])
    other = Row("faded", "another key", lambda name, truth: [truth])
    assert not np.array_equal(measured(images, [other], networks, tmp_path)["faded"]["mse"], first["faded"]["mse"])


def test_an_interrupted_run_continues(images, faded, networks, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    summary = survey(images, NATIVE, tmp_path)
    rows = [*baselines(summary), faded]
    with pytest.raises(KeyboardInterrupt):
        measure(summary, rows, networks, interrupt)
    calls = FakeNetworks.calls
    resumed = measure(summary, rows, networks)
    assert FakeNetworks.calls == calls + 70 - 32
    whole = measured(images, [faded], networks, tmp_path / "other")
    assert all(np.array_equal(resumed["faded"][name], whole["faded"][name]) for name in whole["faded"])


def test_other_images_protocols_and_networks_have_their_own_cache(images, networks, tmp_path):
    changed = {**images, "p0": replace(images["p0"], crc=99)}
    fewer = dict(list(images.items())[1:])
    folders = {survey(each, NATIVE, tmp_path).folder for each in (images, changed, fewer)}
    assert len(folders | {survey(images, SQUARE, tmp_path).folder}) == 4
    summary = survey(images, NATIVE, tmp_path)
    rows = baselines(summary)
    files = [module._cache_file(summary, networks, row, 0) for row in rows]
    assert len(set(files)) == 3
    networks.key = "others"
    assert module._cache_file(summary, networks, rows[0], 0) != files[0]


def test_only_code_decides_the_cache():
    code = 'def f(x):\n    """Doc."""\n    return x + 1  # why\n'
    assert code_only(code) == code_only('"""Module."""\n\ndef f(x):\n    # other\n    return (x + 1)\n')
    assert code_only(code) != code_only("def f(x):\n    return x + 2\n")
    assert code_only("x = 'text'") != code_only("x = 'other'")


def test_tables_beside_the_code_decide_the_cache(tmp_path, monkeypatch):
    package = Path(module.__file__).parents[1]
    copy = shutil.copytree(package, tmp_path / "photochrom", ignore=shutil.ignore_patterns("bundles", "static"))
    monkeypatch.setattr(module, "__file__", str(copy / "evaluation" / "measure.py"))
    before = module._code_digest.__wrapped__()
    assert before == module._code_digest.__wrapped__()
    table = copy / "backbones" / "inception.toml"
    table.write_text(table.read_text() + "# edited\n")
    assert module._code_digest.__wrapped__() != before


def test_damaged_cache_files_are_replaced(images, faded, networks, tmp_path):
    whole = measured(images, [faded], networks, tmp_path)
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[: 100 if path.stem == "0000032" else 0])
    again = measured(images, [faded], networks, tmp_path)
    assert all(np.array_equal(again["faded"][name], whole["faded"][name]) for name in whole["faded"])


def test_protocols_prepare_ground_truth_and_results(images, networks, tmp_path):
    large = Row("large", "large", lambda name, truth: [sample_image(int(name[1:]), (48, 64))])
    tables = measured(images, [large], networks, tmp_path, SQUARE)
    assert tables["large"]["psnr"].mean() > 35
    with pytest.raises(ValueError, match="large: p0 has 64 x 48 pixels, its ground truth 32 x 24"):
        measured(images, [large], networks, tmp_path)


def test_unreadable_images_are_named(images, tmp_path):
    damaged = memory_image("p1", 1, None)
    summary = survey({"p0": images["p0"], "p1": damaged}, NATIVE, tmp_path)
    assert summary.unreadable == {"p1": "p1: cannot be read"}
    repaired = survey({"p0": images["p0"], "p1": images["p1"]}, NATIVE, tmp_path)
    assert repaired.unreadable == {}
    with pytest.raises(ValueError, match="no photos to measure on"):
        survey({"p1": damaged}, NATIVE, tmp_path / "other")


def test_images_that_are_too_small_are_named(images, tmp_path):
    tiny = memory_image("tiny", 1, sample_image(1, (10, 40)))
    summary = survey({"p0": images["p0"], "tiny": tiny}, NATIVE, tmp_path)
    reason = "tiny: too small to measure: 40 x 10 pixels, at least 11 on each side are needed"
    assert summary.unreadable == {"tiny": reason}


def test_conversions_are_inverse():
    assert np.array_equal(to_uint8(to_float(sample_image(0))), sample_image(0))


def test_sets_of_these_tests_need_several_cache_files():
    assert module.CHUNK < 70
    assert BASELINES == ("grayscale", "mean color", "ground truth")
