"""The procedure of networks that colour in one forward pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..color import ab_of
from ..degradation import Noise
from .procedure import AB, Gray, Net, Pin, unpinned


@dataclass(frozen=True)
class Direct:
    """One forward pass: the network called ``colors`` gives ab (or RGB in [-1, 1], whose ab is kept).

    ``chroma`` multiplies the result. A network that drops features by chance is given ``noise``, so many planes of it.
    """

    target: str = "ab"
    chroma: float = 1.0
    noise: int = 0
    networks: ClassVar[tuple[str, ...]] = ("colors",)
    option_names: ClassVar[tuple[str, ...]] = ()
    colorizes: ClassVar[bool] = True

    @property
    def stochastic(self) -> bool:
        """Whether it uses its noise."""
        return self.noise > 0

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> AB:
        """Gray (b, 1, h, w) in [-1, 1] -> the network's ab (b, 2, h', w') in [-1, 1]."""
        given = {"noise": noise(gray[:, [0] * self.noise])} if self.noise else {}
        color = nets["colors"](0.0, gray=gray, **given)
        if self.target == "rgb":
            color = ab_of(color)
        return pin((color * self.chroma).clip(-1, 1))
