"""Images for surveys."""

import numpy as np
import pyvips

SHAPE = (60, 80)  # height and width of the photos
NAMES = [f"{'deep/' if index % 2 else ''}photo{index}" for index in range(8)]
TINTS = {"truth": (90, 120, 160), "warm": (170, 110, 80), "cold": (80, 110, 180)}


def write_image(path, color, shape=SHAPE):
    """An image: a ramp of one color."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0.4, 1.4, shape[0] * shape[1]).reshape(*shape, 1) * np.array(color)
    pyvips.Image.new_from_array(ramp.clip(0, 255).astype(np.uint8)).write_to_file(str(path))
