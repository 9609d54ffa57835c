"""One call, any kind of photograph in, the same kind out."""

import io

import numpy as np
import pytest
import pyvips
from PIL import Image
from skimage.color import rgb2lab

import photochrom
from photochrom.imaging import strips as stream
from photochrom.imaging.photo import PhotoError
from photochrom.inference.batch import BatchOptions, colorize_batch, plan
from photochrom.inference.bundle import BundleError
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.onnx import SeededNoise

RAMP = np.linspace(0, 255, 60 * 80).reshape(60, 80).astype(np.uint8)


@pytest.fixture(scope="module")
def colorizer(bundle):
    return Colorizer(bundle)


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def test_an_array_gives_an_array(colorizer):
    colored = colorizer(RAMP)
    assert (colored.dtype, colored.shape) == (np.uint8, (60, 80, 3))
    light, dark = rgb2lab(colored)[50, 40], rgb2lab(colored)[8, 40]
    assert light[1] > 5 > -5 > dark[1]  # light places warm, dark ones cold: the network's own rule


def test_what_is_no_colour_is_never_passed_off_as_gray(bundle, tmp_path, monkeypatch):
    broken = Colorizer(bundle)
    monkeypatch.setitem(broken.nets, "colors", lambda gray: gray.repeat(2, 1) * np.nan)
    with pytest.raises(BundleError, match=r"the model output is not a number; train the model again"):
        broken(RAMP)
    (tmp_path / "one.png").write_bytes(png(RAMP))
    (outcome,) = colorize_batch(broken, plan([tmp_path / "one.png"]), BatchOptions())
    assert outcome.status == "failed"
    assert "one.png: " in outcome.reason
    assert "please report" not in outcome.reason
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_sixteen_bits_stay(colorizer):
    colored = colorizer(RAMP.astype(np.uint16) * 257)
    assert colored.dtype == np.uint16
    assert len(np.unique(colored)) > 256


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_stay_floats(colorizer, kind):
    colored = colorizer((RAMP / 255).astype(kind))
    assert colored.dtype == kind
    assert np.abs(colored * 255 - colorizer(RAMP)).max() < 1.5


def test_bytes_give_bytes_of_the_same_format(colorizer):
    colored = colorizer(png(RAMP))
    assert isinstance(colored, bytes)
    assert Image.open(io.BytesIO(colored)).format == "PNG"


def test_pillow_gives_pillow(colorizer):
    colored = colorizer(Image.fromarray(RAMP))
    assert (colored.mode, colored.size) == ("RGB", (80, 60))


def test_a_path_gives_the_path_of_a_new_file(colorizer, tmp_path):
    photo = tmp_path / "old.png"
    photo.write_bytes(png(RAMP))
    before = photo.read_bytes()
    copy = colorizer(photo)
    assert copy == tmp_path / "old-color.png"
    assert photo.read_bytes() == before
    assert (pyvips.Image.new_from_file(str(copy)).numpy() == colorizer(RAMP)).all()
    with pytest.raises(PhotoError, match="exists already"):
        colorizer(str(photo))


def test_strength_zero_is_gray_and_more_is_more(colorizer):
    chroma = [np.hypot(*rgb2lab(colorizer(RAMP, saturation=s))[..., 1:].T).mean() for s in (0.0, 0.5, 1.0)]
    assert chroma[0] < 0.1 < chroma[1] < chroma[2]


def test_lightness_is_the_photographs(colorizer):
    shift = rgb2lab(colorizer(RAMP))[..., 0] - rgb2lab(np.dstack([RAMP] * 3))[..., 0]
    assert abs(shift).max() <= 1
    assert abs(shift).mean() <= 0.1


def test_one_thread_begins_no_others(colorizer, bundle, monkeypatch):
    photo = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    several = colorizer(photo)
    monkeypatch.delattr(stream, "ThreadPoolExecutor")
    np.testing.assert_array_equal(Colorizer(bundle, threads=1)(photo), several)
    with pytest.raises(NameError):
        Colorizer(bundle, threads=2)(photo)


def test_one_line_does_it(bundle):
    assert (photochrom.colorize(RAMP, model=bundle) == photochrom.Colorizer(bundle)(RAMP)).all()


def test_what_is_no_photograph_is_refused(colorizer):
    with pytest.raises(PhotoError, match="dict"):
        colorizer({})


def test_noise_belongs_to_the_photograph_not_to_its_batch():
    like = np.zeros((3, 2, 4, 4), np.float32)
    together, alone = SeededNoise([1, 2, 3])(like), SeededNoise([2])(like[:1])
    assert (together[1] == alone[0]).all()
    assert together.dtype == np.float32
    assert (SeededNoise([1])(like[:1], "gumbel") != SeededNoise([1])(like[:1])).all()
