"""The procedure of autoencoders, which do not colorize."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ..color import signed_rgb_to_ab
from ..degradation import Noise
from .procedure import AB, Gray, Hints, Image, Nets, Procedure, blend_hints


@dataclass(frozen=True)
class Reconstruction(Procedure):
    """An image as its ``encoder`` and ``decoder`` reconstruct it."""

    target: ClassVar[str] = "rgb"
    network_names: ClassVar[tuple[str, ...]] = ("encoder", "decoder")
    colorizes: ClassVar[bool] = False
    restores: ClassVar[bool] = True

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        """Return the ab of the reconstructed gray image, which is close to 0."""
        _, image = self.restore(nets, gray[:, [0, 0, 0]])
        return blend_hints(signed_rgb_to_ab(image), hints)

    def restore(self, nets: Nets, image: Image, condition: Any = None) -> Iterator[Image]:
        """Yield the image (b, 3, h, w) in [-1, 1] and its reconstruction."""
        yield image
        yield nets["decoder"](latent=nets["encoder"](color=image))
