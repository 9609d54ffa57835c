"""`photochrom evaluate` as a person runs it: what it prints and writes, what it refuses, how it exits."""

import json
import shutil
import zipfile
import zlib

import numpy as np
import pytest
import pyvips
from typer.testing import CliRunner

from few import FewNetworks, picture
from photochrom.cli import main as cli
from photochrom.evaluation import run as evaluation
from photochrom.evaluation.features import Networks
from photochrom.training.dataset import gather
from photochrom.training.recipe import Data


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(evaluation, "Networks", lambda side, inception: FewNetworks())


@pytest.fixture
def truth(tmp_path):
    """A folder of four photographs, two of them deeper."""
    folder = tmp_path / "truth"
    (folder / "sea").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.jpg", "sea/c.png", "sea/d.png")):
        pyvips.Image.new_from_array(picture(seed, (40, 60))).write_to_file(str(folder / name))
    return folder


@pytest.fixture
def outputs(truth, tmp_path):
    """Somebody's pictures of them, paler, all as PNG."""
    folder = tmp_path / "theirs"
    for path in truth.rglob("*.*"):
        target = (folder / path.relative_to(truth)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        (pyvips.Image.new_from_file(str(path)) // 2 + 60).cast("uchar").write_to_file(str(target))
    return folder


def evaluate(*arguments):
    return CliRunner().invoke(cli.app, ["evaluate", *map(str, arguments)])


def test_a_model_is_measured_and_written_down(few, truth, bundle, tmp_path):
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "csv", "html")}
    done = evaluate(
        "--data", truth, "--model", bundle, *(part for kind, f in files.items() for part in (f"--{kind}", f))
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("4 photographs, protocol native\n| |")
    said = json.loads(files["json"].read_text())
    assert said["n"] == 4
    assert list(said["rows"]) == ["gray", "mean colour", "truth", "two-colors"]
    assert said["rows"]["gray"]["ab-error-to-gray"]["value"] == 1
    assert set(said["cost"]["two-colors"]) >= {"parameters M", "ms a photo"}
    assert "two-colors,psnr," in files["csv"].read_text()
    page = files["html"].read_text()
    assert page.count("data:image/jpeg") == 3
    assert "4 at random: gray, two-colors, truth" in page


def test_models_and_pictures_side_by_side(few, truth, outputs, bundle, tmp_path):
    done = evaluate("--data", truth, "--model", bundle, "--images", outputs, "--json", tmp_path / "x.json")
    assert done.exit_code == 0, done.output
    said = json.loads((tmp_path / "x.json").read_text())
    assert list(said["rows"])[3:] == ["two-colors", "theirs"]
    assert said["comparisons"][0]["models"] == ["two-colors", "theirs"]
    assert "between two-colors and theirs" in done.stderr or "is better than" in done.stderr
    assert list(said["cost"]) == ["two-colors"]


def test_a_model_named_twice_has_two_rows(few, truth, bundle, tmp_path):
    done = evaluate("--data", truth, "--model", bundle, "--model", bundle, "--json", tmp_path / "x.json")
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert rows["two-colors"] == rows["two-colors (2)"]
    assert "no difference to speak of" in done.stderr


def test_photographs_held_out_are_those_that_training_holds_out(few, truth, bundle, tmp_path):
    crcs = sorted(zlib.crc32(path.read_bytes()) for path in truth.rglob("*.*"))
    share = (crcs[1] + crcs[2]) / 2 / 2**32
    library = gather(Data(photos=(truth,), validation=share, min_colorfulness=0), tmp_path / "photos.json")
    assert len(library.validation) == 2
    digests = set()
    for p in library.validation:
        only = tmp_path / "only" / p.name
        only.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(truth / p.name, only)
    for asked in (("--data", truth, "--held-out", share), ("--data", tmp_path / "only")):
        report = tmp_path / f"{len(asked)}.json"
        assert evaluate(*asked, "--model", bundle, "--json", report).exit_code == 0
        digests.add(json.loads(report.read_text())["data"]["digest"])
    assert len(digests) == 1


def test_photographs_of_another_set_are_refused_or_marked(few, truth, bundle):
    asked = ("--data", truth, "--model", bundle, "--protocol", "ddcolor-val5k")
    done = evaluate(*asked)
    assert done.exit_code == 2
    assert "defined on 5,000 photographs, not on 4" in done.stderr
    done = evaluate(*asked, "--force")
    assert done.exit_code == 0, done.output
    assert "a, b, sea/c, sea/d are not of protocol ddcolor-val5k, which goes by the numbers of names" in done.stderr


def test_a_zip_gives_what_its_folder_gives(few, truth, bundle, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "truth.zip", "w") as archive:
        for path in truth.rglob("*.*"):
            archive.write(path, path.relative_to(truth))
    rows = []
    for source in (truth, tmp_path / "truth.zip"):
        monkeypatch.setenv("PHOTOCHROM_CACHE", str(tmp_path / source.suffix))  # or the second would only be looked up
        report = tmp_path / f"{source.suffix}.json"
        assert evaluate("--data", source, "--model", bundle, "--json", report).exit_code == 0
        rows.append(json.loads(report.read_text())["rows"])
    assert rows[0] == rows[1]


def test_our_own_copies_score_as_the_model_does(few, truth, bundle, tmp_path):
    from photochrom.inference.batch import Settings, colorize_all, plan
    from photochrom.inference.colorizer import Colorizer

    only = tmp_path / "png"
    shutil.copytree(truth, only, ignore=shutil.ignore_patterns("*.jpg"))
    assert all(
        o.state == "written" for o in colorize_all(Colorizer(bundle), plan([only], tmp_path / "out"), Settings())
    )
    done = evaluate("--data", only, "--model", bundle, "--images", tmp_path / "out", "--json", tmp_path / "x.json")
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert rows["out"]["psnr"]["value"] == pytest.approx(rows["two-colors"]["psnr"]["value"], abs=1e-6)


def test_several_samples_of_a_model_that_draws_nothing_are_alike(few, truth, bundle, tmp_path):
    done = evaluate("--data", truth, "--model", bundle, "--samples", 2, "--json", tmp_path / "x.json")
    assert done.exit_code == 0, done.output
    row = json.loads((tmp_path / "x.json").read_text())["rows"]["two-colors"]
    assert row["diversity-lpips-few"]["value"] == 0
    assert row["oracle-ab-error"] == row["ab-error"]


def test_the_same_model_twice_is_numbered(few, truth, bundle):
    again = bundle.parent / "again"
    if not again.exists():
        shutil.copytree(bundle, again)
    done = evaluate("--data", truth, "--model", bundle, "--model", again)
    assert "| two-colors (2) |" in done.stdout
    assert "no difference to speak of between two-colors and two-colors (2)" in done.stderr


def test_a_damaged_photograph_is_named_and_the_rest_measured(few, truth, bundle):
    (truth / "bad.png").write_bytes((truth / "a.png").read_bytes()[:200])
    done = evaluate("--data", truth, "--model", bundle)
    assert done.exit_code == 1
    assert "bad.png: cannot be read" in done.stderr
    assert "1 photographs could not be measured" in done.stderr
    assert done.stdout.startswith("4 photographs")


def test_one_photograph_has_no_intervals(few, truth, bundle, tmp_path):
    for name in ("b.jpg", "sea/c.png", "sea/d.png"):
        (truth / name).unlink()
    done = evaluate("--data", truth, "--model", bundle, "--json", tmp_path / "x.json")
    assert done.exit_code == 0, done.output
    assert "one photograph only: no intervals" in done.stderr
    assert json.loads((tmp_path / "x.json").read_text())["rows"]["two-colors"]["psnr"]["low"] is None


def test_gray_pictures_are_said_to_be_gray(few, truth, outputs):
    path = outputs / "sea" / "c.png"
    pyvips.Image.new_from_file(str(path)).colourspace("b-w").copy_memory().write_to_file(str(path))
    done = evaluate("--data", truth, "--images", outputs)
    assert done.exit_code == 0, done.output
    assert "theirs: sea/c is gray" in done.stderr


def remove(outputs):
    (outputs / "a.png").unlink()


def add(outputs):
    shutil.copy(outputs / "a.png", outputs / "z.png")


def enlarge(outputs):
    pyvips.Image.new_from_array(picture(0, (80, 120))).write_to_file(str(outputs / "a.png"))


def damage(outputs):
    (outputs / "a.png").write_bytes((outputs / "a.png").read_bytes()[:300])


def repeat(outputs):
    shutil.copy(outputs / "a.png", outputs / "a.jpg")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (remove, "a is missing"),
        (add, "z is not among the photographs"),
        (enlarge, "theirs: a is 120 x 80 pixels, its truth 60 x 40"),
        (damage, "a.png: cannot be read"),
        (repeat, "have one name"),
    ],
)
def test_pictures_that_do_not_match_are_refused(few, truth, outputs, change, said):
    change(outputs)
    done = evaluate("--data", truth, "--images", outputs)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_pictures_laid_out_flat_are_matched_by_name(few, truth, outputs, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in outputs.rglob("*.png"):
        shutil.copy(path, flat / path.name)
    (truth / "b.jpg").unlink(), (truth / "a.png").unlink(), (flat / "a.png").unlink(), (flat / "b.png").unlink()
    assert evaluate("--data", truth, "--images", flat).exit_code == 0


@pytest.mark.parametrize("option", [("--strength", 0.5), ("--size", 64), ("--seed", 3), ("--samples", 2)])
def test_other_settings_are_measured_anew(few, truth, bundle, tmp_path, option):
    evaluate("--data", truth, "--model", bundle)
    calls = FewNetworks.calls
    assert evaluate("--data", truth, "--model", bundle, *option).exit_code == 0
    assert FewNetworks.calls > calls
    again = FewNetworks.calls
    assert evaluate("--data", truth, "--model", bundle, *option).exit_code == 0
    assert FewNetworks.calls == again


def test_reports_are_not_written_over_unasked(few, truth, bundle, tmp_path):
    (tmp_path / "x.json").write_text("mine")
    done = evaluate("--data", truth, "--model", bundle, "--json", tmp_path / "x.json")
    assert done.exit_code == 2
    assert "x.json: is there already; name another file or give --overwrite" in done.stderr
    assert (tmp_path / "x.json").read_text() == "mine"
    assert evaluate("--data", truth, "--model", bundle, "--json", tmp_path / "x.json", "--overwrite").exit_code == 0


def test_a_damaged_member_of_a_zip_is_named(few, truth, bundle, tmp_path):
    with zipfile.ZipFile(tmp_path / "truth.zip", "w") as archive:
        for name in ("a.png", "b.jpg"):
            archive.write(truth / name, name)
    content = bytearray((tmp_path / "truth.zip").read_bytes())
    content[200] ^= 255
    (tmp_path / "truth.zip").write_bytes(content)
    done = evaluate("--data", tmp_path / "truth.zip", "--model", bundle)
    assert done.exit_code == 1
    assert "a.png: cannot be read (Bad CRC-32" in done.stderr
    assert "a is left out" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--data", "truth", "--model", "default", "--record", "--strength", "0.5"],
            "--record keeps a model's figures as it",
        ),
        (["--data", "missing"], "missing: there is no such folder or zip"),
        (["--data", "empty"], "no photographs to measure on"),
        (["--data", "truth", "--json", "missing/x.json"], "no such folder"),
        (["--data", "truth", "--protocol", "fid"], "protocol 'fid': choose one of native"),
        (["--data", "truth", "--protocol", "seed5k"], "is defined on 5,000 photographs, not on 4"),
        (["--data", "truth", "--protocol", "coltran5k"], "eval_file_names.txt is missing"),
        (["--data", "truth", "--data", "truth"], "there more than once"),
        (["--data", "truth", "--model", "none"], "no model 'none'"),
        (
            ["--data", "truth", "--model", "default", "--solver", "ddim"],
            "--solver is what none of these models can be told",
        ),
        (["--data", "truth", "--images", "missing"], "missing: there is no such folder or zip"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_is_begun(few, truth, tmp_path, monkeypatch, options, said):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    done = evaluate(*options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_a_protocol_whose_network_is_not_there_says_which(truth, monkeypatch):
    monkeypatch.delenv("PHOTOCHROM_INCEPTION", raising=False)
    done = evaluate("--data", truth, "--protocol", "seed5k", "--force")
    assert done.exit_code == 2
    assert "pt_inception-2015-12-05-6726825d.pth" in done.stderr


def test_photographs_without_colour_are_refused(few, tmp_path, bundle):
    (tmp_path / "gray").mkdir()
    pyvips.Image.new_from_array(picture(0)[..., 0]).write_to_file(str(tmp_path / "gray" / "a.png"))
    done = evaluate("--data", tmp_path / "gray", "--model", bundle)
    assert done.exit_code == 2
    assert "these photographs have no colour to measure against" in done.stderr


def test_the_networks_see_what_they_should(truth):
    networks = Networks(32)
    pixels = [np.ascontiguousarray(picture(0, (40, 60))), picture(1, (40, 60)), picture(0, (40, 60))]
    seen = networks(pixels)
    assert seen[0]["features/efficientnet-lite0"].shape == (1280,)
    assert seen[0]["classes/efficientnet-lite0"].sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(seen[0]["features/efficientnet-lite0"], seen[2]["features/efficientnet-lite0"])
    for metric in networks.perceptual:
        assert seen[0][metric] == seen[2][metric] == 0
        assert seen[1][metric] > 0.05
    pairs = [networks([pixels[i], pixels[j]])[1] for i, j in ((0, 1), (0, 2), (1, 2))]
    for metric, apart in networks.spread(pixels).items():
        assert apart == pytest.approx(np.mean([seen[metric] for seen in pairs]), rel=1e-4)
    if networks.perceptual:
        assert seen[0]["features/vgg16"].shape == (512,)
        assert not networks.missing


def test_figures_are_recorded_in_the_card(few, truth, bundle, tmp_path):
    from photochrom.inference.bundle import load

    mine = tmp_path / "mine"
    shutil.copytree(bundle, mine)
    done = evaluate("--data", truth, "--model", mine, "--record", "--json", tmp_path / "x.json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "x.json").read_text())["rows"]["two-colors"]
    again = evaluate("--data", truth, "--model", mine, "--record")
    assert again.exit_code == 2
    assert "has figures of protocol native; --overwrite replaces them" in again.stderr
    assert evaluate("--data", truth, "--model", mine, "--record", "--overwrite").exit_code == 0
    recorded = load(mine).card.scores["native"]
    assert recorded["n"] == 4
    assert recorded["ab-error"] == pytest.approx(found["ab-error"]["value"], rel=1e-4)
