"""Color management: CMYK, ICC profiles, Lab, floats and transparency become gray or sRGB codes of 8 or 16 bits."""

from functools import lru_cache

import numpy as np
import pyvips

from .errors import PhotoError
from .fields import read_field
from .formats import Reader

PROFILE = "icc-profile-data"
CHANNELS = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}  # by the color space that a profile names at byte 16
OTHER_SPACES = ("lab", "labs", "labq", "xyz", "yxy", "lch", "cmc", "oklab", "oklch")
LEAST_RANGE = 128  # of 8-bit codes, from the darkest to the lightest color of a profile
FLOATS = ("float", "double")


def to_standard(image: pyvips.Image, reader: Reader) -> pyvips.Image:
    """Returns one channel of gray or three of sRGB, 8 or 16 bits, no alpha.

    Floats in [0, 1] are linear light, or what their profile says. A profile that cannot be used gives a note.
    """
    if image.hasalpha():
        image = image.extract_band(0, n=image.bands - 1)
    if image.interpretation in OTHER_SPACES:
        return image.colourspace("rgb16")
    is_cmyk = image.interpretation == "cmyk" and image.bands == 4
    if image.bands not in (1, 3) and not is_cmyk:
        problem = f"{image.bands} channels; save it as gray, RGB or CMYK, with or without alpha"
        raise PhotoError(f"{reader.name}: {problem}")
    profile = _usable_profile(image, reader)
    if image.format in FLOATS and not profile:
        rgb = image if image.bands == 3 else image.bandjoin([image, image])
        return rgb.cast("float").copy(interpretation="scrgb").colourspace("rgb16")
    if image.format in FLOATS:
        image = image.linear(65535, 0.5).cast("ushort").copy(interpretation="grey16" if image.bands == 1 else "rgb16")
    if image.format == "uint":
        image = (image >> 16).cast("ushort")
    if image.format not in ("uchar", "ushort"):
        raise PhotoError(f"{reader.name}: numbers of type {image.format}; save it with 8 or 16 bits a channel")
    if not is_cmyk and (not profile or _is_neutral(profile, image.bands)):
        return image
    return _apply_profile(image, profile, 16)


def _usable_profile(image: pyvips.Image, reader: Reader) -> bytes:
    """The profile of an image, b"" if it has none or one that cannot be used; notes say what is not used."""
    profile, fault = read_field(image, PROFILE, b""), ""
    if profile:
        fault = _profile_fault(profile, image.bands)
    elif reader.metadata.has_profile:  # libpng passes over one in silence
        fault = "is damaged or does not fit the pixels"
    if fault:
        reader.notes.add(f"the color profile was left aside: it {fault}")
    if fault or not profile:
        colors = reader.metadata.colors
        if colors and (colors.has_other_curve or image.bands > 1):
            reader.notes.add(f"the color space of the photo ({colors.name}) was left aside: it was read as sRGB")
        return b""
    if image.bands == 1 and profile[16:20] == b"RGB " and not _is_neutral(profile, 1):
        reader.notes.add("the color profile is one for RGB: of it, only the tone curve was used")
    return profile


def check_linear(image: pyvips.Image, name: str) -> None:
    """Raises PhotoError for floats beyond 1, such as 0 to 255, which would be white as linear light."""
    if image.format not in FLOATS or image.interpretation in OTHER_SPACES:
        return
    with np.errstate(over="ignore", invalid="ignore"):
        mean = image.numpy().mean(dtype=np.float64)
    if not mean <= 1:  # or not a number
        reason = f"floats must be linear light from 0 to 1, but their mean is {mean:.3g}"
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
def _profile_fault(profile: bytes, bands: int) -> str:
    """Why an image of so many channels cannot be converted by a profile; "" if it can."""
    channels = CHANNELS.get(profile[16:20])
    if profile[36:40] != b"acsp":
        return "is damaged"
    # A gray photo may have the profile of the color one that it was: the curve applies to gray as well.
    if channels != bands and (channels, bands) != (3, 1):
        return "does not fit the pixels"
    # libvips passes over a profile that it cannot use: then the colors are those of the profile given in its place.
    try:
        colors = _convert_cube(profile, bands, "srgb")
        usable = np.array_equal(colors, _convert_cube(profile, bands, "p3")) and np.ptp(colors) >= LEAST_RANGE
    except pyvips.Error:
        usable = False
    return "" if usable else "is damaged"


@lru_cache(16)
def _is_neutral(profile: bytes, bands: int) -> bool:
    """Whether a profile moves no code by more than one: then the codes are sRGB already, and keep their depth."""
    return bool(np.abs(_convert_cube(profile, bands, "srgb").astype(int) - _cube(bands)).max() <= 1)


def _cube(bands: int) -> np.ndarray:
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)[..., [0, 1, 2, 0][:bands]]


def _convert_cube(profile: bytes, bands: int, fallback: str) -> np.ndarray:
    # Of no kind, so that libvips does not choose a profile by itself.
    probe = pyvips.Image.new_from_array(_cube(bands)).copy(interpretation="multiband")
    probe.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    return _apply_profile(probe, profile, 8, fallback).numpy().reshape(27, 27, -1)


def _apply_profile(image: pyvips.Image, profile: bytes, depth: int, fallback: str = "cmyk") -> pyvips.Image:
    """Converts to sRGB by the image's `profile` or, without one, by one that libvips brings."""
    if not profile:
        image = image.copy()
        image.remove(PROFILE)
    if profile[16:20] == b"RGB " and image.bands == 1:
        image = image.bandjoin([image, image]).copy(interpretation="srgb" if image.format == "uchar" else "rgb16")
    return image.icc_transform("srgb", embedded=True, input_profile=fallback, depth=depth)
