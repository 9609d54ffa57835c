"""Images in arrays (.npy): RGB, and L and ab as the Kaggle colorization set has them."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from photochrom.core.color import rgb_to_lab
from photochrom.evaluation.dataset_colors import count_colors, read_small
from photochrom.evaluation.matching import find_truth
from photochrom.evaluation.measure import read_pixels
from photochrom.imaging.arrays import Part, _open, to_ppm
from photochrom.imaging.photo import PhotoError, open_photo
from photochrom.imaging.sources import Passed, find_images, image_files, is_held_out
from photochrom.training.dataset import gather
from photochrom.training.decoding import decode
from photochrom.training.recipe import Data

N, HEIGHT, WIDTH = 12, 20, 24


def smooth_images(count=N, height=HEIGHT, width=WIDTH, seed=0):
    """Colors of blocks, 8-bit RGB (n, h, w, 3), not so saturated that rounded ab leaves the gamut."""
    blocks = np.random.default_rng(seed).integers(60, 200, (count, height // 4, width // 4, 3), np.uint8)
    return blocks.repeat(4, 1).repeat(4, 2)


def to_opencv_lab(rgb):
    """L (n, h, w) from 0 to 255 and ab + 128 (n, h, w, 2), as OpenCV has them in 8 bits."""
    lab = rgb_to_lab(np.moveaxis(rgb, -1, 1) / np.float32(255))
    ab = np.rint(lab[:, 1:] + 128).astype(np.uint8)
    return np.rint(lab[:, 0] * 2.55).astype(np.uint8), np.moveaxis(ab, 1, -1)


def write_arrays(folder, arrays):
    for name, array in arrays.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)


def kaggle_arrays(rgb):
    lightness, ab = to_opencv_lab(rgb)
    return {
        "l/gray_scale.npy": lightness,
        "ab/ab/ab1.npy": ab[:5],
        "ab/ab/ab2.npy": ab[5:10],
        "ab/ab/ab10.npy": ab[10:],
    }


@pytest.fixture
def kaggle(tmp_path):
    folder = tmp_path / "kaggle"
    write_arrays(folder, kaggle_arrays(smooth_images()))
    return folder


def test_lightness_and_ab_are_paired_in_the_order_of_their_names(kaggle):
    images = find_images(kaggle)
    assert [image.name for image in images] == [f"l/gray_scale.npy/{number:06}" for number in range(N)]
    for image, expected in zip(images, smooth_images(), strict=True):
        pixels = read_pixels(image)
        assert np.abs(pixels.astype(int) - expected).max() <= 4  # ab has steps of a whole unit
        assert np.array_equal(pixels, decode(image, 8))


def test_lightness_is_kept_even_where_srgb_lacks_the_color(tmp_path):
    """Random ab, most of it outside the gamut: clipping would change L by tens of units."""
    values = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    write_arrays(tmp_path, {"gray.npy": values[..., :1], "color.npy": values[..., 1:]})
    for image, truth in zip(find_images(tmp_path), values, strict=True):
        lightness = rgb_to_lab(np.moveaxis(read_pixels(image), -1, 0) / np.float32(255))[0]
        error = np.abs(lightness - truth[..., 0] / 2.55)
        assert error.max() < 0.4  # half a step of 8-bit sRGB
        assert error.mean() < 0.1


def test_rgb_is_read_exactly_from_a_folder_or_one_file(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (3, 16, 20, 3), np.uint8)
    write_arrays(tmp_path, {"photos.npy": rgb})
    for source in (tmp_path, tmp_path / "photos.npy"):
        images = find_images(source)
        assert [image.name for image in images] == [f"photos.npy/{number:06}" for number in range(3)]
        assert np.array_equal([read_pixels(image) for image in images], rgb)


def test_several_sizes_and_kinds_in_one_folder(tmp_path):
    large = kaggle_arrays(smooth_images(4, 40, 40, seed=1))
    write_arrays(tmp_path, {"rgb.npy": smooth_images(), **large, "masks.npy": np.zeros((9, 12, 12), np.uint8)})
    Image.fromarray(smooth_images()[0]).save(tmp_path / "photo.png")
    passed = Passed()
    images = find_images(tmp_path, passed)
    assert len(images) == 1 + N + 4
    assert passed == {".npy file": 1}  # the masks: there is no ab of their size


def test_an_image_is_identified_by_its_content_wherever_it_lies(kaggle, tmp_path):
    rgb = smooth_images()[::-1]
    lightness, ab = to_opencv_lab(rgb)
    write_arrays(tmp_path / "other", {"x.npy": ab, "y.npy": lightness})
    first, second = find_images(kaggle), find_images(tmp_path / "other")
    assert [image.key for image in first] == [image.key for image in second[::-1]]
    assert len({image.key for image in first}) == N
    held_out = [is_held_out(image.crc, 0.5) for image in first]
    assert 0 < sum(held_out) < N
    assert pickle.loads(pickle.dumps(first[3])).read() == first[3].read()  # as worker processes get it


def test_arrays_are_mapped_into_memory(kaggle):
    assert isinstance(_open(kaggle / "l/gray_scale.npy"), np.memmap)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a.npy": np.zeros((9, 16, 16))}, r"a.npy: float64 \(9, 16, 16\): not images; needed: 8-bit RGB \(n, h, w, 3"),
        ({"a.npy": np.zeros((16, 16, 3), np.uint8)}, r"a.npy: uint8 \(16, 16, 3\): not images"),
        ({"a.npy": np.zeros((2, 16, 16, 4), np.uint8)}, r"uint8 \(2, 16, 16, 4\): not images"),
        ({"a.npy": np.array(["text"])}, "a.npy: <U4"),
        ({"a.npy": np.array([{}])}, "a.npy: .*not images"),
        ({"a.npy": np.zeros((5, 16, 16), np.uint8)}, r"a.npy: L \(5, 16, 16\): not images; needed: .* of as many"),
        (
            {"a.npy": np.zeros((5, 16, 16), np.uint8), "b.npy": np.zeros((4, 16, 16, 2), np.uint8)},
            r"a.npy: L \(5, 16, 16\), .*b.npy: ab \(4, 16, 16, 2\): 5 images of L and 4 of ab do not fit together",
        ),
        (
            {"a.npy": np.zeros((5, 16, 16), np.uint8), "b.npy": np.zeros((5, 8, 8, 2), np.uint8)},
            r"a.npy: L \(5, 16, 16\), .*b.npy: ab \(5, 8, 8, 2\): not images",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_shape(arrays, message, tmp_path):
    write_arrays(tmp_path, arrays)
    with pytest.raises(ValueError, match=message):
        find_images(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04 an .npz file"])
def test_damaged_arrays(content, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    for source in (tmp_path, tmp_path / "a.npy"):
        with pytest.raises(ValueError, match=r"a\.npy: .*not images"):
            find_images(source)


def test_an_array_that_is_gone_is_a_photo_that_cannot_be_read(kaggle):
    image = find_images(kaggle)[0]
    (kaggle / "ab/ab/ab1.npy").unlink()
    with pytest.raises(PhotoError, match=r"gray_scale.npy/000000: cannot be read \(.*No such file"):
        image.open()


def test_arrays_in_a_zip_are_not_read(kaggle, tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.write(kaggle / "l/gray_scale.npy", "l/gray_scale.npy")
    with pytest.raises(ValueError, match=r"archive.zip: has arrays .* unpack it and name the folder"):
        find_images(tmp_path / "archive.zip")


def test_colorize_passes_them_over(kaggle):
    passed = Passed()
    assert image_files(kaggle, passed=passed) == []
    assert passed == {".npy file": 4}


def test_train_evaluate_and_inspect_read_them(kaggle, tmp_path):
    library = gather(Data(photos=(kaggle,), validation=0.5))
    assert len(library.training) + len(library.validation) == N
    assert library.unreadable == 0
    assert len(find_truth([kaggle], 1.0)) == N
    assert count_colors(read_small(find_images(kaggle))).n == N


def test_a_ppm_file_is_what_other_programs_read(tmp_path):
    rgb = smooth_images()
    write_arrays(tmp_path, {"photos.npy": rgb})
    content = to_ppm([Part(tmp_path / "photos.npy", 2)])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), rgb[2])
    assert np.array_equal(open_photo(content).pixels(), rgb[2])
