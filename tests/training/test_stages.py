"""The stages of ColTran from training to one bundle, and what is refused on the way."""

import json
import re

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
from photochrom.inference.hints import build_hints, hint_ab
from photochrom.inference.options import Hint
from photochrom.training.checkpoint import load
from photochrom.training.dataset import pair
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
def follow(pytestconfig, photos):
    def recipe(*sets):
        sets = ("trainer.steps=2", "data.validation=0.0", "trainer.accelerator=cpu", "data.min_colorfulness=0", *sets)
        return read(pytestconfig.rootpath / "recipes/tiny/coltran.toml", sets, [photos])

    return recipe


@pytest.fixture(scope="module")
def runs(follow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [train(follow(f'model.sampling.stages=["{stage}"]'), folder / stage) for stage in STAGES]


@pytest.fixture(scope="module")
def joined(runs):
    out = runs[0].parent / "coltran"
    done = CliRunner().invoke(app, ["export", *map(str, reversed(runs)), "-o", str(out), "--sources", "six squares"])
    assert done.exit_code == 0, done.output
    return out


def test_each_stage_shows_samples_of_what_it_does(runs):
    assert all(list((run / "samples").glob("*.png")) for run in runs)


def test_one_bundle_holds_all_stages_and_how_each_was_trained(joined, runs):
    card = bundles.read_card(joined)
    assert set(card.networks) == {"encoder", "row", "pixel", "outer", "color", "spatial"}
    assert card.procedure["stages"] == list(STAGES)
    assert card.recipe["model"]["sampling"]["stages"] == list(STAGES)
    assert {name: told["model"]["sampling"]["stages"] for name, told in card.recipe["stages"].items()} == {
        "color": ["color"],
        "spatial": ["spatial"],
    }
    assert {told["step"] for told in card.recipe["stages"].values()} == {2}
    assert {told["photographs"]["training"] for told in card.recipe["stages"].values()} == {6}
    assert str(runs[0].parent) not in json.dumps(card.recipe)
    assert card.scores == {}  # those of training are of its stages
    assert card.data["sources"] == "six squares"


def test_it_draws_and_can_be_told_how(joined):
    photo = np.random.default_rng(0).integers(60, 190, (30, 44), np.uint8)
    colorizer = Colorizer(joined)
    assert (colorizer(photo, seed=1) != colorizer(photo, seed=2)).any()
    greedy = Colorizer(joined, solver="greedy")
    np.testing.assert_array_equal(greedy(photo, seed=1), greedy(photo, seed=2))
    np.testing.assert_array_equal(Colorizer(joined, temperature=1e-6)(photo), greedy(photo))


def test_likelihood_in_the_engine_is_that_of_training(joined, runs):
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    model, recipe, _ = load(runs[0], "best")
    round_weights(model)
    gray, color = pair(np.moveaxis(picture, -1, 0).astype(np.float32) / 255, recipe.data.gray, "rgb")
    with torch.no_grad():
        expected = model.validation_metrics(gray[None], color[None])["bits_per_dim"].item()
    assert Colorizer(joined).bits_per_dim(picture) == pytest.approx(expected, abs=1e-4)


def test_it_is_measured_as_it_is_told(joined, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "FeatureNetworks", lambda *_: FakeNetworks())
    monkeypatch.setenv("PHOTOCHROM_CACHE", str(tmp_path))
    data = tmp_path / "photos"
    data.mkdir()
    for seed in range(2):
        pyvips.Image.new_from_array(sample_image(seed, (32, 48))).write_to_file(str(data / f"{seed}.png"))
    told = ["--temperature", "0.5", "--temperature", "1", "--solver", "sample", "--solver", "greedy"]
    out = tmp_path / "report.json"
    done = CliRunner().invoke(
        app, ["evaluate", "--data", str(data), "--model", str(joined), *told, "--json", str(out), "--force"]
    )
    assert done.exit_code == 0, done.output
    rows = json.loads(out.read_text())["rows"]
    ours = [name for name in rows if name.startswith("coltran")]
    assert ours == ["coltran sample 0.5", "coltran sample 1.0", "coltran greedy"]
    assert len({rows[name]["bits-per-dim"]["value"] for name in ours}) == 1
    assert "bits-per-dim" in done.output


def test_a_model_that_is_broken_gives_no_gray_picture(joined, monkeypatch):
    colorizer = Colorizer(joined)
    pixel = colorizer.nets["pixel"]
    monkeypatch.setitem(
        colorizer.nets, "pixel", lambda t, **given: [made * np.float32(np.nan) for made in pixel(t, **given)]
    )
    with pytest.raises(BundleError, match="the model output is not a number"):
        colorizer(np.full((32, 32), 120, np.uint8))


def test_a_photograph_that_is_seen_too_large_is_refused_before_it_is_painted(joined, tmp_path):
    pyvips.Image.black(600, 600).write_to_file(str(tmp_path / "large.png"))
    done = CliRunner().invoke(app, ["colorize", str(tmp_path / "large.png"), "--model", str(joined), "--size", "600"])
    assert done.exit_code == 1
    assert "large.png: 600 x 600 pixels: too large for the spatial stage" in done.output
    assert "report" not in done.output


def test_a_hint_is_met_and_goes_through_the_sampler(joined):
    colorizer, photo = Colorizer(joined), open_photo(np.full((32, 32), 120, np.uint8))
    gray = colorizer.prepare(photo).gray
    hints = build_hints(photo, gray, [Hint(12, 8, (200, 40, 40))])
    coarse = colorizer.procedure.sample_coarse(
        colorizer.nets, gray[None], lambda like, kind: np.zeros_like(like), hints
    )
    red, green, blue = coarse[0, :, 2, 3]
    assert red > max(green, blue)
    wanted = hint_ab(Hint(12, 8, (200, 40, 40)))
    np.testing.assert_allclose(colorizer.predict([gray], 0, hints)[0][:, 8, 12], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--temperature", "0"], "0.0 is not in the range"),
        (["--temperature", "-1"], "-1.0 is not in the range"),
        (["--steps", "5"], "steps: not supported by this model; supported options: solver, temperature"),
        (["--solver", "ddim"], "solver 'ddim': choose sample or greedy"),
        (["--trace"], "coltran colorizes in one pass; --trace needs an iterative model"),
        (["--solver", "greedy", "--variants", "3"], "coltran is deterministic; --variants needs"),
        (
            ["--solver", "greedy", "--temperature", "0.5"],
            "temperature: the solver greedy does not sample; leave out one of the two",
        ),
    ],
)
def test_what_cannot_be_told_is_said(joined, photos, options, sentence):
    done = CliRunner().invoke(app, ["colorize", str(photos / "0.jpg"), "--model", str(joined), *options])
    assert done.exit_code == 2
    assert sentence in done.output


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((1,), r"color: its stage color needs core: give that run too"),
        ((0, 2), r"spatial: its stage spatial needs color: give that run too"),
        ((0, 0, 1, 1), None),
    ],
)
def test_stages_are_missed_by_name(runs, tmp_path, parts, sentence):
    done = CliRunner().invoke(app, ["export", *(str(runs[i]) for i in parts), "-o", str(tmp_path / "bundle")])
    assert done.exit_code == (2 if sentence else 0)  # a run named twice is one run
    assert re.search(sentence or "bundle", done.output)
    assert (tmp_path / "bundle").exists() is not bool(sentence)


def test_stages_of_another_size_or_family_are_refused_by_name(runs, follow, tmp_path, pytestconfig, photos):
    large = train(follow('model.sampling.stages=["color"]', "data.size=48"), tmp_path / "large")
    done = CliRunner().invoke(app, ["export", str(runs[0]), str(large)])
    assert "2 runs: name their common bundle with --out" in done.output
    done = CliRunner().invoke(app, ["export", str(runs[0]), str(large), "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert f"{large}: data.size = 48, but 32 in {runs[0]}: stages of one model must agree" in done.output
    sets = ("trainer.steps=2", "data.validation=0.0", "trainer.accelerator=cpu", "data.min_colorfulness=0")
    other = [
        train(read(pytestconfig.rootpath / "recipes/tiny/classify.toml", sets, [photos]), tmp_path / name)
        for name in ("one", "two")
    ]
    done = CliRunner().invoke(app, ["export", str(runs[0]), str(other[0]), "-o", str(tmp_path / "out")])
    assert "model.family = classify, but coltran in" in done.output
    done = CliRunner().invoke(app, ["export", *map(str, other), "-o", str(tmp_path / "out")])
    assert "the family classify has no stages to join: export one run" in done.output


@pytest.mark.parametrize("network", ["encoder", "spatial"])
def test_a_bundle_that_lost_a_stage_is_refused_by_name(joined, tmp_path, network):
    import shutil

    shutil.copytree(joined, tmp_path / "lost")
    (tmp_path / "lost" / f"{network}.onnx").unlink()
    with pytest.raises(BundleError, match=rf"{network}\.onnx cannot be read"):
        Colorizer(tmp_path / "lost")
    card = json.loads((joined / "model.json").read_text())
    del card["networks"][network]
    (tmp_path / "lost" / "model.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match=f"autoregressive needs the network {network}: export it again"):
        Colorizer(tmp_path / "lost")


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["model.sampling.temperature=0.0"], "temperature 0.0: must be above 0"),
        (['model.sampling.stages=["core", "spatial"]'], "in order, no gap"),
        (["model.core.shape.width=15"], "width 15, heads 2"),
    ],
)
def test_recipes_that_cannot_be_followed(follow, sets, sentence):
    with pytest.raises(RecipeError, match=sentence):
        follow(*sets)


def test_a_stage_that_makes_no_bundle_says_so_before_it_is_trained(pytestconfig, photos, tmp_path):
    recipe = pytestconfig.rootpath / "recipes/tiny/coltran.toml"
    options = ["--data", str(photos), "-o", str(tmp_path / "run"), "--set", 'model.sampling.stages=["color"]']
    done = CliRunner().invoke(app, ["train", str(recipe), *options, "--export", str(tmp_path / "bundle")])
    assert done.exit_code == 2
    assert "this recipe: its stage color needs core: give that run too" in done.output
    assert not (tmp_path / "run").exists()


def test_a_grid_that_does_not_divide_is_said_before_training(follow, tmp_path):
    with pytest.raises(ValueError, match=r"data.size = 30: must divide by 4 for this model: choose 32"):
        train(follow("data.size=30"), tmp_path / "run")
