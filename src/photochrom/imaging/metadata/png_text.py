"""Text chunks of PNG files (tEXt, zTXt, iTXt): bytes that are kept as they are, and what they say in other formats."""

import re
import zlib
from typing import NamedTuple

MAX_TEXT = 1 << 24  # bytes of the texts of a file when decompressed
XMP_KEYWORD, RAW_PROFILE = b"XML:com.adobe.xmp", b"Raw profile type "
# ImageMagick's copies of EXIF and of the file's dates, which would be untrue or say things twice.
MAGICK_COPY = re.compile(rb"(exif|date|xmp|icc|png):")


class Text(NamedTuple):
    """A text chunk: its keyword, its text in bytes, and whether that is UTF-8 rather than Latin-1."""

    keyword: bytes
    text: bytes
    is_utf8: bool

    @property
    def content(self) -> str:
        """The text alone."""
        return self.text.decode("utf-8" if self.is_utf8 else "latin-1", "replace")

    def __str__(self) -> str:
        return self.content if self.keyword == b"Comment" else f"{self.keyword.decode('latin-1')}: {self.content}"


def parse_text(kind: bytes, body: bytes, limit: int) -> Text:
    """Returns the content of a text chunk (PNG 3rd edition, 11.3.3).

    Raises ValueError for a damaged one, and one of more than `limit` bytes when decompressed.
    """
    keyword, _, rest = body.partition(b"\0")
    is_compressed = kind == b"zTXt"
    if is_compressed:
        rest = rest[1:]
    elif kind == b"iTXt":
        is_compressed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]
    if is_compressed:
        rest = _decompress(rest, limit)
    return Text(keyword, rest, kind == b"iTXt")


def _decompress(data: bytes, limit: int) -> bytes:
    decompressor = zlib.decompressobj()
    if limit <= 0:
        raise ValueError("too large")
    try:
        text = decompressor.decompress(data, limit)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not decompressor.eof:
        raise ValueError("cut short or too large")
    return text


def raw_profile(text: Text) -> tuple[str, bytes] | None:
    """Returns kind and bytes of a profile that ImageMagick wrote as text in hexadecimal digits; None for another text.

    The text is a line break, a name, the number of bytes, and the digits, each in lines of their own.
    """
    if not text.keyword.startswith(RAW_PROFILE):
        return None
    name = text.keyword.removeprefix(RAW_PROFILE).decode("latin-1").lower()
    lines = text.text.strip().split(b"\n", 2)
    try:
        profile = bytes.fromhex(lines[2].decode())
        return (name, profile) if len(profile) == int(lines[1]) else None
    except (ValueError, IndexError):
        return None


def comment_chunk(comment: bytes) -> tuple[bytes, bytes]:
    """Returns kind and body of the text chunk that holds a comment of JPEG, whose bytes stay as they are."""
    comment = comment.replace(b"\0", b"")
    try:
        is_utf8 = not comment.isascii() and bool(comment.decode())
    except UnicodeDecodeError:
        is_utf8 = False
    return (b"iTXt", b"Comment\0\0\0\0\0" + comment) if is_utf8 else (b"tEXt", b"Comment\0" + comment)


def iptc_chunk(resources: bytes) -> tuple[bytes, bytes]:
    """Returns kind and body of the text chunk in which ImageMagick and others keep Photoshop resources with IPTC."""
    digits = resources.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    text = f"\niptc\n{len(resources):8}\n{lines}\n"
    return b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text.encode(), 9)
