"""The commands about models: the list, model cards, and the check of their files."""

import json
import os
import shutil

import numpy as np
import pytest
import pyvips
from test_cli import files, photochrom

from photochrom.inference import bundle as bundles
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.model_card import SIDE, draw_examples, front_matter, markdown

MODELS = bundles.installed()


@pytest.fixture
def examples(tmp_path):
    """A folder of two color photos; the second has hardly any color."""
    folder = tmp_path / "examples"
    folder.mkdir()
    ramp = np.linspace(0, 255, 300 * 400).reshape(300, 400)
    blue = np.dstack([ramp / 4, ramp / 4, ramp]).astype(np.uint8)
    grayish = np.dstack([ramp, ramp, ramp]).astype(np.uint8)
    for name, pixels in (("blue", blue), ("grayish", grayish)):
        pyvips.Image.new_from_array(pixels).write_to_file(str(folder / f"{name}.png"))
    return folder


def test_models_are_listed():
    assert set(json.loads(photochrom("models", "--json").stdout)) == set(MODELS)
    listing = photochrom("models").stdout
    assert all(f"\n{name}" in f"\n{listing}" for name in MODELS)
    assert "unet  (default)\n" in listing
    assert "ddpm  (for study)\n" in listing


@pytest.mark.parametrize("name", MODELS)
def test_the_card_of_every_model_is_complete(name):
    card = bundles.read_card(bundles.find(name))
    text = photochrom("models", "show", name).stdout
    for part in (card.summary, card.limitations, card.data["sources"], card.training["device"], card.licence):
        assert part
        assert part in text
    assert "None are recorded" not in text
    assert "Not recorded" not in text
    assert all(digest in text for digest in card.networks.values())
    assert text.startswith(f"# {name}\n")
    assert "/home/" not in json.dumps(card.scores)
    assert " /" not in json.dumps(card.scores)  # paths of a machine


def test_a_card_is_also_json_and_a_folder_with_a_picture(bundle, examples, tmp_path):
    card = bundles.read_card(bundle)
    assert json.loads(photochrom("models", "show", bundle, "--json").stdout)["networks"] == card.networks
    done = photochrom("models", "show", bundle, "-o", tmp_path / "card", "--examples", examples)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / 'card'}\n", "")
    assert files(tmp_path / "card") == ["README.md", "examples.jpg"]
    assert "(examples.jpg)" in (tmp_path / "card" / "README.md").read_text()
    assert "Not recorded." in photochrom("models", "show", bundle).stdout
    again = photochrom("models", "show", bundle, "-o", tmp_path / "card")
    assert again.returncode == 1
    assert "name another folder" in again.stderr


def test_examples_are_sorted_by_error_from_input_to_ground_truth(bundle, examples):
    photos = {path.name: path for path in sorted(examples.iterdir())}
    picture = pyvips.Image.new_from_buffer(draw_examples(Colorizer(bundle), photos), "").numpy().astype(int)
    assert picture.shape[:2] == (3 * SIDE + 8, 2 * SIDE + 4)

    def saturation(column, row):
        tile = picture[row * (SIDE + 4) :, column * (SIDE + 4) :][10 : SIDE - 10, 10 : SIDE - 10]
        return np.ptp(tile, axis=2).mean()

    assert saturation(0, 0) < 3  # inputs are gray
    assert saturation(1, 0) < 3
    assert saturation(0, 2) < 3  # the ground truth with little color has the smallest error
    assert saturation(1, 2) > 30
    assert saturation(0, 1) > 3  # outputs


def test_a_panorama_is_an_example_too(bundle, tmp_path):
    pyvips.Image.black(400, 60, bands=3).write_to_file(str(tmp_path / "wide.png"))
    picture = pyvips.Image.new_from_buffer(draw_examples(Colorizer(bundle), {"wide.png": tmp_path / "wide.png"}), "")
    assert picture.width < SIDE


def test_no_examples_are_an_error(bundle):
    with pytest.raises(ValueError, match="no photos"):
        draw_examples(Colorizer(bundle), {})


def test_the_front_matter_is_what_the_hub_reads(bundle):
    text = front_matter(bundles.read_card(bundle))
    entries = dict(line.split(": ", 1) for line in text.strip("-\n").splitlines())
    assert {name: json.loads(value) for name, value in entries.items()} == {
        "license": "apache-2.0",
        "library_name": "photochrom",
        "pipeline_tag": "image-to-image",
        "tags": ["colorization", "photochrom", "onnx", "unet"],
    }


def test_an_example_that_cannot_be_read_is_named(bundle, examples, tmp_path):
    (examples / "torn.png").write_bytes(b"")
    done = photochrom("models", "show", bundle, "-o", tmp_path / "card", "--examples", examples)
    assert done.returncode == 1
    assert "torn.png" in done.stderr
    assert not (tmp_path / "card").exists()


def test_texts_of_a_card_cannot_leave_their_place():
    hostile = "a | b\n# c <script>\x1b[31m\u202e"
    training = {"seconds": "many", "images_seen": None, "device": hostile}
    scores = {hostile: {"command": hostile, "psnr": [1], "ssim": None, "n": 3}}
    card = bundles.ModelCard(
        *("mine", hostile, {"kind": hostile}, {"colors": hostile}, 64),
        **{"summary": hostile, "limitations": hostile, "licence": hostile, "data": {"sources": hostile}},
        **{"training": training, "scores": scores},
    )
    text = markdown(card, {"colors": 10})
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<script" not in text
    assert "\n# c" not in text
    assert all(line.count("|") - line.count("\\|") in (0, 3, 4) for line in text.splitlines())
    assert "| n | 3 |" in text


def test_models_that_cannot_be_read_do_not_hide_the_others(bundle, tmp_path):
    folder = tmp_path / "my_models"
    shutil.copytree(bundle, folder / "mine")
    for name, content in (("damaged", "{"), ("newer", '{"format": 9}')):
        (folder / name).mkdir()
        (folder / name / bundles.CARD).write_text(content)
    for package, module in (("my-models", "my_models"), ("lost-models", "lost_models")):
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[photochrom.bundles]\n{package} = {module}\n")
    done = photochrom("models", "--json", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert set(json.loads(done.stdout)) == {*MODELS, "mine"}
    assert "damaged: model.json is damaged" in done.stderr
    assert "newer: bundle format 9 is newer" in done.stderr
    assert "lost-models: its folder of models is missing" in done.stderr


def test_a_card_of_an_export_without_records_is_written(bundle):
    card = bundles.ModelCard("mine", "unet", {"kind": "direct"}, {"colors": "0" * 64}, 64)
    text = markdown(card, {"colors": 10}, source="./mine")
    assert "--model ./mine" in text
    assert "Not recorded." in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "rembrandt"), 1, "no model 'rembrandt'"),
        (("show", "--examples", "x"), 2, "--examples needs a folder to write to: --out"),
        (("show", "-o", "card", "--examples", "nowhere"), 1, "nowhere: there is no such folder or zip"),
        (("show", "-o", "card", "--json"), 2, "--json prints the card: leave out --out"),
        (("verify", "rembrandt"), 1, "no model 'rembrandt'"),
        (("--json", "show"), 2, "--json goes after the command"),
        (("paint",), 2, "No such command"),
    ],
)
def test_a_wrong_call_is_explained(arguments, code, message, tmp_path):
    done = photochrom("models", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_verify_checks_every_model_that_is_named(bundle, tmp_path):
    damaged, unfit = tmp_path / "damaged", tmp_path / "unfit"
    for folder in (damaged, unfit):
        shutil.copytree(bundle, folder)
    (damaged / "colors.onnx").write_bytes(b"")
    (unfit / bundles.CARD).write_text("{}")
    done = photochrom("models", "verify", bundle, damaged, unfit, "default")
    assert done.returncode == 1
    verified = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert verified == [str(bundle), "default"]
    assert "colors.onnx does not match its digest" in done.stderr
    assert "model.json has no format" in done.stderr


def test_verify_checks_all_installed_models_by_default():
    done = photochrom("models", "verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == list(MODELS)
