from pathlib import Path

import pytest

from photochrom.study.spec import Budget, StudyError, read_study

VALID = """
title = "A study"

[budget]
steps = 100

[[families.unet]]
recipe = "unet.toml"

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
def write(tmp_path):
    def write(text):
        path = tmp_path / "study.toml"
        path.write_text(text)
        return path

    return write


def test_recipes_are_relative_to_the_study(write, tmp_path):
    study = read_study(write(VALID))
    assert list(study.families) == ["unet", "cold"]
    assert [stage.recipe for stage in study.families["cold"]] == [tmp_path / "vqvae.toml", tmp_path / "cold.toml"]
    assert study.axes.points == (1.0,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 100", "steps = 100\nminutes = 3.0", "budget: give one of minutes, steps, images"),
        ("steps = 100", "", "budget: give one of minutes, steps, images"),
        ("steps = 100", "step = 100", r"budget\.step is not known: choose one of minutes, steps, images"),
        ("share = 0.25", "share = 0.5", r"families\.cold: the shares of its stages sum to 1\.25; they must sum to 1"),
        ("share = 0.25", 'init = "previous"\nshare = 0.25', "first stage has no stage before it"),
        ('init = "previous"', "exported = false", r"families\.cold: no stage is exported"),
        ('recipe = "unet.toml"', 'recipe = "unet.toml"\nsets = []', r"families\.unet\.sets is not known"),
        (
            "[[families.unet]]",
            "[axes]\npoints = [0.5]\n[[families.unet]]",
            r"axes\.points = \[0\.5\]: .* the last of them",
        ),
        ("[[families.unet]]", "[axes]\nimages = [9, 3]\n[[families.unet]]", r"axes\.images = \[9, 3\]: .* increasing"),
        ("[[families.unet]]", "[axes]\nseeds = []\n[[families.unet]]", r"axes\.seeds = \[\]: give at least one seed"),
        (
            "[[families.unet]]",
            '[test]\nprotocol = "x"\n[[families.unet]]',
            r"test\.protocol = 'x': .*choose one of native",
        ),
        (
            "[[families.unet]]",
            '[test]\nprotocol = "seed5k"\n[[families.unet]]',
            r"test\.protocol = 'seed5k': is defined on 5,000 photos of its own; choose native or square-64",
        ),
        (
            "[[families.unet]]",
            '[question]\ngroup = ["ddpm"]\nname = "x"\n[[families.unet]]',
            r"question\.group names ddpm; choose of unet, cold",
        ),
        (
            "[[families.unet]]",
            '[search.keys]\n"optimizer.lr" = [1e-2, 1e-3]\n[[families.unet]]',
            r"search\.keys: optimizer\.lr: give two values above 0, the smaller first",
        ),
    ],
)
def test_errors_name_key_value_and_choices(write, old, new, message):
    with pytest.raises(StudyError, match=message):
        read_study(write(VALID.replace(old, new, 1)))


def test_files_that_are_no_studies(write, tmp_path):
    with pytest.raises(StudyError, match=r"there\.toml: cannot be read \(No such file or directory\)"):
        read_study(tmp_path / "there.toml")
    with pytest.raises(StudyError, match="not TOML"):
        read_study(write("title"))
    with pytest.raises(StudyError, match=r"families: Field required"):
        read_study(write('title = "x"\n[budget]\nsteps = 1'))
    with pytest.raises(StudyError, match="name two or more"):
        read_study(write('title = "x"\n[budget]\nsteps = 1\n[[families.unet]]\nrecipe = "x.toml"'))


def test_a_budget_is_the_same_in_images_for_every_batch():
    assert Budget(images=6400).trainer(0.5, batch=32) == {"minutes": None, "steps": 100}
    assert Budget(images=6400).trainer(0.5, batch=64) == {"minutes": None, "steps": 50}
    assert Budget(steps=10).trainer(0.25, batch=64) == {"minutes": None, "steps": 2}
    assert Budget(minutes=8.0).trainer(0.25, batch=64) == {"minutes": 2.0}


def test_the_studies_of_the_repository_are_valid(pytestconfig):
    paths = sorted((pytestconfig.rootpath / "studies").glob("*.toml"))
    assert paths
    for path in paths:
        for stages in read_study(path).families.values():
            assert all(Path(stage.recipe).is_file() for stage in stages)
