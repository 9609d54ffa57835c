"""Documentation: recipes, commands and links in it exist, and blocks that are not run say why (others: tests/docs)."""

import ast
import re
import shlex
from contextlib import suppress

import pytest
import typer
from typer.main import get_command

from page_session import require_equal, steps_of_session
from pages import ROOT, TEXTS, all_blocks, blocks_of
from photochrom.cli.main import app

RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
NOT_RUN = [block for block in all_blocks() if not block.can_run]
MOST_NOT_RUN = 25
PACKAGE = ROOT / "src" / "photochrom"


def prose_of(page):
    """The text of a page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", TEXTS[page], flags=re.M | re.S)


def commands_of(page):
    """Every complete `photochrom` command in the shell blocks and code spans of a page."""
    lines = []
    for block in blocks_of(page):
        if block.language in ("sh", "console"):
            lines += block.code.replace("\\\n", " ").splitlines()
    lines += [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", prose_of(page))]
    parts = [part.strip().removeprefix("$ ") for line in lines for part in line.split(" && ")]
    return [part.partition(" #")[0] for part in parts if re.match(r"photochrom [a-z]+ .", part)]


def all_commands():
    commands = set()
    for page in TEXTS:
        commands.update(commands_of(page))
    for recipe in RECIPES:
        comments = re.findall(r"^# (photochrom .*?)(?=$|: )", recipe.read_text(encoding="utf-8"), flags=re.M)
        commands.update(comments)
    return sorted(command for command in commands if "..." not in command)


def links_of_pages():
    links = []
    for page in TEXTS:
        links += [(page, target) for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose_of(page))]
    return sorted(set(links))


def anchors_of(text):
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: block.place)
def test_blocks_that_are_not_run_say_why(block):
    assert block.reason, f"{block.place}: write <!-- not run: REASON --> on the line before"
    pytest.skip(f"{block.place} is not run: {block.reason}")


def test_few_blocks_are_not_run():
    assert len(all_blocks()) > 60
    assert len(NOT_RUN) <= MOST_NOT_RUN


def test_sessions_are_compared_line_by_line():
    assert steps_of_session("$ a \\\n  b\none\n$ c\n") == [("a \\\n  b", "one\n"), ("c", "")]
    require_equal("one\ntwo\n", "one\ntwo\n", "here")
    require_equal("one\n...\nfour 4...\n", "one\ntwo\nthree\nfour 4.25 s\n", "here")
    require_equal("loss  0.25\n", "loss   1e-3\n", "here", figures_vary=True)
    for printed in ("one\nthree\n", "one\ntwo\nthree\n", "one\n"):
        with pytest.raises(AssertionError):
            require_equal("one\ntwo\n", printed, "here")
    with pytest.raises(AssertionError):
        require_equal("loss  0.25\n", "loss  none\n", "here", figures_vary=True)


@pytest.mark.parametrize("command", all_commands())
def test_commands_and_options_exist(command):
    _, name, *arguments = shlex.split(command)
    with suppress(typer.Exit):  # of --help
        get_command(app).commands[name].make_context(name, arguments, resilient_parsing=False)


def test_commands_are_collected_from_all_kinds_of_text():
    commands = all_commands()
    for command in (
        "photochrom colorize docs/pictures/old.jpg",  # README, a shell block after "&&"
        "photochrom colorize scans -o scans-color --cluster local",  # README, a code span
        "photochrom export runs/coltran-core runs/coltran-color runs/coltran-spatial -o coltran",  # a page and a recipe
    ):
        assert command in commands
    assert len(commands) > 50


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_recipe_is_valid_and_begins_with_its_command(recipe):
    from photochrom.training.recipe import read

    assert read(recipe)
    assert recipe.read_text().startswith(f"# photochrom train {recipe.relative_to(ROOT)} --data ")


@pytest.mark.parametrize(("page", "target"), links_of_pages())
def test_links_and_anchors_exist(page, target):
    name, _, anchor = target.partition("#")
    path = (ROOT / page).parent / name if name else ROOT / page
    assert path.exists()
    if anchor:
        assert anchor in anchors_of(path.read_text(encoding="utf-8"))


def names_in_walks():
    """Pairs of a file and a name in it, in the sections that walk through the code."""
    names = set()
    for text in TEXTS.values():
        walks = text.partition("## Walks through the code")[2].partition("\n## ")[0]
        names.update(re.findall(r"`([a-z_/]+\.py)(?::([\w.]+))?`", walks))
    return sorted(names)


@pytest.mark.parametrize(("path", "name"), names_in_walks())
def test_files_and_functions_of_the_walks_exist(path, name):
    nodes = ast.parse((PACKAGE / path).read_text(encoding="utf-8")).body
    for part in name.split(".") if name else []:
        (node,) = [node for node in nodes if getattr(node, "name", None) == part]
        nodes = getattr(node, "body", [])
