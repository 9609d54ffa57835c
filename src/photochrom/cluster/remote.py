"""Photographs at addresses (`fsspec`): listed, fetched, coloured, and brought to where they belong."""

import hashlib
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import fsspec

from ..imaging.sources import is_image_name
from ..inference.batch import BatchOptions, Outcome, SkipReason, Status, Task, check_targets, colorize_batch
from ..inference.colorizer import Colorizer, writable_path


@dataclass(frozen=True)
class Parcel:
    """A photograph at an address, and the address of its copy: a `Task` for what is no path."""

    source: str
    target: str
    seeds: tuple[int, ...] = (0,)
    about: tuple[str, ...] = ()

    def unpacked(self, folder: Path) -> Task:
        """The task that it is once it lies in a folder."""
        source, target = (PurePosixPath(address).name for address in (self.source, self.target))
        return Task(folder / "in" / source, folder / "out" / target, self.seeds, self.about, searched=True)

    @property
    def home(self) -> str:
        """The address of the folder of its copies."""
        return self.target.rpartition("/")[0]

    @property
    def files(self) -> list[str]:
        """The addresses of all that is written."""
        return [f"{self.home}/{Path(file).name}" for file in self.unpacked(Path()).files]


def is_address(text: str) -> bool:
    """Whether it is one that `fsspec` reads, and no path."""
    return "://" in text


def addressed(text: str) -> str:
    """The address of what may be a path."""
    return text if is_address(text) else f"file://{Path(text).absolute()}"


def parcels(source: str, out: str, seeds: Sequence[int], about: Sequence[str]) -> list[Parcel]:
    """The photographs of a folder at an address, searched through, with copies of their names in another.

    What lies in ``out`` is left out. Raises ValueError for a folder that cannot be listed, and as `engine.album.plan`
    does.
    """
    base, target = source.rstrip("/"), out.rstrip("/")
    try:
        files, root = fsspec.url_to_fs(base)
        root = root.rstrip("/")
        found = [name.removeprefix(f"{root}/") for name in files.find(root) if name.startswith(f"{root}/")]
    except Exception as error:  # each kind of storage has its own
        raise ValueError(f"{source}: cannot be listed ({type(error).__name__}: {error})") from None
    inside = f"{target.removeprefix(f'{base}/')}/" if target.startswith(f"{base}/") else None
    if files.isfile(root):
        raise ValueError(f"{source}: is one file: name the folder it lies in")
    names = [name for name in sorted(found) if is_image_name(name) and not (inside and name.startswith(inside))]
    made = [
        Parcel(f"{base}/{name}", f"{target}/{writable_path(PurePosixPath(name))}", tuple(seeds), tuple(about))
        for name in names
    ]
    check_targets(
        [(file, parcel.source) for parcel in made for file in parcel.files], {parcel.source for parcel in made}
    )
    return made


def carried(colorizer: Colorizer, parcel: Parcel, settings: BatchOptions, folder: Path) -> tuple[Outcome, str]:
    """A photograph brought to a folder, coloured, and its copies brought to where they belong, whole or not at all.

    With it the sha256 of the original.
    """
    task, digest = parcel.unpacked(folder), ""
    try:
        here, source = fsspec.url_to_fs(parcel.source)
        there, home = fsspec.url_to_fs(parcel.home)
        kept = [
            file for file in map(Path, task.files) if not settings.overwrite and there.exists(f"{home}/{file.name}")
        ]
        if len(kept) == len(task.files):
            return Outcome(task, Status.SKIPPED, SkipReason.EXISTS, tuple(parcel.files)), ""
        for file in (*kept, Path(task.source)):
            file.parent.mkdir(exist_ok=True)
        for file in kept:  # stands for the one that is there, which is not made again
            file.touch()
        here.get_file(source, str(task.source))
        digest = digest_of(Path(task.source))
        (outcome,) = colorize_batch(colorizer, [task], settings)
        there.makedirs(home, exist_ok=True)
        for file in map(Path, outcome.files):
            _brought(there, file, f"{home}/{file.name}")
    except Exception as error:  # each kind of storage has its own
        reason = f"{parcel.source}: cannot be fetched or brought back ({type(error).__name__}: {error})"
        return Outcome(task, Status.FAILED, reason), digest
    files = tuple(f"{parcel.home}/{Path(file).name}" for file in outcome.files)
    return replace(outcome, reason=outcome.reason.replace(str(task.source), parcel.source), files=files), digest


def _brought(there: fsspec.AbstractFileSystem, file: Path, target: str) -> None:
    """Whole or not at all, whoever else may bring the same."""
    part = f"{target}.{uuid.uuid4().hex[:8]}.part"
    try:
        there.put_file(str(file), part)
        there.mv(part, target)
    except BaseException:
        with suppress(Exception):
            there.rm_file(part)
        raise


def digest_of(path: Path) -> str:
    """The sha256 of a file; "" for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
