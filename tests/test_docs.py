"""Documentation is executed: sessions print what they show, examples run, commands and links exist."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import pyvips
from typer.main import get_command

from photochrom.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}


def fenced_blocks(language, text):
    """The code blocks of a language, without those marked ``<!-- not run: reason -->`` on the line before."""
    return re.findall(rf"^(?<!-->\n)```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def python_examples():
    return [
        pytest.param(block, id=f"{page}-{number}")
        for page, text in TEXTS.items()
        for number, block in enumerate(fenced_blocks("python", text))
        if page != "CONTRIBUTING.md"  # its example is a model family, tested below
    ]


def commands_of(text):
    """Every complete `photochrom` command in the shell blocks and code spans of a page."""
    lines = []
    for language in ("sh", "console"):
        for block in fenced_blocks(language, text):
            lines += block.replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    lines += [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", prose)]
    parts = [part.strip().removeprefix("$ ") for line in lines for part in line.split(" && ")]
    return [part.partition(" #")[0] for part in parts if re.match(r"photochrom [a-z]+ .", part)]


def all_commands():
    commands = set()
    for text in TEXTS.values():
        commands.update(commands_of(text))
    for recipe in RECIPES:
        comments = re.findall(r"^# (photochrom .*?)(?=$|: )", recipe.read_text(encoding="utf-8"), flags=re.M)
        commands.update(comments)
    return sorted(command for command in commands if "..." not in command)


def links_of_pages():
    links = []
    for page, text in TEXTS.items():
        links += [(page, target) for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)]
    return sorted(set(links))


def anchors_of(text):
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the files that the README names, as the current one."""
    ramp = np.linspace(30, 220, 48 * 64).reshape(48, 64)
    for name in ("grandmother.tif", "shoebox/1931/wedding.jpg", "shoebox/1934/harbour.png", "shoebox/1934/torn.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pyvips.Image.new_from_array(ramp.astype(np.uint8)).write_to_file(str(path))
    torn = tmp_path / "shoebox/1934/torn.jpg"
    torn.write_bytes(torn.read_bytes()[:-100])
    pictures = tmp_path / "docs" / "pictures"
    pictures.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "pictures" / "old.jpg", pictures)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def steps_of_session(block):
    """Pairs of a command and its output in a console block."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def test_readme_sessions_print_what_they_show(workplace):
    for block in fenced_blocks("console", TEXTS["README.md"]):
        for command, output in steps_of_session(block):
            program, *arguments = shlex.split(command)
            assert program == "photochrom"
            result = subprocess.run(
                [sys.executable, "-m", "photochrom", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            assert result.stdout == output


@pytest.mark.parametrize("example", python_examples())
def test_python_examples_run(workplace, example):
    subprocess.run([sys.executable, "-c", example], check=True)


@pytest.mark.parametrize("command", all_commands())
def test_commands_and_options_exist(command):
    _, name, *arguments = shlex.split(command)
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


def test_the_example_family_of_contributing_trains_and_exports_its_networks(monkeypatch):
    import torch

    module = ModuleType("photochrom.models.mine")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    (source,) = fenced_blocks("python", TEXTS["CONTRIBUTING.md"])
    exec(source, vars(module))

    torch.manual_seed(0)
    model = module.Model(module.Model.Config())
    gray, color = torch.rand(2, 1, 8, 8) * 2 - 1, torch.rand(2, 2, 8, 8) - 0.5
    optimizer = torch.optim.AdamW(model.net.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        loss = model.loss("net", gray, color)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert model.family_name == "mine"
    assert set(model.networks()) == set(model.procedure.capabilities.network_names)


def names_in_walks():
    walks = TEXTS["CONTRIBUTING.md"].partition("## Walks through the code")[2].partition("\n## ")[0]
    return sorted(set(re.findall(r"`([a-z_/]+\.py)(?::([\w.]+))?`", walks)))


@pytest.mark.parametrize(("path", "name"), names_in_walks())
def test_files_and_functions_of_the_walks_exist(path, name):
    nodes = ast.parse((ROOT / "src" / "photochrom" / path).read_text(encoding="utf-8")).body
    for part in name.split(".") if name else []:
        (node,) = [node for node in nodes if getattr(node, "name", None) == part]
        nodes = getattr(node, "body", [])
