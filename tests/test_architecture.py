"""What is public, how large files are, and how fast the command answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import photochrom

PACKAGE = Path(photochrom.__file__).parent


def test_public_names():
    assert sorted(photochrom.__all__) == ["Colorizer", "__version__", "colorize"]
    assert all(getattr(photochrom, name) for name in photochrom.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Painter'"):
        photochrom.Painter  # noqa: B018


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
