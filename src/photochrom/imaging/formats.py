"""File formats: how they are recognized, how large a photo may be, and how outputs are written."""

from typing import Any

import pyvips

from .errors import PhotoError, PhotoTooLarge

SUPPORTED = "JPEG, PNG, TIFF, WebP, AVIF, and with the extra 'formats' HEIC, JPEG 2000 and BMP"
SIGNATURES = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "jp2": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "bmp": (b"BM",),
}
MAX_PIXELS = 250_000_000
MAX_PIXELS_IN_MEMORY = 100_000_000  # of photos that cannot be decoded row by row
IN_MEMORY = {"webp": "a WebP", "avif": "an AVIF", "heic": "a HEIC", "jp2": "a JPEG 2000", "bmp": "a BMP"}
QUALITY = 98  # of lossy formats: half the largest error in lightness of 95, for two fifths more bytes
LOSSY = {"Q": QUALITY, "subsample_mode": "off"}
# `metadata.write_tiff_tags` writes IPTC, which libvips cuts short: keep EXIF, XMP, profile, and the rest.
TIFF = {"compression": "lzw", "predictor": "horizontal", "keep": 1 | 2 | 8 | 16}
SAVERS: dict[str, dict[str, Any]] = {
    ".jpg": LOSSY,
    ".jpeg": LOSSY,
    ".png": {"compression": 6},
    ".tif": TIFF,
    ".tiff": TIFF,
    ".webp": {"lossless": True},
    ".avif": LOSSY,
}
JPEG_SUFFIXES = (".jpg", ".jpeg")
TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES_OF_16_BITS = (".png", *TIFF_SUFFIXES)
# Suffixes of files that can only be read, and what is added to them for outputs.
OUTPUT_SUFFIX = {".heic": ".jpg", ".heif": ".jpg", ".jp2": ".tif", ".j2k": ".tif", ".bmp": ".png"}
# The suffix that keeps a format, or as much of it as can be written; .png for all others.
SUFFIX_OF_KIND = {"jpeg": ".jpg", "tiff": ".tif", "webp": ".webp", "avif": ".avif", "heic": ".jpg", "jp2": ".tif"}


def detect_kind(head: bytes, name: str) -> str:
    """Returns the format that the first bytes of a file show. Raises PhotoError for one that is not supported."""
    if head[4:8] == b"ftyp":
        brands = head[8 : int.from_bytes(head[:4])]
        return "avif" if b"avif" in brands or b"avis" in brands else "heic"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    for kind, signatures in SIGNATURES.items():
        if head.startswith(signatures):
            return kind
    raise PhotoError(f"{name}: {'is not a supported image' if head else 'is empty'}; supported: {SUPPORTED}")


def in_memory_kind(kind: str, header: pyvips.Image) -> str:
    """Returns what a file is ("a WebP") that must be decoded in memory; "" for one that is decoded row by row."""
    if kind == "jpeg":
        return "a progressive JPEG" if header.get("jpeg-multiscan") else ""
    if kind == "png":
        return "an interlaced PNG" if header.get_typeof("interlaced") else ""
    return IN_MEMORY.get(kind, "")


def check_size(name: str, width: int, height: int, max_pixels: int, in_memory: str) -> None:
    """Raises PhotoTooLarge for more than `max_pixels`, and for less of an `in_memory_kind`.

    Its limit is `MAX_PIXELS_IN_MEMORY`, unless the user raised `max_pixels` above `MAX_PIXELS`.
    """
    limit, advice = max_pixels, "raise --max-pixels to read it"
    if in_memory and max_pixels <= MAX_PIXELS:
        limit = min(max_pixels, MAX_PIXELS_IN_MEMORY)
        advice = f"it is {in_memory}, decoded in memory: save it as TIFF, or raise --max-pixels above {MAX_PIXELS}"
    if width * height > limit:
        raise PhotoTooLarge(f"{name}: {width} x {height} pixels are more than the limit of {limit}; {advice}")
