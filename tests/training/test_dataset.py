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

from photochrom.imaging.photo import Provenance, open_photo
from photochrom.imaging.sources import find_images, source_title
from photochrom.training.dataset import HeldOut, Pairs, Photo, crop, decode, gather, pair, worn
from photochrom.training.recipe import Data


@pytest.fixture
def library(archive, tmp_path):
    return gather(Data(photos=(archive,), validation=0.25), tmp_path / "photos.json")


def unpacked(archive, folder):
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder


def test_gray_and_damaged_photographs_are_counted_out(library):
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


def test_a_folder_in_a_zip_is_a_source_of_its_own(archive, tmp_path):
    whole, *halves = (gather(Data(photos=(archive / part,)), tmp_path / "photos.json") for part in ("", "a", "b"))
    assert {p.key for half in halves for p in half.training} == {p.key for p in whole.training}
    assert not {p.key for p in halves[0].training} & {p.key for p in halves[1].training}
    inside = {(f"b/{m.name}", m.crc) for m in find_images(archive / "b")}
    assert inside == {(m.name, m.crc) for m in find_images(archive) if m.name.startswith("b/")}
    assert source_title(archive / "b") == f"{archive.name}/b"
    assert source_title(archive) == archive.name
    with pytest.raises(ValueError, match=r"photos.zip has no photographs in a folder of that name"):
        gather(Data(photos=(archive / "c",)), tmp_path / "photos.json")
    with pytest.raises(ValueError, match=r"photos.zip has no photos in a folder of that name"):
        find_images(archive / "c")


def test_a_folder_and_a_zip_give_the_same_library(archive, library, tmp_path):
    folder = unpacked(archive, tmp_path / "folder")
    other = gather(Data(photos=(folder,), validation=0.25), tmp_path / "other.json")
    assert other.digest == library.digest
    assert [p.key for p in other.training] == [p.key for p in library.training]
    both = gather(Data(photos=(folder, archive), validation=0.25), tmp_path / "both.json")
    assert both.repeated == 41
    assert both.digest == library.digest


def test_the_split_stays_when_photographs_are_added(archive, library, tmp_path):
    folder = unpacked(archive, tmp_path / "folder")
    for seed in range(100, 120):
        (folder / f"{seed}.JPG").write_bytes(jpeg(seed))
    more = gather(Data(photos=(folder,), validation=0.25), tmp_path / "more.json")
    assert {p.key for p in library.validation} < {p.key for p in more.validation}
    assert {p.key for p in library.training} < {p.key for p in more.training}


def test_verdicts_are_kept(archive, tmp_path):
    cache = tmp_path / "photos.json"
    settings = Data(photos=(archive,), validation=0.0)
    gather(settings, cache)
    verdicts = json.loads(cache.read_text())
    assert sum(v is None for v in verdicts.values()) == 1
    cache.write_text(json.dumps(dict.fromkeys(verdicts, 0.5)))
    with pytest.raises(ValueError, match=r"41 found, 0 unreadable, 41 less colourful than data.min_colorfulness = 9"):
        gather(settings, cache)


def test_a_file_that_may_not_be_read_is_counted_out(archive, tmp_path, monkeypatch, caplog):
    folder, read_bytes = unpacked(archive, tmp_path / "folder"), Path.read_bytes

    def denied(path):
        if path.name in ("02.jpg", "03.jpg"):
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    library = gather(Data(photos=(folder,), validation=0.0), tmp_path / "photos.json")
    assert (len(library.training), library.unreadable, library.repeated) == (36, 3, 0)
    assert "02.jpg left out: Permission denied" in caplog.text


def test_our_own_colours_are_no_truth(archive, tmp_path, caplog):
    folder = unpacked(archive, tmp_path / "folder")
    colored = open_photo(jpeg(2)).merge(np.full((2, 2, 2), 0.3, np.float32))
    for suffix in (".jpg", ".png", ".tif", ".webp"):
        colored.save(folder / f"ours{suffix}", Provenance("unet", "1", 0))
    library = gather(Data(photos=(folder,), validation=0.0), tmp_path / "photos.json")
    assert (len(library.training), library.unreadable) == (38, 5)
    assert caplog.text.count("Photochrom's own colours are no truth") == 4


def test_sources_that_are_not_there(archive, tmp_path):
    (tmp_path / "text.txt").write_text("no zip")
    whole = archive.read_bytes()
    directory = whole.index(b"PK\1\2")
    (tmp_path / "damaged.zip").write_bytes(whole[:directory] + b"????" + whole[directory + 4 :])
    for photos, message in (
        ((), "name folders or zips in data.photos or with --data"),
        ((tmp_path / "none",), "there is no such folder or zip"),
        ((tmp_path / "text.txt",), "not a folder or a zip"),
        ((tmp_path / "damaged.zip",), "damaged.zip: a damaged zip"),
        ((tmp_path,), "no photograph to train on: 0 found"),
    ):
        with pytest.raises(ValueError, match=message):
            gather(Data(photos=photos), tmp_path / "photos.json")


def test_pairs_depend_on_seed_and_number_alone(library):
    pairs = Pairs(library.training, Data(size=16), "ab", seed=3)
    again = Pairs(library.training, Data(size=16), "ab", seed=3)
    order = [5, 200, 0, 5]
    for number, (gray, ab) in zip(order, [again[i] for i in order], strict=True):
        assert torch.equal(pairs[number][0], gray)
        assert torch.equal(pairs[number][1], ab)
    other = Pairs(library.training, Data(size=16), "ab", seed=4)
    assert not torch.equal(pairs[5][0], other[5][0])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(library, workers):
    pairs = Pairs(library.training, Data(size=16), "ab", seed=3)
    batches = [list(range(start, start + 4)) for start in range(6, 18, 4)]
    alone = list(DataLoader(pairs, batch_sampler=batches))
    helped = list(DataLoader(pairs, batch_sampler=batches, num_workers=workers))
    for ours, theirs in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_every_photograph_once_a_turn(library, monkeypatch):
    pairs = Pairs(library.training, Data(size=16), "ab", seed=0)
    monkeypatch.setattr(pairs, "_pair", lambda photo, *draws: photo.key)
    count = len(library.training)
    first, second = ([pairs[turn * count + i] for i in range(count)] for turn in (0, 1))
    assert sorted(first) == sorted(second) == [p.key for p in library.training]
    assert first != second


@pytest.mark.parametrize(("target", "channels"), [("ab", 2), ("rgb", 3)])
@pytest.mark.parametrize("convention", ["lab", "luma", "mean"])
def test_ranges(library, target, channels, convention):
    settings = Data(size=24, gray=convention)
    gray, color = Pairs(library.training, settings, target, 0)[0]
    assert gray.shape == (1, 24, 24)
    assert color.shape == (channels, 24, 24)
    for plane in (gray, color):
        assert plane.dtype == torch.float32
        assert plane.abs().max() <= 1
        assert plane.std() > 0.01


def test_held_out_pairs_bring_the_photograph(library):
    gray, ab, rgb = HeldOut(library.validation, Data(size=24), "ab", 0)[0]
    expected = pair(rgb.numpy(), "lab", "ab")
    assert torch.equal(gray, expected[0])
    assert torch.equal(ab, expected[1])
    assert len(HeldOut(library.validation, Data(), "ab", 0)) == len(library.validation)


def test_known_colors():
    red = np.zeros((3, 2, 2), np.float32)
    red[0] = 1
    gray, ab = pair(red, "lab", "ab")
    assert gray[0, 0, 0] * 50 + 50 == pytest.approx(53.24, abs=0.01)
    assert (ab[:, 0, 0] * 110).tolist() == pytest.approx([80.09, 67.20], abs=0.02)
    assert pair(red, "mean", "rgb")[0][0, 0, 0] == pytest.approx(2 / 3 - 1)
    assert pair(red, "luma", "rgb")[1][:, 0, 0].tolist() == [1, -1, -1]


def lone(folder, content):
    (folder / "photo.jpg").write_bytes(content)
    return Photo(str(folder), "photo.jpg", 0, len(content))


def test_crop_takes_the_square_it_is_told(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 120).astype(np.uint8), (60, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.stack([ramp] * 3, -1)).save(buffer, "PNG")
    photo = lone(tmp_path, buffer.getvalue())
    left, right = crop(photo, 60, 1.0, 0.0, 0.5), crop(photo, 60, 1.0, 1.0, 0.5)
    assert np.array_equal(left[..., 0], ramp[:, :60])
    assert np.array_equal(right[..., 0], ramp[:, 60:])
    half = crop(photo, 30, 0.5, 0.0, 0.0)
    assert np.array_equal(half[..., 0], ramp[:30, :30])


def test_orientation_is_obeyed_and_large_jpegs_come_smaller(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = lone(tmp_path, jpeg(0, 40, 50, exif=exif.tobytes()))
    assert decode(turned, 40).shape == (50, 40, 3)
    big = lone(tmp_path, jpeg(0, 800, 1000))
    assert decode(big, 100).shape == (100, 125, 3)
    assert decode(big, 101).shape == (200, 250, 3)


def display_p3():
    """The profile of a wide screen: sRGB's with its primaries (XYZ, D50) changed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {b"r": (0.51512, 0.2412, -0.00105), b"g": (0.29198, 0.69225, 0.04189), b"b": (0.1571, 0.06657, 0.78407)}
    for channel, values in primaries.items():
        entry = profile.index(channel + b"XYZ", 128)
        (start,) = struct.unpack_from(">I", profile, entry + 4)
        struct.pack_into(">iii", profile, start + 8, *(round(v * 65536) for v in values))
    return bytes(profile)


def test_other_colours_become_srgb(tmp_path):
    plain, wide = jpeg(3, form="PNG"), jpeg(3, form="PNG", icc_profile=display_p3())
    found = decode(lone(tmp_path, wide), 40)
    expected = pyvips.Image.new_from_buffer(wide, "").icc_transform("srgb", embedded=True).numpy()
    assert np.abs(found.astype(int) - expected).max() <= 2
    assert np.abs(found.astype(int) - decode(lone(tmp_path, plain), 40)).max() > 20


@pytest.mark.parametrize(
    "profile", [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"no profile at all"]
)
def test_srgb_and_broken_profiles_change_nothing(tmp_path, profile):
    plain = decode(lone(tmp_path, jpeg(3)), 40)
    assert np.array_equal(decode(lone(tmp_path, jpeg(3, icc_profile=profile)), 40), plain)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "RGBA"])
def test_other_modes_with_a_profile_of_colours(tmp_path, mode):
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg(3))) as image:
        image.convert(mode).save(buffer, "TIFF", icc_profile=display_p3())
    assert decode(lone(tmp_path, buffer.getvalue()), 40).shape == (40, 50, 3)


def test_wear_ages_the_gray_and_leaves_the_colours(library):
    plain, aged = (Pairs(library.training, Data(size=24, wear=wear), "ab", seed=3) for wear in (0.0, 1.0))
    assert torch.equal(plain[5][1], aged[5][1])
    assert not torch.equal(plain[5][0], aged[5][0])
    assert all(
        torch.equal(a, b) for a, b in zip(aged[5], Pairs(library.training, aged.settings, "ab", 3)[5], strict=True)
    )


@pytest.mark.parametrize("wear", [0.3, 1.0])
def test_wear_stays_within_what_it_says(wear):
    rng = np.random.default_rng(0)
    flat = torch.zeros(1, 32, 32)
    tones, grains = zip(
        *((float(w.mean()), float(w.std())) for w in (worn(flat, wear, rng) for _ in range(200))), strict=True
    )
    light = np.array(tones) / 2 + 0.5
    assert 0.5**2**wear - 0.01 < light.min() < 0.5 < light.max() < 0.5**0.5**wear + 0.01
    assert 0.08 * wear < max(grains) < 0.11 * wear
    black = worn(torch.full((1, 8, 8), -1.0), wear, rng)
    assert black.dtype == torch.float32
    assert -1 <= black.min() <= black.max() <= 1
