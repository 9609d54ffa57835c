"""Photos that cannot be read or written: one sentence each, and no unfinished file."""

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

from photochrom.imaging import atomic
from photochrom.imaging import photo as photo_module
from photochrom.imaging.photo import Colorized, PhotoError, Provenance, open_photo

PROVENANCE = Provenance("default", "1", 0)
FULL = Path("/dev/full")
AB = np.full((2, 3, 3), 0.1, np.float32)


def encode_noise(suffix, size=96):
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 1)).astype(np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w")
    return image.write_to_buffer(suffix)


def assert_refused(source, match, name=None):
    """`source` raises PhotoError when opened or read, with a one-line message that matches."""
    with pytest.raises(PhotoError, match=match) as caught:
        open_photo(source, name=name).gray(32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated_files(suffix, share, tmp_path):
    blob = encode_noise(suffix)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(blob[: int(len(blob) * share)])
    assert_refused(path, f"cut{suffix}: cannot be read")
    assert_refused(path.read_bytes(), "bytes: cannot be read")


@pytest.mark.parametrize("suffix", [".png", ".tif"])  # the others carry no checksum
def test_damaged_files(suffix):
    blob = bytearray(encode_noise(suffix))
    middle = len(blob) // 2
    blob[middle : middle + 40] = bytes(40)
    if suffix == ".tif":  # no checksums: the strip's place is damaged instead
        blob = bytearray(encode_noise(suffix))
        blob[4:8] = b"\xff\xff\xff\x7f"
    assert_refused(bytes(blob), "cannot be read")


def test_damage_found_while_writing_leaves_no_file(tmp_path):
    path = tmp_path / "scan.png"
    path.write_bytes(encode_noise(".png"))
    colorized = Colorized(open_photo(path), AB, PROVENANCE)
    path.write_bytes(encode_noise(".png")[:4000])
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        with pytest.raises(PhotoError, match=r"cannot be (read|written)"):
            colorized.save(tmp_path / f"out{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == ["scan.png"]


def test_unsupported_files_are_refused(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_text("a letter, not an image")
    assert_refused(tmp_path / "empty.jpg", "empty.jpg: is empty")
    assert_refused(tmp_path / "words.jpg", "words.jpg: is not a supported image; supported: JPEG, PNG")
    assert_refused(b"neither", "GIF, PNM, BMP, (and with the extra 'formats' )?HEIC, JPEG 2000$")
    assert_refused(tmp_path / "missing.jpg", "missing.jpg: cannot be read .No such file")
    assert_refused(tmp_path, "cannot be read .Is a directory")
    assert_refused(b"", "bytes: is empty")
    assert_refused(b"{}", "upload: is not a supported image", name="upload")
    with pytest.raises(PhotoError, match="int: give a path"):
        open_photo(7)


def test_unreadable_files(tmp_path, permissions):
    path = tmp_path / "secret.jpg"
    path.write_bytes(encode_noise(".jpg"))
    path.chmod(0)
    assert_refused(path, "secret.jpg: cannot be read .Permission denied")


def test_unsupported_arrays_are_refused():
    assert_refused(np.zeros((2, 2, 5), np.uint8), "shape .2, 2, 5. is not that of a photo")
    assert_refused(np.zeros((0, 4), np.uint8), "shape .0, 4. is not that of a photo")
    assert_refused(np.zeros((4, 4), np.int32), "type int32 is not supported")
    assert_refused(np.full((4, 4), 200.0), "floats must be in .0, 1.")
    assert_refused(np.full((4, 4), np.nan), "floats must be in .0, 1.")


def png_bomb(width, height):
    """A PNG of a few kilobytes whose header claims an enormous size."""

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
    assert_refused(
        png_bomb(60000, 60000), "60000 x 60000 pixels are more than the limit of 250000000; to read it, use --max"
    )
    with pytest.raises(PhotoError, match="limit of 100"):
        open_photo(np.zeros((20, 20), np.uint8), max_pixels=100)
    assert open_photo(np.zeros((10, 10), np.uint8), max_pixels=100).width == 10


def test_a_jpeg_2000_bomb_is_not_decoded(monkeypatch):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(buffer, "JPEG2000")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(PhotoError, match="limit of 200 for JPEG 2000"):
        open_photo(buffer.getvalue(), max_pixels=1000)


def test_a_missing_extra_is_reported_with_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert_refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), r"to read HEIC, pip install .*\[formats\]'")


def test_unsupported_output_formats(tmp_path):
    colorized = Colorized(open_photo(np.zeros((4, 4), np.uint8)), AB, PROVENANCE)
    for name in ("out.heic", "out.gif", "out"):
        with pytest.raises(PhotoError, match=r"choose one of .jpg, .jpeg, .jfif"):
            colorized.save(tmp_path / name)
    clear = Colorized(open_photo(np.zeros((4, 4, 4), np.uint8)), AB, PROVENANCE)
    with pytest.raises(PhotoError, match="JPEG cannot keep the transparency"):
        clear.save(tmp_path / "out.jpg")
    with pytest.raises(PhotoError, match=r"out.png: cannot be written"):
        colorized.save(tmp_path / "nowhere" / "out.png")
    assert list(tmp_path.iterdir()) == []


def test_files_are_overwritten_only_with_overwrite(tmp_path):
    path = tmp_path / "Photo.PNG"
    colorized = Colorized(open_photo(np.zeros((4, 4), np.uint8)), AB, PROVENANCE)
    path.write_text("mine")
    with pytest.raises(PhotoError, match=r"Photo.PNG: exists already"):
        colorized.save(path)
    with pytest.raises(PhotoError, match=r"Photo.PNG: exists and has no label of Photochrom, so it is never replaced"):
        colorized.save(path, overwrite=True)
    assert path.read_text() == "mine"
    path.unlink()
    colorized.save(path)
    assert colorized.save(path, overwrite=True) == path
    assert open_photo(path).width == 4
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    colorized = Colorized(open_photo(np.zeros((4, 4), np.uint8)), AB, PROVENANCE)
    publish = atomic._publish

    def late(temporary, target, overwrite):
        target.write_text("theirs")
        publish(temporary, target, overwrite)

    monkeypatch.setattr(atomic, "_publish", late)
    with pytest.raises(PhotoError, match="exists already"):
        colorized.save(path)
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_leaves_no_file(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no colors")

    monkeypatch.setattr(photo_module, "merge_chroma", broken)
    photo = open_photo(np.zeros((64, 64), np.uint8))
    for suffix in (".png", ".jpg", ".tif"):
        with pytest.raises(ValueError, match="no colors"):
            Colorized(photo, AB, PROVENANCE).save(tmp_path / f"out{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full exists on Linux only")
@pytest.mark.parametrize("size", [9, 999])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_a_full_disk_is_reported(tmp_path, monkeypatch, suffix, size):
    opened = Path.open

    def full(path, mode):
        path.touch()
        return opened(FULL, "r+b")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(PhotoError, match=r"cannot be written \(No space left on device\)$"):
        Colorized(open_photo(np.zeros((size, size), np.uint8)), AB, PROVENANCE).save(tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_an_output_can_be_colorized_in_its_place(tmp_path):
    scan, path = encode_noise(".jpg"), tmp_path / "color.jpg"
    path.write_bytes(Colorized(open_photo(scan), AB, PROVENANCE).to_bytes())
    Colorized(open_photo(path), AB, PROVENANCE).save(path, overwrite=True)
    assert pyvips.Image.new_from_file(str(path)).bands == 3
    assert [p.name for p in tmp_path.iterdir()] == ["color.jpg"]
    path.write_bytes(scan)
    with pytest.raises(PhotoError, match="never replaced"):
        Colorized(open_photo(path), AB, PROVENANCE).save(path, overwrite=True)
    assert path.read_bytes() == scan


def unfinished_file(folder, age, name=".scan.photochrom-0123abcd.png"):
    """An unfinished file of a run that was killed `age` seconds ago."""
    left = folder / name
    left.write_bytes(b"half")
    os.utime(left, (time.time() - age,) * 2)
    return left


def test_unfinished_files_of_killed_runs_are_removed(tmp_path):
    old = unfinished_file(tmp_path, 3600)
    young = unfinished_file(tmp_path, 5, ".other.photochrom-89abcdef.jpg")
    theirs = unfinished_file(tmp_path, 3600, ".scan.png")
    colorized = Colorized(open_photo(np.zeros((4, 4), np.uint8)), AB, PROVENANCE)
    written = colorized.save(tmp_path / "scan.png")
    assert set(tmp_path.iterdir()) == {written, young, theirs}
    assert not old.exists()


def test_names_of_unfinished_files(tmp_path, monkeypatch):
    names = []
    monkeypatch.setattr(atomic, "_publish", lambda temporary, path, overwrite: names.append(temporary.name))
    Colorized(open_photo(np.zeros((4, 4), np.uint8)), AB, PROVENANCE).save(tmp_path / f"{'昔' * 80}.png")
    assert re.fullmatch(r"\.昔{40}\.photochrom-[0-9a-f]{16}\.png", names[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode on other systems")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".jp2"])
def test_names_that_are_not_utf_8(suffix, tmp_path):
    folder = tmp_path / os.fsdecode(b"\xe9t\xe9")
    folder.mkdir()
    path = folder / os.fsdecode(b"caf\xe9" + suffix.encode())
    if suffix == ".jp2":
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((40, 50), np.uint8)).save(buffer, "JPEG2000")
        path.write_bytes(buffer.getvalue())
    else:
        path.write_bytes(encode_noise(suffix))
    photo = open_photo(path)
    assert photo.name.endswith(rf"\xe9t\xe9/caf\xe9{suffix}")
    photo.gray(32)
    target = path.with_stem(path.stem + "-color").with_suffix(photo.suffix)
    assert Colorized(photo, AB, PROVENANCE).save(target) == target
    assert open_photo(target).is_colorized
    with pytest.raises(PhotoError, match=r"caf\\xe9-color.* exists already") as caught:
        Colorized(photo, AB, PROVENANCE).save(target)
    assert str(caught.value).encode()
    path.write_bytes(encode_noise(".png")[:600])
    with pytest.raises(PhotoError, match=r"caf\\xe9.* cannot be read") as caught:
        open_photo(path).pixels()
    assert str(caught.value).encode()


def test_a_truncated_png_without_a_reason_from_libvips():
    assert_refused(encode_noise(".png")[:100], "cannot be read .damaged or cut short")  # libvips gives no reason


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
def test_what_decoders_say_of_damage_follows_plain_words(suffix):
    blob = encode_noise(suffix)
    assert_refused(blob[: len(blob) * 3 // 4], r"^bytes: cannot be read \(damaged or cut short[^()]*\)$")
