"""Every command as a user runs it: what it prints, which files it writes, how it exits."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import pyvips

from photochrom import __version__

COMMANDS = ("colorize", "inspect", "models", "train", "export", "evaluate", "compare", "web", "survey")


def photochrom(*arguments, **settings):
    command = [sys.executable, "-m", "photochrom", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_version():
    assert photochrom("--version").stdout == f"photochrom {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    shown = photochrom(command, "--help", env={**os.environ, "COLUMNS": "120"})
    assert shown.returncode == 0
    assert f"photochrom {command}" in shown.stdout
    assert len(shown.stdout.splitlines()) > 6


def test_no_command_is_unknown_to_these_tests():
    from typer.main import get_command

    from photochrom.cli.main import app

    assert set(get_command(app).commands) == set(COMMANDS)


def test_one_photo(photos, bundle):
    done = photochrom("colorize", photos / "one.png", "--model", bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{photos / 'one-color.png'}\n"
    assert (photos / "one-color.png").exists()


def test_nothing_remains_but_the_output(photos, bundle, tmp_path):
    (tmp_path / "home").mkdir()
    env = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "home")}
    assert photochrom("colorize", photos / "one.png", "--model", bundle, env=env).returncode == 0
    assert files(tmp_path / "home") == []  # a runtime that reports home leaves its identity there


def test_a_folder_with_a_damaged_photo(photos, bundle, tmp_path):
    done = photochrom("colorize", photos, "-o", tmp_path / "out", "--model", bundle, "--jobs", 2)
    assert done.returncode == 1
    assert "bad.jpg" in done.stderr
    assert "1 of 4 photos failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "passed over: 1 ._ file, 1 .txt file\n" in done.stderr
    assert files(tmp_path / "out") == ["deeper/three.tif", "one.png", "two.jpg"]


def test_variants_and_the_images_about_them(photos, stochastic_bundle):
    done = photochrom(
        *(
            "colorize",
            photos / "one.png",
            "--model",
            stochastic_bundle,
            "--variants",
            2,
            "--seed",
            7,
            "--uncertainty",
            "--trace",
        ),
        *("--steps", 4, "--solver", "dpm-solver", "--hint", "5,5,#c03020"),
    )
    assert done.returncode == 0
    names = [f"one-color-{end}" for end in ("7.png", "8.png", "7-8-sheet.jpg", "7-8-uncertainty.jpg", "7-8-trace.jpg")]
    assert [line.rpartition("/")[2] for line in done.stdout.split()] == names
    assert all((photos / name).stat().st_size for name in names)


def test_uncertainty_needs_variants(photos, stochastic_bundle):
    done = photochrom("colorize", photos / "one.png", "--model", stochastic_bundle, "--uncertainty")
    assert done.returncode == 2
    assert "add for example --variants 8" in done.stderr


def test_on_one_screen_paths_and_the_bar_keep_apart(photos, bundle):
    """With one terminal for both, each path has a line of its own, and none is lost."""
    main, other = pty.openpty()
    command = [sys.executable, "-m", "photochrom", "colorize", str(photos), "--model", str(bundle)]
    with subprocess.Popen(command, stdout=other, stderr=other, env={**os.environ, "TERM": "xterm"}) as running:
        os.close(other)
        shown = b""
        with suppress(OSError):  # a terminal that is closed at the other end
            while part := os.read(main, 4096):
                shown += part
    os.close(main)
    assert running.returncode == 1
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", shown.decode())
    lines = [line.strip() for line in re.split(r"[\r\n]+", plain)]
    assert {line.rpartition("/")[2] for line in lines if line.endswith((".png", ".tif", "two.jpg"))} == {
        *("one.png", "two.jpg", "three.tif")
    }


def test_a_second_run_skips_and_reports_it(photos, bundle):
    arguments = ("colorize", photos / "one.png", "--model", bundle)
    photochrom(*arguments)
    again = photochrom(*arguments)
    assert again.returncode == 0
    assert "1 photo skipped: output already exists" in again.stderr
    assert photochrom(*arguments, "--overwrite").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["colorize"], 2, "Missing argument"),
        (["colorize", "missing.jpg"], 1, "missing.jpg: cannot be read (No such file or directory)"),
        (["colorize", "x.jpg", "--saturation", "-1"], 2, "saturation"),
        (["colorize", "x.jpg", "--model", "rembrandt"], 2, "no model 'rembrandt': give"),
        (["colorize", "x.jpg", "--model", "unett"], 2, "no model 'unett': did you mean unet? Give"),
        (["colorize", "x.jpg", "--distance", "0.5"], 2, "--distance: needs --near"),
        (["colorize", "x.jpg", "--device", "abacus"], 2, "device abacus: not in the installed ONNX Runtime"),
        (["colorize", "x.jpg", "--color"], 2, "No such option"),
        (
            ["colorize", "x.jpg", "--variants", "3"],
            2,
            "unet is deterministic; --variants needs a stochastic model",
        ),
        (
            ["colorize", "x.jpg", "--trace"],
            2,
            "unet has no steps to show; --trace needs an iterative model",
        ),
        (
            ["colorize", "x.jpg", "--uncertainty"],
            2,
            "unet is deterministic; --uncertainty needs a stochastic model",
        ),
        (["colorize", "x.jpg", "-o", "y.heic"], 2, "y.heic: cannot be written; choose one of .jpg"),
        (["colorize", "x.jpg", "y.jpg", "-o", "both.jpg"], 2, "both.jpg: one file cannot hold several photos"),
        (["colorize", ".", "-o", "all.jpg"], 2, "all.jpg: one file cannot hold several photos"),
        (["colorize", "x.jpg", "--steps", "10"], 2, "unet: steps: not supported"),
        (["colorize", "x.jpg", "--hint", "1,2,red"], 2, "write it as x,y,#rrggbb"),
        (["colorize", "x.jpg", "--hints", "missing.txt"], 2, "missing.txt: cannot be read as a list of hints"),
        (
            ["colorize", "x.jpg", "y.jpg", "--hint", "1,2,#ff0000"],
            2,
            "--hint and --hints apply to one photo",
        ),
        (["train", "missing.toml"], 2, "missing.toml: cannot be read"),
        (["export", "missing"], 2, "there is no such checkpoint"),
        (["paint"], 2, "No such command"),
    ],
)
def test_wrong_calls_end_in_one_sentence(arguments, code, message, tmp_path):
    done = photochrom(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in " ".join(done.stderr.replace("│", "").split())
    assert "Traceback" not in done.stderr
    assert files(tmp_path) == []


def test_a_photo_in_the_place_of_a_command_is_answered_with_the_command(photos):
    done = photochrom("two.jpg", "--seed", 7, cwd=photos)
    assert done.returncode == 2
    assert done.stderr == "photochrom: two.jpg: to colorize it: photochrom colorize two.jpg --seed 7\n"


def test_the_hints_of_settings_are_those_of_a_photo_of_the_same_size(photos, tmp_path):
    photo = pyvips.Image.new_from_file(str(photos / "one.png"))
    for width, code in ((photo.width, 0), (photo.width + 1, 2)):
        saved = {"photochrom": "1", "photo": {"width": width, "height": photo.height}, "model": "unet"}
        path = tmp_path / f"{width}.json"
        path.write_text(json.dumps(saved | {"options": {"hints": ["1,1,#ff0000"]}}))
        done = photochrom("colorize", photos / "one.png", "--settings", path, "-o", tmp_path / f"{width}.png")
        assert done.returncode == code
    assert f"and the hints of the settings are for a photo of {width} x {photo.height}; give --hint" in done.stderr
    assert not (tmp_path / f"{width}.png").exists()
    done = photochrom("colorize", photos / "one.png", "--settings", path, "--hint", "1,1,#00ff00", "--dry-run")
    assert done.returncode == 0


def test_strength_is_an_alias_of_saturation(photos, bundle, tmp_path):
    for option in ("--saturation", "--strength"):
        photochrom("colorize", photos / "one.png", "--model", bundle, option, 0.5, "-o", tmp_path / f"{option}.png")
    assert (tmp_path / "--saturation.png").read_bytes() == (tmp_path / "--strength.png").read_bytes()
    assert "--strength" not in photochrom("colorize", "--help").stdout


def test_the_message_names_a_model_that_would_do(photos):
    message = "photochrom: unet is deterministic; --variants needs a stochastic model, for example classify\n"
    assert photochrom("colorize", photos / "one.png", "--variants", 3).stderr == message


def test_a_folder_without_photos_is_an_error(tmp_path):
    for name in (".thumbnails/a.jpg", "a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    done = photochrom("colorize", tmp_path)
    assert done.returncode == 1
    passed = "passed over: 1 .txt file, 1 hidden folder (--hidden includes hidden ones)"
    assert done.stderr == f"photochrom: no photos in {tmp_path}; {passed}\n"
    assert "a.jpg: is empty" in photochrom("colorize", tmp_path, "--hidden").stderr


def test_reports_are_written_whole_or_not_at_all(tmp_path):
    from photochrom.evaluation.files import write
    from photochrom.imaging.errors import WriteError

    write(tmp_path / "report.json", "{}")
    write(tmp_path / "report.json", "[]")
    assert (tmp_path / "report.json").read_text() == "[]"
    with pytest.raises(WriteError, match=r"report\.csv: cannot be written \(No such file or directory\)"):
        write(tmp_path / "missing" / "report.csv", "")
    assert files(tmp_path) == ["report.json"]


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])


@SIGNALS
def test_interruption_keeps_finished_outputs(photos, bundle, number):
    for i in range(400):
        (photos / f"more{i}.png").write_bytes((photos / "one.png").read_bytes())
    command = [sys.executable, "-m", "photochrom", "colorize", str(photos), "--model", str(bundle)]
    out = photos.parent / "album-color"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while not any(out.glob("[!.]*.png")) and running.poll() is None:
            time.sleep(0.02)
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert "stopped; run the same command again to continue" in errors
    assert "Traceback" not in errors
    written = files(out)
    assert 0 < len(written) < 400
    assert not [name for name in written if name.split("/")[-1].startswith(".")]


SWALLOWS = """
import sys, time
print("importing", flush=True)
try:
    time.sleep(60)
except BaseException:
    raise ImportError("cannot be imported") from None
"""


@SIGNALS
@pytest.mark.parametrize(
    ("arguments", "library"),
    [
        (["colorize", "one.png"], "typer"),
        (["colorize", "one.png"], "pyvips"),
        (["train", "recipe.toml"], "torch"),
        (["export", "run"], "torch"),
        (["inspect", "photos"], "numpy"),
        (["evaluate", "--data", "photos"], "numpy"),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else x,
)
def test_interruption_while_libraries_are_imported_leaves_at_once(tmp_path, arguments, library, number):
    (tmp_path / f"{library}.py").write_text(SWALLOWS)
    command = [sys.executable, "-m", "photochrom", *arguments]
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | path, cwd=tmp_path
    ) as running:
        assert running.stdout.readline() == "importing\n"
        running.send_signal(number)
        _, errors = running.communicate(timeout=30)
    assert (running.returncode, errors) == (128 + number, "photochrom: stopped\n")


SLOW = """
import pathlib, time
from photochrom.imaging import photo

def wait(*_):
    pathlib.Path("writing").touch()
    time.sleep(60)

photo.merge_chroma = wait
from photochrom.__main__ import main
main()
"""


@SIGNALS
@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
def test_interruption_in_the_middle_of_a_photo_leaves_nothing_behind(photos, bundle, tmp_path, number, pipe):
    """The photo is turned, so that there is a temporary folder too."""
    import pyvips

    upright = pyvips.Image.new_from_file(str(photos / "one.png")).copy()
    upright.set_type(pyvips.GValue.gint_type, "orientation", 6)
    upright.write_to_file(str(photos / "turned.jpg"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    before = files(photos)
    out = ["-o", "-"] if pipe else []
    command = [sys.executable, "-c", SLOW, "colorize", str(photos / "turned.jpg"), *out, "--model", str(bundle)]
    env = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=tmp_path
    ) as running:
        while not (tmp_path / "writing").exists() and running.poll() is None:
            time.sleep(0.02)
        running.send_signal(number)
        output, errors = running.communicate(timeout=30)
    assert running.returncode == 128 + number
    assert (output, errors) == ("", "photochrom: stopped; run the same command again to continue\n")
    assert files(photos) == before
    assert files(temporary) == []


def test_the_light_path_needs_no_torch(photos, bundle):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'lightning_fabric', 'onnx', 'PIL')));"
        f"sys.argv = ['photochrom', 'colorize', {str(photos / 'one.png')!r}, '--model', {str(bundle)!r}];"
        "from photochrom.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (photos / "one-color.png").exists()
