"""The procedure of networks that give a distribution over colours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..color import AB_SCALE, ab_bins, namespace
from ..degradation import Noise
from .procedure import AB, Gray, Net, Pin, unpinned


@dataclass(frozen=True)
class AnnealedMean:
    """Mean of the colour bins under a sharpened softmax of the network ``logits`` (Zhang et al. 2016, section 2.3).

    ``temperature`` 1 is the plain mean (safe, grayish), towards 0 the mode (vivid, blotchy); the paper uses 0.38.
    ``chroma`` multiplies the result.
    """

    temperature: float = 0.38
    chroma: float = 1.0
    target: ClassVar[str] = "ab"
    networks: ClassVar[tuple[str, ...]] = ("logits",)
    stochastic: ClassVar[bool] = False
    option_names: ClassVar[tuple[str, ...]] = ()
    colorizes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature}: must be above 0 (0.38 is the paper's)")

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> AB:
        """Gray (b, 1, h, w) in [-1, 1] -> the mean colour (b, 2, h', w') in [-1, 1]."""
        logits = nets["logits"](0.0, gray=gray) * (1 / self.temperature)  # (b, q, h', w')
        xp = namespace(logits)
        weights = xp.exp(logits - xp.amax(logits, 1)[:, None])
        bins = [[c * self.chroma / AB_SCALE for c in pair] for pair in ab_bins()]
        total = weights.sum(1)
        ab = [sum(pair[i] * weights[:, q] for q, pair in enumerate(bins)) / total for i in (0, 1)]
        return pin(xp.stack(ab, 1).clip(-1, 1))
