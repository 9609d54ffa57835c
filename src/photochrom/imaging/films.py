"""Which files are films; imports no library that reads them."""

import re
from pathlib import Path

import pyvips

from .formats import FORMATS

FILM_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
FILM_OUTPUTS = (*FILM_SUFFIXES, ".gif")  # suffixes of what is made of films; a GIF is never made of a photo
# First bytes of the containers with these suffixes: MPEG-4 and QuickTime, Matroska and WebM, AVI, MPEG. FFmpeg would
# read others, too, among them playlists that name further files and addresses.
SIGNATURES = rb"\0...(ftyp|moov|mdat|free|skip|wide)|\x1aE\xdf\xa3.{,50}(matroska|webm)|RIFF....AVI |\0\0\x01[\xb3\xba]"


def is_film(path: Path) -> bool:
    """Returns whether a file is a film by its suffix, or an animated GIF."""
    suffix = path.suffix.lower()
    return suffix in FILM_SUFFIXES or (suffix == ".gif" and _is_animated(path))


def has_film_header(head: bytes) -> bool:
    """Returns whether the first 64 bytes of a file are those of a film, and not of a photo (AVIF, HEIC)."""
    is_photo = any(re.match(kind.signature, head, re.DOTALL) for kind in FORMATS)
    return bool(re.match(SIGNATURES, head, re.DOTALL)) and not is_photo


def _is_animated(path: Path) -> bool:
    try:
        image = pyvips.Image.new_from_file(str(path))
    except pyvips.Error:
        return False
    return image.get_typeof("n-pages") != 0 and image.get("n-pages") > 1
