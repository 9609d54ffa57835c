"""Plans: every family gets the same budget, and what changes in a study is what is done again."""

import json
import shutil
from pathlib import Path

import pytest

from photochrom.study.plan import Places, plan_study
from photochrom.study.spec import StudyError, read_study

STUDY = """
title = "A study"
set = ["data.size=32"]

[budget]
images = 240

[axes]
images = [8, 16]
seeds = [0, 3]
points = [0.5, 1.0]

[[families.unet]]
recipe = "unet.toml"
set = ["trainer.batch=8"]

[[families.cold]]
recipe = "vqvae.toml"
share = 0.25
exported = false

[[families.cold]]
recipe = "cold.toml"
share = 0.75
init = "previous"
"""


@pytest.fixture
def plan(tmp_path, pytestconfig):
    for recipe in (pytestconfig.rootpath / "recipes" / "tiny").glob("*.toml"):
        shutil.copy(recipe, tmp_path)

    def make(old="", new="", test=("test.zip",)):
        assert old in STUDY
        (tmp_path / "study.toml").write_text(STUDY.replace(old, new, 1))
        study = read_study(tmp_path / "study.toml")
        return plan_study(
            study, Places((tmp_path / "photos",), tuple(tmp_path / name for name in test), tmp_path / "out")
        )

    return make


def trainings(plan):
    return {job.name: job for job in plan.jobs if job.file.parent.parent.name == "runs"}


def recipe_of(job):
    """Return the command of a training, and the recipe that it names."""
    job.file.parent.parent.mkdir(parents=True, exist_ok=True)
    command = job.create_command()
    return command, json.loads(Path(command[command.index("train") + 1]).read_text())


def test_a_study_trains_every_family_on_every_part_with_every_seed(plan):
    made = plan()
    assert list(trainings(made)) == [
        f"{name} {images} seed {seed}{stage}"
        for seed in (0, 3)
        for images in (8, 16)
        for name, stage in (("unet", ""), ("cold", " stage 1"), ("cold", " stage 2"))
    ]
    assert len(made.models) == 2 * 2 * 2 * 2
    assert len({model.bundle for model in made.models}) == len(made.models)
    assert list(made.costs) == ["unet", "cold"]


def test_the_budget_is_the_same_for_all(plan):
    jobs = trainings(plan())
    seen = {}
    for name in ("unet 8 seed 3", "cold 8 seed 3 stage 1", "cold 8 seed 3 stage 2"):
        _, recipe = recipe_of(jobs[name])
        trainer = recipe["trainer"]
        seen[name] = trainer["steps"] * trainer["batch"]
        assert (trainer["seed"], trainer["points"], trainer["minutes"]) == (3, [0.5, 1.0], None)
        assert (recipe["data"]["images"], recipe["data"]["size"]) == (8, 32)
    assert seen["unet 8 seed 3"] == 240
    assert seen["cold 8 seed 3 stage 1"] + seen["cold 8 seed 3 stage 2"] == 240


def test_a_stage_starts_from_the_run_before_it(plan):
    jobs = trainings(plan())
    first, second = jobs["cold 16 seed 0 stage 1"], jobs["cold 16 seed 0 stage 2"]
    command, _ = recipe_of(second)
    assert command[command.index("--init") + 1] == str(first.file.parent)
    assert second.needs == (first,)
    assert "--resume" not in command
    second.file.parent.mkdir(parents=True)
    (second.file.parent / "last.safetensors").touch()
    assert recipe_of(second)[0][-1] == "--resume"


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("seeds = [0, 3]", "seeds = [0]", []),
        ("trainer.batch=8", "trainer.batch=4", ["unet"]),
        ("data.size=32", "data.size=64", ["unet", "cold"]),
        ('recipe = "vqvae.toml"', 'recipe = "vqvae.toml"\nset = ["optimizer.lr=0.1"]', ["cold"]),
        ("images = 240", "images = 480", ["unet", "cold"]),
        ("[axes]", '[test]\nprotocol = "square-64"\n[axes]', []),
    ],
)
def test_what_a_change_decides_is_trained_again(plan, old, new, again):
    before, after = plan(), plan(old, new)
    for family in ("unet", "cold"):
        old_runs = {job.file for name, job in trainings(before).items() if name.startswith(family)}
        new_runs = {job.file for name, job in trainings(after).items() if name.startswith(family)}
        assert new_runs.isdisjoint(old_runs) if family in again else new_runs <= old_runs


def test_another_test_is_measured_again_on_the_same_models(plan):
    before, after = plan(), plan("[axes]", "[test]\nsamples = 2\n[axes]")
    assert [model.bundle for model in before.models] == [model.bundle for model in after.models]
    assert {model.measures for model in before.models}.isdisjoint(model.measures for model in after.models)


def test_without_a_test_set_all_families_hold_out_the_same_photos(plan):
    with pytest.raises(StudyError, match=r"data\.validation is 0\.02, 0\.1: without --test, all recipes must hold out"):
        plan('set = ["trainer.batch=8"]', 'set = ["data.validation=0.1"]', test=())
    (job, *_) = [job for job in plan(test=()).jobs if job.name.endswith("test")]
    arguments = json.loads(job.create_command()[-1])
    assert arguments["held_out"] == 0.02
    assert arguments["sources"][0].endswith("photos")


def test_the_settings_of_a_search_are_those_that_are_trained(plan):
    made = plan("[axes]", '[search]\ntrials = 3\nkeys = {"optimizer.lr" = [1e-4, 1e-2]}\n[axes]')
    searches = {job.name: job for job in made.jobs if "search" in job.name}
    assert list(searches) == ["unet search 1", "cold search 1", "cold search 2"]
    search = searches["unet search 1"]
    arguments = json.loads(search.create_command()[-1])
    assert arguments["trials"] == 3
    assert arguments["recipe"]["trainer"]["steps"] == round(0.25 * 240 / 8)
    job = trainings(made)["unet 8 seed 0"]
    assert search in job.needs
    search.file.parent.mkdir(parents=True)
    search.file.write_text(json.dumps({"set": ["optimizer.lr=0.0042"], "run": "x"}))
    assert recipe_of(job)[1]["optimizer"]["lr"] == 0.0042
