"""The commands of training as a user runs them: stopped, resumed, with mistakes, exported."""

import io
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import pyvips

from photochrom.cli.train import StderrHandler
from photochrom.inference import bundle as bundles

TINY = Path(__file__).parents[2] / "recipes" / "tiny" / "classify.toml"
PLAIN = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
CPU = ("--set", "trainer.accelerator=cpu")


@pytest.fixture
def colors(tmp_path):
    """A folder of eight color photos."""
    (tmp_path / "colors").mkdir()
    for i in range(8):
        patches = np.random.default_rng(i).integers(0, 256, (3, 3, 3)).repeat(16, 0).repeat(16, 1)
        pyvips.Image.new_from_array(patches.astype(np.uint8)).write_to_file(str(tmp_path / "colors" / f"{i}.png"))
    return tmp_path / "colors"


def command(*arguments):
    return [sys.executable, "-m", "photochrom", *map(str, arguments)]


def photochrom(*arguments, **settings):
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=PLAIN, timeout=300, **settings
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_can_be_resumed(colors, tmp_path, number):
    run = tmp_path / "run"
    arguments = ("train", TINY, "--data", colors, "-o", run, *CPU, "--set", "trainer.log_every=1")
    endless = command(*arguments, "--set", "trainer.steps=100000")
    with subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=PLAIN) as process:
        log = run / "log.jsonl"
        while not (log.exists() and "photos_per_second" in log.read_text()) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        output, errors = process.communicate(timeout=300)
    assert (process.returncode, output) == (128 + number, "")
    last = errors.splitlines()[-1]
    assert last.startswith("photochrom: stopped at step ")
    assert last.endswith(" of 100000; continue with --resume")
    step = int(last.split()[4])
    shorter = ("--set", f"trainer.steps={step + 2}")  # all else as the run began, whatever the recipe says
    result = photochrom("train", "-o", run, "--resume", *shorter, "--export", tmp_path / "bundle")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{run}\n{tmp_path / 'bundle'}\n"
    assert bundles.load(tmp_path / "bundle").card.family == "classify"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "colors/0.png"], "colors/0.png: cannot be a folder for a run (File exists)"),
        (["-o", "colors/0.png/run"], "colors/0.png/run: cannot be a folder for a run (Not a directory)"),
        (["--data", "mistyped"], "mistyped: there is no such folder or zip"),
        (["--set", "trainer.accelerator=gpu"], "trainer.accelerator = 'gpu', devices = 1: not on this machine"),
        (["--set", "data.size=50"], "data.size = 50: must divide by 4"),
        (
            ["--set", "model.net.depth=0"],
            "classify.toml: model.net.depth = 0: Input should be greater than or equal to 1",
        ),
        (["--set", "data.images=1000"], "data.images = 1000: there are only"),
        (["--set", "trainer.batch=3", "--set", "trainer.accumulate=2"], "trainer.batch = 3: must divide by"),
        (["--resume"], "runs/classify: holds no last.safetensors to resume from; start without --resume"),
        (["--export", "colors"], "colors exists: name another folder or remove it"),
    ],
)
def test_mistakes_are_explained_and_leave_no_run(colors, options, message):
    result = photochrom(
        "train", TINY, *([] if "--data" in options else ["--data", colors]), *options, cwd=colors.parent
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert {path.name for path in colors.parent.rglob("*") if path.parent != colors} == {"colors"}


def test_a_run_has_its_own_recipe(tmp_path):
    for options in ((), ("--resume",), ("-o", tmp_path)):
        result = photochrom("train", *options, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (2, "")
        assert "name a recipe; or, to continue a run, its folder with --resume and --out" in result.stderr
    assert "recipe.json: cannot be read" in photochrom("train", "--resume", "-o", tmp_path).stderr


def test_a_missing_package_is_named_with_the_line_that_installs_it(colors, tmp_path):
    recipe = tmp_path / "pretrained.toml"
    recipe.write_text('[model]\nfamily = "classify"\n[model.net]\nencoder = "efficientnet-lite0"\n')
    code = (
        "import sys; sys.modules['efficientnet_lite_pytorch'] = None;"
        f"sys.argv = ['photochrom', 'train', {str(recipe)!r}, '--data', {str(colors)!r}, '--set', 'data.size=32'];"
        "from photochrom.cli.main import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 2
    assert "efficientnet_lite_pytorch is missing: pip install " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_one_of_two_processes_reports(colors, tmp_path):
    two = (*CPU, "--set", "trainer.devices=2", "--set", "trainer.steps=2", "--export", tmp_path / "bundle")
    result = photochrom("train", TINY, "--data", colors, "-o", tmp_path / "run", *two)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'run'}\n{tmp_path / 'bundle'}\n"
    assert result.stderr.count("photos:") == 1


def test_messages_go_to_what_is_stderr_at_the_time(monkeypatch):
    handler, bar = StderrHandler(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", bar)
    handler.handle(logging.makeLogRecord({"msg": "step %d", "args": (3,)}))
    assert bar.getvalue() == "step 3\n"
