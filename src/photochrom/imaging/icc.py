"""Whatever a file holds (CMYK, a profile, floats, transparency), as gray or sRGB codes of 8 or 16 bits."""

from functools import lru_cache

import numpy as np
import pyvips

from .errors import PhotoError

CHANNELS = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}  # by the colour space an ICC profile names


def is_srgb(image: pyvips.Image) -> bool:
    """Whether the codes of `image` are sRGB already: no profile, or one that moves no code by more than one."""
    if image.interpretation == "cmyk":
        return False
    if not image.get_typeof("icc-profile-data"):
        return True
    return _changes_nothing(image.get("icc-profile-data"), image.bands)


@lru_cache(16)
def _changes_nothing(profile: bytes, bands: int) -> bool:
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    probe = pyvips.Image.new_from_array(cube if bands == 3 else cube[..., :1]).copy()
    probe.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    after = _through(probe, 8).numpy().reshape(27, 27, -1).astype(int)
    return bool(np.abs(after - probe.numpy().reshape(27, 27, -1)).max() <= 1)


def _through(image: pyvips.Image, depth: int) -> pyvips.Image:
    """`image` through its profile (or the CMYK one that libvips brings) into sRGB."""
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    if profile[16:20] == b"RGB " and image.bands == 1:  # a gray photo with the profile of the colour one it was
        image = image.bandjoin([image, image]).copy(interpretation="srgb" if image.format == "uchar" else "rgb16")
    if CHANNELS.get(profile[16:20], image.bands) != image.bands:
        return image  # a profile of another kind of picture says nothing of this one
    fallback = "cmyk" if image.bands == 4 else "srgb"
    return image.icc_transform("srgb", embedded=True, input_profile=fallback, depth=depth)


def opaque(image: pyvips.Image) -> pyvips.Image:
    """`image` without its alpha channel."""
    return image.extract_band(0, n=image.bands - 1) if image.hasalpha() else image


def alpha(image: pyvips.Image, depth: int) -> pyvips.Image:
    """The alpha channel of `image`, of `depth` bits."""
    band = image[image.bands - 1]
    if image.format == "uchar":
        return band if depth == 8 else (band * 257).cast("ushort")
    deep = band if image.format == "ushort" else (band.linear(65535, 0.5)).cast("ushort")
    return deep if depth == 16 else (deep / 257).rint().cast("uchar")


def check_light(image: pyvips.Image, name: str) -> None:
    """`PhotoError` for floats that are codes, such as 0 to 255, and would all be white as light (see `standard`)."""
    if image.format in ("float", "double") and image.avg() > 1:
        why = f"its numbers average {image.avg():.3g}, where floats are light from 0 to 1"
        raise PhotoError(f"{name}: {why}: save it with 8 or 16 bits a channel")


def standard(image: pyvips.Image, name: str) -> pyvips.Image:
    """One channel of gray or three of sRGB, of 8 or 16 bits, without alpha.

    Floats are linear light in [0, 1], as in OpenEXR and TIFF; what lies outside is clipped. `PhotoError` for other
    kinds of number, and for more channels than a photograph has.
    """
    image = opaque(image)
    if image.interpretation in ("lab", "labs", "labq", "xyz", "yxy", "lch", "cmc", "oklab", "oklch"):
        return image.colourspace("rgb16")
    if image.bands not in (1, 3) and image.interpretation != "cmyk":
        raise PhotoError(f"{name}: {image.bands} channels are no photograph; give gray, RGB or CMYK, with alpha or not")
    if image.format in ("float", "double"):
        planes = image if image.bands == 3 else image.bandjoin([image, image])
        return planes.cast("float").copy(interpretation="scrgb").colourspace("rgb16")
    if image.format == "uint":
        image = (image >> 16).cast("ushort")
    if image.format not in ("uchar", "ushort"):
        raise PhotoError(f"{name}: numbers of type {image.format} are not read; save it with 8 or 16 bits a channel")
    return image if is_srgb(image) else _through(image, 16)
