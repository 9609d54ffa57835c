"""Images in folders and zips: one rule for all commands, which counts by kind what it passes over."""

import errno
import os
import re
import stat
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath

from . import arrays
from .bitmaps import HEADER
from .errors import PhotoError, printable
from .formats import PNM, READ_ONLY, WRITABLE, Format, detect_kind

IMAGE_SUFFIXES = (*WRITABLE, *READ_ONLY, ".psd", ".dng", ".jxl")  # the last are not supported
# Their content looks like a TIFF file whose first page is a thumbnail.
RAW_SUFFIXES = (".3fr", ".arw", ".cr2", ".erf", ".iiq", ".kdc", ".nef", ".nrw", ".orf", ".pef", ".rw2", ".sr2", ".srw")
# Of Synology, QNAP, Windows, macOS zips and Linux; those of others begin with a dot.
SERVICE_NAMES = (
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "recycler", "__macosx"),
    *("system volume information", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini"),
)
NEVER = re.compile(r"\._|\..*\.photochrom-[0-9a-f]{8}")  # macOS' notes about a file, and unfinished outputs
HEAD = 128  # bytes that show the format of a file
BROKEN = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # errors of a link that leads nowhere
KINDS_NAMED = 10  # in a summary of what was passed over

Passed = Counter[str]  # numbers of files and folders that were passed over, by kind: ".txt file", "hidden folder"


def cache_folder() -> Path:
    """Return the folder of what is remembered about images: PHOTOCHROM_CACHE, or ``photochrom`` in the user's cache."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("PHOTOCHROM_CACHE") or caches / "photochrom")


@dataclass(frozen=True)
class SourceImage:
    """The `name` of an image (with forward slashes) in a source, CRC-32 and number of its bytes (0 if unreadable)."""

    source: str
    name: str
    crc: int
    size: int

    @property
    def key(self) -> str:
        """Identifies the content wherever the file lies; a file without content is identified by its place."""
        return f"{self.crc:08x}-{self.size}" if self.size else str(self)

    def __str__(self) -> str:
        return printable(f"{self.source}/{self.name}")

    def open(self) -> Path | bytes:
        """Returns what `open_photo` takes: the path of a file in a folder, the bytes of one in a zip."""
        folder = Path(self.source)
        return folder / self.name if folder.is_dir() else self.read()

    def read(self) -> bytes:
        """Returns the bytes of the file. Raises PhotoError where it cannot be read."""
        path, prefix = _split_zip(Path(self.source))
        try:
            if path.is_dir():
                return (path / self.name).read_bytes()
            return _open_zip(path).read(prefix + self.name)
        except Exception as error:  # damage, encryption and unknown compression raise different errors
            reason = getattr(error, "strerror", None) or error
            raise PhotoError(f"{self}: cannot be read ({reason})") from None


@dataclass(frozen=True)
class ArrayImage(SourceImage):
    """An image in arrays (.npy), which is read as a PPM file; its `name` is that of the array and its number."""

    parts: tuple[arrays.Part, ...]

    def open(self) -> bytes:
        """Returns what `open_photo` takes."""
        return self.read()

    def read(self) -> bytes:
        """Returns the bytes of the image. Raises PhotoError where they cannot be read."""
        try:
            return arrays.to_ppm(self.parts)
        except (ValueError, IndexError) as error:
            raise PhotoError(f"{self}: cannot be read ({error})") from None


def find_format(head: bytes) -> Format | None:
    """Returns the format that the first bytes of a file show; None for one that is not supported, and for text."""
    with suppress(PhotoError):
        kind = detect_kind(head, "")
        return kind if kind != PNM or HEADER.match(head) else None
    return None


def read_head(path: Path) -> bytes:
    """Returns the first bytes of a file, b"" where it is none or cannot be read."""
    with suppress(OSError):
        if path.is_file():  # a pipe would wait for its writer
            with path.open("rb") as file:
                return file.read(HEAD)
    return b""


def image_files(
    folder: Path,
    hidden: bool = False,
    passed: Passed | None = None,
    unreadable: dict[Path, str] | None = None,
    others: Mapping[str, list[Path]] | None = None,
) -> list[Path]:
    """Returns the paths of the images in a folder and the folders in it, sorted.

    A file is an image by its suffix or, where that is none of an image, by its content. Hidden files and folders and
    those of services (`SERVICE_NAMES`) are passed over unless ``hidden``; links are followed, each file counting once.
    ``passed`` counts what is passed over; ``others`` gets the files of some suffixes that are no images, which count
    otherwise, and ``unreadable`` the folders that cannot be listed or searched, with the reason.
    """
    passed = Counter() if passed is None else passed
    images = []
    seen: set[tuple[int, int]] = set()
    paths = deque([(folder, False)])
    while paths:
        path, by_link = paths.popleft()
        try:
            status = path.stat()
            is_folder = stat.S_ISDIR(status.st_mode)
            children = _list_folder(path) if is_folder else []
        except OSError as error:
            _report_unreadable(path, error, by_link, passed, unreadable)
            continue
        identity = status.st_dev, status.st_ino
        if identity in seen and (is_folder or by_link):
            passed["repeated link"] += 1
            continue
        seen.add(identity)
        for child, is_link in children:
            kind = _hidden_kind(child.name, hidden, partial(os.path.isdir, child))
            if kind:
                passed[kind] += 1
            elif is_link:
                paths.append((child, True))  # after all files, so that these keep their own names
            else:
                paths.appendleft((child, by_link))
        if not is_folder:
            regular = stat.S_ISREG(status.st_mode)
            kind = _other_kind(path.name, partial(read_head, path)) if regular else "special file"
            suffix = path.suffix.lower()
            if kind and regular and others and suffix in others:
                others[suffix].append(path)
            elif kind:
                passed[kind] += 1
            else:
                images.append(path)
    return sorted(images)


def _list_folder(folder: Path) -> list[tuple[Path, bool]]:
    """Returns the sorted files and folders in a folder, and which are links.

    Raises OSError for a folder that cannot be listed, and for one that can, but not be searched.
    """
    return [(path, path.is_symlink()) for path in sorted(folder.iterdir())]


def _report_unreadable(
    path: Path, error: OSError, by_link: bool, passed: Passed, unreadable: dict[Path, str] | None
) -> None:
    is_broken = by_link and error.errno in BROKEN
    if is_broken or unreadable is None:
        passed["broken link" if is_broken else "unreadable folder"] += 1
    else:
        unreadable[path] = error.strerror or str(error)


def image_names(
    names: Iterable[str], read_head: Callable[[str], bytes], hidden: bool = False, passed: Passed | None = None
) -> list[str]:
    """Returns the names of the images among the files of a zip or a storage, by the rule of `image_files`.

    ``names``: paths with forward slashes; ``read_head`` returns the first bytes of a file, b"" if it is unreadable.
    """
    passed = Counter() if passed is None else passed
    images, hidden_folders = [], set()
    for name in names:
        parts = PurePosixPath(name).parts
        hidden_parts = [i for i, part in enumerate(parts) if _hidden_kind(part, hidden)]
        if hidden_parts and hidden_parts[0] < len(parts) - 1:
            hidden_folders.add(parts[: hidden_parts[0] + 1])
            continue
        kind = _hidden_kind(parts[-1], hidden) or _other_kind(parts[-1], partial(read_head, name))
        if kind:
            passed[kind] += 1
        else:
            images.append(name)
    if hidden_folders:
        passed["hidden folder"] += len(hidden_folders)
    return images


def _hidden_kind(name: str, hidden: bool, is_folder: Callable[[], bool] = lambda: False) -> str:
    """Returns what a file or folder is passed over as because of its name, "" if it is not."""
    if NEVER.match(name):
        return "._ file" if name.startswith("._") else "unfinished output"
    if hidden or not (name.startswith(".") or name.lower() in SERVICE_NAMES):
        return ""
    return "hidden folder" if is_folder() else "hidden file"


def _other_kind(name: str, read_head: Callable[[], bytes]) -> str:
    """Returns what kind of file one is that is no image, "" for an image."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES or (suffix not in RAW_SUFFIXES and find_format(read_head())):
        return ""
    return f"{suffix} file" if re.fullmatch(r"\.\w{1,12}", suffix) else "other file"


def describe_passed(passed: Passed) -> str:
    """Returns what was passed over, the most frequent kind first: ``3 .txt files, 1 hidden folder``."""
    kinds = []
    for kind, number in sorted(passed.items(), key=lambda item: (-item[1], item[0])):
        kinds.append(f"{number} {kind}" if number == 1 else f"{number} {kind}s")
    more = f" and {len(kinds) - KINDS_NAMED} more kinds" if len(kinds) > KINDS_NAMED else ""
    return ", ".join(kinds[:KINDS_NAMED]) + more


def find_images(source: str | Path, passed: Passed | None = None) -> list[SourceImage]:
    """Returns the images of a folder (searched through), a zip, or a folder in a zip, sorted; rule: `image_files`.

    And those in arrays, of a folder or one .npy file. Raises ValueError for a source that is missing or cannot be read.
    """
    source = Path(source)
    passed = Counter() if passed is None else passed
    try:
        if source.suffix == arrays.SUFFIX and source.is_file():
            return _array_images(source.parent, [source], passed, required=True)
        return _folder_images(source, passed) if source.is_dir() else _zip_images(source, passed)
    except FileNotFoundError:
        raise ValueError(f"{source}: there is no such folder or zip") from None
    except OSError as error:
        raise ValueError(f"{source}: cannot be read ({error.strerror})") from None


def source_title(source: str | Path) -> str:
    """Returns what a source is called without the folders it lies in: ``photos.zip/faces`` for a folder in a zip."""
    path, prefix = _split_zip(Path(source).absolute())
    return f"{path.resolve().name}/{prefix}".rstrip("/")


def is_held_out(crc: int, share: float) -> bool:
    """Whether an image is in the `share` (0 to 1) held out for validation: by content, wherever it lies."""
    return crc < share * 2**32


def _folder_images(folder: Path, passed: Passed) -> list[SourceImage]:
    images, array_files = [], list[Path]()
    for path in image_files(folder, passed=passed, others={arrays.SUFFIX: array_files}):
        try:
            content = path.read_bytes()
        except OSError:  # reported when the image is opened
            content = b""
        name = path.relative_to(folder).as_posix()
        images.append(SourceImage(str(folder), name, zlib.crc32(content), len(content)))
    return images + _array_images(folder, array_files, passed, required=not images)


def _array_images(folder: Path, paths: list[Path], passed: Passed, required: bool) -> list[SourceImage]:
    """Returns the images in arrays; ``required``: raises ValueError where there are arrays, but no images in them."""
    unfit: list[str] = []
    images: list[SourceImage] = []
    for parts in arrays.pair_arrays(paths, unfit):
        path, number = parts[0]
        name = f"{path.relative_to(folder).as_posix()}/{number:06}"
        images.append(ArrayImage(str(folder), name, *arrays.content(parts), parts))
    if required and unfit and not images:
        raise ValueError(f"{', '.join(unfit)}: not images; needed: {arrays.NEEDED}")
    if unfit:
        passed[f"{arrays.SUFFIX} file"] += len(unfit)
    return images


def _zip_images(source: Path, passed: Passed) -> list[SourceImage]:
    path, prefix = _split_zip(source)
    try:
        archive = _open_zip(path)
    except zipfile.BadZipFile as error:
        if zipfile.is_zipfile(path):
            raise ValueError(f"{path}: damaged zip ({error}); create it again, or unpack what is left of it") from None
        raise ValueError(f"{source}: not a folder or zip; name a folder or a zip of photos") from None
    entries = {}
    for entry in archive.infolist():
        if not entry.filename.startswith(prefix) or entry.is_dir():
            continue
        if stat.S_ISLNK(entry.external_attr >> 16):
            passed["link"] += 1
        else:
            entries[entry.filename.removeprefix(prefix)] = entry

    def read_start(name: str) -> bytes:
        with suppress(Exception), archive.open(entries[name]) as file:  # damage and encryption raise different errors
            return file.read(HEAD)
        return b""

    names = image_names(entries, read_start, passed=passed)
    if not names and any(PurePosixPath(name).suffix == arrays.SUFFIX for name in entries):
        raise ValueError(f"{source}: has arrays (.npy), which are not read in a zip: unpack it and name the folder")
    if prefix and not names:
        raise ValueError(f"{source}: {path.name} has no photos in a folder of that name")
    # By the names of folders first, as the sorted paths of a folder.
    return [
        SourceImage(str(source), name, entries[name].CRC, entries[name].file_size)
        for name in sorted(names, key=PurePosixPath)
    ]


def _split_zip(source: Path) -> tuple[Path, str]:
    """Returns the file or folder, and the prefix of the names where the source is a folder in a zip."""
    for path in source.parents:
        if path.is_file():
            return path, f"{source.relative_to(path).as_posix()}/"
    return source, ""


def _open_zip(path: Path) -> zipfile.ZipFile:
    # Once in each process: two processes that share a file handle would move it under each other.
    return _cached_zip(path, path.stat().st_mtime_ns, os.getpid())


@lru_cache(maxsize=64)
def _cached_zip(path: Path, modified: int, process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
