import io
import json
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image
from toy import jpeg

from photochrom.imaging.photo import Colorized, Provenance, open_photo
from photochrom.imaging.sources import SourceImage, find_images, source_title
from photochrom.training.dataset import gather
from photochrom.training.decoding import decode
from photochrom.training.recipe import Data


@pytest.fixture
def library(archive, tmp_path):
    return gather(Data(photos=(archive,), validation=0.25))


def unzip(archive, folder):
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHOTOCHROM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "colorfulness-64.json"


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
        "unused": 0,
        "near_gray": 2,
        "unreadable": 1,
        "repeated": 0,
    }


def test_a_folder_in_a_zip_is_a_source(archive, tmp_path):
    whole, a, b = (gather(Data(photos=(archive / part,))) for part in ("", "a", "b"))
    assert keys(a.training) | keys(b.training) == keys(whole.training)
    assert not keys(a.training) & keys(b.training)
    inside = {(f"b/{image.name}", image.crc) for image in find_images(archive / "b")}
    assert inside == {(image.name, image.crc) for image in find_images(archive) if image.name.startswith("b/")}
    assert source_title(archive / "b") == f"{archive.name}/b"
    assert source_title(archive) == archive.name
    with pytest.raises(ValueError, match=r"photos.zip has no photos in a folder of that name"):
        gather(Data(photos=(archive / "c",)))


def test_a_folder_and_a_zip_give_the_same_library(archive, library, tmp_path):
    folder = unzip(archive, tmp_path / "folder")
    other = gather(Data(photos=(folder,), validation=0.25))
    assert other.digest == library.digest
    assert [image.key for image in other.training] == [image.key for image in library.training]
    both = gather(Data(photos=(folder, archive), validation=0.25))
    assert both.repeated == 41
    assert both.digest == library.digest


def test_the_split_stays_when_images_are_added(archive, library, tmp_path):
    folder = unzip(archive, tmp_path / "folder")
    for seed in range(100, 120):
        (folder / f"{seed}.JPG").write_bytes(jpeg(seed))
    more = gather(Data(photos=(folder,), validation=0.25))
    assert keys(library.validation) < keys(more.validation)
    assert keys(library.training) < keys(more.training)


def test_a_number_of_images_is_a_part_of_every_larger_one(archive, library, tmp_path):
    def take(images, photos=archive):
        return gather(Data(photos=(photos,), validation=0.25, images=images))

    sizes = [1, 5, 12, len(library.training)]
    libraries = [take(images) for images in sizes]
    assert [len(part.training) for part in libraries] == sizes
    assert all(keys(less.training) < keys(more.training) for less, more in pairwise(libraries))
    assert all(part.validation == library.validation for part in libraries)
    assert len({part.digest for part in libraries}) == len(sizes)
    assert libraries[-1].digest == library.digest
    assert libraries[1].unused == len(library.training) - 5
    other = take(5, unzip(archive, tmp_path / "folder"))
    assert other.digest == libraries[1].digest
    with pytest.raises(ValueError, match=rf"data.images = 99: there are only {sizes[-1]} photos to train on"):
        take(99)


def test_a_photo_is_read_once_to_be_measured(archive, cache, monkeypatch):
    reads = []
    read = SourceImage.read
    monkeypatch.setattr(SourceImage, "read", lambda image: reads.append(str(image)) or read(image))
    gather(Data(photos=(archive,)))
    assert len(reads) == len(set(reads)) == len(find_images(archive))


def test_colorfulness_is_remembered_and_damage_is_not(archive, cache, caplog):
    settings = Data(photos=(archive,), validation=0.0)
    gather(settings)
    scores = json.loads(cache.read_text())
    assert len(scores) == 40
    cache.write_text(json.dumps(dict.fromkeys(scores, 0.5)))
    caplog.set_level("INFO")
    with pytest.raises(ValueError, match=r"41 found, 1 unreadable, 40 less colorful than data.min_colorfulness = 9"):
        gather(settings)
    assert "measuring the colorfulness of 1 new photos" in caplog.text


def test_without_a_place_to_remember_the_library_is_the_same(archive, library, cache, caplog):
    cache.parent.write_text("a file where the folder should be")
    assert gather(Data(photos=(archive,), validation=0.25)) == library
    assert "the colorfulness of photos cannot be remembered" in caplog.text


def test_a_file_without_permission_is_left_out_and_named(archive, tmp_path, monkeypatch, caplog):
    folder, read_bytes = unzip(archive, tmp_path / "folder"), Path.read_bytes

    def deny(path):
        if path.name in ("02.jpg", "03.jpg"):
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", deny)
    library = gather(Data(photos=(folder,), validation=0.0))
    assert (len(library.training), library.unreadable, library.repeated) == (36, 3, 0)
    assert "02.jpg left out: cannot be read (Permission denied)" in caplog.text


def test_a_set_too_small_to_hold_out_a_photo_is_named(archive, tmp_path, caplog):
    library = gather(Data(photos=(archive,), validation=1e-9))
    assert not library.validation
    assert "38 photos are too few for data.validation = 1e-09" in caplog.text


def test_photos_that_photochrom_colorized_are_no_ground_truth(archive, tmp_path, caplog):
    folder = unzip(archive, tmp_path / "folder")
    colorized = Colorized(open_photo(jpeg(2)), np.full((2, 2, 2), 0.3, np.float32), Provenance("unet", "1", 0))
    for suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
        colorized.save(folder / f"colorized{suffix}")
    library = gather(Data(photos=(folder,), validation=0.0))
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
    library = gather(Data(photos=(tmp_path,), validation=0.0))
    assert [image.name for image in library.training] == [path.name]
    pixels = open_photo(path).pixels().astype(int)
    expected = pixels // 257 if suffix == ".tif" else pixels
    assert np.abs(decode(library.training[0], 40) - expected).max() <= 1


def test_formats_that_no_command_reads_are_left_out_and_named(tmp_path, caplog):
    (tmp_path / "photo.psd").write_bytes(b"8BPS")
    (tmp_path / "photo.jpg").write_bytes(jpeg(4))
    library = gather(Data(photos=(tmp_path,), validation=0.0))
    assert (len(library.training), library.unreadable) == (1, 1)
    assert "photo.psd left out: " in caplog.text


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
            gather(Data(photos=photos))
