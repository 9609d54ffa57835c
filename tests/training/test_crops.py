import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from toy import jpeg

from photochrom.imaging.sources import find_images
from photochrom.training.crops import CropReader, Crops, PixelStore, middle_squares, random_crops
from photochrom.training.dataset import gather
from photochrom.training.decoding import crop
from photochrom.training.recipe import Data

CPU = torch.device("cpu")


@pytest.fixture
def images(archive, tmp_path):
    return gather(Data(photos=(archive,), validation=0.25)).training


@pytest.fixture
def ramps(tmp_path):
    """Two photos, landscape and portrait, whose red is the column and whose green is the row."""
    for name, (height, width) in {"a": (60, 120), "b": (90, 70)}.items():
        y, x = np.mgrid[:height, :width]
        Image.fromarray(np.stack([x, y, y * 0], -1).astype(np.uint8)).save(tmp_path / f"{name}.png")
    return sorted(find_images(tmp_path), key=str)


def at(image, scale, left, top, mirrored=False):
    return Crops(*(torch.tensor([value]) for value in (image, scale, left, top, mirrored)))


def store_of(images):
    return PixelStore(images, [(60, 120), (70, 90)], CPU)


@settings(max_examples=30)
@given(st.integers(0, 300), st.integers(1, 9), st.integers(0, 9))
def test_crops_depend_on_seed_and_number_alone(start, length, offset):
    data = Data(size=16)
    numbers = range(start, start + length + offset)
    whole = vars(random_crops(numbers, 7, data, seed=3))
    part = vars(random_crops(numbers[offset:], 7, data, seed=3))
    assert all(torch.equal(whole[name][offset:], part[name]) for name in whole)
    assert not torch.equal(whole["left"], random_crops(numbers, 7, data, seed=4).left)


def test_every_image_once_an_epoch():
    first, second = (random_crops(range(start, start + 29), 29, Data(), 0).image.tolist() for start in (0, 29))
    assert sorted(first) == sorted(second) == list(range(29))
    assert first != second


def test_crops_keep_to_the_settings():
    crops = random_crops(range(2000), 50, Data(scale=(0.6, 0.9)), 0)
    assert 0.6 <= crops.scale.min() < 0.61
    assert 0.89 < crops.scale.max() <= 0.9
    for place in (crops.left, crops.top):
        assert 0 <= place.min() < 0.01 < 0.99 < place.max() <= 1
    assert abs(crops.mirrored.float().mean() - 0.5) < 0.05
    assert not random_crops(range(200), 50, Data(flip=False), 0).mirrored.any()


def test_the_store_reads_the_square_at_the_position(ramps):
    store = store_of(ramps)
    for image, (height, width) in enumerate([(60, 120), (90, 70)]):
        side = min(height, width)
        for left, top in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.0)):
            codes = store.read(at(image, 1.0, left, top), side)[0] * 255
            expected = torch.arange(side) + (width - side) * left
            assert torch.allclose(codes[0], expected.expand(side, side), atol=1e-3)
            assert torch.allclose(
                codes[1].T, (torch.arange(side) + (height - side) * top).expand(side, side), atol=1e-3
            )
            mirrored = store.read(at(image, 1.0, left, top, mirrored=True), side)[0] * 255
            assert torch.allclose(mirrored, codes.flip(2), atol=1e-3)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("size", [20, 30, 45, 70])
def test_the_store_resizes_as_interpolation_does(ramps, size, dense):
    """A ramp has no detail to lose: any resize that places pixels by their centers gives the same."""
    codes = store_of(ramps).read(at(0, 0.75, 0.2, 0.6), size, dense)[0] * 255
    assert codes.shape == (3, size, size)
    centers = (torch.arange(size) + 0.5) / size * 45 - 0.5
    inside = slice(1, -1)
    assert torch.allclose(codes[0, 0, inside], centers[inside] + 75 * 0.2, atol=0.02)
    assert torch.allclose(codes[1, inside, 0], centers[inside] + 15 * 0.6, atol=0.02)


@settings(max_examples=40)
@given(st.floats(0.05, 1), st.floats(0, 1), st.floats(0, 1), st.booleans(), st.booleans())
def test_no_crop_reads_pixels_of_another_image(scale, left, top, mirrored, dense):
    store = PixelStore.__new__(PixelStore)
    shape = [(5, 9), (8, 3), (1, 1)]
    store.height, store.width = torch.tensor(shape).T
    counts = [height * width for height, width in shape]
    store.start = torch.tensor([0, counts[0], counts[0] + counts[1]])
    store.codes = torch.cat([torch.full((count, 3), 80 * place) for place, count in enumerate(counts, 1)]).byte()
    for image in range(3):
        codes = store.read(at(image, scale, left, top, mirrored), 4, dense) * 255
        assert torch.allclose(codes, torch.full((), 80.0 * (image + 1)), atol=1e-3)


def test_resampling_is_that_of_the_recipe(tmp_path):
    """Whichever way photos are read: the means of areas of a square photo are those of its blocks."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    means = torch.from_numpy(pixels.reshape(30, 3, 30, 3, 3).mean((1, 3))).movedim(2, 0)
    images = find_images(tmp_path)
    assert (middle_squares(images, 30, "area")[0] - means).abs().max() <= 0.51
    assert (middle_squares(images, 30)[0] - means).abs().max() > 10
    for memory in (1.0, 0.0):
        data = Data(size=30, scale=(1.0, 1.0), resampling="area", flip=False, memory=memory, workers=0)
        (batch,) = CropReader(images, data, 0, CPU).batches([range(1)])
        assert (batch[0] * 255 - means).abs().max() <= 0.51


def batches(images, **data):
    reader = CropReader(images, Data(size=24, **data), 3, CPU)
    return reader, list(reader.batches([range(5, 9), range(9, 15)]))


def test_photos_that_fit_are_read_from_memory_and_others_decoded_alike(images):
    kept, from_memory = batches(images)
    streamed, decoded = batches(images, memory=0.0, workers=0)
    assert kept.store is not None
    assert streamed.store is None
    for ours, theirs, count in zip(from_memory, decoded, (4, 6), strict=True):
        assert ours.shape == theirs.shape == (count, 3, 24, 24)
        assert ours.dtype == theirs.dtype == torch.float32
        assert (ours - theirs).abs().mean() < 0.01


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than processors
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(images, workers):
    alone, several = (batches(images, memory=0.0, workers=count)[1] for count in (0, workers))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(alone, several, strict=True))


def test_middle_squares_are_those_of_the_files(images):
    squares = middle_squares(images[:3], 24)
    assert squares.dtype == torch.uint8
    for square, image in zip(squares, images, strict=False):
        assert np.array_equal(square.permute(1, 2, 0).numpy(), crop(image, 24, 1.0, 0.5, 0.5))


def test_large_jpegs_are_kept_in_their_places(tmp_path):
    """Their sizes differ after decoding at a part of their size: each must still be read from its own bytes."""
    for name, size in {"a": (700, 353), "b": (983, 1141), "c": (640, 480)}.items():
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(len(name), size[1], size[0]))
    files = sorted(find_images(tmp_path), key=str)
    kept, decoded = (
        next(CropReader(files, Data(size=128, flip=False, **data), 3, CPU).batches([range(6)]))
        for data in ({}, {"memory": 0.0, "workers": 0})
    )
    assert (kept - decoded).abs().mean((1, 2, 3)).max() < 0.01
