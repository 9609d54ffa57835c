"""The procedure of networks that give a distribution over colors."""

from dataclasses import dataclass
from typing import ClassVar

from ..color import AB_SCALE, ab_bins, namespace
from ..degradation import Noise
from .procedure import AB, Gray, Hints, Nets, Procedure, blend_hints


@dataclass(frozen=True)
class AnnealedMean(Procedure):
    """Mean of the color bins under a sharpened softmax of the network ``logits`` (Zhang et al. 2016, section 2.3).

    ``temperature`` 1 gives the plain mean (safe, grayish), towards 0 the mode (vivid, blotchy); the paper uses 0.38.
    ``chroma`` multiplies the result.
    """

    temperature: float = 0.38
    chroma: float = 1.0
    target: ClassVar[str] = "ab"
    network_names: ClassVar[tuple[str, ...]] = ("logits",)

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature}: must be above 0 (0.38 is the paper's)")

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        """See `Procedure`."""
        logits = nets["logits"](gray=gray) * (1 / self.temperature)  # (b, bins, h', w')
        xp = namespace(logits)
        weights = xp.exp(logits - xp.amax(logits, 1)[:, None])
        sum_a, sum_b = 0, 0
        for index, (a, b) in enumerate(ab_bins()):
            sum_a = sum_a + (a * self.chroma / AB_SCALE) * weights[:, index]
            sum_b = sum_b + (b * self.chroma / AB_SCALE) * weights[:, index]
        total = weights.sum(1)
        ab = xp.stack([sum_a / total, sum_b / total], 1).clip(-1, 1)
        return blend_hints(ab, hints)
