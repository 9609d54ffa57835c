"""What is public, how large files are, and how fast the command answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import photochrom

PACKAGE = Path(photochrom.__file__).parent


def test_public_names():
    assert sorted(photochrom.__all__) == [
        *("BundleError", "ColorOptions", "Colorized", "Colorizer", "FileExists", "Hint", "Outcome", "PhotoError"),
        *("PhotoTooLarge", "WriteError", "__version__", "colorize", "colorize_many", "colorize_video"),
    ]
    assert all(getattr(photochrom, name) for name in photochrom.__all__)
    assert set(photochrom.__all__) <= set(dir(photochrom))
    with pytest.raises(AttributeError, match="has no attribute 'Painter'"):
        photochrom.Painter  # noqa: B018


def test_every_error_of_a_photo_is_one_class():
    for error in (photochrom.FileExists, photochrom.PhotoTooLarge, photochrom.WriteError):
        assert issubclass(error, photochrom.PhotoError)


def test_names_complete_before_they_are_imported():
    code = (
        "import photochrom, rlcompleter, sys; completer = rlcompleter.Completer({'photochrom': photochrom});"
        "print('numpy' in sys.modules, [completer.complete('photochrom.Color', i) for i in range(3)])"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.startswith("False ")
    assert all(f"photochrom.{name}" in output for name in ("ColorOptions", "Colorized", "Colorizer"))


SCRIPT = """
import io
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import photochrom
from photochrom import BundleError, Colorizer, ColorOptions, FileExists, Hint, PhotoError, PhotoTooLarge, WriteError

colorizer = Colorizer("unet", threads=1, steps=5)
pixels: NDArray[np.uint8] = np.zeros((4, 4), np.uint8)
image = Image.new("L", (4, 4))
options = ColorOptions(saturation=0.5, hints=(Hint(1, 2, (255, 0, 0)), Hint.parse("3,4,#00ff00")))

assert_type(colorizer("photo.jpg"), Path)
assert_type(colorizer(Path("photo.jpg"), overwrite=True, seed=3), Path)
assert_type(colorizer(b"", size=256, hints=["1,2,#ff0000"]), bytes)
assert_type(colorizer(io.BytesIO(), options=options), io.BytesIO)
assert_type(colorizer(pixels, saturation=1.5, temperature=0.5), NDArray[Any])
assert_type(colorizer(image), Image.Image)
assert_type(colorizer(image, output="image.png", overwrite=True), Path)
assert_type(colorizer(b"", output=Path("bytes.png")), Path)

assert_type(photochrom.colorize("photo.jpg", "unet"), Path)
assert_type(photochrom.colorize(b"", model="unet", seed=2), bytes)
assert_type(photochrom.colorize(io.BytesIO(), options=options), io.BytesIO)
assert_type(photochrom.colorize(pixels), NDArray[Any])
assert_type(photochrom.colorize(image, saturation=0.5), Image.Image)
assert_type(photochrom.colorize(image, output="image.png"), Path)

for result in colorizer.variants("photo.jpg", variants=3, seed=7):
    assert_type(result.seed, int)
    assert_type(result.save(f"{result.seed}.png", overwrite=True), Path)
    assert_type(result.to_bytes(".png"), bytes)

for outcome in photochrom.colorize_many(["scans", Path("photo.jpg")], "unet", out="out", jobs=2, saturation=0.5):
    assert_type(outcome, photochrom.Outcome)
    assert_type(outcome.reason, str)
photochrom.colorize_many("scans", colorizer)

try:
    colorizer.with_sampler(solver="ddim", eta=0.5)(image)
except (FileExists, PhotoTooLarge, WriteError, PhotoError, BundleError) as error:
    assert_type(str(error), str)

colorizer(3)  # type: ignore[call-overload]
colorizer(b"", strength=0.5)  # type: ignore[call-overload]
colorizer(b"", overwrite=True)  # type: ignore[call-overload]
photochrom.Painter  # type: ignore[attr-defined]
"""


def test_the_types_of_a_users_script(tmp_path):
    """As a user's mypy sees the package; an ignore that is not needed would be an error too."""
    assert (PACKAGE / "py.typed").exists()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", str(script)]
    environment = {**os.environ, "MYPYPATH": str(PACKAGE.parent), "MYPY_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "Success: no issues found in 1 source file\n"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_grows_past_reading(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_answers_at_once(option):
    """Processor time beyond Python's own start: a busy machine does not count."""

    def spent(*command):
        before = os.times()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    own = min(spent("-c", "pass") for _ in range(3))
    assert min(spent("-m", "photochrom", option) for _ in range(3)) - own < 0.3


def test_importing_the_package_is_nothing():
    code = (
        "import photochrom, sys; print(sorted({'numpy', 'onnxruntime', 'pyvips', 'torch', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_the_command_imports_nothing_before_it_answers_ctrl_c():
    code = "import sys; before = set(sys.modules); import photochrom.__main__; print(*set(sys.modules) - before)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    names = ("", "._signals", "._version", ".__main__")
    assert set(output.split()) <= {f"photochrom{name}" for name in names}
