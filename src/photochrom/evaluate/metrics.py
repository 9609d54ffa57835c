"""How far a coloured photograph is from the truth: pure functions on sRGB arrays (..., 3, h, w) in [0, 1]."""

import math

import numpy as np
from jaxtyping import Float

from ..core.color import rgb_to_lab

RGB = Float[np.ndarray, "3 h w"]


def psnr(rgb: RGB, truth: RGB) -> float:
    """Peak signal-to-noise ratio over the three channels, in decibels; infinite for equal pictures."""
    error = float(np.mean(np.square(rgb - truth)))
    return math.inf if error == 0 else -10 * math.log10(error)


def ab_error(rgb: RGB, truth: RGB) -> float:
    """Mean distance in the ab plane, in Lab units; of a gray picture it is the truth's mean chroma."""
    return float(np.mean(np.hypot(*(rgb_to_lab(rgb) - rgb_to_lab(truth))[1:])))
