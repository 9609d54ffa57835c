"""The stages of ColTran from training to one bundle, and the errors on the way."""

import json
import shutil

import numpy as np
import pytest
import pyvips
import torch
import toy
from typer.testing import CliRunner

from fake_networks import FakeNetworks, sample_image
from photochrom.cli.main import app
from photochrom.evaluation import run as evaluation
from photochrom.imaging.photo import open_photo
from photochrom.inference import bundle as bundles
from photochrom.inference.bundle import BundleError
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.hints import HintMaps, hint_ab
from photochrom.inference.options import Hint
from photochrom.training.augment import pair
from photochrom.training.checkpoint import load
from photochrom.training.export import merge_runs
from photochrom.training.graph import round_weights
from photochrom.training.loop import train
from photochrom.training.recipe import RecipeError, read

STAGES = ("core", "color", "spatial")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        (folder / f"{i}.jpg").write_bytes(toy.jpeg(i))
    return folder


@pytest.fixture(scope="module")
def recipe(pytestconfig, photos):
    def make(*sets):
        sets = ("trainer.steps=2", "data.validation=0.0", "trainer.accelerator=cpu", "data.min_colorfulness=0", *sets)
        return read(pytestconfig.rootpath / "recipes/tiny/coltran.toml", sets, [photos])

    return make


@pytest.fixture(scope="module")
def runs(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [train(recipe(f'model.sampling.stages=["{stage}"]'), folder / stage) for stage in STAGES]


@pytest.fixture(scope="module")
def bundle(runs):
    out = runs[0].parent / "coltran"
    result = CliRunner().invoke(app, ["export", *map(str, reversed(runs)), "-o", str(out), "--sources", "six squares"])
    assert result.exit_code == 0, result.output
    return out


def test_each_stage_writes_samples(runs):
    assert all(list((run / "samples").glob("*.png")) for run in runs)


def test_one_bundle_contains_all_stages_and_their_recipes(bundle, runs):
    card = bundles.read_card(bundle)
    assert set(card.networks) == {"encoder", "row", "pixel", "outer", "color", "spatial"}
    assert card.procedure["stages"] == list(STAGES)
    assert card.recipe["model"]["sampling"]["stages"] == list(STAGES)
    assert card.recipe["stages"].keys() == {"color", "spatial"}
    for name, stage in card.recipe["stages"].items():
        assert stage["model"]["sampling"]["stages"] == [name]
        assert stage["training"]["steps"] == 2
        assert stage["photographs"]["training"] == 6
    assert str(runs[0].parent) not in json.dumps(card.recipe)
    assert card.scores == {}  # the metrics of training are those of single stages
    assert card.data["sources"] == "six squares"


def test_it_is_stochastic_and_has_options(bundle):
    photo = np.random.default_rng(0).integers(60, 190, (30, 44), np.uint8)
    colorizer = Colorizer(bundle)
    assert (colorizer(photo, seed=1) != colorizer(photo, seed=2)).any()
    greedy = Colorizer(bundle, solver="greedy")
    np.testing.assert_array_equal(greedy(photo), greedy(photo))
    for call in (greedy, Colorizer(bundle)):
        with pytest.raises(ValueError, match="deterministic; seed needs a stochastic model"):
            call(photo, seed=1, solver="greedy")
    np.testing.assert_array_equal(Colorizer(bundle, temperature=1e-6)(photo), greedy(photo))


def test_likelihood_of_the_bundle_equals_that_of_training(bundle, runs):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    model, recipe, _ = load(runs[0], "best")
    round_weights(model)
    gray, color = pair(torch.from_numpy(image).movedim(-1, 0)[None] / 255, recipe.data.gray, "rgb")
    with torch.no_grad():
        expected = model.validation_metrics(gray, color)["bits_per_dim"].item()
    assert evaluation.measure_likelihood(Colorizer(bundle), image) == pytest.approx(expected, abs=1e-4)


def test_it_is_evaluated_with_each_choice_of_options(bundle, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "FeatureNetworks", lambda *_: FakeNetworks())
    monkeypatch.setenv("PHOTOCHROM_CACHE", str(tmp_path))
    data = tmp_path / "photos"
    data.mkdir()
    for seed in range(2):
        pyvips.Image.new_from_array(sample_image(seed, (32, 48))).write_to_file(str(data / f"{seed}.png"))
    options = ["--temperature", "0.5", "--temperature", "1", "--solver", "sample", "--solver", "greedy"]
    out = tmp_path / "report.json"
    result = CliRunner().invoke(
        app, ["evaluate", "--data", str(data), "--model", str(bundle), *options, "--json", str(out), "--force"]
    )
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    variants = [name for name in rows if name.startswith("coltran")]
    assert variants == ["coltran sample 0.5", "coltran sample 1.0", "coltran greedy"]
    assert len({rows[name]["bits-per-dim"]["value"] for name in variants}) == 1
    assert "bits-per-dim" in result.output


def test_output_that_is_not_a_number_is_an_error(bundle, monkeypatch):
    colorizer = Colorizer(bundle)
    pixel = colorizer.nets["pixel"]
    monkeypatch.setitem(
        colorizer.nets, "pixel", lambda **inputs: [output * np.float32(np.nan) for output in pixel(**inputs)]
    )
    with pytest.raises(BundleError, match="the model output is not a number"):
        colorizer(np.full((32, 32), 120, np.uint8))


def test_a_size_too_large_is_refused_before_colorization(bundle, tmp_path):
    pyvips.Image.black(600, 600).write_to_file(str(tmp_path / "large.png"))
    result = CliRunner().invoke(app, ["colorize", str(tmp_path / "large.png"), "--model", str(bundle), "--size", "600"])
    assert result.exit_code == 1
    assert "large.png: 600 x 600 pixels: too large for the spatial stage" in result.output
    assert "report" not in result.output


def test_a_hint_passes_through_the_sampler(bundle):
    colorizer, photo = Colorizer(bundle), open_photo(np.full((32, 32), 120, np.uint8))
    gray = colorizer.prepare(photo).gray
    hints = HintMaps(photo, gray, [Hint(12, 8, (200, 40, 40))])
    coarse = colorizer.procedure.sample_coarse(
        colorizer.nets, gray[None], lambda like, kind: np.zeros_like(like), hints
    )
    red, green, blue = coarse[0, :, 2, 3]
    assert red > max(green, blue)
    expected = hint_ab(Hint(12, 8, (200, 40, 40)))
    np.testing.assert_allclose(colorizer.predict([gray], 0, hints)[0][:, 8, 12], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temperature", "0"], "0.0 is not in the range"),
        (["--temperature", "-1"], "-1.0 is not in the range"),
        (["--steps", "5"], "steps: not supported by this model or its solver; supported options: solver, temperature"),
        (["--solver", "ddim"], "solver 'ddim': choose one of sample, greedy"),
        (["--trace"], "coltran has no steps to show; --trace needs an iterative model"),
        (["--solver", "greedy", "--variants", "3"], "coltran is deterministic; --variants needs"),
        (
            ["--solver", "greedy", "--temperature", "0.5"],
            "temperature: not supported by this model or its solver; supported options: solver",
        ),
    ],
)
def test_unsupported_options_are_refused(bundle, photos, options, message):
    result = CliRunner().invoke(app, ["colorize", str(photos / "0.jpg"), "--model", str(bundle), *options])
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((1,), "color: its stage color needs core: give that run too"),
        ((0, 2), "spatial: its stage spatial needs color: give that run too"),
    ],
)
def test_a_missing_stage_is_named(runs, tmp_path, parts, message):
    result = CliRunner().invoke(app, ["export", *(str(runs[i]) for i in parts), "-o", str(tmp_path / "bundle")])
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "bundle").exists()


def test_a_run_that_is_named_twice_is_one_run(runs):
    model, _, _, stages = merge_runs([runs[0], runs[0], runs[1], runs[1]])
    assert model.trainable == ("core", "color")
    assert list(stages) == ["color"]


def test_stages_of_another_size_or_family_are_refused(runs, recipe, tmp_path, pytestconfig, photos):
    large = train(recipe('model.sampling.stages=["color"]', "data.size=48"), tmp_path / "large")
    result = CliRunner().invoke(app, ["export", str(runs[0]), str(large)])
    assert "2 runs: name their common bundle with --out" in result.output
    result = CliRunner().invoke(app, ["export", str(runs[0]), str(large), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert f"{large}: data.size = 48, but 32 in {runs[0]}: stages of one model must agree" in result.output
    sets = ("trainer.steps=2", "data.validation=0.0", "trainer.accelerator=cpu", "data.min_colorfulness=0")
    other = [
        train(read(pytestconfig.rootpath / "recipes/tiny/classify.toml", sets, [photos]), tmp_path / name)
        for name in ("one", "two")
    ]
    result = CliRunner().invoke(app, ["export", str(runs[0]), str(other[0]), "-o", str(tmp_path / "out")])
    assert "model.family = classify, but coltran in" in result.output
    result = CliRunner().invoke(app, ["export", *map(str, other), "-o", str(tmp_path / "out")])
    assert "the family classify has no stages to join: export one run" in result.output


@pytest.mark.parametrize("network", ["encoder", "spatial"])
def test_a_bundle_without_a_stage_is_refused(bundle, tmp_path, network):
    shutil.copytree(bundle, tmp_path / "incomplete")
    (tmp_path / "incomplete" / f"{network}.onnx").unlink()
    with pytest.raises(BundleError, match=rf"{network}\.onnx cannot be read"):
        Colorizer(tmp_path / "incomplete")
    card = json.loads((bundle / "model.json").read_text())
    del card["networks"][network]
    (tmp_path / "incomplete" / "model.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match=f"autoregressive needs the network {network}; export it again"):
        Colorizer(tmp_path / "incomplete")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["model.sampling.temperature=0.0"], "temperature 0.0: must be above 0"),
        (['model.sampling.stages=["core", "spatial"]'], "in order, no gap"),
        (["model.core.shape.width=15"], "width 15, heads 2"),
    ],
)
def test_invalid_recipes_are_refused(recipe, sets, message):
    with pytest.raises(RecipeError, match=message):
        recipe(*sets)


def test_export_of_a_single_later_stage_is_refused_before_training(pytestconfig, photos, tmp_path):
    recipe = pytestconfig.rootpath / "recipes/tiny/coltran.toml"
    options = ["--data", str(photos), "-o", str(tmp_path / "run"), "--set", 'model.sampling.stages=["color"]']
    result = CliRunner().invoke(app, ["train", str(recipe), *options, "--export", str(tmp_path / "bundle")])
    assert result.exit_code == 2
    assert "this recipe: its stage color needs core: give that run too" in result.output
    assert not (tmp_path / "run").exists()


def test_a_size_that_does_not_divide_is_refused_before_training(recipe, tmp_path):
    with pytest.raises(ValueError, match=r"data.size = 30: must divide by 4 for this model: choose 32"):
        train(recipe("data.size=30"), tmp_path / "run")
