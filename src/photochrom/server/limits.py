"""Limits of the server; imports no extra, so that the command line can show them at once."""

from dataclasses import dataclass

from ..imaging.limits import MAX_PIXELS

PREVIEW_SIDE = 1600  # longest side of a preview, in pixels, unless a request asks for another
PREVIEW_LIMITS = (64, 8192)
MAX_ARCHIVE = 500  # jobs; their names are in the request line, of 16 KB at most
MAX_WAIT = 30  # seconds
FILM_EFFORT = 10  # seconds of work, at most, for a second of the longest film


@dataclass(frozen=True)
class Limits:
    """Limits of the server; ``upload_bytes``, ``pixels`` and ``seconds`` of work are those of one photo.

    A film may be ``film_seconds`` long, and take `FILM_EFFORT` times as long to colorize.
    """

    upload_bytes: int = 200 << 20
    pixels: int = MAX_PIXELS
    seconds: float = 600
    film_seconds: float = 120
    queued: int = 64  # photos
    stored_bytes: int = 4 << 30  # of all photos and outputs
    retention: float = 8 * 3600  # seconds from the last request for a photo until it is deleted
    requests: float = 100  # a second, from one client on another machine
