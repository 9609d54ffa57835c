import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photochrom.training.recipe import RecipeError, parse, read, resolved

TOML = """
[model]
family = "toy"
width = 4

[data]
photos = ["a.zip"]
size = 32

[trainer]
steps = 10
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(TOML)
    return path


def test_a_file_becomes_typed_settings(path):
    recipe = read(path)
    assert (recipe.family, recipe.model.width, recipe.model.widths) == ("toy", 4, (4, 4))
    assert (recipe.data.size, recipe.trainer.steps, recipe.trainer.batch) == (32, 10, 32)
    assert [str(p) for p in recipe.data.photos] == ["a.zip"]


def test_overrides(path, tmp_path):
    sets = [
        "trainer.steps=3",
        "model.widths=[1, 2]",
        "trainer.accelerator=cpu",
        "model.inner.depth=5",
        "data.flip=false",
    ]
    recipe = read(path, sets, [tmp_path])
    assert recipe.trainer.steps == 3
    assert recipe.model.widths == (1, 2)
    assert recipe.model.inner.depth == 5
    assert recipe.trainer.accelerator == "cpu"
    assert not recipe.data.flip
    assert recipe.data.photos == (tmp_path,)


def test_resolved_round_trip(path):
    recipe = read(path)
    assert parse(json.loads(json.dumps(resolved(recipe)))) == recipe


def test_settings_are_frozen(path):
    with pytest.raises(FrozenInstanceError):
        read(path).trainer.steps = 5


def test_the_old_name_of_a_key_is_read(path):
    path.write_text(TOML.replace("size = 32", "size = 32\nwear = 0.5"))
    assert read(path).data.degrade == 0.5
    assert read(path, ["data.degrade=0.2"]).data.degrade == 0.2
    assert read(path, ["data.wear=0.1"]).data.degrade == 0.1
    assert read(path, ["data.degrade=0.3", "data.wear=0.7"]).data.degrade == 0.7
    assert read(path, ["data.wear=0.7", "data.degrade=0.3"]).data.degrade == 0.3
    stored = resolved(read(path))
    assert stored["data"]["degrade"] == 0.5
    assert "wear" not in stored["data"]
    assert parse(stored | {"data": {"wear": 0.3}}).data.degrade == 0.3
    with pytest.raises(RecipeError, match=r"data\.degrade = 2: .*less than or equal to 1"):
        read(path, ["data.wear=2"])


def test_film_needs_gray_of_lab(path):
    assert read(path, ["data.film=0.3"]).data.film == 0.3
    assert read(path, ["data.gray=mean", "data.film=0"]).data.gray == "mean"
    with pytest.raises(RecipeError, match=r"data\.film = 0\.3: .*choose data\.gray = 'lab'"):
        read(path, ["data.gray=mean", "data.film=0.3"])


def test_patience_needs_a_metric(path):
    assert read(path, ["trainer.patience=3"]).trainer.patience == 3
    with pytest.raises(RecipeError, match=r"trainer\.patience = 3: .*choose trainer\.best = 'loss' or 'ab_error'"):
        read(path, ["trainer.best=last", "trainer.patience=3"])


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("trainer.stepz=3", ["trainer.stepz", "not known", "steps, minutes, batch"]),
        ("family.width=3", ["family is not known", "model, data, optimizer, trainer"]),
        ("traner.steps=3", ["traner", "model, data, optimizer, trainer"]),
        ("model.wdith=3", ["model.wdith", "width, dropout"]),
        ("model.inner.deep=3", ["model.inner.deep", "depth"]),
        ("model.family='unheard'", ["model.family", "'unheard'", "toy"]),
        ("model.width='wide'", ["model.width", "'wide'", "integer"]),
        ("model.width=0", ["width 0", "at least 1"]),
        ("model.widths=3", ["model.widths", "3"]),
        ("trainer.steps='3'", ["trainer.steps", "'3'", "integer"]),
        ("trainer.steps=0", ["trainer.steps", "0", "greater than or equal to 1"]),
        ("trainer.precision='16'", ["trainer.precision", "'auto', '32-true' or 'bf16-mixed'"]),
        ("data.gray='green'", ["data.gray", "'green'", "'lab', 'luma' or 'mean'"]),
        ("data.validation=1.5", ["data.validation", "1.5"]),
        ("data.scale=[0.9, 0.5]", ["data.scale", "the smaller first"]),
        ("trainer.points=[0.5, 0.25]", ["trainer.points", "[0.5, 0.25]", "each above the one before"]),
        ("trainer.points=[0.5, 1.5]", ["trainer.points", "up to 1"]),
        ("data.images=0", ["data.images", "greater than or equal to 1"]),
        ("optimizer.lr=-1", ["optimizer.lr", "-1"]),
        ("optimizer=5", ["--set", "trainer.steps=100"]),
        ("steps=5", ["--set", "trainer.steps=100"]),
        ("data.photos.first=5", ["--set data.photos.first=5"]),
    ],
)
def test_errors_name_key_value_and_choices(path, override, names):
    with pytest.raises(RecipeError) as caught:
        read(path, [override])
    message = str(caught.value)
    assert all(name in message for name in names), message
    assert "\n" not in message
    assert "pydantic" not in message


def test_files_that_are_no_recipes(tmp_path):
    with pytest.raises(RecipeError, match=r"no\.toml: cannot be read"):
        read(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("[model\nfamily")
    with pytest.raises(RecipeError, match=r"bad\.toml: not TOML"):
        read(tmp_path / "bad.toml")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(RecipeError, match=r"empty\.toml: \[model\] must name a family: choose one of .*toy"):
        read(tmp_path / "empty.toml")


scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5)
keys = st.sampled_from(["family", "width", "inner", "model", "data", "trainer", "steps", "size", "scale", "odd"])
tables = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@settings(max_examples=60)
@given(tables=st.dictionaries(keys, tables, max_size=4))
def test_any_tables_give_a_recipe_or_a_recipe_error(tables):
    try:
        recipe = parse({"model": {"family": "unet"}, **tables})
    except RecipeError:
        return
    assert parse(resolved(recipe)) == recipe
