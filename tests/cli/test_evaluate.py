"""`photochrom evaluate`: output, files, refused calls, exit codes."""

import json
import shutil
import sys
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
import pyvips
from typer.testing import CliRunner

from fake_networks import FakeNetworks, sample_image
from photochrom.cli import main as cli
from photochrom.evaluation import run as evaluation
from photochrom.evaluation.features import FeatureNetworks
from photochrom.training.dataset import gather
from photochrom.training.recipe import Data


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def fake_networks(monkeypatch):
    monkeypatch.setattr(evaluation, "FeatureNetworks", lambda *_: FakeNetworks())


@pytest.fixture
def truth(tmp_path):
    """A folder of four photos, two of them in a subfolder."""
    folder = tmp_path / "truth"
    (folder / "sea").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.jpg", "sea/c.png", "sea/d.png")):
        pyvips.Image.new_from_array(sample_image(seed, (40, 60))).write_to_file(str(folder / name))
    return folder


@pytest.fixture
def outputs(truth, tmp_path):
    """Images colorized elsewhere, paler, all as PNG."""
    folder = tmp_path / "theirs"
    for path in truth.rglob("*.*"):
        target = (folder / path.relative_to(truth)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        (pyvips.Image.new_from_file(str(path)) // 2 + 60).cast("uchar").write_to_file(str(target))
    return folder


def evaluate(*arguments):
    return CliRunner().invoke(cli.app, ["evaluate", *map(str, arguments)])


def test_a_model_is_measured_and_reports_are_written(fake_networks, truth, bundle, tmp_path):
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "csv", "html")}
    result = evaluate(
        "--data", truth, "--model", bundle, *(part for kind, f in files.items() for part in (f"--{kind}", f))
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("4 photos, protocol native\n|  | psnr")
    report = json.loads(files["json"].read_text())
    assert report["n"] == 4
    assert list(report["rows"]) == ["grayscale", "mean color", "ground truth", "two-colors"]
    assert report["rows"]["grayscale"]["ab-error-to-gray"]["value"] == 1
    assert set(report["cost"]["two-colors"]) >= {"parameters M", "ms a photo"}
    assert "two-colors,psnr," in files["csv"].read_text()
    page = files["html"].read_text()
    assert page.count("data:image/jpeg") == 3
    assert "4 at random: grayscale, two-colors, ground truth" in page


def test_models_and_images_in_one_report(fake_networks, truth, outputs, bundle, tmp_path):
    result = evaluate("--data", truth, "--model", bundle, "--images", outputs, "--json", tmp_path / "x.json")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "x.json").read_text())
    assert list(report["rows"])[3:] == ["two-colors", "theirs"]
    assert report["comparisons"][0]["models"] == ["two-colors", "theirs"]
    assert "between two-colors and theirs" in result.stderr or "is better than" in result.stderr
    assert list(report["cost"]) == ["two-colors"]


def test_a_model_given_twice_has_two_rows(fake_networks, truth, bundle, tmp_path):
    result = evaluate("--data", truth, "--model", bundle, "--model", bundle, "--json", tmp_path / "x.json")
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert rows["two-colors"] == rows["two-colors (2)"]
    assert "no significant difference" in result.stderr


def test_held_out_photos_are_those_that_training_holds_out(fake_networks, truth, bundle, tmp_path):
    crcs = sorted(zlib.crc32(path.read_bytes()) for path in truth.rglob("*.*"))
    share = (crcs[1] + crcs[2]) / 2 / 2**32
    library = gather(Data(photos=(truth,), validation=share, min_colorfulness=0))
    assert len(library.validation) == 2
    digests = set()
    for p in library.validation:
        only = tmp_path / "only" / p.name
        only.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(truth / p.name, only)
    for options in (("--data", truth, "--held-out", share), ("--data", tmp_path / "only")):
        report = tmp_path / f"{len(options)}.json"
        assert evaluate(*options, "--model", bundle, "--json", report).exit_code == 0
        digests.add(json.loads(report.read_text())["data"]["digest"])
    assert len(digests) == 1


def test_photos_of_another_set_are_refused_or_marked(fake_networks, truth, bundle):
    options = ("--data", truth, "--model", bundle, "--protocol", "ddcolor-val5k")
    result = evaluate(*options)
    assert result.exit_code == 2
    assert "defined on 5,000 photos, not on 4" in result.stderr
    result = evaluate(*options, "--force")
    assert result.exit_code == 0, result.output
    assert "not in protocol ddcolor-val5k by their numbers: a, b, sea/c, sea/d" in result.stderr


def test_a_zip_gives_what_its_folder_gives(fake_networks, truth, bundle, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "truth.zip", "w") as archive:
        for path in truth.rglob("*.*"):
            archive.write(path, path.relative_to(truth))
    rows = []
    for source in (truth, tmp_path / "truth.zip"):
        monkeypatch.setenv(
            "PHOTOCHROM_CACHE", str(tmp_path / source.suffix)
        )  # otherwise the second run would only read the cache
        report = tmp_path / f"{source.suffix}.json"
        assert evaluate("--data", source, "--model", bundle, "--json", report).exit_code == 0
        rows.append(json.loads(report.read_text())["rows"])
    assert rows[0] == rows[1]


def test_outputs_of_colorize_score_like_the_model(fake_networks, truth, bundle, tmp_path):
    from photochrom.inference.batch import colorize_batch
    from photochrom.inference.colorizer import Colorizer
    from photochrom.inference.plan import plan
    from photochrom.inference.processing import BatchOptions

    only = tmp_path / "png"
    shutil.copytree(truth, only, ignore=shutil.ignore_patterns("*.jpg"))
    assert all(
        o.status == "written" for o in colorize_batch(Colorizer(bundle), plan([only], tmp_path / "out"), BatchOptions())
    )
    result = evaluate("--data", only, "--model", bundle, "--images", tmp_path / "out", "--json", tmp_path / "x.json")
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert rows["out"]["psnr"]["value"] == pytest.approx(rows["two-colors"]["psnr"]["value"], abs=1e-6)


def test_samples_of_a_deterministic_model_are_equal(fake_networks, truth, bundle, tmp_path):
    result = evaluate("--data", truth, "--model", bundle, "--samples", 2, "--json", tmp_path / "x.json")
    assert result.exit_code == 0, result.output
    row = json.loads((tmp_path / "x.json").read_text())["rows"]["two-colors"]
    assert row["diversity-lpips-fake"]["value"] == 0
    assert row["oracle-ab-error"] == row["ab-error"]


def test_rows_of_equal_name_are_numbered(fake_networks, truth, bundle):
    again = bundle.parent / "again"
    if not again.exists():
        shutil.copytree(bundle, again)
    result = evaluate("--data", truth, "--model", bundle, "--model", again)
    assert "| two-colors (2) |" in result.stdout
    assert "no significant difference between two-colors and two-colors (2)" in result.stderr


def test_a_damaged_photo_is_named_and_the_others_are_measured(fake_networks, truth, bundle):
    (truth / "bad.png").write_bytes((truth / "a.png").read_bytes()[:200])
    result = evaluate("--data", truth, "--model", bundle)
    assert result.exit_code == 1
    assert "bad.png: cannot be read" in result.stderr
    assert "1 photo could not be measured" in result.stderr
    assert result.stdout.startswith("4 photos")


def test_one_photo_has_no_intervals(fake_networks, truth, bundle, tmp_path):
    for name in ("b.jpg", "sea/c.png", "sea/d.png"):
        (truth / name).unlink()
    result = evaluate("--data", truth, "--model", bundle, "--json", tmp_path / "x.json")
    assert result.exit_code == 0, result.output
    assert "only one photo: no intervals" in result.stderr
    assert json.loads((tmp_path / "x.json").read_text())["rows"]["two-colors"]["psnr"]["low"] is None


def test_gray_results_are_named(fake_networks, truth, outputs):
    path = outputs / "sea" / "c.png"
    pyvips.Image.new_from_file(str(path)).colourspace("b-w").copy_memory().write_to_file(str(path))
    result = evaluate("--data", truth, "--images", outputs)
    assert result.exit_code == 0, result.output
    assert "theirs: photos without color: sea/c" in result.stderr


def remove(outputs):
    (outputs / "a.png").unlink()


def add(outputs):
    shutil.copy(outputs / "a.png", outputs / "z.png")


def enlarge(outputs):
    pyvips.Image.new_from_array(sample_image(0, (80, 120))).write_to_file(str(outputs / "a.png"))


def damage(outputs):
    (outputs / "a.png").write_bytes((outputs / "a.png").read_bytes()[:300])


def repeat(outputs):
    shutil.copy(outputs / "a.png", outputs / "a.jpg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove, "no image for a"),
        (add, "not among the photos: z"),
        (enlarge, "theirs: a has 120 x 80 pixels, its ground truth 60 x 40"),
        (damage, "a.png: cannot be read"),
        (repeat, "several photos or images with the same name"),
    ],
)
def test_images_that_do_not_match_are_refused(fake_networks, truth, outputs, change, message):
    change(outputs)
    result = evaluate("--data", truth, "--images", outputs)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_images_in_other_folders_are_matched_by_file_name(fake_networks, truth, outputs, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in outputs.rglob("*.png"):
        shutil.copy(path, flat / path.name)
    (truth / "b.jpg").unlink(), (truth / "a.png").unlink(), (flat / "a.png").unlink(), (flat / "b.png").unlink()
    assert evaluate("--data", truth, "--images", flat).exit_code == 0


@pytest.mark.parametrize("option", [("--strength", 0.5), ("--size", 64), ("--seed", 3), ("--samples", 2)])
def test_other_options_are_measured_separately(fake_networks, truth, bundle, tmp_path, option):
    evaluate("--data", truth, "--model", bundle)
    calls = FakeNetworks.calls
    assert evaluate("--data", truth, "--model", bundle, *option).exit_code == 0
    assert FakeNetworks.calls > calls
    again = FakeNetworks.calls
    assert evaluate("--data", truth, "--model", bundle, *option).exit_code == 0
    assert FakeNetworks.calls == again


def test_reports_are_not_overwritten_unless_requested(fake_networks, truth, bundle, tmp_path):
    (tmp_path / "x.json").write_text("mine")
    result = evaluate("--data", truth, "--model", bundle, "--json", tmp_path / "x.json")
    assert result.exit_code == 2
    assert "x.json: exists already; choose another path or use --overwrite" in result.stderr
    assert (tmp_path / "x.json").read_text() == "mine"
    assert evaluate("--data", truth, "--model", bundle, "--json", tmp_path / "x.json", "--overwrite").exit_code == 0


def test_a_damaged_file_in_a_zip_is_named(fake_networks, truth, bundle, tmp_path):
    with zipfile.ZipFile(tmp_path / "truth.zip", "w") as archive:
        for name in ("a.png", "b.jpg"):
            archive.write(truth / name, name)
    content = bytearray((tmp_path / "truth.zip").read_bytes())
    content[200] ^= 255
    (tmp_path / "truth.zip").write_bytes(content)
    result = evaluate("--data", tmp_path / "truth.zip", "--model", bundle)
    assert result.exit_code == 1
    assert "a.png: cannot be read (Bad CRC-32" in result.stderr
    assert "left out, cannot be measured: a" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--data", "truth", "--model", "default", "--record", "--strength", "0.5"],
            "--record saves the metrics of a model with its own settings",
        ),
        (["--data", "missing"], "missing: there is no such folder or zip"),
        (["--data", "empty"], "no photos to measure on"),
        (["--data", "truth", "--json", "missing/x.json"], "its folder does not exist"),
        (["--data", "truth", "--protocol", "fid"], "protocol 'fid': choose one of native"),
        (["--data", "truth", "--protocol", "seed5k"], "is defined on 5,000 photos, not on 4"),
        (["--data", "truth", "--protocol", "coltran5k"], "eval_file_names.txt is missing"),
        (["--data", "truth", "--data", "truth"], "several photos with the same name: truth/a, truth/b, truth/sea/c"),
        (["--data", "truth", "--model", "none"], "no model 'none'"),
        (["--data", "truth", "--device", "abacus"], "device abacus: not in the installed ONNX Runtime"),
        (
            ["--data", "truth", "--model", "default", "--solver", "ddim"],
            "--solver ddim is not supported by any selected model",
        ),
        (
            ["--data", "truth", "--model", "default", "--temperature", "1", "--steps", "5"],
            "--steps 5, --temperature 1.0 are not supported by any selected model",
        ),
        (["--data", "truth", "--saturation", "4"], "Invalid value for '--saturation': 4.0 is not in the range 0<=x<=3"),
        (["--data", "truth", "--images", "missing"], "missing: there is no such folder or zip"),
    ],
)
def test_impossible_requests_are_refused(fake_networks, truth, tmp_path, monkeypatch, options, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    result = evaluate(*options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_protocol_whose_network_is_missing_names_it(truth, monkeypatch):
    monkeypatch.delenv("PHOTOCHROM_INCEPTION", raising=False)
    result = evaluate("--data", truth, "--protocol", "seed5k", "--force")
    assert result.exit_code == 2
    assert "pt_inception-2015-12-05-6726825d.pth" in result.stderr


def test_photos_without_color_are_refused(fake_networks, tmp_path, bundle):
    (tmp_path / "gray").mkdir()
    pyvips.Image.new_from_array(sample_image(0)[..., 0]).write_to_file(str(tmp_path / "gray" / "a.png"))
    result = evaluate("--data", tmp_path / "gray", "--model", bundle)
    assert result.exit_code == 2
    assert "these photos have no color to compare with" in result.stderr


def test_feature_networks_describe_images(truth):
    networks = FeatureNetworks(32)
    pixels = [np.ascontiguousarray(sample_image(0, (40, 60))), sample_image(1, (40, 60)), sample_image(0, (40, 60))]
    described = networks(pixels)
    features = described["features/efficientnet-lite0"]
    assert features.shape == (3, 1280)
    assert described["classes/efficientnet-lite0"].sum(1) == pytest.approx(np.ones(3), abs=1e-5)
    np.testing.assert_array_equal(features[0], features[2])
    for metric in networks.perceptual:
        assert described[metric][0] == described[metric][2] == 0
        assert described[metric][1] > 0.05
    pairs = [networks([pixels[i], pixels[j]]) for i, j in ((0, 1), (0, 2), (1, 2))]
    for metric, distance in networks.diversity(pixels).items():
        assert distance == pytest.approx(np.mean([pair[metric][1] for pair in pairs]), rel=1e-4)
    if networks.perceptual:
        assert described["features/vgg16"].shape == (3, 512)
        assert not networks.missing


def test_metrics_are_recorded_in_the_bundle(fake_networks, truth, bundle, tmp_path, monkeypatch):
    from photochrom.inference.bundle import load, read_card, write_card

    monkeypatch.setattr(sys, "argv", ["photochrom", "evaluate", "--data", str(truth), "--record"])

    mine = tmp_path / "mine"
    shutil.copytree(bundle, mine)
    old = {"fid": {"fid": 3.0, "is": 2.5, "class-accuracy": 0.7}}  # of other protocols and names, which are kept
    write_card(mine, replace(read_card(mine), scores=old))
    result = evaluate("--data", truth, "--model", mine, "--record", "--json", tmp_path / "x.json")
    assert result.exit_code == 0, result.output
    row = json.loads((tmp_path / "x.json").read_text())["rows"]["two-colors"]
    again = evaluate("--data", truth, "--model", mine, "--record")
    assert again.exit_code == 2
    assert "already has metrics of protocol native; --overwrite replaces them" in again.stderr
    assert evaluate("--data", truth, "--model", mine, "--record", "--overwrite").exit_code == 0
    scores = load(mine).card.scores
    recorded = scores["native"]
    assert scores["fid"] == old["fid"]
    assert recorded["n"] == 4
    assert recorded["command"] == f"photochrom evaluate --data {truth.name} --record"
    assert recorded["ab-error"] == pytest.approx(row["ab-error"]["value"], rel=1e-4)
