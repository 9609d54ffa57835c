"""Find the images of an evaluation, select those of a protocol, and match images colorized elsewhere."""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

from ..imaging.sources import Passed, SourceImage, find_images, is_held_out, source_title
from .measure import Images, Row, read_pixels
from .protocols import NameList

LISTED = 5  # names in a message before it only counts


def list_names(names: Collection[str]) -> str:
    """Return the first few names and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(sorted(names)[:LISTED]) + more


def find_truth(sources: Sequence[Path], held_out: float, passed: Passed | None = None) -> Images:
    """Return the images of folders and zips by name; of several sources, with the title of the source before it.

    With ``held_out`` below 1 only those that a training with this ``data.validation`` holds out; ``passed`` counts what
    is no image. Raises ValueError for a source that cannot be read, and where two images have the same name.
    """
    images: dict[str, SourceImage] = {}
    repeated = set()
    for source in sources:
        title = f"{source_title(source)}/" if len(sources) > 1 else ""
        for image in find_images(source, passed):
            name = title + _stem(image.name)
            if not is_held_out(image.crc, held_out):
                continue
            if name in images:
                repeated.add(name)
            images[name] = image
    if repeated:
        raise ValueError(f"several photos with the same name: {list_names(repeated)}; give each photo once")
    if not images:
        raise ValueError(f"{', '.join(map(str, sources))}: no photos to measure on")
    return images


def select_images(images: Images, names: NameList, folder: Path | None) -> Images:
    """Return the images that a protocol lists in a file of the folder, in its order.

    Raises ValueError for a list that is missing or another, and where images are missing, with their names.
    """
    path = folder / names.file if folder else None
    if path is None or not path.is_file():
        raise ValueError(f"{names.file} is missing ({names.n:,} names, one a line): give its folder with --lists")
    lines = path.read_text(encoding="utf-8").split()
    if len(lines) != names.n:
        raise ValueError(f"{path}: {len(lines):,} names instead of {names.n:,}")
    for line, digits in zip(lines, names.first, strict=False):
        if digits not in line:
            raise ValueError(f"{path}: {line} instead of {digits}: this is another list, or another order")
    by_file_name = {Path(name).name: (name, image) for name, image in images.items()}
    stems = [Path(line).stem for line in lines]
    missing = set(stems) - by_file_name.keys()
    if missing:
        raise ValueError(f"{names.file}: not among the photos: {list_names(missing)}")
    return dict(map(by_file_name.__getitem__, stems))


def match_images(folder: Path, images: Images) -> Row:
    """Return the row of a folder of images colorized elsewhere, matched by name without suffix.

    Raises ValueError unless there is exactly one image for each photo.
    """
    sources = find_images(folder)
    results = {_stem(image.name): image for image in sources}
    # Where no path agrees, the folders are laid out differently: then file names alone are compared.
    flat = results.keys().isdisjoint(images)
    if flat:
        results = {Path(stem).name: image for stem, image in results.items()}
    stems = [Path(name).name if flat else name for name in images]
    if len(results) < len(sources) or len(set(stems)) < len(stems):
        raise ValueError(f"{folder}: several photos or images with the same name; keep them in the same folders")
    missing, unknown = set(stems) - results.keys(), results.keys() - set(stems)
    if missing:
        raise ValueError(f"{folder}: no image for {list_names(missing)}")
    if unknown:
        raise ValueError(f"{folder}: not among the photos: {list_names(unknown)}")
    counterparts = dict(zip(images, map(results.__getitem__, stems), strict=True))
    crcs = sorted((name, image.crc) for name, image in counterparts.items())
    digest = hashlib.sha256(repr(crcs).encode()).hexdigest()
    return Row(folder.name, f"images {digest}", lambda name, truth: [read_pixels(counterparts[name])])


def _stem(name: str) -> str:
    return str(Path(name).with_suffix(""))
