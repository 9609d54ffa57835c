"""Color spaces that files state by numbers rather than by a profile: pixels are read as sRGB all the same."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import tiff

INTEROPERABILITY_INDEX, ADOBE_RGB, SRGB = 1, "R03", 1  # EXIF: the tag and a value of it; a value of ColorSpace
WHITE_POINT, PRIMARIES = 318, 319  # of TIFF
PRIMARY_CODES, TRANSFER_CODES = (1, 2), (13, 2)  # of sRGB, and unspecified (ITU-T H.273)
SRGB_GAMMA = 0.45455
SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # x and y of white, red, green and blue
ERROR = 0.01  # of gamma and primaries, within which they are those of sRGB


class StatedColors(NamedTuple):
    """A color space other than sRGB: what states it, and whether its tone curve is another."""

    name: str
    has_other_curve: bool  # else its primaries alone, which do not matter to gray pixels


def colors_of_codes(name: str, primaries: int, transfer: int) -> StatedColors | None:
    """Returns what codes of ITU-T H.273 state; None for sRGB."""
    has_other_curve = transfer not in TRANSFER_CODES
    return StatedColors(name, has_other_curve) if has_other_curve or primaries not in PRIMARY_CODES else None


def colors_of_gamma(gamma: float) -> StatedColors | None:
    """Returns what the gamma of a PNG states; None for that of sRGB."""
    return StatedColors("gAMA", True) if abs(gamma - SRGB_GAMMA) > ERROR else None


def colors_of_primaries(name: str, values: Sequence[float]) -> StatedColors | None:
    """Returns what x and y of white, red, green and blue state; None for those of sRGB."""
    is_srgb = np.allclose(values, SRGB_PRIMARIES, rtol=0, atol=ERROR)
    return None if is_srgb else StatedColors(name, False)


def colors_of_tags(tags: tiff.TagSets) -> StatedColors | None:
    """Returns what the tags of EXIF or TIFF state; None for sRGB."""
    _, index = tags.interoperability.get(INTEROPERABILITY_INDEX, (0, b""))
    _, space = tags.exif.get(tiff.COLOR_SPACE, (0, b""))
    if index.startswith(ADOBE_RGB.encode()) and int.from_bytes(space[:2], "little") != SRGB:
        return StatedColors("Adobe RGB in EXIF", False)
    values = b"".join(tags.image.get(tag, (0, b""))[1] for tag in (WHITE_POINT, PRIMARIES))
    if len(values) != 64:
        return None
    numerators, denominators = np.frombuffer(values, "<u4").reshape(-1, 2).T
    return colors_of_primaries("primaries in TIFF tags", (numerators / np.maximum(denominators, 1)).tolist())
