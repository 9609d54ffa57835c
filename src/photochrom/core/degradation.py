"""Degradations of images step by step: nothing is lost at step 0, all of it at the last (Bansal et al. 2022).

Written for numpy and torch alike. Images are (b, 3, h, w) in [-1, 1]; a step is a number or an array that broadcasts
against them. What is random is drawn once an image, as its noise, and stays the same from step to step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float

from .color import namespace
from .resample import upsample_nearest

Image = Float[Any, "b 3 h w"]  # RGB in [-1, 1]
Noise = Callable[..., Any]  # noise(like) or noise(like, "gumbel") gives random values of the shape of ``like``

BLUR = 3.0  # standard deviation in pixels at the last step
MASK_RADIUS, MASK_EDGE = 0.3, 0.1  # of the shorter side, at the last step
BLOCK = 8  # side in pixels at the last step; a power of two
SNOW_RARITY = 1.5  # standard deviations above which noise is a flake


@dataclass(frozen=True)
class Degradation:
    """A degradation in so many ``steps``, of images whose sides ``size_multiple`` divides."""

    function: Callable[[Image, Any, int, Any], Image]  # of image, step, steps and noise
    sampler: Callable[[Image, Noise], Any] | None = None  # of image and noise(like), unless deterministic
    size_multiple: int = 1
    steps: int = 50

    def draw(self, image: Image, noise: Noise) -> Any:
        """Return the noise of these images for `degrade`, None for a deterministic degradation."""
        return None if self.sampler is None else self.sampler(image, noise)

    def degrade(self, image: Image, step: Any, noise: Any = None) -> Image:
        """Return the images after ``step`` of ``steps``, with the noise that `draw` gave."""
        return self.function(image, step, self.steps, noise)


def _lose_color(image: Image, step: Any, steps: int, noise: None) -> Image:
    # Towards the mean of the channels, which never changes on the way.
    return interpolate(image, image.mean(1)[:, None], step / steps)


def _blur(image: Image, step: Any, steps: int, noise: None) -> Image:
    """A Gaussian blur whose standard deviation grows evenly; edges are repeated."""
    variance = (_step_per_image(image, step) * (BLUR / steps)) ** 2 + 1e-9
    radius = math.ceil(3 * BLUR)
    weights = {}
    for offset in range(-radius, radius + 1):
        weights[offset] = namespace(image).exp(-(offset**2) / (2 * variance))
    total = sum(weights.values())
    for axis in (2, 3):
        image = sum(_shift(image, offset, axis) * weight for offset, weight in weights.items()) / total
    return image


def _add_grain(image: Image, step: Any, steps: int, noise: Any) -> Image:
    """A pattern of noise, whose share of the variance grows evenly to all of it."""
    share = step / steps
    return image * (1 - share) ** 0.5 + noise * share**0.5


def _mask(image: Image, step: Any, steps: int, noise: Any) -> Image:
    """A soft-edged hole of mid-gray grows around ``noise`` (b, 2, 1, 1), its center in shares of the sides."""
    height, width = image.shape[-2:]
    shorter = min(height, width)
    ones = image[:, :1] * 0 + 1
    down = (ones.cumsum(2) - 0.5 - noise[:, :1] * height) / shorter
    across = (ones.cumsum(3) - 0.5 - noise[:, 1:] * width) / shorter
    reach = (step / steps) * (MASK_RADIUS + MASK_EDGE)
    return image * (1 - ((reach - (down**2 + across**2) ** 0.5) / MASK_EDGE).clip(0, 1))


def _pixelate(image: Image, step: Any, steps: int, noise: None) -> Image:
    """Blocks of one color, each size twice the one before, fading from size to size."""
    height, width = image.shape[-2:]
    if height % BLOCK or width % BLOCK:
        raise ValueError(f"{width} x {height} pixels: both sides must divide by the block size {BLOCK}")
    doublings = int(math.log2(BLOCK))
    level = _step_per_image(image, step) * (doublings / steps)
    return sum(_blocks(image, 2**i) * (1 - abs(level - i)).clip(0, 1) for i in range(doublings + 1))


def _add_snow(image: Image, step: Any, steps: int, noise: Any) -> Image:
    """White flakes (b, 1, h, w) that grow denser up to full white."""
    return interpolate(image, 1.0, noise * (step / steps))


def _grain_noise(image: Image, noise: Noise) -> Any:
    return noise(image).clip(-1, 1)


def _mask_center(image: Image, noise: Noise) -> Any:
    return (noise(image[:, :2, :1, :1]) * 0.15 + 0.5).clip(0.25, 0.75)


def _flakes(image: Image, noise: Noise) -> Any:
    flakes = ((noise(image[:, :1]) - SNOW_RARITY) * 2).clip(0, 1)
    return sum(_shift(_shift(flakes, -i, 2), i, 3) for i in range(3)).clip(0, 1)  # streaked as they fall


DEGRADATIONS = {
    "color": Degradation(_lose_color),
    "blur": Degradation(_blur),
    "grain": Degradation(_add_grain, _grain_noise),
    "mask": Degradation(_mask, _mask_center),
    "pixelation": Degradation(_pixelate, size_multiple=BLOCK),
    "snow": Degradation(_add_snow, _flakes),
}


def interpolate(start: Any, end: Any, share: Any) -> Any:
    """Return ``start`` at a share of 0, ``end`` at 1, both exactly, and the straight line between them."""
    return start * (1 - share) + end * share


def _step_per_image(image: Image, step: Any) -> Float[Any, "b 1 1 1"]:
    # In the array type of the images, which the library functions need.
    return image[:, :1, :1, :1] * 0 + step


def _shift(x: Any, offset: int, axis: int) -> Any:
    """Shifted along an axis, with the edge repeated."""
    size = x.shape[axis]
    index = [min(max(i + offset, 0), size - 1) for i in range(size)]
    return x[:, :, index] if axis == 2 else x[:, :, :, index]


def _blocks(image: Image, side: int) -> Image:
    """Each block of ``side`` pixels as its mean."""
    if side == 1:
        return image
    b, c, h, w = image.shape
    return upsample_nearest(image.reshape(b, c, h // side, side, w // side, side).mean((3, 5)), side)
