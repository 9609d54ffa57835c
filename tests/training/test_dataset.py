import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image, ImageCms
from torch.utils.data import DataLoader
from toy import jpeg

from photochrom.imaging.photo import Colorized, Provenance, open_photo
from photochrom.imaging.sources import SourceImage, find_images, source_title
from photochrom.training.dataset import TrainingPairs, ValidationPairs, crop, decode, degrade, gather, pair
from photochrom.training.recipe import Data


@pytest.fixture
def library(archive, tmp_path):
    return gather(Data(photos=(archive,), validation=0.25), tmp_path / "photos.json")


def unzip(archive, folder):
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder


def keys(images):
    return {image.key for image in images}


def test_gray_and_damaged_images_are_left_out_and_counted(library):
    assert (library.near_gray, library.unreadable, library.repeated) == (2, 1, 0)
    assert len(library.training) + len(library.validation) == 38
    assert library.validation
    assert library.record() == {
        "training": len(library.training),
        "validation": len(library.validation),
        "digest": library.digest,
        "near_gray": 2,
        "unreadable": 1,
        "repeated": 0,
    }


def test_a_folder_in_a_zip_is_a_source(archive, tmp_path):
    cache = tmp_path / "photos.json"
    whole, a, b = (gather(Data(photos=(archive / part,)), cache) for part in ("", "a", "b"))
    assert keys(a.training) | keys(b.training) == keys(whole.training)
    assert not keys(a.training) & keys(b.training)
    inside = {(f"b/{image.name}", image.crc) for image in find_images(archive / "b")}
    assert inside == {(image.name, image.crc) for image in find_images(archive) if image.name.startswith("b/")}
    assert source_title(archive / "b") == f"{archive.name}/b"
    assert source_title(archive) == archive.name
    with pytest.raises(ValueError, match=r"photos.zip has no photos in a folder of that name"):
        gather(Data(photos=(archive / "c",)), cache)


def test_a_folder_and_a_zip_give_the_same_library(archive, library, tmp_path):
    folder = unzip(archive, tmp_path / "folder")
    other = gather(Data(photos=(folder,), validation=0.25), tmp_path / "other.json")
    assert other.digest == library.digest
    assert [image.key for image in other.training] == [image.key for image in library.training]
    both = gather(Data(photos=(folder, archive), validation=0.25), tmp_path / "both.json")
    assert both.repeated == 41
    assert both.digest == library.digest


def test_the_split_stays_when_images_are_added(archive, library, tmp_path):
    folder = unzip(archive, tmp_path / "folder")
    for seed in range(100, 120):
        (folder / f"{seed}.JPG").write_bytes(jpeg(seed))
    more = gather(Data(photos=(folder,), validation=0.25), tmp_path / "more.json")
    assert keys(library.validation) < keys(more.validation)
    assert keys(library.training) < keys(more.training)


def test_colorfulness_is_cached(archive, tmp_path):
    cache = tmp_path / "photos.json"
    settings = Data(photos=(archive,), validation=0.0)
    gather(settings, cache)
    scores = json.loads(cache.read_text())
    assert sum(score is None for score in scores.values()) == 1
    cache.write_text(json.dumps(dict.fromkeys(scores, 0.5)))
    with pytest.raises(ValueError, match=r"41 found, 0 unreadable, 41 less colorful than data.min_colorfulness = 9"):
        gather(settings, cache)


def test_a_file_without_permission_is_left_out_and_named(archive, tmp_path, monkeypatch, caplog):
    folder, read_bytes = unzip(archive, tmp_path / "folder"), Path.read_bytes

    def deny(path):
        if path.name in ("02.jpg", "03.jpg"):
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", deny)
    library = gather(Data(photos=(folder,), validation=0.0), tmp_path / "photos.json")
    assert (len(library.training), library.unreadable, library.repeated) == (36, 3, 0)
    assert "02.jpg left out: cannot be read (Permission denied)" in caplog.text


def test_photos_that_photochrom_colorized_are_no_ground_truth(archive, tmp_path, caplog):
    folder = unzip(archive, tmp_path / "folder")
    colorized = Colorized(open_photo(jpeg(2)), np.full((2, 2, 2), 0.3, np.float32), Provenance("unet", "1", 0))
    for suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
        colorized.save(folder / f"colorized{suffix}")
    library = gather(Data(photos=(folder,), validation=0.0), tmp_path / "photos.json")
    assert (len(library.training), library.unreadable) == (38, 6)
    assert caplog.text.count("left out: colorized by Photochrom, so no ground truth") == 5


@pytest.mark.parametrize("suffix", [".avif", ".tif", ".bmp"])
def test_formats_that_pillow_cannot_decode_are_read_as_by_the_other_commands(tmp_path, suffix):
    image = Image.open(io.BytesIO(jpeg(3)))
    pixels = np.asarray(image)
    path = tmp_path / f"photo{suffix}"
    if suffix == ".avif":
        pyvips.Image.new_from_array(pixels).heifsave(str(path), compression="av1", lossless=True)
    elif suffix == ".tif":  # of 16 bits in each channel
        deep = pyvips.Image.new_from_array(pixels.astype(np.uint16) * 257)
        deep.copy(interpretation="rgb16").write_to_file(str(path))
    else:
        image.save(path)
    library = gather(Data(photos=(tmp_path,), validation=0.0), tmp_path / "photos.json")
    assert [image.name for image in library.training] == [path.name]
    pixels = open_photo(path).pixels().astype(int)
    expected = pixels // 257 if suffix == ".tif" else pixels
    assert np.abs(decode(library.training[0], 40) - expected).max() <= 1


def test_formats_that_no_command_reads_are_left_out_and_named(tmp_path, caplog):
    Image.open(io.BytesIO(jpeg(3))).save(tmp_path / "photo.gif")
    (tmp_path / "photo.jpg").write_bytes(jpeg(4))
    library = gather(Data(photos=(tmp_path,), validation=0.0), tmp_path / "photos.json")
    assert (len(library.training), library.unreadable) == (1, 1)
    assert "photo.gif left out: " in caplog.text


def test_missing_and_damaged_sources(archive, tmp_path):
    (tmp_path / "text.txt").write_text("no zip")
    content = archive.read_bytes()
    directory = content.index(b"PK\1\2")
    (tmp_path / "damaged.zip").write_bytes(content[:directory] + b"????" + content[directory + 4 :])
    for photos, message in (
        ((), "name folders or zips in data.photos or with --data"),
        ((tmp_path / "none",), "there is no such folder or zip"),
        ((tmp_path / "text.txt",), "not a folder or zip"),
        ((tmp_path / "damaged.zip",), "damaged.zip: damaged zip"),
        ((tmp_path,), "no photo to train on: 0 found"),
    ):
        with pytest.raises(ValueError, match=message):
            gather(Data(photos=photos), tmp_path / "photos.json")


def test_pairs_depend_on_seed_and_number_alone(library):
    pairs = TrainingPairs(library.training, Data(size=16), "ab", seed=3)
    again = TrainingPairs(library.training, Data(size=16), "ab", seed=3)
    order = [5, 200, 0, 5]
    for number, (gray, ab) in zip(order, [again[i] for i in order], strict=True):
        assert torch.equal(pairs[number][0], gray)
        assert torch.equal(pairs[number][1], ab)
    other = TrainingPairs(library.training, Data(size=16), "ab", seed=4)
    assert not torch.equal(pairs[5][0], other[5][0])


@pytest.mark.parametrize("workers", [1, 2])
def test_data_workers_change_nothing(library, workers):
    pairs = TrainingPairs(library.training, Data(size=16), "ab", seed=3)
    numbers = [list(range(start, start + 4)) for start in range(6, 18, 4)]
    expected = list(DataLoader(pairs, batch_sampler=numbers))
    batches = list(DataLoader(pairs, batch_sampler=numbers, num_workers=workers))
    for batch, other in zip(batches, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))


def test_every_image_once_an_epoch(library, monkeypatch):
    pairs = TrainingPairs(library.training, Data(size=16), "ab", seed=0)
    monkeypatch.setattr(pairs, "_augment", lambda image, rng: image.key)
    count = len(library.training)
    first, second = ([pairs[epoch * count + i] for i in range(count)] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == [image.key for image in library.training]
    assert first != second


@pytest.mark.parametrize(("target", "channels"), [("ab", 2), ("rgb", 3)])
@pytest.mark.parametrize("convention", ["lab", "luma", "mean"])
def test_ranges(library, target, channels, convention):
    settings = Data(size=24, gray=convention)
    gray, color = TrainingPairs(library.training, settings, target, 0)[0]
    assert gray.shape == (1, 24, 24)
    assert color.shape == (channels, 24, 24)
    for plane in (gray, color):
        assert plane.dtype == torch.float32
        assert plane.abs().max() <= 1
        assert plane.std() > 0.01


def test_validation_pairs_contain_the_image(library):
    pairs = ValidationPairs(library.validation, Data(size=24), "ab")
    gray, ab, rgb = pairs[0]
    expected = pair(rgb.numpy(), "lab", "ab")
    assert torch.equal(gray, expected[0])
    assert torch.equal(ab, expected[1])
    assert len(pairs) == len(library.validation)


def test_known_colors():
    red = np.zeros((3, 2, 2), np.float32)
    red[0] = 1
    gray, ab = pair(red, "lab", "ab")
    assert gray[0, 0, 0] * 50 + 50 == pytest.approx(53.24, abs=0.01)
    assert (ab[:, 0, 0] * 110).tolist() == pytest.approx([80.09, 67.20], abs=0.02)
    assert pair(red, "mean", "rgb")[0][0, 0, 0] == pytest.approx(2 / 3 - 1)
    assert pair(red, "luma", "rgb")[1][:, 0, 0].tolist() == [1, -1, -1]


def write_image(folder, content):
    (folder / "photo.jpg").write_bytes(content)
    return SourceImage(str(folder), "photo.jpg", 0, len(content))


def test_crop_takes_the_square_at_the_position(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 120).astype(np.uint8), (60, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.stack([ramp] * 3, -1)).save(buffer, "PNG")
    image = write_image(tmp_path, buffer.getvalue())
    left, right = crop(image, 60, 1.0, 0.0, 0.5), crop(image, 60, 1.0, 1.0, 0.5)
    assert np.array_equal(left[..., 0], ramp[:, :60])
    assert np.array_equal(right[..., 0], ramp[:, 60:])
    half = crop(image, 30, 0.5, 0.0, 0.0)
    assert np.array_equal(half[..., 0], ramp[:30, :30])


def test_orientation_is_applied_and_large_jpegs_come_smaller(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = write_image(tmp_path, jpeg(0, 40, 50, exif=exif.tobytes()))
    assert decode(rotated, 40).shape == (50, 40, 3)
    large = write_image(tmp_path, jpeg(0, 800, 1000))
    assert decode(large, 100).shape == (100, 125, 3)
    assert decode(large, 101).shape == (200, 250, 3)


def display_p3():
    """The profile of a wide-gamut screen: sRGB's with its primaries (XYZ, D50) changed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {b"r": (0.51512, 0.2412, -0.00105), b"g": (0.29198, 0.69225, 0.04189), b"b": (0.1571, 0.06657, 0.78407)}
    for channel, values in primaries.items():
        entry = profile.index(channel + b"XYZ", 128)
        (start,) = struct.unpack_from(">I", profile, entry + 4)
        struct.pack_into(">iii", profile, start + 8, *(round(v * 65536) for v in values))
    return bytes(profile)


def test_other_color_spaces_become_srgb(tmp_path):
    plain, wide = jpeg(3, form="PNG"), jpeg(3, form="PNG", icc_profile=display_p3())
    pixels = decode(write_image(tmp_path, wide), 40).astype(int)
    expected = pyvips.Image.new_from_buffer(wide, "").icc_transform("srgb", embedded=True).numpy()
    assert np.abs(pixels - expected).max() <= 2
    assert np.abs(pixels - decode(write_image(tmp_path, plain), 40)).max() > 20


@pytest.mark.parametrize(
    "profile", [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"no profile at all"]
)
def test_srgb_and_damaged_profiles_change_nothing(tmp_path, profile):
    plain = decode(write_image(tmp_path, jpeg(3)), 40)
    assert np.array_equal(decode(write_image(tmp_path, jpeg(3, icc_profile=profile)), 40), plain)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "RGBA"])
def test_other_modes_with_a_color_profile(tmp_path, mode):
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg(3))) as image:
        image.convert(mode).save(buffer, "TIFF", icc_profile=display_p3())
    assert decode(write_image(tmp_path, buffer.getvalue()), 40).shape == (40, 50, 3)


def test_degradation_changes_the_gray_and_not_the_colors(library):
    clean, degraded, again = (
        TrainingPairs(library.training, Data(size=24, degrade=strength), "ab", seed=3)[5]
        for strength in (0.0, 1.0, 1.0)
    )
    assert torch.equal(clean[1], degraded[1])
    assert not torch.equal(clean[0], degraded[0])
    assert torch.equal(degraded[0], again[0])


def test_film_changes_the_gray_of_its_share_of_images(library):
    plain, some, all_ = (
        [TrainingPairs(library.training, Data(size=24, film=share), "ab", seed=3)[i] for i in range(40)]
        for share in (0.0, 0.5, 1.0)
    )
    for share, pairs in ((0.5, some), (1.0, all_)):
        assert all(torch.equal(a[1], b[1]) for a, b in zip(plain, pairs, strict=True))
        changed = [not torch.equal(a[0], b[0]) for a, b in zip(plain, pairs, strict=True)]
        assert abs(sum(changed) / 40 - share) < 0.3
        assert all(-1 <= gray.min() <= gray.max() <= 1 and gray.dtype == torch.float32 for gray, _ in pairs)
    assert sum(not torch.equal(a[0], b[0]) for a, b in zip(plain, all_, strict=True)) == 40


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_degradation_keeps_to_its_strength(strength):
    rng = np.random.default_rng(0)
    flat = torch.zeros(1, 32, 32)
    samples = [degrade(flat, strength, rng) for _ in range(200)]
    light = np.array([float(sample.mean()) for sample in samples]) / 2 + 0.5
    grain = max(float(sample.std()) for sample in samples)
    assert 0.5**2**strength - 0.01 < light.min() < 0.5 < light.max() < 0.5**0.5**strength + 0.01
    assert 0.08 * strength < grain < 0.11 * strength
    black = degrade(torch.full((1, 8, 8), -1.0), strength, rng)
    assert black.dtype == torch.float32
    assert -1 <= black.min() <= black.max() <= 1
