"""Which files are films; imports no library that reads them."""

from pathlib import Path

import pyvips

FILM_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
FILM_OUTPUTS = (*FILM_SUFFIXES, ".gif")  # suffixes of what is made of films; a GIF is never made of a photo


def is_film(path: Path) -> bool:
    """Returns whether a file is a film by its suffix, or an animated GIF."""
    suffix = path.suffix.lower()
    return suffix in FILM_SUFFIXES or (suffix == ".gif" and _is_animated(path))


def _is_animated(path: Path) -> bool:
    try:
        image = pyvips.Image.new_from_file(str(path))
    except pyvips.Error:
        return False
    return image.get_typeof("n-pages") != 0 and image.get("n-pages") > 1
