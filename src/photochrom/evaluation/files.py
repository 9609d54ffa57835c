"""The files that `photochrom evaluate` and `photochrom inspect` write."""

from pathlib import Path

from ..imaging.atomic import atomic_write


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all, over the one before. Raises WriteError."""
    with atomic_write(path, overwrite=True) as file:
        file.write(text.encode())
