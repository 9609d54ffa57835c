"""Color management: CMYK, ICC profiles, floats and transparency become gray or sRGB codes of 8 or 16 bits."""

from functools import lru_cache

import numpy as np
import pyvips

from .errors import PhotoError
from .metadata import read_field

PROFILE = "icc-profile-data"
CHANNELS = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}  # by the color space that a profile names at byte 16
OTHER_SPACES = ("lab", "labs", "labq", "xyz", "yxy", "lch", "cmc", "oklab", "oklch")


def to_standard(image: pyvips.Image, name: str) -> pyvips.Image:
    """Returns one channel of gray or three of sRGB, 8 or 16 bits, no alpha. Floats are linear light in [0, 1]."""
    if image.hasalpha():
        image = image.extract_band(0, n=image.bands - 1)
    if image.interpretation in OTHER_SPACES:
        return image.colourspace("rgb16")
    if image.bands not in (1, 3) and image.interpretation != "cmyk":
        raise PhotoError(f"{name}: {image.bands} channels; save it as gray, RGB or CMYK, with or without alpha")
    if image.format in ("float", "double"):
        rgb = image if image.bands == 3 else image.bandjoin([image, image])
        return rgb.cast("float").copy(interpretation="scrgb").colourspace("rgb16")
    if image.format == "uint":
        image = (image >> 16).cast("ushort")
    if image.format not in ("uchar", "ushort"):
        raise PhotoError(f"{name}: numbers of type {image.format}; save it with 8 or 16 bits a channel")
    profile = read_field(image, PROFILE, b"")
    if image.interpretation != "cmyk" and (not profile or _is_neutral(profile, image.bands)):
        return image
    return _apply_profile(image, profile, 16)


def check_linear(image: pyvips.Image, name: str) -> None:
    """Raises PhotoError for floats beyond 1, such as 0 to 255, which would be white as linear light."""
    if image.format in ("float", "double") and image.avg() > 1:
        reason = f"floats must be linear light from 0 to 1, but their mean is {image.avg():.3g}"
        raise PhotoError(f"{name}: {reason}; save it with 8 or 16 bits a channel")


def alpha_channel(image: pyvips.Image, depth: int) -> pyvips.Image:
    """Returns the alpha channel of `image` with `depth` bits, 8 or 16."""
    band = image[image.bands - 1]
    if image.format == "uchar":  # and so are outputs
        return band
    if image.format != "ushort":
        band = band.linear(65535, 0.5).cast("ushort")
    return band if depth == 16 else (band / 257).rint().cast("uchar")


@lru_cache(16)
def _is_neutral(profile: bytes, bands: int) -> bool:
    """Whether a profile moves no code by more than one: then the codes are sRGB already, and keep their depth."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)[..., :bands]
    probe = pyvips.Image.new_from_array(cube).copy()
    probe.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    converted = _apply_profile(probe, profile, 8).numpy().reshape(27, 27, -1).astype(int)
    return bool(np.abs(converted - cube).max() <= 1)


def _apply_profile(image: pyvips.Image, profile: bytes, depth: int) -> pyvips.Image:
    """Converts to sRGB by the image's profile or, for CMYK without one, by the profile that libvips brings."""
    if profile[16:20] == b"RGB " and image.bands == 1:
        # A gray photo with the profile of the color one that it was: the curve applies to gray as well.
        image = image.bandjoin([image, image]).copy(interpretation="srgb" if image.format == "uchar" else "rgb16")
    if CHANNELS.get(profile[16:20], image.bands) != image.bands:
        return image  # the profile belongs to another kind of image
    fallback = "cmyk" if image.bands == 4 else "srgb"
    return image.icc_transform("srgb", embedded=True, input_profile=fallback, depth=depth)
