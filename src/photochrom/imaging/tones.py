"""What the pixels of a photo show: whether it has colors, and shades between black and white."""

import numpy as np
from jaxtyping import Float32

from ..core import color

COLOR_SIDE = 64  # pixels of the short side, at least, at which colors are measured: grain and noise are averaged
COLOR_LEVELS = 16  # of lightness
# In Lab. Of 300 photos, each toned in four ways, up to 1.6; of the color photos themselves, over 2 for three of four.
MIN_COLOR_DEVIATION = 2
IN_COLOR = "the photo was in color: its colors were replaced"
BLACK_AND_WHITE = "black and white alone leave no room for color: the output has none"


def has_colors(rgb: Float32[np.ndarray, "3 h w"]) -> bool:
    """Whether an image, sRGB in [0, 1], has colors beside those of a toned, yellowed or stained print.

    Such a print has one color for each lightness, and its stains differ from that in one direction of ab. Measured is
    the standard deviation of ab across that direction, without the 2% of pixels that differ most (stamps, writing).
    """
    if (rgb == rgb[:1]).all():
        return False
    step = max(1, min(rgb.shape[1:]) // COLOR_SIDE)
    height, width = (side // step for side in rgb.shape[1:])
    blocks = rgb[:, : height * step, : width * step].reshape(3, height, step, width, step)
    lab = color.rgb_to_lab(np.ascontiguousarray(blocks.mean((2, 4)))).reshape(3, -1)
    levels = (lab[0] * COLOR_LEVELS / 100).astype(int)
    ab = lab[1:].copy()
    for level in np.unique(levels):
        ab[:, levels == level] -= np.median(ab[:, levels == level], axis=1, keepdims=True)
    chroma = np.hypot(*ab)
    ab = ab[:, chroma <= np.percentile(chroma, 98)]
    across, _ = np.linalg.eigvalsh(np.cov(ab)) if ab.shape[1] > 1 else (0, 0)
    return bool(across > MIN_COLOR_DEVIATION**2)


def has_shades(strip: np.ndarray) -> bool:
    """Whether some of the pixels (h, w, c), uint8 or uint16, are neither black nor white."""
    return bool(((strip.max(-1) > 0) & (strip.min(-1) < np.iinfo(strip.dtype).max)).any())
