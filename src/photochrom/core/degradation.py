"""What a photograph loses, step by step, exactly nothing at step 0 and all of it at the last (Bansal et al. 2022).

Written once for numpy and torch: photographs are (b, 3, h, w) in [-1, 1], a step is a number or an array that
broadcasts against them, and what is random is drawn once a photograph, as its *dirt*, never between two steps.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float

from .color import namespace

Photo = Float[Any, "b 3 h w"]
Noise = Callable[..., Any]


@runtime_checkable
class Degradation(Protocol):
    """A loss in so many ``steps``; a frozen dataclass."""

    @property
    def steps(self) -> int:
        """T, the last step."""
        ...

    @property
    def multiple(self) -> int:
        """What the sides of its photographs must divide by."""
        ...

    def draw(self, photo: Photo, noise: Noise) -> Any:
        """What is random in it, for each of these photographs; None where nothing is."""
        ...

    def degrade(self, photo: Photo, step: Any, dirt: Any = None) -> Photo:
        """The photograph after ``step`` of ``steps``; ``dirt`` as `draw` gave it."""
        ...


class AnySide:
    """For photographs of any sides."""

    multiple: ClassVar[int] = 1


class Certain(AnySide):
    """Nothing is random in it."""

    def draw(self, photo: Photo, noise: Noise) -> Any:
        """None."""
        return None


@dataclass(frozen=True)
class ColorLoss(Certain):
    """Evenly towards the mean of the channels, which never changes on the way."""

    steps: int = 50

    def degrade(self, photo: Photo, step: Any, dirt: Any = None) -> Photo:
        """See `Degradation`."""
        mean = photo.mean(1)[:, None]
        return towards(photo, mean, step / self.steps)


@dataclass(frozen=True)
class Blur(Certain):
    """A Gaussian whose standard deviation grows evenly to ``widest`` pixels; edges are repeated."""

    steps: int = 50
    widest: float = 3.0

    def degrade(self, photo: Photo, step: Any, dirt: Any = None) -> Photo:
        """See `Degradation`."""
        variance = (each(photo, step) * (self.widest / self.steps)) ** 2 + 1e-9
        reach = range(-math.ceil(3 * self.widest), math.ceil(3 * self.widest) + 1)
        weights = [namespace(photo).exp(-(offset**2) / (2 * variance)) for offset in reach]
        total = sum(weights)
        for axis in (2, 3):
            photo = sum(_moved(photo, offset, axis) * w for offset, w in zip(reach, weights, strict=True)) / total
        return photo


@dataclass(frozen=True)
class Grain(AnySide):
    """Gaussian noise, clipped, whose share of the variance grows evenly to the whole."""

    steps: int = 50

    def draw(self, photo: Photo, noise: Noise) -> Any:
        """One pattern of noise a photograph, within what a picture can hold."""
        return noise(photo).clip(-1, 1)

    def degrade(self, photo: Photo, step: Any, dirt: Any = None) -> Photo:
        """See `Degradation`."""
        share = step / self.steps
        return photo * (1 - share) ** 0.5 + dirt * share**0.5


@dataclass(frozen=True)
class Mask(AnySide):
    """A soft-edged hole of mid-gray that grows to ``radius`` of the shorter side, somewhere about the middle."""

    steps: int = 50
    radius: float = 0.3
    edge: float = 0.1

    def draw(self, photo: Photo, noise: Noise) -> Any:
        """The middle of the hole, (b, 2, 1, 1), as shares of height and width."""
        return (noise(photo[:, :2, :1, :1]) * 0.15 + 0.5).clip(0.25, 0.75)

    def degrade(self, photo: Photo, step: Any, dirt: Any = None) -> Photo:
        """See `Degradation`."""
        height, width = photo.shape[-2:]
        shorter = min(height, width)
        ones = photo[:, :1] * 0 + 1
        down = (ones.cumsum(2) - 0.5 - dirt[:, :1] * height) / shorter
        across = (ones.cumsum(3) - 0.5 - dirt[:, 1:] * width) / shorter
        grown = (step / self.steps) * (self.radius + self.edge)
        return photo * (1 - ((grown - (down**2 + across**2) ** 0.5) / self.edge).clip(0, 1))


@dataclass(frozen=True)
class Pixelation(Certain):
    """Blocks of one colour, twice as large again and again up to ``largest`` pixels, fading from size to size.

    Sides must divide by ``largest``, a power of two.
    """

    steps: int = 50
    largest: int = 8

    @property
    def multiple(self) -> int:  # type: ignore[override]
        """See `Degradation`."""
        return self.largest

    def degrade(self, photo: Photo, step: Any, dirt: Any = None) -> Photo:
        """See `Degradation`. Raises ValueError for sides that do not divide."""
        if photo.shape[-2] % self.largest or photo.shape[-1] % self.largest:
            raise ValueError(f"{photo.shape[-1]} x {photo.shape[-2]} px: both must divide by blocks of {self.largest}")
        doublings = int(math.log2(self.largest))
        level = each(photo, step) * (doublings / self.steps)
        return sum(_blocks(photo, 2**i) * (1 - abs(level - i)).clip(0, 1) for i in range(doublings + 1))


@dataclass(frozen=True)
class Snow(AnySide):
    """White flakes, streaked by their fall, that grow denser up to full white."""

    steps: int = 50
    rarity: float = 1.5  # standard deviations above which noise is a flake

    def draw(self, photo: Photo, noise: Noise) -> Any:
        """Flakes (b, 1, h, w) in [0, 1]."""
        flakes = ((noise(photo[:, :1]) - self.rarity) * 2).clip(0, 1)
        return sum(_moved(_moved(flakes, -i, 2), i, 3) for i in range(3)).clip(0, 1)

    def degrade(self, photo: Photo, step: Any, dirt: Any = None) -> Photo:
        """See `Degradation`."""
        return towards(photo, 1.0, dirt * (step / self.steps))


KINDS: dict[str, Callable[[int], Degradation]] = {
    "color": ColorLoss,
    "blur": Blur,
    "grain": Grain,
    "mask": Mask,
    "pixelation": Pixelation,
    "snow": Snow,
}


def towards(start: Any, end: Any, share: Any) -> Any:
    """Start at a share of 0, end at 1, both exactly, and straight between them."""
    return start * (1 - share) + end * share


def each(photo: Photo, step: Any) -> Float[Any, "b 1 1 1"]:
    """The step of each photograph, as an array of its kind."""
    return photo[:, :1, :1, :1] * 0 + step


def _moved(x: Any, offset: int, axis: int) -> Any:
    """Shifted along an axis, the edge repeated."""
    size = x.shape[axis]
    places: Sequence[int] = [min(max(i + offset, 0), size - 1) for i in range(size)]
    return x[:, :, places] if axis == 2 else x[:, :, :, places]


def _blocks(photo: Photo, side: int) -> Photo:
    """Each block of ``side`` pixels as its mean."""
    if side == 1:
        return photo
    b, c, h, w = photo.shape
    means = photo.reshape(b, c, h // side, side, w // side, side).mean((3, 5))
    return means[:, :, [i // side for i in range(h)]][:, :, :, [i // side for i in range(w)]]
