import sys
import zipfile
from pathlib import Path

import pytest
import torch

from photochrom import models

sys.path.insert(0, str(Path(__file__).parent))

import toy


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """The toy families beside the real ones; one thread."""
    torch.set_num_threads(1)
    names, load = models.family_names, models.load_family
    monkeypatch.setattr(models, "family_names", lambda: sorted([*names(), *toy.FAMILIES]))
    monkeypatch.setattr(models, "load_family", lambda name: toy.FAMILIES.get(str(name)) or load(name))


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """A zip of 40 photos in two folders, two of them gray, and a damaged one."""
    path = tmp_path_factory.mktemp("photos") / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        for i in range(40):
            file.writestr(f"{'ab'[i % 2]}/{i:02d}.jpg", toy.jpeg(i, gray=i < 2))
        file.writestr("b/damaged.jpg", toy.jpeg(99)[:300])
        file.writestr("readme.txt", "no photo")
    return path
