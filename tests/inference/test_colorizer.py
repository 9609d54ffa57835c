"""The Python API: one call, any kind of photo in, the same kind out."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image
from skimage.color import rgb2lab

import photochrom
from photochrom.imaging import strips
from photochrom.imaging.errors import FileExists, PhotoError, WriteError
from photochrom.imaging.notes import NO_ATTACHMENTS
from photochrom.inference.batch import colorize_batch
from photochrom.inference.bundle import BundleError
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.onnx import SeededNoise
from photochrom.inference.options import ColorOptions, Hint
from photochrom.inference.plan import plan
from photochrom.inference.processing import BatchOptions

RAMP = np.linspace(0, 255, 60 * 80).reshape(60, 80).astype(np.uint8)


@pytest.fixture(scope="module")
def colorizer(bundle):
    return Colorizer(bundle)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "old.png"
    path.write_bytes(png(RAMP))
    return path


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def pixels(path):
    return pyvips.Image.new_from_file(str(path)).numpy()


def test_array_in_array_out(colorizer):
    colorized = colorizer(RAMP)
    assert (colorized.dtype, colorized.shape) == (np.uint8, (60, 80, 3))
    light, dark = rgb2lab(colorized)[50, 40], rgb2lab(colorized)[8, 40]
    assert light[1] > 5 > -5 > dark[1]  # the network makes light pixels warm and dark pixels cold


def test_sixteen_bits_stay(colorizer):
    colorized = colorizer(RAMP.astype(np.uint16) * 257)
    assert colorized.dtype == np.uint16
    assert len(np.unique(colorized)) > 256


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_stay_floats(colorizer, dtype):
    colorized = colorizer((RAMP / 255).astype(dtype))
    assert colorized.dtype == dtype
    assert np.abs(colorized * 255 - colorizer(RAMP)).max() < 1.5


def test_bytes_in_bytes_out(colorizer):
    colorized = colorizer(png(RAMP))
    assert isinstance(colorized, bytes)
    assert Image.open(io.BytesIO(colorized)).format == "PNG"


def test_stream_in_stream_out(colorizer):
    stream = io.BytesIO(png(RAMP))
    stream.seek(0, io.SEEK_END)  # as it is after writing
    colorized = colorizer(stream)
    assert isinstance(colorized, io.BytesIO)
    assert colorized.read() == colorizer(png(RAMP))


def test_pillow_in_pillow_out(colorizer):
    colorized = colorizer(Image.fromarray(RAMP))
    assert (colorized.mode, colorized.size) == ("RGB", (80, 60))


def test_path_in_path_of_a_new_file_out(colorizer, photo):
    original = photo.read_bytes()
    output = colorizer(photo)
    assert output == photo.with_name("old-color.png")
    assert photo.read_bytes() == original
    assert (pixels(output) == colorizer(RAMP)).all()


@pytest.mark.parametrize("convert", [Path, Path.read_bytes, Image.open], ids=["path", "bytes", "pillow"])
def test_output_names_the_file_for_any_photo(colorizer, photo, convert):
    output = photo.with_name("new.tif")
    assert colorizer(convert(photo), output=str(output)) == output
    assert (pixels(output) == colorizer(RAMP)).all()


def test_a_file_is_replaced_only_with_overwrite(colorizer, photo):
    output = colorizer(photo)
    vivid = output.read_bytes()
    for _ in range(2):
        with pytest.raises(FileExists, match="exists already"):
            colorizer(str(photo), saturation=0.5)
    assert output.read_bytes() == vivid
    assert colorizer(str(photo), saturation=0.5, overwrite=True) == output
    assert output.read_bytes() != vivid


def test_the_original_is_never_overwritten(colorizer, photo):
    with pytest.raises(ValueError, match="is the original, which is never overwritten"):
        colorizer(photo, output=photo.parent / "." / photo.name, overwrite=True)


def test_a_missing_folder_is_reported(colorizer, photo):
    with pytest.raises(WriteError, match="missing"):
        colorizer(photo, output=photo.parent / "missing" / "new.png")


def test_options_by_name_and_as_an_object_are_the_same(colorizer):
    options = ColorOptions(saturation=0.5, size=64, hints=(Hint(10, 10, (200, 40, 40)),))
    by_name = colorizer(RAMP, saturation=0.5, size=64, hints=["10,10,#c82828"])
    assert (colorizer(RAMP, options=options) == by_name).all()
    assert (colorizer(RAMP, options=options, saturation=1.0) != by_name).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"saturation": -0.1}, r"saturation -0\.1: must be a number from 0 to 3"),
        ({"saturation": 3.5}, r"saturation 3\.5: must be a number from 0 to 3"),
        ({"saturation": math.nan}, "saturation nan: must be a number from 0 to 3"),
        ({"size": 16}, "size 16: must be an integer from 32 to 2048"),
        ({"seed": -1}, "seed -1: must be an integer from 0 to 9007199254740991"),
        ({"hints": ["1,2,red"]}, "hint '1,2,red': write it as x,y,#rrggbb"),
        ({"variants": 2}, r"variants 2: a call returns one image; use Colorizer\.variants\(\)"),
    ],
)
def test_limits_are_enforced(colorizer, options, message):
    with pytest.raises(ValueError, match=message):
        colorizer(RAMP, **options)


def test_an_unknown_option_is_an_error(colorizer):
    with pytest.raises(TypeError, match="vividness"):
        colorizer(RAMP, vividness=2)


def test_variants_of_a_stochastic_model(stochastic_bundle, photo):
    colorizer = Colorizer(stochastic_bundle)
    results = list(colorizer.variants(photo, variants=3, seed=7))
    assert [result.seed for result in results] == [7, 8, 9]
    for result in results:
        assert (result.array() == colorizer(RAMP, seed=result.seed)).all()
    assert results[0].to_bytes() == colorizer(photo.read_bytes(), seed=7)
    assert results[0].save(photo.with_name("seven.png")).read_bytes() == results[0].to_bytes(".png")


def test_variants_need_a_stochastic_model(colorizer):
    with pytest.raises(ValueError, match="two-colors is deterministic; variants needs a stochastic model"):
        list(colorizer.variants(RAMP, variants=2))


def test_sampler_options_of_a_call_are_those_of_a_colorizer(stochastic_bundle):
    other = Colorizer(stochastic_bundle, steps=5, solver="ancestral")
    assert (Colorizer(stochastic_bundle)(RAMP, steps=5, solver="ancestral") == other(RAMP)).all()
    assert (Colorizer(stochastic_bundle)(RAMP) != other(RAMP)).any()


def test_output_that_is_not_a_number_is_an_error_not_a_gray_photo(bundle, photo, monkeypatch):
    broken = Colorizer(bundle)
    monkeypatch.setitem(broken.nets, "colors", lambda gray: gray.repeat(2, 1) * np.nan)
    with pytest.raises(BundleError, match=r"the model output is not a number; train the model again"):
        broken(RAMP)
    (outcome,) = colorize_batch(broken, plan([photo]), BatchOptions())
    assert outcome.status == "failed"
    assert "old.png: " in outcome.reason
    assert "please report" not in outcome.reason
    assert list(photo.parent.iterdir()) == [photo]


def test_saturation_zero_is_gray_and_more_is_more(colorizer):
    chroma = [np.hypot(*rgb2lab(colorizer(RAMP, saturation=s))[..., 1:].T).mean() for s in (0.0, 0.5, 1.0)]
    assert chroma[0] < 0.1 < chroma[1] < chroma[2]


def test_lightness_is_that_of_the_photo(colorizer):
    shift = rgb2lab(colorizer(RAMP))[..., 0] - rgb2lab(np.dstack([RAMP] * 3))[..., 0]
    assert abs(shift).max() <= 1
    assert abs(shift).mean() <= 0.1


def test_the_number_of_threads_reaches_the_strips(colorizer, bundle, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    several = colorizer(noise)
    thread_counts, map_ahead = [], strips._map_ahead

    def record(process, image, rows, threads):
        thread_counts.append(threads)
        return map_ahead(process, image, rows, threads)

    monkeypatch.setattr(strips, "_map_ahead", record)
    for threads in (1, 2, 3):  # one works on the whole image
        np.testing.assert_array_equal(Colorizer(bundle, threads=threads)(noise), several)
    assert thread_counts == [2, 3]


def test_colorize_in_one_line(bundle):
    assert (photochrom.colorize(RAMP, model=bundle) == photochrom.Colorizer(bundle)(RAMP)).all()


def test_anything_but_a_photo_is_refused(colorizer):
    with pytest.raises(PhotoError, match="dict"):
        colorizer({})


def test_noise_belongs_to_the_image_not_to_its_batch():
    like = np.zeros((3, 2, 4, 4), np.float32)
    batch, single = SeededNoise([1, 2, 3])(like), SeededNoise([2])(like[:1])
    assert (batch[1] == single[0]).all()
    assert batch.dtype == np.float32
    assert (SeededNoise([1])(like[:1], "gumbel") != SeededNoise([1])(like[:1])).all()


@pytest.mark.parametrize("call", [Colorizer.__call__, Colorizer.variants])
def test_a_seed_needs_a_stochastic_model(colorizer, call):
    with pytest.raises(ValueError, match="two-colors is deterministic; seed needs a stochastic model"):
        call(colorizer, RAMP, seed=7)


def test_a_result_says_what_was_left_out(colorizer, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(np.uint8)).save(buffer, "JPEG")
    (result,) = colorizer.variants(buffer.getvalue() + b"a video")
    result.save(tmp_path / "new.jpg")
    assert result.notes == (NO_ATTACHMENTS,)


def test_the_limit_on_pixels_applies_to_calls(colorizer, photo):
    for call in (colorizer, colorizer.variants, lambda *a, **k: photochrom.colorize(*a, colorizer.model, **k)):
        with pytest.raises(PhotoError, match="limit of 100"):
            call(photo, max_pixels=100)
