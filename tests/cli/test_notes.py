"""Notes about photos reach the user: in the summary with the names of the photos, in JSON lines and in Python."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from photochrom import Colorizer, colorize_many
from photochrom.cli.main import app
from photochrom.imaging.photo import open_photo
from photochrom.imaging.tones import BLACK_AND_WHITE, IN_COLOR
from photochrom.inference.options import ColorOptions

DAMAGED = "the JPEG is damaged: some of its pixels may be wrong"


def colorize(*arguments, **options):
    return CliRunner().invoke(app, ["colorize", *map(str, arguments)], **options)


@pytest.fixture
def damaged(tmp_path):
    """A JPEG with damaged bytes, which its decoder notices."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", restart_marker_blocks=20)
    blob = bytearray(file.getvalue())
    middle = blob.index(b"\xff\xd3")
    blob[middle:middle] = b"abcdefgh" * 9
    path = tmp_path / "scans" / "damaged.jpg"
    path.parent.mkdir()
    path.write_bytes(blob)
    return path


class TestDamage:
    @pytest.mark.parametrize("options", [[], ["-v"], ["-j", 2]])
    def test_is_named_in_the_summary(self, damaged, bundle, options):
        result = colorize(damaged, "--model", bundle, *options)
        assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, f"{damaged}: {DAMAGED}")

    def test_is_in_the_json_line(self, damaged, bundle):
        assert json.loads(colorize(damaged, "--json", "--model", bundle).stdout)["notes"] == [DAMAGED]

    def test_is_in_the_outcome(self, damaged, bundle):
        (outcome,) = colorize_many(damaged, bundle, jobs=1)
        assert outcome.notes == (DAMAGED,)

    def test_is_named_where_stdin_is_read(self, damaged, bundle):
        assert colorize("-", "--model", bundle, input=damaged.read_bytes()).stderr == f"stdin: {DAMAGED}\n"


def test_the_first_photos_with_a_note_are_named(tmp_path, bundle):
    page = Image.new("L", (40, 40), 90)
    paths = [tmp_path / f"{name}.tif" for name in "abcd"]
    for number, names in ((1, "a.tif"), (2, "a.tif and b.tif"), (4, "a.tif, b.tif and 2 more")):
        for path in paths[:number]:
            page.save(path, save_all=True, append_images=[page])
        result = colorize(*paths[:number], "--overwrite", "--model", bundle)
        expected = f"{names.replace('a.tif', str(paths[0])).replace('b.tif', str(paths[1]))}: 1 more page was left out"
        assert result.stderr.splitlines() == [f"{expected} (--page)"]


def tone(gray, dark, light):
    share = np.asarray(gray, float)[..., None] / 255
    return Image.fromarray((np.array(dark) * (1 - share) + np.array(light) * share).astype(np.uint8))


class TestColor:
    @pytest.fixture
    def hues(self):
        """A picture of all hues."""
        hue, value = np.meshgrid(np.arange(160), np.arange(120))
        return Image.fromarray(np.stack([hue, hue * 0 + 90, value + 100], -1).astype(np.uint8), "HSV").convert("RGB")

    def test_that_is_replaced_is_noted(self, hues, bundle, tmp_path):
        hues.save(tmp_path / "color.png")
        (outcome,) = colorize_many(tmp_path / "color.png", bundle, jobs=1)
        assert outcome.notes == (IN_COLOR,)

    @pytest.mark.parametrize(
        ("dark", "light"),
        [
            ((0, 0, 0), (255, 255, 255)),
            ((40, 20, 5), (255, 227, 176)),
            ((5, 30, 90), (225, 240, 240)),
            ((40, 20, 45), (240, 235, 225)),
        ],
    )
    @pytest.mark.parametrize("quality", [30, 95])
    def test_of_a_tone_is_none(self, dark, light, quality, bundle, tmp_path):
        rows, columns = np.mgrid[:180, :240]
        scene = (np.sin(rows / 9) * np.cos(columns / 13) + 1) * 120 + np.random.default_rng(0).normal(0, 8, rows.shape)
        toned = tone(scene.clip(0, 255), dark, light)
        toned.save(tmp_path / "toned.jpg", quality=quality)
        (outcome,) = colorize_many(tmp_path / "toned.jpg", bundle, jobs=1)
        assert outcome.notes == ()

    def test_of_paper_stains_and_a_stamp_is_none(self, bundle, tmp_path):
        rows, columns = np.mgrid[:180, :240]
        scene = (np.sin(rows / 9) * np.cos(columns / 13) + 1) * 120
        photo = np.asarray(tone(scene, (40, 30, 20), (240, 225, 190)), float)
        stain = np.exp(-((rows - 60) ** 2 + (columns - 90) ** 2) / 3000)[..., None]
        photo = photo * (1 - stain * [0.05, 0.12, 0.35])
        photo[150:160, 200:230] = 190, 40, 60  # less than a hundredth
        Image.fromarray(photo.astype(np.uint8)).save(tmp_path / "old.png")
        (outcome,) = colorize_many(tmp_path / "old.png", bundle, jobs=1)
        assert outcome.notes == ()


class TestBlackAndWhite:
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".pbm", ".gif", ".webp"])
    @pytest.mark.parametrize("mode", ["1", "L"])
    def test_leave_no_room_for_color(self, suffix, mode, bundle, tmp_path):
        if (suffix, mode) == (".pbm", "L"):
            pytest.skip("PBM has one bit")
        page = Image.fromarray(np.random.default_rng(0).integers(0, 2, (60, 50), np.uint8) * 255).convert(mode)
        page.save(tmp_path / f"page{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
        (outcome,) = colorize_many(tmp_path / f"page{suffix}", bundle, jobs=1)
        assert outcome.notes == (BLACK_AND_WHITE,)
        pixels = np.asarray(Image.open(outcome.files[0]).convert("RGB"))
        assert (pixels == pixels[..., :1]).all()

    def test_with_one_gray_pixel_do_not(self, bundle, tmp_path):
        page = np.zeros((60, 50), np.uint8)
        page[59, 49] = 128
        Image.fromarray(page).save(tmp_path / "page.png")
        (outcome,) = colorize_many(tmp_path / "page.png", bundle, jobs=1)
        assert outcome.notes == ()

    def test_are_noted_in_threads_too(self, bundle):
        red = np.zeros((300, 300, 3), np.uint8)
        red[::2, :, 0] = 255
        for array, notes in ((red[..., 0], [BLACK_AND_WHITE]), (red, [])):
            photo = open_photo(array)
            (result,) = Colorizer(bundle, threads=2).colorize_photo(photo, ColorOptions())
            result.array()
            assert photo.reader.notes == notes
