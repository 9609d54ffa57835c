"""A study of tiny models from the command line, stopped and continued."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import pyvips
from typer.testing import CliRunner

from photochrom.cli.main import app
from waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        colors = rng.integers(0, 256, (4, 5, 3), np.uint8)
        pyvips.Image.new_from_array(colors).resize(18, kernel="linear").jpegsave(str(folder / f"{number}.jpg"))
    return folder


def metrics(folder):
    return [model["metrics"] for model in json.loads((folder / "results.json").read_text())["models"]]


def test_a_study_that_is_stopped_and_continued_gives_the_same_result(photos, tmp_path, pytestconfig):
    study = pytestconfig.rootpath / "studies" / "tiny.toml"
    command = [sys.executable, "-m", "photochrom", "compare", str(study), "--data", str(photos), "-o"]
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = subprocess.Popen([*command, str(stopped)], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(stopped.glob("runs/*/last.safetensors")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors == "photochrom: stopped; run the same command again to continue\n"
    assert not (stopped / "report.html").exists()

    for folder in (stopped, whole):
        result = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == f"{folder / 'report.html'}\n"
    assert metrics(stopped) == metrics(whole)
    assert len(metrics(whole)) == 4

    again = subprocess.run([*command, str(whole), "--dry-run"], capture_output=True, text=True, check=False)
    assert again.stdout == ""
    assert again.stderr.startswith("0 jobs of ")


def test_wrong_calls_are_refused_before_any_work(tmp_path):
    def invoke(*arguments):
        return CliRunner().invoke(app, ["compare", *map(str, arguments), "-o", str(tmp_path / "out")])

    missing = invoke(tmp_path / "none.toml", "--data", tmp_path)
    assert missing.exit_code == 2
    assert "none.toml: cannot be read (No such file or directory)" in missing.output
    assert not (tmp_path / "out").exists()
