"""The reference that is generated for the documentation site has everything that the code has."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import photochrom
from photochrom import models
from photochrom.cli.main import app

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs" / "hooks"))

pytest.importorskip("griffe", reason="the extra docs is not installed")

import bundle_format  # noqa: E402
import command_line  # noqa: E402
import comments  # noqa: E402
import http_api  # noqa: E402
import model_pages  # noqa: E402
import recipe_keys  # noqa: E402

RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))


def sections_of(markdown):
    """The text below each heading, by the heading."""
    parts = re.split(r"^#+ (.*)$", markdown, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands_of_help(*command):
    """Each command and its options, as the output of --help names them."""
    text = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).output
    options = re.findall(r"^ +(?:-\w, )?(--[\w-]+)", text, flags=re.M)
    commands = [(" ".join(["photochrom", *command]), options)]
    if "\nCommands:\n" in text:
        for name in re.findall(r"^  (\w+)", text.partition("\nCommands:\n")[2], flags=re.M):
            commands += commands_of_help(*command, name)
    return commands


@pytest.mark.parametrize(("command", "options"), commands_of_help(), ids=lambda value: str(value)[:40])
def test_every_command_and_option_of_the_help_is_on_the_page(command, options):
    section = sections_of(command_line.write_commands())[command]
    assert "--help" in options
    terms = re.findall(r"^`(.*?)`\{", section, flags=re.M)
    documented = {word.strip(",") for term in terms for word in term.split() if word.startswith("-")}
    assert set(options) <= documented


@pytest.fixture(scope="module")
def recipe_page():
    return recipe_keys.write_tables()


def keys_of_tables(tables, anchor, page):
    """The anchors of all keys of a recipe; a table of numbers by name is one key."""
    anchors = []
    for key, value in tables.items():
        place = f"{anchor}-{key}"
        is_table = isinstance(value, dict) and f"#{place} .term" not in page
        anchors += keys_of_tables(value, place, page) if is_table else [place]
    return anchors


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: str(path.relative_to(ROOT / "recipes")))
def test_every_key_of_every_recipe_is_on_the_page(recipe, recipe_page):
    tables = tomllib.loads(recipe.read_text(encoding="utf-8"))
    family = tables["model"].pop("family")
    anchors = keys_of_tables(tables.pop("model"), f"model-{family}", recipe_page)
    for name, table in tables.items():
        anchors += keys_of_tables(table, name, recipe_page)
    assert not [anchor for anchor in anchors if f"`{{ #{anchor} .term }}" not in recipe_page]


def names_in_schema(schema, definitions):
    """The names of all properties of a schema, at every depth."""
    names = set()
    for name, value in schema["properties"].items():
        names.add(name)
        if "$ref" in value:
            names |= names_in_schema(definitions[value["$ref"].rpartition("/")[2]], definitions)
    return names


@pytest.mark.parametrize("family", models.family_names())
def test_every_key_of_every_family_is_on_the_page(family, recipe_page):
    from pydantic import TypeAdapter

    schema = TypeAdapter(models.load_family(family).Config).json_schema()
    anchors = re.findall(rf"#(model-{family}-[\w-]+)", recipe_page)
    assert names_in_schema(schema, schema.get("$defs", {})) <= {anchor.rpartition("-")[2] for anchor in anchors}


@pytest.mark.parametrize(
    "write", [recipe_keys.write_tables, bundle_format.write_card_keys, command_line.write_commands]
)
def test_every_key_and_option_is_explained(write):
    assert not re.findall(r"^`(.*?)`.*\n:   &nbsp;", write(), flags=re.M)


def test_types_limits_and_defaults_are_those_of_the_recipe(recipe_page):
    assert '`gray`{ #data-gray .term } <small>`"lab"` or `"luma"` or `"mean"`, default `"lab"`</small>' in recipe_page
    assert "`size`{ #data-size .term } <small>integer, at least 8, default `128`</small>" in recipe_page
    assert "`images`{ #data-images .term } <small>integer, at least 1</small>" in recipe_page
    assert "`clip`{ #optimizer-clip .term } <small>number, at least 0, default `5.0`</small>" in recipe_page
    assert (
        "#model-palette-sampling-steps .term } <small>integer, default `1000`</small>" in recipe_page
    )  # not ddpm's 20


def test_comments_before_and_behind_a_field_are_its_text():
    lines = ["class A:", "    # one", "    # two", "    x: int = 1  # three", "    y: str = '#'"]
    assert comments.read_comment(lines, 4, 4) == "One two three."
    assert comments.read_comment(lines, 5, 5) == ""


def test_every_route_is_on_the_page():
    description = http_api.openapi()
    sections = sections_of(http_api.write_routes())
    assert json.loads(http_api.write_openapi()) == description
    assert len(description["paths"]) > 10
    for path, methods in description["paths"].items():
        for method, route in methods.items():
            (section,) = [text for title, text in sections.items() if title.startswith(f"{method.upper()} {path} {{")]
            for parameter in route.get("parameters", ()):
                assert re.search(rf"^`{parameter['name']}`\{{.*\n:   (?!&nbsp)", section, flags=re.M), parameter
            assert all(status in section for status in route["responses"] if status < "300")
            assert ("requestBody" in route) == ("**Body:**" in section)


def test_every_schema_of_the_routes_is_on_the_page():
    routes = http_api.write_routes()
    schemas = sections_of(http_api.write_schemas())
    linked = set(re.findall(r"\[(\w+)\]\(#\w+\)", routes + http_api.write_schemas()))
    assert "Status" in linked
    assert linked <= schemas.keys()


def test_every_key_and_procedure_of_bundles_is_on_the_page():
    from dataclasses import fields

    from photochrom.core.sampling import PROCEDURES
    from photochrom.inference.bundle import ModelCard

    keys = bundle_format.write_card_keys()
    assert all(f"`{field.name}`{{ #key-{field.name} " in keys for field in fields(ModelCard))
    sections = sections_of(bundle_format.write_procedures())
    assert sections.keys() == PROCEDURES.keys()
    for kind, procedure in PROCEDURES.items():
        assert all(f"`{field.name}`{{ #{kind}-{field.name} " in sections[kind] for field in fields(procedure))


def test_every_public_name_is_in_the_reference():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    names = re.findall(r"^::: photochrom\.(\w+)$", page, flags=re.M)
    assert sorted([*names, "__version__"]) == sorted(photochrom.__all__)


def test_every_model_of_the_repository_has_a_page():
    files = [*(ROOT / "src/photochrom/inference/bundles").iterdir(), *(ROOT / "photochrom-models").rglob("*.zip")]
    names = {path.stem for path in files}
    assert "unet" in names
    assert {Path(uri).stem for uri in model_pages.write_pages()} == names
    assert all(f"[{name}]({name}.md)" in model_pages.write_table() for name in names)
