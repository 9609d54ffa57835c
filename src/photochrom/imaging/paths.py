"""Questions about paths that raise nothing.

The methods of `Path` raise PermissionError in a folder that may not be searched, and RuntimeError for links in a
circle. Here there is no file: the error is reported where it is read or written, for that photo alone.
"""

# ruff: noqa: PTH110, PTH112, PTH113
import os
from pathlib import Path

StrPath = str | os.PathLike[str]


def exists(path: StrPath) -> bool:
    """Whether there is a file or folder at a path."""
    return os.path.exists(path)


def is_folder(path: StrPath) -> bool:
    """Whether there is a folder at a path."""
    return os.path.isdir(path)


def is_file(path: StrPath) -> bool:
    """Whether there is a regular file at a path."""
    return os.path.isfile(path)


def resolve(path: Path) -> Path:
    """Returns the absolute path without links."""
    return Path(os.path.realpath(path))
