"""The repository stays light: no large files, and no weights twice, in the tree or in its history."""

import hashlib
import io
import subprocess
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST = 20 << 20  # bytes of a file
WEIGHTS = 100_000  # bytes of a network, at least, that counts as weights
# CRCs of networks that the history has twice, from before this test: loose and zipped, or zipped by two programs.
TWICE = {909819300, 1471572397, 3437971491, 3815589178}


def git(*arguments, **options):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True, **options).stdout


@pytest.fixture(scope="module")
def tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone of the repository")
    names = git("ls-files", "-z").decode().split("\0")
    paths = [ROOT / name for name in names if name]
    return [path for path in paths if path.is_file()]


def networks_of(name, content):
    """Yield the name, the CRC and the stored size of each network in a file: an ONNX network, or a zip of some."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            for entry in bundle.infolist():
                if entry.filename.endswith(".onnx") and entry.file_size > WEIGHTS:
                    yield f"{name}/{entry.filename}", entry.CRC, entry.compress_size
    elif len(content) > WEIGHTS:
        yield name, zlib.crc32(content), len(content)


def bundles_of_history():
    """Yield path and content of every version of every bundle that was ever committed."""
    paths = {}
    changes = git(
        "log", "--raw", "--no-abbrev", "--no-renames", "--diff-filter=AM", "--format=", "--", "*.zip", "*.onnx"
    )
    for line in changes.decode().splitlines():
        fields, _, path = line.partition("\t")
        paths[fields.split()[3]] = path
    contents = io.BytesIO(git("cat-file", "--batch", input="\n".join(paths).encode()))
    for path in paths.values():
        size = int(contents.readline().split()[2])
        yield path, contents.read(size)
        contents.read(1)


def test_no_file_is_large(tracked):
    assert not [path for path in tracked if path.stat().st_size > MOST]


def test_no_weights_are_there_twice(tracked):
    places = defaultdict(list)
    for path in tracked:
        if path.suffix in (".onnx", ".zip"):
            for name, crc, _ in networks_of(str(path.relative_to(ROOT)), path.read_bytes()):
                places[crc].append(name)
    assert places
    assert not [twice for twice in places.values() if len(twice) > 1]


def test_no_weights_are_committed_again_in_another_form(tracked):
    """Git packs a zip as a difference to one with the same bytes; a network that is compressed anew counts twice."""
    forms = defaultdict(dict)
    for path, content in bundles_of_history():
        for name, crc, size in networks_of(path, content):
            forms[crc][size] = name
    assert forms
    again = {crc: sorted(names.values()) for crc, names in forms.items() if len(names) > 1 and crc not in TWICE}
    assert not again, f"weights that earlier commits have already: {again}"


def test_equal_networks_are_recognized_in_a_folder_and_in_zips():
    network = hashlib.shake_256(b"").digest(2 * WEIGHTS)
    crcs, sizes = set(), set()
    for compression in (None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        if compression is None:
            name, content = "colors.onnx", network
        else:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", compression) as bundle:
                bundle.writestr("unet/colors.onnx", network)
                bundle.writestr("unet/model.json", "{}")
            name, content = "unet.zip", buffer.getvalue()
        ((_, crc, size),) = networks_of(name, content)
        crcs.add(crc)
        sizes.add(size)
    assert len(crcs) == 1
    assert len(sizes) == 2  # a network is as large in a zip without compression
