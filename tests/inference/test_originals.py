"""The original of an output: read as little as needed, and never another file than the one that was colorized."""

import hashlib
import os
from pathlib import Path

import pytest

from photochrom.imaging import formats
from photochrom.imaging.photo import Colorized, PhotoError, read_provenance
from photochrom.inference.batch import colorize_batch
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.options import ColorOptions
from photochrom.inference.plan import EXTRAS, plan
from photochrom.inference.processing import BatchOptions, SkipReason


@pytest.fixture(scope="module")
def colorizer(stochastic_bundle):
    return Colorizer(stochastic_bundle, threads=1)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def change(path):
    """Give a photo other content, as a scanner or an editor does."""
    path.write_bytes(path.read_bytes() + b"\x00")
    os.utime(path, (1, 1))


@pytest.fixture
def count_reads(monkeypatch):
    """The numbers of digests and of opened photos."""
    counts = {"digests": 0, "opened": 0}

    def count(name, function):
        def call(*arguments, **options):
            counts[name] += 1
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(hashlib, "file_digest", count("digests", hashlib.file_digest))
    monkeypatch.setattr(formats, "reader_of_file", count("opened", formats.reader_of_file))
    return counts


def test_an_original_is_hashed_once_whatever_is_made_of_it(photos, colorizer, count_reads):
    tasks = plan([photos / "one.png"], None, range(9), EXTRAS)
    (outcome,) = colorize_batch(colorizer, tasks, BatchOptions())
    assert (outcome.status, outcome.original) == ("written", sha256(photos / "one.png"))
    assert count_reads == {"digests": 1, "opened": 2}
    assert {read_provenance(file).original for file in outcome.files} == {outcome.original}
    (outcome,) = colorize_batch(colorizer, tasks, BatchOptions())
    assert (outcome.reason, outcome.original) == (SkipReason.EXISTS, sha256(photos / "one.png"))
    assert count_reads == {"digests": 2, "opened": 2}


def test_a_call_hashes_its_photo_once(photos, colorizer, count_reads):
    for result in colorizer.variants(photos / "one.png", variants=3):
        result.to_bytes()
    assert count_reads == {"digests": 1, "opened": 1}


@pytest.mark.parametrize("moment", ["predict", "merge", "_write"])
def test_a_photo_that_is_changed_meanwhile_gets_no_output(photos, colorizer, monkeypatch, moment):
    path, owner = photos / "one.png", Colorized if moment == "_write" else Colorizer
    whole = getattr(owner, moment)

    def change_first(*arguments, **options):
        change(path)
        return whole(*arguments, **options)

    monkeypatch.setattr(owner, moment, change_first)
    tasks = plan([path, photos / "two.jpg"], None, (1, 2), EXTRAS)
    changed, other = colorize_batch(colorizer, tasks, BatchOptions())
    assert changed.files == ()
    assert changed.reason == f"{path}: was changed while it was colorized; colorize it again"
    assert other.status == "written"


def test_a_call_does_not_take_another_file_for_its_photo(photos, colorizer):
    path = photos / "one.png"
    result = next(colorizer.variants(path))
    change(path)
    for write in (result.to_bytes, result.pillow, lambda: result.save(photos / "new.png")):
        with pytest.raises(PhotoError, match="was changed while it was colorized"):
            write()
    assert not (photos / "new.png").exists()


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_image_about_other_outputs_is_not_taken_for_one_of_these(photos, colorizer, extra):
    tasks = plan([photos / "one.png"], None, (0, 1), (extra,))
    list(colorize_batch(colorizer, tasks, BatchOptions(ColorOptions(saturation=0.5))))
    about = Path(tasks[0].files[extra])
    old = about.read_bytes()
    for seed in (0, 1):
        Path(tasks[0].files[seed]).unlink()
    (outcome,) = colorize_batch(colorizer, tasks, BatchOptions())
    assert (outcome.reason, about.read_bytes()) == (SkipReason.OTHER_OPTIONS, old)
    assert not Path(tasks[0].files[0]).exists()
    (outcome,) = colorize_batch(colorizer, tasks, BatchOptions(overwrite=True))
    assert (outcome.status, about in outcome.files) == ("written", True)
    for seed in (0, 1):
        Path(tasks[0].files[seed]).unlink()
    change(photos / "one.png")
    (outcome,) = colorize_batch(colorizer, tasks, BatchOptions())
    assert outcome.reason == SkipReason.OTHER_PHOTO
