"""The procedure of networks that colorize in one forward pass."""

from dataclasses import dataclass
from typing import ClassVar

from ..color import signed_rgb_to_ab
from ..degradation import Noise
from .procedure import AB, Gray, Hints, Nets, Procedure, blend_hints


@dataclass(frozen=True)
class Direct(Procedure):
    """One forward pass: the network ``colors`` gives ab, or RGB in [-1, 1] whose ab is used.

    ``chroma`` multiplies the result. ``noise``: channels of normal noise that the network takes beside the gray, for
    networks with random dropout at inference.
    """

    target: str = "ab"
    chroma: float = 1.0
    noise: int = 0
    network_names: ClassVar[tuple[str, ...]] = ("colors",)

    @property
    def stochastic(self) -> bool:
        """Whether the network takes noise."""
        return self.noise > 0

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        """See `Procedure`."""
        inputs = {"gray": gray}
        if self.noise:
            inputs["noise"] = noise(gray[:, [0] * self.noise])
        color = nets["colors"](**inputs)
        ab = signed_rgb_to_ab(color) if self.target == "rgb" else color
        ab = (ab * self.chroma).clip(-1, 1)
        return blend_hints(ab, hints)
