"""Degradations of images step by step: nothing is lost at a share of 0, all of it at 1 (Bansal et al. 2022).

Written for numpy and torch alike. Images are (b, 3, h, w) in [-1, 1]; a share is a number or an array that broadcasts
against them. What is random is drawn once an image, as its noise, and stays the same from step to step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float

from .color import namespace
from .resample import average_pool, check_divisible, upsample_nearest

Image = Float[Any, "b 3 h w"]  # RGB in [-1, 1]
Noise = Callable[..., Any]  # noise(like) or noise(like, "gumbel") gives random values of the shape of ``like``

BLUR = 3.0  # standard deviation in pixels at the end
MASK_RADIUS, MASK_EDGE = 0.3, 0.1  # of the shorter side, at the end
BLOCK = 8  # side in pixels at the end; a power of two
SNOW_RARITY = 1.5  # standard deviations above which noise is a flake


@dataclass(frozen=True)
class Degradation:
    """A degradation of images whose sides ``size_multiple`` divides."""

    degrade: Callable[[Image, Any, Any], Image]  # of the images, the share of the way, and the noise that `draw` gave
    sampler: Callable[[Image, Noise], Any] | None = None  # of image and noise(like), unless deterministic
    size_multiple: int = 1

    def draw(self, image: Image, noise: Noise) -> Any:
        """Return the noise of these images for `degrade`, None for a deterministic degradation."""
        return None if self.sampler is None else self.sampler(image, noise)


def _lose_color(image: Image, share: Any, noise: None) -> Image:
    # Towards the mean of the channels, which never changes on the way.
    return interpolate(image, image.mean(1)[:, None], share)


def _blur(image: Image, share: Any, noise: None) -> Image:
    """A Gaussian blur whose standard deviation grows evenly; edges are repeated."""
    variance = (_share_per_image(image, share) * BLUR) ** 2 + 1e-9
    radius = math.ceil(3 * BLUR)
    weights = {}
    for offset in range(-radius, radius + 1):
        weights[offset] = namespace(image).exp(-(offset**2) / (2 * variance))
    total = sum(weights.values())
    for axis in (2, 3):
        image = sum(_shift(image, offset, axis) * weight for offset, weight in weights.items()) / total
    return image


def _add_grain(image: Image, share: Any, noise: Any) -> Image:
    """A pattern of noise, whose share of the variance grows evenly to all of it."""
    return image * (1 - share) ** 0.5 + noise * share**0.5


def _mask(image: Image, share: Any, noise: Any) -> Image:
    """A soft-edged hole of mid-gray grows around ``noise`` (b, 2, 1, 1), its center in shares of the sides."""
    height, width = image.shape[-2:]
    shorter = min(height, width)
    ones = image[:, :1] * 0 + 1
    down = (ones.cumsum(2) - 0.5 - noise[:, :1] * height) / shorter
    across = (ones.cumsum(3) - 0.5 - noise[:, 1:] * width) / shorter
    reach = share * (MASK_RADIUS + MASK_EDGE)
    return image * (1 - ((reach - (down**2 + across**2) ** 0.5) / MASK_EDGE).clip(0, 1))


def _pixelate(image: Image, share: Any, noise: None) -> Image:
    """Blocks of one color, each size twice the one before, fading from size to size."""
    height, width = image.shape[2:]
    check_divisible(height, width, BLOCK)
    doublings = int(math.log2(BLOCK))
    level = _share_per_image(image, share) * doublings
    pixelated: Any = 0
    for i in range(doublings + 1):
        blocks = upsample_nearest(average_pool(image, 2**i), 2**i)
        pixelated = pixelated + blocks * (1 - abs(level - i)).clip(0, 1)
    return pixelated


def _add_snow(image: Image, share: Any, noise: Any) -> Image:
    """White flakes (b, 1, h, w) that grow denser up to full white."""
    return interpolate(image, 1.0, noise * share)


def _mask_center(image: Image, noise: Noise) -> Any:
    return (noise(image[:, :2, :1, :1]) * 0.15 + 0.5).clip(0.25, 0.75)


def _flakes(image: Image, noise: Noise) -> Any:
    flakes = ((noise(image[:, :1]) - SNOW_RARITY) * 2).clip(0, 1)
    return sum(_shift(_shift(flakes, -i, 2), i, 3) for i in range(3)).clip(0, 1)  # streaked as they fall


UNCHANGED = Degradation(lambda image, share, noise: image)
DEGRADATIONS = {
    "color": Degradation(_lose_color),
    "blur": Degradation(_blur),
    "grain": Degradation(_add_grain, lambda image, noise: noise(image).clip(-1, 1)),
    "mask": Degradation(_mask, _mask_center),
    "pixelation": Degradation(_pixelate, size_multiple=BLOCK),
    "snow": Degradation(_add_snow, _flakes),
}


def interpolate(start: Any, end: Any, share: Any) -> Any:
    """Return ``start`` at a share of 0, ``end`` at 1, both exactly, and the straight line between them."""
    return start * (1 - share) + end * share


def _share_per_image(image: Image, share: Any) -> Float[Any, "b 1 1 1"]:
    # In the array type of the images, which the library functions need.
    return image[:, :1, :1, :1] * 0 + share


def _shift(x: Any, offset: int, axis: int) -> Any:
    """Shifted along an axis, with the edge repeated."""
    size = x.shape[axis]
    index = [min(max(i + offset, 0), size - 1) for i in range(size)]
    return x[:, :, index] if axis == 2 else x[:, :, :, index]
