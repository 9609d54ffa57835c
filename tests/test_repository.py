"""The repository stays light: no large files, and no weights twice."""

import hashlib
import subprocess
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST = 20 << 20  # bytes of a file
WEIGHTS = 100_000  # bytes of a network, at least, that counts as weights


@pytest.fixture(scope="module")
def tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone of the repository")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [path for name in names.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_is_large(tracked):
    assert not [path for path in tracked if path.stat().st_size > MOST]


def test_no_weights_are_there_twice(tracked):
    places = defaultdict(list)
    for path in tracked:
        if path.suffix == ".onnx" and path.stat().st_size > WEIGHTS:
            places[hashlib.sha256(path.read_bytes()).hexdigest()].append(str(path))
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as bundle:
                for entry in bundle.infolist():
                    if entry.filename.endswith(".onnx") and entry.file_size > WEIGHTS:
                        places[hashlib.sha256(bundle.read(entry)).hexdigest()].append(f"{path}/{entry.filename}")
    assert places
    assert not [twice for twice in places.values() if len(twice) > 1]
