"""Images in folders and zips, the same for all commands, which report those of unsupported formats by name."""

import os
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from .errors import PhotoError, printable
from .formats import READ_ONLY, WRITABLE

IMAGE_SUFFIXES = (*WRITABLE, *READ_ONLY, ".gif", ".psd", ".dng", ".jxl")  # the last are not supported


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


def is_image_name(name: str) -> bool:
    """Whether a file name is that of an image, by its suffix; hidden files (``._scan.jpg``) do not count."""
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def image_files(folder: Path) -> list[Path]:
    """Returns the paths of the images in a folder and the folders in it, sorted, without reading them."""
    return sorted(path for path in folder.rglob("*") if is_image_name(path.name) and path.is_file())


def find_images(source: str | Path) -> list[SourceImage]:
    """Returns the images of a folder (searched through), a zip, or a folder in a zip, sorted. Raises ValueError."""
    source = Path(source)
    try:
        return _folder_images(source) if source.is_dir() else _zip_images(source)
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


def _folder_images(folder: Path) -> list[SourceImage]:
    images = []
    for path in image_files(folder):
        try:
            content = path.read_bytes()
        except OSError:  # reported when the image is opened
            content = b""
        name = path.relative_to(folder).as_posix()
        images.append(SourceImage(str(folder), name, zlib.crc32(content), len(content)))
    return images


def _zip_images(source: Path) -> list[SourceImage]:
    path, prefix = _split_zip(source)
    try:
        entries = _open_zip(path).infolist()
    except zipfile.BadZipFile as error:
        if zipfile.is_zipfile(path):
            raise ValueError(f"{path}: damaged zip ({error}); create it again, or unpack what is left of it") from None
        raise ValueError(f"{source}: not a folder or zip; name a folder or a zip of photos") from None
    images = []
    for entry in entries:
        name = entry.filename.removeprefix(prefix)
        if entry.filename.startswith(prefix) and is_image_name(name) and not entry.is_dir():
            images.append(SourceImage(str(source), name, entry.CRC, entry.file_size))
    if prefix and not images:
        raise ValueError(f"{source}: {path.name} has no photos in a folder of that name")
    # By the names of folders first, as the sorted paths of a folder.
    return sorted(images, key=lambda image: PurePosixPath(image.name))


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
