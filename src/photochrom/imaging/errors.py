"""The errors of photo files, and the translation of library and system errors into them."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyvips

# What decoders say of files that are in order, and what it means.
EXPLANATIONS = {
    r"JPEG data precision (\d+)": r"JPEG with \1 bits a channel is not supported; save it with 8, or as TIFF with 16",
    r"Unsupported JPEG process|omitted at compile time": "this kind of JPEG is rare and not supported; save it anew",
    r"(\S+) compression support is not configured": r"\1 compression is not supported; save it with LZW or Deflate",
    r"whole number of bytes|bits per sample": "its bits a channel are not supported; save it with 8 or 16",
}

DAMAGED = "damaged or cut short"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class PhotoError(ValueError):
    """A photo that cannot be read or written; the message is one sentence that names the file."""


class PhotoTooLarge(PhotoError):
    """A photo with more pixels than the limit."""


class WriteError(PhotoError):
    """A file that the system does not let us write: no space left, no permission."""


class FileExists(PhotoError):
    """A file that exists already and must not be overwritten."""


def printable(path: str | os.PathLike[str]) -> str:
    """Returns a path as messages can print it in one line, even where its name is not UTF-8."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


@contextmanager
def photo_errors(name: str, action: str) -> Iterator[None]:
    """Turns errors of libvips and the system into a `PhotoError`: `name` cannot be `action` ("read", "written")."""
    system_kind = WriteError if action == "written" else PhotoError
    try:
        yield
    except pyvips.Error as error:
        lines = [line.strip() for line in str(error.detail).splitlines() if line.strip()]
        # Where libvips reports several causes, the system's own (a full disk, say) is the one to act on.
        causes = [line.removeprefix("system error: ") for line in lines if line.startswith("system error: ")]
        reason, *_ = causes or lines or [DAMAGED]
        if action == "read" and not causes and reason != DAMAGED and "support" not in reason:
            reason = f"{DAMAGED}: {reason}"  # in the words of its decoder
        for pattern, explanation in EXPLANATIONS.items():
            match = re.search(pattern, error.detail)
            if match and not causes:
                reason = match.expand(explanation)
        raise (system_kind if causes else PhotoError)(f"{name}: cannot be {action} ({reason})") from error
    except OSError as error:
        raise system_kind(f"{name}: cannot be {action} ({error.strerror or error})") from error
