"""Remote tasks: photos at addresses that `fsspec` reads, downloaded, colorized and uploaded by a worker."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import fsspec

from ..imaging.errors import printable
from ..imaging.sources import HEAD, IMAGE_SUFFIXES, Passed, image_names
from ..inference.batch import colorize_batch
from ..inference.colorizer import Colorizer, writable_path
from ..inference.plan import Location, Task, check_targets, keep_apart
from ..inference.processing import BatchOptions, Outcome


def is_address(location: object) -> bool:
    """Return whether a location is an address, rather than a path."""
    return "://" in str(location)


def to_address(location: str) -> str:
    """Return the address of a location that may be a path."""
    return location if is_address(location) else f"file://{Path(location).absolute()}"


def plan_remote(  # noqa: PLR0913 - each is an option of the command
    source: str,
    out: str,
    seeds: Sequence[int] = (0,),
    extras: Sequence[str] = (),
    suffix: str = "",
    hidden: bool = False,
    passed: Passed | None = None,
) -> list[Task]:
    """Return a task for each photo in the folder at an address; outputs keep their names in the folder ``out``.

    Photos in ``out`` are left out. Raises ValueError for a folder that cannot be listed, and as `plan.plan` does.
    """
    source, out = source.rstrip("/"), out.rstrip("/")
    try:
        storage, root = fsspec.url_to_fs(source)
        root = root.rstrip("/")
        is_file, paths = storage.isfile(root), sorted(storage.find(root))
    except Exception as error:  # each storage has its own
        raise ValueError(f"{printable(source)}: cannot be listed ({type(error).__name__}: {error})") from None
    if is_file:
        raise ValueError(f"{printable(source)}: is a file: name its folder")
    out_is_inside = out.startswith(f"{source}/")
    names = []
    for path in paths:
        name = path.removeprefix(f"{root}/")
        if name != path and not (out_is_inside and f"{source}/{name}".startswith(f"{out}/")):
            names.append(name)

    def read_head(name: str) -> bytes:
        with suppress(Exception):
            return bytes(storage.cat_file(f"{root}/{name}", end=HEAD))
        return b""

    photos = [PurePosixPath(name) for name in image_names(names, read_head, hidden, passed)]
    targets = []
    for photo in photos:
        head = b"" if photo.suffix.lower() in IMAGE_SUFFIXES else read_head(str(photo))
        targets.append(writable_path(photo, suffix=suffix, head=head))
    tasks: dict[Location, Task] = {}
    for photo, target in zip(photos, keep_apart(targets, [photo.suffix for photo in photos]), strict=True):
        address = f"{source}/{photo}"
        tasks[address] = Task(address, f"{out}/{target}", tuple(seeds), tuple(extras), searched=True)
    check_targets(tasks)
    return list(tasks.values())


def colorize_remote(colorizer: Colorizer, task: Task, options: BatchOptions, folder: Path) -> Outcome:
    """Colorize a photo at an address and upload the outputs, each whole or not at all, by copies in ``folder``."""
    source, target = str(task.source), str(task.target)
    local_source = folder / "in" / PurePosixPath(source).name
    local_target = folder / "out" / PurePosixPath(target).name
    local_task = replace(task, source=local_source, target=local_target)
    try:
        storage, path = fsspec.url_to_fs(source)
        out_storage, out_path = fsspec.url_to_fs(target)
        out_folder = out_path.rpartition("/")[0]
        files = [Path(file) for file in local_task.files.values()]
        local_source.parent.mkdir()
        local_target.parent.mkdir()
        for file in files:  # those that exist are compared, and replaced only if Photochrom made them
            if out_storage.exists(f"{out_folder}/{file.name}"):
                out_storage.get_file(f"{out_folder}/{file.name}", str(file))
        storage.get_file(path, str(local_source))
        (outcome,) = colorize_batch(colorizer, [local_task], options)
        out_storage.makedirs(out_folder, exist_ok=True)
        for local_file in outcome.files:
            _upload(out_storage, str(local_file), f"{out_folder}/{Path(local_file).name}")
    except Exception as error:  # each storage has its own
        reason = f"{printable(source)}: cannot be downloaded or uploaded ({type(error).__name__}: {error})"
        return Outcome(task, reason)
    uploaded = [f"{target.rpartition('/')[0]}/{Path(file).name}" for file in outcome.files]
    reason = outcome.reason
    if outcome.status == "failed":  # the message names the local copy
        reason = reason.replace(printable(local_source), printable(source))
        reason = reason.replace(printable(local_target.parent), printable(target.rpartition("/")[0]))
    return replace(outcome, task=task, reason=reason, files=tuple(uploaded))


def _upload(storage: fsspec.AbstractFileSystem, local_file: str, path: str) -> None:
    # A name of its own, for other workers may upload the same file.
    part = f"{path}.{uuid.uuid4().hex[:8]}.part"
    try:
        storage.put_file(local_file, part)
        storage.mv(part, path)
    except BaseException:
        with suppress(Exception):
            storage.rm_file(part)
        raise
