"""Folders without permission: each is named as a failure, and the photos of the others are colorized."""

import json

import pytest
from typer.testing import CliRunner

from photochrom import Colorizer, colorize_many
from photochrom.cli.main import app
from photochrom.imaging.errors import WriteError
from photochrom.imaging.sources import Passed, find_images

MODES = pytest.mark.parametrize("mode", [0o000, 0o444])  # 0o444: its files can be listed, but nothing be known of them


def colorize(*arguments):
    return CliRunner().invoke(app, ["colorize", *map(str, arguments)])


@pytest.fixture
def secret(photos, permissions):
    """The folder `deeper` of the photos, without `bad.jpg` beside it; its mode is restored."""
    (photos / "bad.jpg").unlink()
    yield photos / "deeper"
    (photos / "deeper").chmod(0o755)


@MODES
@pytest.mark.parametrize("quiet", [[], ["-q"], ["--dry-run"]])
def test_an_unreadable_folder_is_a_failure_with_a_name(photos, bundle, secret, mode, quiet):
    secret.chmod(mode)
    result = colorize(photos, "--model", bundle, *quiet)
    assert result.exit_code == 1
    assert f"{secret}: cannot be read (Permission denied)\n" in result.stderr
    assert result.stderr.endswith("photochrom: 1 of 3 photos and folders failed\n")
    if not quiet:
        assert result.stdout.count("\n") == 2


@MODES
def test_scripts_get_a_line_about_it(photos, bundle, secret, mode):
    secret.chmod(mode)
    result = colorize(photos, "--model", bundle, "--json")
    lines = {line["source"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert len(lines) == 3
    assert (lines[str(secret)]["status"], lines[str(secret)]["outputs"]) == ("failed", [])
    assert "Permission denied" in lines[str(secret)]["reason"]


@MODES
def test_one_that_is_named_fails_once(photos, bundle, secret, mode):
    secret.chmod(mode)
    for sources in ([secret], [secret, secret]):
        result = colorize(*sources, "--model", bundle)
        lines = [f"{secret}: cannot be read (Permission denied)", "photochrom: 1 folder failed"]
        assert (result.exit_code, result.stderr.splitlines()) == (1, lines)
    both = colorize(photos, secret, "--model", bundle, "-o", photos.parent / "out")
    assert both.stderr.count(f"{secret}: ") == 1
    assert both.stdout.count("\n") == 2


def test_one_behind_a_link_is_no_broken_link(photos, bundle, secret):
    (photos / "link").symlink_to(secret)
    (photos / "link.tif").symlink_to(secret / "three.tif")
    (photos / ".hidden").symlink_to(secret / "three.tif")
    (photos / "broken").symlink_to("nowhere")
    secret.chmod(0)
    result = colorize(photos, "--model", bundle)
    for name in ("link", "link.tif"):
        assert f"{photos / name}: cannot be read (Permission denied)\n" in result.stderr
    assert "1 broken link" in result.stderr


@MODES
def test_python_gets_an_outcome(photos, bundle, secret, mode):
    secret.chmod(mode)
    outcomes = list(colorize_many(photos, bundle, jobs=1))
    statuses = {outcome.task.source.name: outcome.status for outcome in outcomes}
    assert statuses == {"one.png": "written", "two.jpg": "written", "deeper": "failed"}


@MODES
def test_other_commands_count_it(photos, secret, mode):
    secret.chmod(mode)
    passed = Passed()
    assert [image.name for image in find_images(photos, passed)] == ["one.png", "two.jpg"]
    assert passed["unreadable folder"] == 1


@MODES
def test_outputs_in_one_are_failures(photos, bundle, secret, mode):
    secret.chmod(mode)
    for out in (secret / "out", secret / "one.png"):
        result = colorize(photos / "one.png", "--model", bundle, "-o", out)
        assert result.exit_code == 1
        assert f"{secret}" in result.stderr
        assert "cannot be written (Permission denied)" in result.stderr
    with pytest.raises(WriteError, match="cannot be written"):
        Colorizer(bundle)(photos / "one.png", output=secret / "one.png")


@pytest.mark.parametrize("options", [[], ["-q"], ["-v"], ["--json"]])
def test_a_cause_that_all_outputs_share_is_printed_once(photos, bundle, permissions, options):
    out = photos.parent / "out"
    out.mkdir()
    (photos / "three.png").write_bytes((photos / "one.png").read_bytes())
    (photos / "deeper/three.tif").unlink()
    out.chmod(0o555)
    result = colorize(photos, "-o", out, "--model", bundle, *options)
    lines = [line for line in result.stderr.splitlines() if "cannot be written (Permission denied)" in line]
    named = [line for line in lines if line.startswith(f"{out}/")]
    assert len(named) == (3 if "-v" in options else 1)
    assert [line for line in lines if line not in named] == (
        [] if "-v" in options else ["2 more: cannot be written (Permission denied); -v names each"]
    )
    assert f"{photos}/bad.jpg: cannot be read" in result.stderr
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "photochrom: 4 photos failed")
    if "--json" in options:
        assert result.stdout.count("Permission denied") == 3
