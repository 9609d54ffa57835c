"""What cannot be read or written: one sentence each, and no file left behind."""

import io
import os
import re
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageFile

from photochrom.imaging import atomic as saving
from photochrom.imaging import formats
from photochrom.imaging import photo as module
from photochrom.imaging.photo import PhotoError, Provenance, open_photo

MARK = Provenance("default", "1", 0)
FULL = Path("/dev/full")
AB = np.full((2, 3, 3), 0.1, np.float32)


def noise(suffix, size=96):
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 1)).astype(np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w")
    return image.write_to_buffer(suffix)


def refused(source, match, name=None):
    """`source` is refused, when opened or when read, with a sentence that matches."""
    with pytest.raises(PhotoError, match=match) as caught:
        open_photo(source, name=name).gray(32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated_files(suffix, share, tmp_path):
    blob = noise(suffix)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(blob[: int(len(blob) * share)])
    refused(path, f"cut{suffix}: cannot be read")
    refused(path.read_bytes(), "bytes: cannot be read")


@pytest.mark.parametrize("suffix", [".png", ".tif"])  # the others carry no checksum
def test_damaged_files(suffix):
    blob = bytearray(noise(suffix))
    middle = len(blob) // 2
    blob[middle : middle + 40] = bytes(40)
    if suffix == ".tif":  # no checksums: the strip's place is damaged instead
        blob = bytearray(noise(suffix))
        blob[4:8] = b"\xff\xff\xff\x7f"
    refused(bytes(blob), "cannot be read")


def test_damage_found_while_writing_leaves_no_file(tmp_path):
    path = tmp_path / "scan.png"
    path.write_bytes(noise(".png"))
    colored = open_photo(path).merge(AB)
    path.write_bytes(noise(".png")[:4000])
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        with pytest.raises(PhotoError, match=r"cannot be (read|written)"):
            colored.save(tmp_path / f"out{suffix}", MARK)
    assert [p.name for p in tmp_path.iterdir()] == ["scan.png"]


def test_what_is_no_photograph(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_text("a letter, not a picture")
    refused(tmp_path / "empty.jpg", "empty.jpg: is empty")
    refused(tmp_path / "words.jpg", "words.jpg: is not a supported image; supported: JPEG, PNG")
    refused(tmp_path / "missing.jpg", "missing.jpg: cannot be read .No such file")
    refused(tmp_path, "cannot be read .Is a directory")
    refused(b"", "bytes: is empty")
    refused(b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "upload: is not a supported image", name="upload")
    refused(b"%PDF-1.7", "is not a supported image")
    refused(b"GIF89a", "is not a supported image")
    with pytest.raises(PhotoError, match="int: give a path"):
        open_photo(7)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(noise(".jpg"))
    path.chmod(0)
    refused(path, "secret.jpg: cannot be read .Permission denied")


def test_arrays_that_are_no_photograph():
    refused(np.zeros((2, 2, 5), np.uint8), "shape .2, 2, 5. is not that of a photo")
    refused(np.zeros((0, 4), np.uint8), "shape .0, 4. is not that of a photo")
    refused(np.zeros((4, 4), np.int32), "type int32 is not supported")
    refused(np.full((4, 4), 200.0), "floats must be in .0, 1.")
    refused(np.full((4, 4), np.nan), "floats must be in .0, 1.")


def png_bomb(width, height):
    """A PNG of a few kilobytes that says it is enormous."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )


def test_enormous_photos_are_refused_by_their_header():
    refused(png_bomb(60000, 60000), "60000 x 60000 pixels are more than the limit of 250000000; raise --max-pixels")
    with pytest.raises(PhotoError, match="limit of 100"):
        open_photo(np.zeros((20, 20), np.uint8), max_pixels=100)
    assert open_photo(np.zeros((10, 10), np.uint8), max_pixels=100).width == 10


def test_a_jpeg_2000_bomb_is_not_decoded(monkeypatch):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(buffer, "JPEG2000")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(PhotoError, match="limit of 1000"):
        open_photo(buffer.getvalue(), max_pixels=1000)


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), r"to read HEIC, pip install 'photochrom\[formats\]'")


def test_formats_that_are_not_written(tmp_path):
    colored = open_photo(np.zeros((4, 4), np.uint8)).merge(AB)
    for name in ("out.heic", "out.gif", "out"):
        with pytest.raises(PhotoError, match=r"choose one of .jpg, .jpeg, .png"):
            colored.save(tmp_path / name, MARK)
    clear = open_photo(np.zeros((4, 4, 4), np.uint8)).merge(AB)
    with pytest.raises(PhotoError, match="JPEG cannot keep the transparency"):
        clear.save(tmp_path / "out.jpg", MARK)
    with pytest.raises(PhotoError, match=r"out.png: cannot be written"):
        colored.save(tmp_path / "nowhere" / "out.png", MARK)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "Photo.PNG"
    colored = open_photo(np.zeros((4, 4), np.uint8)).merge(AB)
    path.write_text("mine")
    with pytest.raises(PhotoError, match=r"Photo.PNG: exists already"):
        colored.save(path, MARK)
    assert path.read_text() == "mine"
    assert colored.save(path, MARK, overwrite=True) == path
    assert open_photo(path).width == 4
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    colored = open_photo(np.zeros((4, 4), np.uint8)).merge(AB)
    whole = saving._publish

    def late(beside, target, overwrite):
        target.write_text("theirs")
        whole(beside, target, overwrite)

    monkeypatch.setattr(saving, "_publish", late)
    with pytest.raises(PhotoError, match="exists already"):
        colored.save(path, MARK)
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_leaves_no_file(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no colors today")

    monkeypatch.setattr(module, "merge_chroma", broken)
    photo = open_photo(np.zeros((64, 64), np.uint8))
    for suffix in (".png", ".jpg", ".tif"):
        with pytest.raises(ValueError, match="no colors today"):
            photo.merge(AB).save(tmp_path / f"out{suffix}", MARK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not FULL.exists(), reason="a device of Linux")
@pytest.mark.parametrize("size", [9, 999])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_a_full_disc_is_said_to_be_full(tmp_path, monkeypatch, suffix, size):
    opened = Path.open

    def full(path, mode):
        path.touch()
        return opened(FULL, "r+b")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(PhotoError, match=r"cannot be written \(No space left on device\)$"):
        open_photo(np.zeros((size, size), np.uint8)).merge(AB).save(tmp_path / f"a{suffix}", MARK)
    assert not list(tmp_path.iterdir())


def test_the_photo_itself_may_be_replaced_when_asked(tmp_path):
    path = tmp_path / "scan.jpg"
    path.write_bytes(noise(".jpg"))
    open_photo(path).merge(AB).save(path, MARK, overwrite=True)
    assert pyvips.Image.new_from_file(str(path)).bands == 3
    assert [p.name for p in tmp_path.iterdir()] == ["scan.jpg"]


def interrupted(folder, age, name=".scan.photochrom-0123abcd.png"):
    """A file left by a run that was killed `age` seconds ago."""
    left = folder / name
    left.write_bytes(b"half")
    os.utime(left, (time.time() - age,) * 2)
    return left


def test_what_killed_runs_left_is_removed(tmp_path):
    old = interrupted(tmp_path, 3600)
    young = interrupted(tmp_path, 5, ".other.photochrom-89abcdef.jpg")
    theirs = interrupted(tmp_path, 3600, ".scan.png")
    colored = open_photo(np.zeros((4, 4), np.uint8)).merge(AB)
    written = colored.save(tmp_path / "scan.png", MARK)
    assert set(tmp_path.iterdir()) == {written, young, theirs}
    assert not old.exists()


def test_an_unfinished_file_can_be_recognised(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(saving, "_publish", lambda beside, path, overwrite: seen.append(beside.name))
    open_photo(np.zeros((4, 4), np.uint8)).merge(AB).save(tmp_path / f"{'昔' * 80}.png", MARK)
    assert re.fullmatch(r"\.昔{40}\.photochrom-[0-9a-f]{8}\.png", seen[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".jp2"])
def test_names_that_are_not_utf_8(suffix, tmp_path):
    folder = tmp_path / os.fsdecode(b"\xe9t\xe9")
    folder.mkdir()
    path = folder / os.fsdecode(b"caf\xe9" + suffix.encode())
    if suffix == ".jp2":
        path.write_bytes(whole_files()["a JPEG 2000"])
    else:
        path.write_bytes(noise(suffix))
    photo = open_photo(path)
    assert photo.name.endswith(rf"\xe9t\xe9/caf\xe9{suffix}")
    photo.gray(32)
    target = path.with_stem(path.stem + "-color").with_suffix(photo.suffix)
    assert photo.merge(AB).save(target, MARK) == target
    assert open_photo(target).is_colorized
    with pytest.raises(PhotoError, match=r"caf\\xe9-color.* exists already") as caught:
        photo.merge(AB).save(target, MARK)
    assert str(caught.value).encode()
    path.write_bytes(noise(".png")[:600])
    with pytest.raises(PhotoError, match=r"caf\\xe9.* cannot be read") as caught:
        open_photo(path).pixels()
    assert str(caught.value).encode()


def test_a_cut_png_is_said_to_be_cut():
    refused(noise(".png")[:100], "cannot be read .damaged or cut short")  # libvips gives no reason


def whole_files():
    """Small files of the kinds that are held whole, by what messages call them."""
    gray = Image.fromarray(np.zeros((40, 50), np.uint8))
    vips = pyvips.Image.new_from_array(np.asarray(gray)[..., None]).copy(interpretation="b-w")
    jp2 = io.BytesIO()
    gray.save(jp2, "JPEG2000")
    return {
        "a progressive JPEG": vips.jpegsave_buffer(interlace=True),
        "an interlaced PNG": vips.pngsave_buffer(interlace=True),
        "a WebP": vips.webpsave_buffer(),
        "an AVIF": vips.heifsave_buffer(compression="av1"),
        "a JPEG 2000": jp2.getvalue(),
    }


@pytest.mark.parametrize("kind", whole_files())
def test_files_that_are_held_whole_have_a_lower_limit(kind, monkeypatch):
    blob = whole_files()[kind]
    assert open_photo(blob).width == 50
    monkeypatch.setattr(formats, "MAX_PIXELS_IN_MEMORY", 1999)
    refused(blob, f"50 x 40 pixels are more than the limit of 1999; it is {kind}, decoded in memory: save it as TIFF")
    assert open_photo(blob, max_pixels=formats.MAX_PIXELS + 1).width == 50
    with pytest.raises(PhotoError, match="limit of 100;"):
        open_photo(blob, max_pixels=100)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_files_read_by_rows_have_the_higher_limit(suffix, monkeypatch):
    monkeypatch.setattr(formats, "MAX_PIXELS_IN_MEMORY", 1)
    assert open_photo(noise(suffix)).width == 96
