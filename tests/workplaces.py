"""A folder with everything that the pages of the documentation name, small enough that all commands are fast."""

import shutil
import tomllib
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyvips

import films
from pages import ROOT

TREES = ("src", "tests", "photochrom-models")  # pages may add files to these, so they are copied
LINKS = ("benchmarks", "pyproject.toml", "README.md", "LICENSE")
PHOTOS = 12
HELD_OUT = 3  # of them, for any share that pages give
SMALLEST_SHARE = 0.001
SIDE = 64  # pixels
AS_THEY_ARE = ("unet-lite2", "vqvae", "cold")  # recipes with the network of the default model, and of two stages


def create_workplace(folder: Path) -> Path:
    """Fill a folder with what a clone of the repository has, and with the photos and films of a reader."""
    for name in TREES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("bundles", "*.zip"))
    for bundle in [*ROOT.glob("src/*/inference/bundles"), *ROOT.glob("photochrom-models/src/*/*.zip")]:
        (folder / bundle.relative_to(ROOT)).symlink_to(bundle)
    for name in LINKS:
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs" / "pictures", folder / "docs" / "pictures")
    write_recipes(folder)
    write_photos(folder)
    return folder


def write_recipes(folder: Path) -> None:
    """Write each recipe and study under its name, with the settings of a small one, so that it trains in seconds."""
    shutil.copytree(ROOT / "recipes" / "tiny", folder / "recipes" / "tiny")
    for recipe in (ROOT / "recipes").glob("*.toml"):
        family = tomllib.loads(recipe.read_text(encoding="utf-8"))["model"]["family"]
        source = recipe if recipe.stem in AS_THEY_ARE else ROOT / "recipes" / "tiny" / f"{family}.toml"
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("minutes")]  # `photochrom train` gets steps
        (folder / "recipes" / recipe.name).write_text("".join(kept), encoding="utf-8")
    (folder / "studies").mkdir()
    text = (ROOT / "studies" / "tiny.toml").read_text(encoding="utf-8")
    for study in (ROOT / "studies").glob("*.toml"):
        # Every point of a training is exported and measured: one is enough here.
        once = text.replace("points = [0.5, 1.0]", "points = [1.0]").replace("images = [16]", "images = [4]")
        (folder / "studies" / study.name).write_text(once, encoding="utf-8")


def write_photos(folder: Path) -> None:
    """Write color photos in folders, zips and arrays, black-and-white scans (one damaged), and a film."""
    color = color_photos()
    for name in ("photos", "my-color-photos", "test-photos", "PHOTOS"):
        (folder / name).mkdir()
        for number, content in enumerate(color):
            (folder / name / f"{number:02}.jpg").write_bytes(content)
    for name in ("photos-144-a", "photos-144-b", "photos-144-c", "photos-144-d", "photos-144-e", "test-256"):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            for path in sorted((folder / "photos").iterdir()):
                archive.write(path, path.name)

    write_arrays(folder / "archive.zip")
    ramp = pyvips.Image.new_from_array(np.linspace(30, 220, 48 * 64).reshape(48, 64).astype(np.uint8))
    scans = ["1931/wedding.jpg", "1934/harbour.png", "1934/torn.jpg"]
    for name in ["grandmother.tif", *(f"shoebox/{scan}" for scan in scans), *(f"scans/{scan}" for scan in scans[:2])]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ramp.write_to_file(str(folder / name))
    torn = folder / "shoebox/1934/torn.jpg"
    torn.write_bytes(torn.read_bytes()[:-100])
    shutil.copy(ROOT / "docs" / "pictures" / "old.jpg", folder)
    (folder / "photo.jpg").write_bytes(color[0])
    films.write(folder / "wedding.mp4", films.scene(0))


def write_arrays(path: Path) -> None:
    """Write a zip of arrays of L and of ab + 128, laid out like the colorization set of Kaggle."""
    random = np.random.default_rng(1)
    arrays = {"l/gray_scale.npy": random.integers(0, 256, (60, SIDE, SIDE), dtype=np.uint8)}
    for number in (1, 2, 3):
        arrays[f"ab/ab/ab{number}.npy"] = random.integers(60, 200, (20, SIDE, SIDE, 2), dtype=np.uint8)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(name, "w") as file:
                np.save(file, array)


def color_photos() -> list[bytes]:
    """Return JPEGs of soft color patches, of which any share of at least `SMALLEST_SHARE` holds out `HELD_OUT`."""
    random = np.random.default_rng(0)
    photos = []
    for number in range(PHOTOS):
        patches = pyvips.Image.new_from_array(random.integers(0, 256, (4, 4, 3), dtype=np.uint8), interpretation="srgb")
        photo = patches.resize(SIDE / 4, kernel="cubic").cast("uchar").jpegsave_buffer(Q=90)
        photos.append(hold_out(photo) if number < HELD_OUT else photo)
    return photos


def hold_out(content: bytes) -> bytes:
    """Return a file with bytes after its end, such that trainings hold it out: they choose by the checksum."""
    for number in range(2**32):
        longer = content + number.to_bytes(4)
        if zlib.crc32(longer) < SMALLEST_SHARE * 2**32:
            return longer
    raise AssertionError("no such bytes")
