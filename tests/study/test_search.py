import json

import numpy as np
import pytest
import pyvips

from photochrom.study import search as module
from photochrom.study.search import search
from photochrom.training.recipe import read, resolved

KEYS = {"optimizer.lr": (1e-4, 1e-1), "optimizer.weight_decay": (1e-6, 1e-1)}


@pytest.fixture
def recipe(tmp_path, pytestconfig):
    rng = np.random.default_rng(0)
    for number in range(20):
        pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
        pyvips.Image.new_from_array(pixels).pngsave(str(tmp_path / f"{number}.png"))
    sets = ["trainer.steps=2", "data.validation=0.4", "trainer.accelerator=cpu", "optimizer.lr=0.003"]
    return resolved(read(pytestconfig.rootpath / "recipes/tiny/unet.toml", sets, [tmp_path]))


def test_the_best_of_all_trials_is_written(recipe, tmp_path):
    out = tmp_path / "search" / "unet.json"
    search(recipe, KEYS, trials=3, metric="ab_error", init="", out=out)
    result = json.loads(out.read_text())
    assert len(result["trials"]) == 3
    assert result["trials"][0]["set"][0] == "optimizer.lr=0.003"  # the recipe's own
    assert result["ab_error"] == min(trial["ab_error"] for trial in result["trials"])
    (best,) = [trial for trial in result["trials"] if trial["set"] == result["set"]]
    assert best["ab_error"] == result["ab_error"]
    stored = json.loads((out.parent / "unet" / result["run"].rpartition("/")[2] / "recipe.json").read_text())
    for assignment in result["set"]:
        key, _, value = assignment.partition("=")
        table, _, name = key.partition(".")
        assert stored[table][name] == float(value)


def test_a_search_goes_on_where_it_was_stopped(recipe, tmp_path, monkeypatch):
    out, train, runs = tmp_path / "search" / "unet.json", module.train, []

    def stop_at_third(recipe, run, **options):
        runs.append(run)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return train(recipe, run, **options)

    monkeypatch.setattr(module, "train", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        search(recipe, KEYS, trials=3, metric="loss", init="", out=out)
    assert not out.exists()
    search(recipe, KEYS, trials=3, metric="loss", init="", out=out)
    assert len(runs) == 4
    assert len(json.loads(out.read_text())["trials"]) == 3


def test_a_loss_that_is_not_finite_ends_a_trial_only(recipe, tmp_path, monkeypatch):
    out, train, runs = tmp_path / "search" / "unet.json", module.train, []

    def fail_first(recipe, run, **options):
        runs.append(run)
        if len(runs) == 1:
            raise FloatingPointError("step 1: total is nan")
        return train(recipe, run, **options)

    monkeypatch.setattr(module, "train", fail_first)
    search(recipe, KEYS, trials=2, metric="loss", init="", out=out)
    assert len(json.loads(out.read_text())["trials"]) == 1


def test_without_held_out_photos_trials_cannot_be_compared(recipe, tmp_path):
    recipe["data"]["validation"] = 0.0
    with pytest.raises(ValueError, match=r"no photos are held out, .*; raise data\.validation"):
        search(recipe, KEYS, trials=1, metric="loss", init="", out=tmp_path / "search" / "unet.json")
