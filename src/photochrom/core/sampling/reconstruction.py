"""The procedure of autoencoders, which colour nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..color import ab_of
from ..degradation import Noise, Photo
from .procedure import AB, Gray, Net, Pin, unpinned


@dataclass(frozen=True)
class Reconstruction:
    """A photograph as its ``encoder`` and ``decoder`` give it back, which colours nothing."""

    target: ClassVar[str] = "rgb"
    networks: ClassVar[tuple[str, ...]] = ("encoder", "decoder")
    stochastic: ClassVar[bool] = False
    option_names: ClassVar[tuple[str, ...]] = ()
    colorizes: ClassVar[bool] = False

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> AB:
        """Gray (b, 1, h, w) in [-1, 1] -> the ab of its reconstruction (b, 2, h, w), next to none."""
        *_, picture = self.restore(nets, gray[:, [0, 0, 0]])
        return pin(ab_of(picture))

    def restore(self, nets: Mapping[str, Net], picture: Photo, dirt: Any = None) -> Iterator[Photo]:
        """A picture (b, 3, h, w) in [-1, 1], and how it is given back."""
        yield picture
        yield nets["decoder"](0.0, latent=nets["encoder"](0.0, color=picture))
