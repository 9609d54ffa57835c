"""Where each output goes: a plan of the photos in files and folders and of the files to make of them."""

import os
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypedDict, TypeVar

from ..imaging.errors import printable
from ..imaging.films import FILM_OUTPUTS, FILM_SUFFIXES, is_film
from ..imaging.formats import WRITABLE
from ..imaging.paths import exists, is_file, is_folder, resolve
from ..imaging.sources import IMAGE_SUFFIXES, Passed, image_files, read_head
from .colorizer import writable_path

FILE_SUFFIXES = (*IMAGE_SUFFIXES, ".pdf")  # an output path with one of these is a file, with any other a folder
EXTRAS = ("sheet", "uncertainty", "trace")  # images about the outputs of a photo; see `contact_sheet`
Location = Path | str  # a path, or the address of a file on a cluster's storage
P = TypeVar("P", bound=PurePath)


class PlanOptions(TypedDict, total=False):
    """Options of `plan` by name."""

    seeds: Sequence[int]
    extras: Sequence[str]
    suffix: str
    hidden: bool
    passed: Passed | None


@dataclass(frozen=True)
class Task:
    """One photo and the files to make of it: an output for each seed and images about them, of `EXTRAS`.

    The names of all files derive from ``target``. ``searched``: the photo was found in a folder rather than named.
    ``problem``: the source is no photo, but a folder that cannot be read for this reason; the task fails.
    """

    source: Location
    target: Location
    seeds: tuple[int, ...] = (0,)
    extras: tuple[str, ...] = ()
    searched: bool = False
    problem: str = ""

    @property
    def files(self) -> dict[int | str, Location]:
        """The file of each seed: `target`, or `target-SEED` for several; and the JPEG of each extra.

        An extra is named by the first and last seed: `target-7-sheet.jpg`, `target-7-9-sheet.jpg`.
        """
        target, first, last = PurePath(self.target), self.seeds[0], self.seeds[-1]
        seeds = f"{first}" if first == last else f"{first}-{last}"
        names: dict[int | str, str] = {}
        for seed in self.seeds:
            names[seed] = target.name if first == last else f"{target.stem}-{seed}{target.suffix}"
        for extra in self.extras:
            names[extra] = f"{target.stem}-{seeds}-{extra}.jpg"
        if isinstance(self.target, Path):
            return {key: self.target.with_name(name) for key, name in names.items()}
        folder, slash, _ = self.target.rpartition("/")
        return {key: f"{folder}{slash}{name}" for key, name in names.items()}


@dataclass(frozen=True)
class _Photo:
    """A photo and where its output goes: below ``root``, where it lies below ``base``, with a label after its name."""

    path: Path
    base: Path
    root: Path
    label: str
    searched: bool
    problem: str = ""
    is_film: bool = False

    def target(self, suffix: str, common: Path | None = None) -> Path:
        """Return the path of the output; with ``common``, the folder of all sources, below the place in that."""
        name = self.path.relative_to(self.base)
        place = resolve(self.base).relative_to(common) if common else Path()
        if self.problem:
            return self.root / place / name
        if self.is_film:
            return self.root / place / name.with_name(f"{name.stem}{self.label}{name.suffix}")
        head = b"" if name.suffix.lower() in IMAGE_SUFFIXES else read_head(self.path)
        return self.root / place / writable_path(name, self.label, suffix, head)


def find_suffix(name: str) -> str:
    """Return the suffix of files of a format, given as `jpg` or `.jpg`. Raises ValueError with the choices."""
    suffix = f".{name.lower().lstrip('.')}"
    if suffix not in WRITABLE:
        choices = ", ".join(sorted({kind.suffix[1:] for kind in WRITABLE.values()}))
        raise ValueError(f"--format {name}: choose one of {choices}")
    return suffix


def plan(  # noqa: PLR0913 - each is an option of the command
    sources: Sequence[Path],
    out: Path | None = None,
    seeds: Sequence[int] = (0,),
    extras: Sequence[str] = (),
    suffix: str = "",
    hidden: bool = False,
    passed: Passed | None = None,
    films: bool = False,
) -> list[Task]:
    """Return a task for each photo among files and folders; folders are searched by the rule of `image_files`.

    So is one for each folder that cannot be read, which fails.

    The output of a file is `NAME-color.EXT` beside it; outputs of a folder keep their names in `FOLDER-color`. With
    `out`, outputs keep their names in that folder, or one photo becomes the file `out`. Where photos of several folders
    would have the same output there, all keep their places below the folder that the sources have in common. Where
    `scan.heic` and `scan.jpg` would, the first becomes `scan.heic.jpg`.
    A photo named twice is colorized once; one that is named and lies in a folder too counts as named. An output named
    beside its original is left out.

    ``suffix``: of all outputs but films, by default that of each photo; ``hidden`` and ``passed``: see `image_files`;
    ``films``: whether films are colorized too, which otherwise are passed over in folders.
    Raises ValueError if two outputs would be one file, an output would be an original, `out` is a file of a format that
    cannot be written, or a file is in the way of a folder of outputs.
    """
    seeds, extras = tuple(seeds), tuple(extras)
    if out is not None and out.suffix.lower() in (*FILE_SUFFIXES, *FILM_OUTPUTS) and not is_folder(out):
        _check_folder(out.parent)
        source = _check_file(sources, out, suffix, films)
        task = Task(source, out, seeds, extras)
        check_targets({resolve(source): task})
        return [task]
    photos: dict[Path, _Photo] = {}
    _check_folder(out or Path())
    for source in sources:
        for photo in _find_photos(source, out, hidden, passed, films):
            resolved = resolve(photo.path)
            known = photos.get(resolved)
            if known is None or known.searched or not photo.searched:
                photos[resolved] = photo
    targets = [photo.target(suffix) for photo in photos.values()]
    if out is not None and _several_folders(photos.values(), targets):
        common = Path(os.path.commonpath([resolve(photo.base) for photo in photos.values()]))
        targets = [photo.target(suffix, common) for photo in photos.values()]
    targets = keep_apart(targets, [photo.path.suffix for photo in photos.values()])
    tasks: dict[Location, Task] = {}
    for (resolved, photo), target in zip(photos.items(), targets, strict=True):
        tasks[resolved] = Task(photo.path, target, seeds, extras, photo.searched, photo.problem)
    if out is None:
        # An output of an earlier run that is named together with its original is not a photo to colorize.
        for task in list(tasks.values()):
            for file in task.files.values():
                tasks.pop(resolve(Path(file)), None)
    check_targets(tasks)
    return list(tasks.values())


def _check_file(sources: Sequence[Path], out: Path, suffix: str, films: bool) -> Path:
    """Return the one source whose output is the file ``out``. Raises ValueError where it cannot be."""
    if len(sources) > 1 or is_folder(sources[0]):
        raise ValueError(f"{printable(out)}: one file cannot hold several photos; give a folder with -o")
    own = out.suffix.lower()
    if films and own in FILM_OUTPUTS and is_film(sources[0]):
        return sources[0]
    if films and sources[0].suffix.lower() in FILM_SUFFIXES:
        raise ValueError(f"{printable(out)}: is no film; choose one of {', '.join(FILM_OUTPUTS)}, or a folder")
    kind = WRITABLE.get(own)
    if kind is None:
        raise ValueError(f"{printable(out)}: cannot be written; choose one of {', '.join(WRITABLE)}, or a folder")
    if suffix and kind != WRITABLE[suffix]:
        raise ValueError(f"{printable(out)}: is not of the format {suffix[1:]}; change the name, or leave out --format")
    return sources[0]


def _check_folder(folder: Path) -> None:
    """Raise ValueError if a file, or a link to nothing, is in the way of a folder of outputs."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not is_folder(existing):
        kind = "a file" if exists(existing) else "a link to nothing"
        reason = f"cannot be a folder, since {printable(existing)} is {kind}"
        raise ValueError(f"{printable(folder)}: {reason}; choose another folder with -o")


def _find_photos(source: Path, out: Path | None, hidden: bool, passed: Passed | None, films: bool) -> Iterator[_Photo]:
    if not is_folder(source):
        if exists(source) and not is_file(source):
            raise ValueError(f"{printable(source)}: is no file or folder; to pipe a photo in, name it -")
        label = "" if out else "-color"
        yield _Photo(
            source, source.parent, out or source.parent, label, searched=False, is_film=films and is_film(source)
        )
        return
    named = source if source.name.strip(".") else resolve(source)  # "." and ".." have no name of their own
    root = out or named.with_name(f"{named.name}-color")
    _check_folder(root)
    # Where the outputs lie inside the folder itself, those of an earlier run are not originals.
    outputs_inside = resolve(source) in resolve(root).parents
    unreadable: dict[Path, str] = {}
    found: list[Path] = []
    others = dict.fromkeys(FILM_SUFFIXES if films else (), found)
    for path in [*image_files(source, hidden, passed, unreadable, others), *unreadable, *found]:
        if not outputs_inside or resolve(root) not in resolve(path).parents:
            kind = films and is_film(path)
            yield _Photo(path, source, root, "", searched=True, problem=unreadable.get(path, ""), is_film=kind)


def _several_folders(photos: Iterable[_Photo], targets: Iterable[Path]) -> bool:
    """Return whether photos of several folders have the same target."""
    folders = defaultdict(set)
    for photo, target in zip(photos, targets, strict=True):
        folders[target].add(resolve(photo.path.parent))
    return any(len(parents) > 1 for parents in folders.values())


def keep_apart(targets: Sequence[P], suffixes: Sequence[str]) -> list[P]:
    """Return the targets, those that are equal with the suffix of the photo before their own, if it is another.

    A number follows it where that name is in use too: `scan.heic-2.jpg`. ``suffixes``: of the photos.
    """
    times = Counter(targets)
    used = set(targets)
    apart = []
    for target, suffix in zip(targets, suffixes, strict=True):
        if times[target] > 1 and suffix != target.suffix:
            target = _unused_name(target, suffix, used)
            used.add(target)
        apart.append(target)
    return apart


def _unused_name(target: P, label: str, used: Container[P]) -> P:
    """Return a target with a label and, if that is in use, a number after its name."""
    number, name = 1, target.with_name(f"{target.stem}{label}{target.suffix}")
    while name in used:
        number += 1
        name = target.with_name(f"{target.stem}{label}-{number}{target.suffix}")
    return name


def check_targets(tasks: Mapping[Location, Task]) -> None:
    """Raise ValueError if a file of the tasks, here by their originals, is an original or belongs to two of them."""
    sources: dict[Location, Location] = {}
    for task in tasks.values():
        for target in task.files.values():
            file = resolve(target) if isinstance(target, Path) else target
            if file in tasks:
                raise ValueError(f"{printable(file)}: is an original, which is never overwritten; choose another -o")
            other = sources.setdefault(file, task.source)
            if other != task.source:
                both = f"{printable(task.source)} and {printable(other)}"
                raise ValueError(f"{both} would both become {printable(file)}; colorize one of them separately")
