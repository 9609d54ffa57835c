"""Image sources: a folder, a zip and a folder in a zip give the same list of images to every command."""

import io
import os
import pickle
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from photochrom.imaging import sources
from photochrom.imaging.photo import PhotoError, open_photo
from photochrom.imaging.sources import (
    IMAGE_SUFFIXES,
    Passed,
    SourceImage,
    describe_passed,
    find_images,
    image_files,
    image_names,
    is_held_out,
    source_title,
)
from photochrom.inference.plan import plan

PACKAGE = Path(sources.__file__).parents[1]
READABLE = ("a.jpg", "b/a.JPEG", "b/scan.tif", "b-side.png", "c.webp", "d.avif", "e.bmp", "f.jp2", "g.heic", "h.gif")
NOT_READABLE = ("damaged.png", "empty.jpg", "i.psd")
IGNORED = ("notes.txt", "no-suffix", ".hidden.jpg", "b/._a.JPEG", "photos.zip", "@eaDir/a.jpg", "b/.thumbnails/a.jpg")
BY_CONTENT = ("1901", "b/st. louis", "scan.jpg_original", "t.bak")  # a JPEG, a PNG, a TIFF and a WebP file


def encode(name):
    """The bytes of a small color image in the format of the name's suffix."""
    pixels = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 256, (40, 48, 3)).astype(np.uint8)
    pillow_formats = {".bmp": "BMP", ".jp2": "JPEG2000", ".heic": "HEIF", ".gif": "GIF"}
    suffix = dict(zip(BY_CONTENT, (".jpg", ".png", ".tif", ".webp"), strict=True)).get(name, Path(name).suffix.lower())
    if suffix not in pillow_formats:
        return pyvips.Image.new_from_array(pixels).write_to_buffer(suffix)
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, pillow_formats[suffix])
    return buffer.getvalue()


def content_of(name):
    if name == "damaged.png":
        return encode("a.png")[:600]
    if name in IGNORED or name in ("empty.jpg", "i.psd"):
        return b"" if name == "empty.jpg" else b"something else"
    return encode(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sources") / "photos"
    (path / "folder.jpg").mkdir(parents=True)
    for name in READABLE + BY_CONTENT + NOT_READABLE + IGNORED:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content_of(name))
    return path


@pytest.fixture(scope="module")
def archive(folder):
    path = folder.parent / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        for entry in sorted(folder.rglob("*"), reverse=True):
            file.write(entry, entry.relative_to(folder))
            file.write(entry, Path("inside") / entry.relative_to(folder))
    return path


@pytest.fixture(params=["folder", "zip", "folder in a zip"])
def source(request, folder, archive):
    if request.param == "folder":
        return folder
    if request.param == "zip":
        half = folder.parent / "half.zip"
        with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(half, "w") as file:
            for entry in whole.infolist():
                if not entry.filename.startswith("inside"):
                    file.writestr(entry, whole.read(entry))
        return half
    return archive / "inside"


def test_every_kind_of_source_gives_the_same_images(folder, source):
    images = find_images(source)
    assert [image.name for image in images] == [path.relative_to(folder).as_posix() for path in image_files(folder)]
    assert {image.name for image in images} == {*READABLE, *BY_CONTENT, *NOT_READABLE}
    for image in images:
        content = (folder / image.name).read_bytes()
        assert image.source == str(source)
        assert (image.crc, image.size) == (zlib.crc32(content), len(content))
        assert image.read() == content
        if content:
            assert image.key == f"{zlib.crc32(content):08x}-{len(content)}"


def test_colorize_plans_the_same_images(folder):
    planned = {task.source.relative_to(folder).as_posix() for task in plan([folder])}
    assert planned == {image.name for image in find_images(folder)}


@pytest.mark.parametrize("user", ["training/dataset.py", "evaluation/matching.py", "cli/inspect.py"])
def test_train_evaluate_and_inspect_find_the_same_images(user):
    assert "find_images(" in (PACKAGE / user).read_text()


def test_no_other_module_searches_folders():
    pattern = r"rglob\(\"\*\"|os\.walk|IMAGE_SUFFIXES"
    searching = {path.name for path in PACKAGE.rglob("*.py") if re.search(pattern, path.read_text())}
    assert searching == {"sources.py", "plan.py", "remote.py"}  # the last two name outputs


def test_images_open_or_are_refused_by_name(source):
    for image in find_images(source):
        if image.name in NOT_READABLE:
            with pytest.raises(PhotoError, match=Path(image.name).name):
                open_photo(image.open(), name=str(image)).gray(32)
        else:
            photo = open_photo(image.open(), name=str(image))
            assert (photo.width, photo.height) == (48, 40)
            assert photo.gray(32).std() > 0


def test_a_source_image_can_be_sent_to_another_process(source):
    for image in find_images(source):
        copy = pickle.loads(pickle.dumps(image))
        assert copy == image
        assert copy.read() == image.read()


def test_empty_files_have_different_keys(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    assert len({image.key for image in find_images(tmp_path)}) == 2


def test_a_file_without_permission_fails_when_it_is_read(tmp_path, permissions):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"content")
    path.chmod(0)
    (image,) = find_images(tmp_path)
    with pytest.raises(PhotoError, match=r"secret.jpg: cannot be read \(Permission denied\)"):
        image.read()


def test_a_zip_that_is_replaced_is_opened_again(tmp_path):
    path = tmp_path / "photos.zip"
    for time, name in enumerate(("first.jpg", "second.jpg")):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(name, name)
        os.utime(path, (time, time))
        (image,) = find_images(path)
        assert (image.name, image.read()) == (name, name.encode())


def test_a_damaged_entry_of_a_zip_is_named(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.jpg", b"some content")
    path.write_bytes(path.read_bytes().replace(b"some content", b"same content"))
    (image,) = find_images(path)
    with pytest.raises(PhotoError, match=r"photos.zip/a.jpg: cannot be read \(Bad CRC-32"):
        image.read()


def test_unreadable_sources_raise_errors_with_a_reason(archive, tmp_path):
    (tmp_path / "text.txt").write_text("not a zip")
    content = archive.read_bytes()
    directory = content.index(b"PK\1\2")
    (tmp_path / "damaged.zip").write_bytes(content[:directory] + b"????" + content[directory + 4 :])
    for source, message in (
        (tmp_path / "none", "none: there is no such folder or zip"),
        (tmp_path / "text.txt", "text.txt: not a folder or zip; name a folder or a zip of photos"),
        (tmp_path / "text.txt" / "faces", "faces: not a folder or zip"),
        (tmp_path / "damaged.zip", "damaged.zip: damaged zip"),
        (archive / "none", r"photos\.zip has no photos in a folder of that name"),
    ):
        with pytest.raises(ValueError, match=message):
            find_images(source)


def test_everything_passed_over_is_counted_by_kind(source):
    passed = Passed()
    find_images(source, passed)
    assert passed == {
        **{".txt file": 1, ".zip file": 1, "other file": 1, "._ file": 1},
        **{"hidden file": 1, "hidden folder": 2},
    }


SERVICES = (".picasaoriginals", ".thumbnails", ".Trash-1000", "@eaDir", "$RECYCLE.BIN", "__MACOSX", "#recycle", ".git")


def test_hidden_and_service_folders_are_included_on_request_alone(tmp_path):
    names = [f"{'album/' * (i % 2)}{service}/deep/a.jpg" for i, service in enumerate(SERVICES)]
    for name in (*names, "a.jpg", ".a.jpg", "._a.jpg", ".b.photochrom-0123abcd.jpg", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    passed, passed_names = Passed(), Passed()
    assert image_files(tmp_path, passed=passed) == [tmp_path / "a.jpg"]
    assert image_names(files, lambda name: b"", passed=passed_names) == ["a.jpg"]
    assert passed == passed_names
    assert passed == {"hidden folder": 8, "hidden file": 2, "._ file": 1, "unfinished output": 1}
    assert set(image_files(tmp_path, hidden=True)) == {tmp_path / name for name in (*names, "a.jpg", ".a.jpg")}
    assert set(image_names(files, lambda name: b"", hidden=True)) == {*names, "a.jpg", ".a.jpg"}
    assert image_files(tmp_path / "album/.thumbnails") == [tmp_path / "album/.thumbnails/deep/a.jpg"]  # named itself


@pytest.mark.skipif(os.name != "posix", reason="links need privileges")
class TestLinks:
    def test_are_followed_once(self, tmp_path):
        folder, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
        (folder / "b").mkdir(parents=True)
        (elsewhere / "more").mkdir(parents=True)
        for path in (folder / "b/x.jpg", elsewhere / "y.jpg", elsewhere / "more/z.jpg"):
            path.write_bytes(b"")
        (folder / "a.jpg").symlink_to("b/x.jpg")  # a photo that is found without it
        (folder / "b/loop").symlink_to(folder)
        (folder / "c.jpg").symlink_to(elsewhere / "y.jpg")
        (folder / "d").symlink_to(elsewhere)  # y.jpg again
        (folder / "e").symlink_to(elsewhere)
        (folder / "f.jpg").symlink_to("nowhere")
        (folder / "g.jpg").symlink_to("g.jpg")
        passed = Passed()
        assert image_files(folder, passed=passed) == [folder / name for name in ("b/x.jpg", "c.jpg", "d/more/z.jpg")]
        assert passed == {"repeated link": 4, "broken link": 2}
        assert [image.name for image in find_images(folder)] == ["b/x.jpg", "c.jpg", "d/more/z.jpg"]

    def test_of_zips_are_counted(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
            file.writestr("a.jpg", b"")
            link = zipfile.ZipInfo("b.jpg")
            link.external_attr = 0o120777 << 16
            file.writestr(link, "a.jpg")
        passed = Passed()
        assert [image.name for image in find_images(tmp_path / "a.zip", passed)] == ["a.jpg"]
        assert passed == {"link": 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_pipes_are_not_opened(tmp_path):
    for name in ("pipe", "pipe.jpg"):
        os.mkfifo(tmp_path / name)
    passed = Passed()
    assert image_files(tmp_path, passed=passed) == []
    assert passed == {"special file": 2}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"some text",
        b"P1 2020 was a year in which no photo was taken",
        b"P2 2020 12 31 and other dates",
        b"P1 2020 12 31",
        b"P5 # heading",
        b"BM is how this text begins, and not a BMP file",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        b"%PDF-1.7",
    ],
)
def test_other_content_is_no_image(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert image_files(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        *(b"P1 2 1 1 0", b"P1\n2 1\n10", b"P2\n2 1\n9\n1 2", b"P3 1 1 255 1 2 3", b"P4\n2 1\n\0", b"P5 2 1 255\n\0\0"),
        *(b"P6\n# Created by GIMP version 2.10.34 PNM plug-in\n1920 1080\n255\n\0\0", b"Pf\n2 1\n-1.0\n\0\0"),
    ],
)
def test_bitmaps_are_found_by_content(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert image_files(tmp_path) == [tmp_path / "file"]


@pytest.mark.parametrize("suffix", [".nef", ".CR2", ".arw"])
def test_raw_files_are_not_taken_for_tiff(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(encode("a.tif"))
    passed = Passed()
    assert image_files(tmp_path, passed=passed) == []
    assert passed == {f"{suffix.lower()} file": 1}


def test_suffixes_of_images_are_enough(tmp_path):
    for suffix in (*IMAGE_SUFFIXES, ".JPG", ".b.tiff"):
        (tmp_path / f"a{suffix}").write_bytes(b"")
    assert len(image_files(tmp_path)) == len(IMAGE_SUFFIXES) + 2
    assert {".jfif", ".jpe", ".jif"} < set(IMAGE_SUFFIXES)


def test_the_most_frequent_kinds_are_named():
    assert describe_passed(Passed({".pdf file": 1, ".txt file": 3})) == "3 .txt files, 1 .pdf file"
    assert describe_passed(Passed({f".{i} file": 1 for i in range(14)})).endswith(", 1 .5 file and 4 more kinds")


def test_titles_leave_out_the_folders_around_a_source(folder, archive):
    assert source_title(folder) == "photos"
    assert source_title(archive) == "photos.zip"
    assert source_title(archive / "inside" / "b") == "photos.zip/inside/b"
    assert source_title(str(folder / "b" / "..")) == "photos"


def test_the_held_out_share_depends_on_the_content_alone():
    crcs = np.random.default_rng(0).integers(0, 2**32, 20_000)
    for share in (0.0, 0.1, 0.5, 1.0):
        held_out = [is_held_out(int(crc), share) for crc in crcs]
        assert np.mean(held_out) == pytest.approx(share, abs=0.02)
    assert is_held_out(2**32 - 1, 1.0)
    assert not is_held_out(0, 0.0)


def test_source_images_print_as_their_place():
    assert str(SourceImage("photos.zip", "a/b.jpg", 1, 2)) == "photos.zip/a/b.jpg"
