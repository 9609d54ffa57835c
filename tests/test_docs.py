"""The README is run: its session gives what it shows, its commands exist, its Python works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
from typer.main import get_command

from photochrom.cli.main import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the photographs that the README speaks of."""
    ramp = np.linspace(30, 220, 48 * 64).reshape(48, 64)
    for name in ("grandmother.tif", "shoebox/1931/wedding.jpg", "shoebox/1934/harbour.png", "shoebox/1934/torn.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pyvips.Image.new_from_array(ramp.astype(np.uint8)).write_to_file(str(path))
    torn = tmp_path / "shoebox/1934/torn.jpg"
    torn.write_bytes(torn.read_bytes()[:-100])
    shutil.copytree(ROOT / "docs" / "pictures", tmp_path / "docs" / "pictures")
    shutil.copytree(ROOT / "bundles", tmp_path / "bundles")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def session(text):
    """(command, what it prints) of a console block."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def test_the_session_is_real(desk):
    for block in blocks("console"):
        for command, shown in session(block):
            program, *arguments = shlex.split(command)
            assert program == "photochrom"
            done = subprocess.run(
                [sys.executable, "-m", "photochrom", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            assert done.stdout == shown


@pytest.mark.parametrize("block", blocks("python"))
def test_python_examples_run(desk, block):
    subprocess.run([sys.executable, "-c", block], check=True)


def commands():
    files = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "recipes").rglob("*.toml")))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return sorted(set(re.findall(r"(?:^|&& |\$ |# )(photochrom [a-z]+ .*?)(?=$| && |: )", text, flags=re.M)))


@pytest.mark.parametrize("command", commands())
def test_every_command_is_one_that_exists(command):
    _, name, *arguments = shlex.split(command)
    get_command(app).commands[name].make_context(name, arguments, resilient_parsing=False)


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").rglob("*.toml")), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_recipe_reads_and_says_its_command(recipe):
    from photochrom.training.recipe import read

    assert read(recipe)
    assert recipe.read_text().startswith(f"# photochrom train {recipe.relative_to(ROOT)} --data ")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
