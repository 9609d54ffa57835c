"""Select the images of a protocol, and read images colorized elsewhere."""

import hashlib
from pathlib import Path

from .matching import Images, find_counterparts, list_names
from .measure import Row, read_pixels
from .protocols import NameList


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
    """Return the row of a folder of images colorized elsewhere. Raises ValueError as `find_counterparts` does."""
    counterparts = find_counterparts(folder, images)
    crcs = sorted((name, image.crc) for name, image in counterparts.items())
    digest = hashlib.sha256(repr(crcs).encode()).hexdigest()
    return Row(folder.name, f"images {digest}", lambda name, truth: [read_pixels(counterparts[name])])
