"""From a run to a bundle: with other settings, portable, and refused where it would not be true."""

import json
import zipfile

import numpy as np
import onnx
import pytest
import pyvips
import toy
from typer.testing import CliRunner

from photochrom.cli.main import app
from photochrom.inference import bundle as bundles
from photochrom.training.export import export
from photochrom.training.graph import HALF_MINIMUM
from photochrom.training.loop import train
from photochrom.training.recipe import read


@pytest.fixture(scope="module")
def run(tmp_path_factory, pytestconfig):
    folder = tmp_path_factory.mktemp("export")
    photos = folder / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        pixels = np.kron(rng.integers(0, 256, (3, 3, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        pyvips.Image.new_from_array(pixels).write_to_file(str(photos / f"{i}.png"))
    recipe = read(
        pytestconfig.rootpath / "recipes/tiny/classify.toml", ["trainer.steps=2", "data.validation=0.0"], [photos]
    )
    return train(recipe, folder / "run")


@pytest.fixture(scope="module")
def exported(run):
    out = run.parent / "small"
    card = export([run], out, ["model.temperature=0.2"], size=64, sources="six squares", summary="patches")
    return out, card


def test_the_card_has_the_options_and_the_training(exported):
    path, card = exported
    bundle = bundles.load(path)
    assert bundle.card == card
    assert (card.name, card.family, card.size, card.summary) == ("small", "classify", 64, "patches")
    assert bundle.procedure.temperature == 0.2
    assert card.multiple == 4
    assert card.data["training"] == 6
    assert card.data["sources"] == "six squares"
    assert card.training["steps"] == 2
    assert card.training["images_seen"] == 2 * card.recipe["trainer"]["batch"]
    assert card.training["seconds"] > 0
    assert "thread" in card.training["device"]


def test_the_card_says_what_the_model_is_for(run, tmp_path):
    words = ["--study", "--limitations", "It is all brown.", "--summary", "Brown."]
    result = CliRunner().invoke(app, ["export", str(run), "-o", str(tmp_path / "brown"), *words])
    assert result.exit_code == 0, result.output
    card = bundles.read_card(tmp_path / "brown")
    assert (card.use, card.limitations, card.summary) == ("study", "It is all brown.", "Brown.")
    result = CliRunner().invoke(app, ["export", str(run), "-o", str(tmp_path / "x"), "--limitations", "two\nlines"])
    assert result.exit_code == 2
    assert "--limitations 'two\\nlines': write it in one line" in result.stderr
    assert not (tmp_path / "x").exists()


def test_a_point_of_a_run_is_exported(pytestconfig, tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.jpg").write_bytes(toy.jpeg(i))
    sets = ["trainer.steps=4", "data.validation=0.0", "trainer.points=[0.5]", "data.min_colorfulness=0"]
    recipe = read(pytestconfig.rootpath / "recipes/tiny/unet.toml", sets, [tmp_path])
    run = train(recipe, tmp_path / "run")
    cards = [export([run], tmp_path / name, checkpoint=name) for name in ("at-0.5", "last")]
    assert [card.training["steps"] for card in cards] == [2, 4]
    assert cards[0].weights != cards[1].weights


def test_the_card_maps_the_weights_of_the_graph_to_parameters(exported):
    path, card = exported
    graph = onnx.load(str(path / "logits.onnx")).graph
    assert card.parameters.keys() == card.networks.keys()
    assert card.parameters["logits"].keys() <= {weight.name for weight in graph.initializer}
    assert "encoder.levels.0.0.0.weight" in card.parameters["logits"].values()
    assert json.loads((path / "model.json").read_text())["parameters"] == card.parameters


def test_the_bundle_names_no_folder_of_the_machine(exported, tmp_path_factory):
    text = (exported[0] / "model.json").read_text()
    assert json.loads(text)["recipe"]["data"]["photos"] == ["photos"]
    assert str(tmp_path_factory.getbasetemp()) not in text
    assert b".py" not in (exported[0] / "logits.onnx").read_bytes()


def test_blended_weights_are_exported_and_named_on_the_card(run, exported, tmp_path):
    out = tmp_path / "blend"
    result = CliRunner().invoke(
        app, list(map(str, ["export", run, "--blend", exported[0], "--share", 0.25, "-o", out]))
    )
    assert (result.exit_code, result.stdout) == (0, f"{out}\n"), result.output
    card = bundles.load(out).card
    assert card.recipe["blend"] == {"weights": "small", "share": 0.25}
    assert card.scores == {}
    assert "blend" not in exported[1].recipe


def test_a_zip_is_written_as_one(run, exported, tmp_path):
    out = tmp_path / "small.zip"
    card = export([run], out, ["model.temperature=0.2"], size=64, sources="six squares", summary="patches")
    assert zipfile.is_zipfile(out)
    assert card == exported[1]
    assert bundles.load(out) == bundles.load(exported[0])


def test_a_share_without_a_blend_is_refused(run, tmp_path):
    result = CliRunner().invoke(app, list(map(str, ["export", run, "--share", 0.25, "-o", tmp_path / "blend"])))
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "--share 0.25: is the share of --blend" in result.stderr


def test_larger_weights_have_half_precision(exported):
    graph = onnx.load(str(exported[0] / "logits.onnx")).graph
    large = [weight for weight in graph.initializer if np.prod(weight.dims) >= HALF_MINIMUM]
    assert {onnx.numpy_helper.to_array(weight).dtype for weight in large} == {np.dtype(np.float16)}


def test_settings_that_need_other_weights_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match="needs other weights"):
        export([run], tmp_path / "other", ["model.net.filters=6"])
    assert not (tmp_path / "other").exists()


def test_a_bundle_is_never_overwritten(run, exported):
    with pytest.raises((FileExistsError, ValueError), match=r"small.*exists"):
        export([run], exported[0])
