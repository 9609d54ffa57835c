"""Find color photos, and the images of other folders that have their names."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..imaging.sources import Passed, SourceImage, find_images, is_held_out, source_title

LISTED = 5  # names in a message before it only counts

Images = Mapping[str, SourceImage]  # by name without suffix


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


def find_counterparts(folder: Path, images: Images) -> dict[str, SourceImage]:
    """Return the image in a folder for each of these images, matched by name without suffix.

    Raises ValueError unless there is exactly one image for each.
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
    return dict(zip(images, map(results.__getitem__, stems), strict=True))


def _stem(name: str) -> str:
    return str(Path(name).with_suffix(""))
