"""Degradations of images step by step: nothing is lost at step 0, all of it at the last (Bansal et al. 2022).

Written for numpy and torch alike. Images are (b, 3, h, w) in [-1, 1]; a step is a number or an array that broadcasts
against them. What is random is drawn once an image, as its noise, and stays the same from step to step.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float

from .color import namespace
from .resample import upsample_nearest

Image = Float[Any, "b 3 h w"]  # RGB in [-1, 1]
Noise = Callable[..., Any]  # noise(like) or noise(like, "gumbel") gives random values of the shape of ``like``


@dataclass(frozen=True)
class Degradation(ABC):
    """A degradation in so many ``steps``; subclasses are frozen dataclasses."""

    steps: int = 50
    stochastic: ClassVar[bool] = False

    @property
    def size_multiple(self) -> int:
        """The number by which the sides of images must divide."""
        return 1

    def draw(self, image: Image, noise: Noise) -> Any:
        """Returns the noise of these images for `degrade`, None for a deterministic degradation."""
        return None

    @abstractmethod
    def degrade(self, image: Image, step: Any, noise: Any = None) -> Image:
        """Returns the images after ``step`` of ``steps``, with the noise that `draw` gave."""


@dataclass(frozen=True)
class ColorLoss(Degradation):
    """Evenly towards the mean of the channels, which never changes on the way."""

    def degrade(self, image: Image, step: Any, noise: Any = None) -> Image:
        """See `Degradation`."""
        return interpolate(image, image.mean(1)[:, None], step / self.steps)


@dataclass(frozen=True)
class Blur(Degradation):
    """A Gaussian blur whose standard deviation grows evenly to ``widest`` pixels; edges are repeated."""

    widest: float = 3.0

    def degrade(self, image: Image, step: Any, noise: Any = None) -> Image:
        """See `Degradation`."""
        variance = (_step_per_image(image, step) * (self.widest / self.steps)) ** 2 + 1e-9
        radius = math.ceil(3 * self.widest)
        offsets = range(-radius, radius + 1)
        weights = [namespace(image).exp(-(offset**2) / (2 * variance)) for offset in offsets]
        total = sum(weights)
        for axis in (2, 3):
            image = sum(_shift(image, offset, axis) * w for offset, w in zip(offsets, weights, strict=True)) / total
        return image


@dataclass(frozen=True)
class Grain(Degradation):
    """Gaussian noise, clipped to [-1, 1], whose share of the variance grows evenly to all of it."""

    stochastic: ClassVar[bool] = True

    def draw(self, image: Image, noise: Noise) -> Any:
        """Returns one pattern of noise an image."""
        return noise(image).clip(-1, 1)

    def degrade(self, image: Image, step: Any, noise: Any = None) -> Image:
        """See `Degradation`."""
        share = step / self.steps
        return image * (1 - share) ** 0.5 + noise * share**0.5


@dataclass(frozen=True)
class Mask(Degradation):
    """A soft-edged hole of mid-gray that grows to ``radius`` of the shorter side, somewhere about the middle."""

    radius: float = 0.3
    edge: float = 0.1
    stochastic: ClassVar[bool] = True

    def draw(self, image: Image, noise: Noise) -> Any:
        """Returns the center of the hole, (b, 2, 1, 1), as shares of height and width."""
        return (noise(image[:, :2, :1, :1]) * 0.15 + 0.5).clip(0.25, 0.75)

    def degrade(self, image: Image, step: Any, noise: Any = None) -> Image:
        """See `Degradation`."""
        height, width = image.shape[-2:]
        shorter = min(height, width)
        ones = image[:, :1] * 0 + 1
        down = (ones.cumsum(2) - 0.5 - noise[:, :1] * height) / shorter
        across = (ones.cumsum(3) - 0.5 - noise[:, 1:] * width) / shorter
        reach = (step / self.steps) * (self.radius + self.edge)
        return image * (1 - ((reach - (down**2 + across**2) ** 0.5) / self.edge).clip(0, 1))


@dataclass(frozen=True)
class Pixelation(Degradation):
    """Blocks of one color, each size twice the one before, up to ``largest`` pixels, fading from size to size.

    Sides must divide by ``largest``, a power of two.
    """

    largest: int = 8

    @property
    def size_multiple(self) -> int:
        """See `Degradation`."""
        return self.largest

    def degrade(self, image: Image, step: Any, noise: Any = None) -> Image:
        """See `Degradation`. Raises ValueError for sides that do not divide."""
        height, width = image.shape[-2:]
        if height % self.largest or width % self.largest:
            raise ValueError(f"{width} x {height} pixels: both sides must divide by the block size {self.largest}")
        doublings = int(math.log2(self.largest))
        level = _step_per_image(image, step) * (doublings / self.steps)
        return sum(_blocks(image, 2**i) * (1 - abs(level - i)).clip(0, 1) for i in range(doublings + 1))


@dataclass(frozen=True)
class Snow(Degradation):
    """White flakes, streaked as they fall, that grow denser up to full white."""

    rarity: float = 1.5  # standard deviations above which noise is a flake
    stochastic: ClassVar[bool] = True

    def draw(self, image: Image, noise: Noise) -> Any:
        """Returns flakes (b, 1, h, w) in [0, 1]."""
        flakes = ((noise(image[:, :1]) - self.rarity) * 2).clip(0, 1)
        return sum(_shift(_shift(flakes, -i, 2), i, 3) for i in range(3)).clip(0, 1)

    def degrade(self, image: Image, step: Any, noise: Any = None) -> Image:
        """See `Degradation`."""
        return interpolate(image, 1.0, noise * (step / self.steps))


DEGRADATIONS: dict[str, Callable[[int], Degradation]] = {
    "color": ColorLoss,
    "blur": Blur,
    "grain": Grain,
    "mask": Mask,
    "pixelation": Pixelation,
    "snow": Snow,
}


def interpolate(start: Any, end: Any, share: Any) -> Any:
    """Returns ``start`` at a share of 0, ``end`` at 1, both exactly, and the straight line between them."""
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
