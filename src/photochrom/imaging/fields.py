"""Fields of libvips images."""

from typing import Any

import pyvips


def read_field(image: pyvips.Image, name: str, default: Any) -> Any:
    """Returns a field of an image, such as ``icc-profile-data``, or `default` where it has none."""
    return image.get(name) if image.get_typeof(name) else default
