"""Colour by two networks that play against each other (Isola et al. 2017): one paints, one tells painted from true.

The generator is learnt by a weighted mix of losses and by how well it deceives the discriminator, which looks at gray
and colour together, patch by patch.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.sampling import Direct
from ._adversarial import OBJECTIVES, Discriminator, Generator, field_of, start
from ._blocks import ColorNet, at_size
from ._losses import OnePass
from .family import Family, Network

GENERATORS = ("unet", "colornet")
ALL, NONE = 0.98, 0.02  # shares of patches told right above and below which one player has won


class Model(Family):
    """Gray in, colours out; the discriminator is left behind when training ends."""

    trainable = ("generator", "discriminator")

    @dataclass(frozen=True)
    class Config(OnePass):
        """The two players, and what moves them.

        ``generator`` is the paper's U-Net of ``net``, or the `ColorNet` of ``color`` (which may have learnt ImageNet).
        ``patch`` is the side, in pixels of what is painted, that the discriminator judges, ``width`` its filters.
        ``objective`` is ``log`` or ``least-squares``; ``adversarial`` weighs it against the losses of `OnePass`.
        """

        needs = False

        losses: Mapping[str, float] = field(default_factory=lambda: {"l1": 100.0})
        generator: str = "unet"
        net: Generator.Config = field(default_factory=lambda: Generator.Config())
        color: ColorNet.Config = field(default_factory=lambda: ColorNet.Config())
        patch: int = 70
        width: int = 64
        objective: str = "log"
        adversarial: float = 1.0

        def __post_init__(self) -> None:
            super().__post_init__()
            for name, choices in (
                ("generator", GENERATORS),
                ("objective", OBJECTIVES),
                ("patch", tuple(field_of(n) for n in range(6))),
            ):
                if getattr(self, name) not in choices:
                    said = ", ".join(map(str, choices))
                    raise ValueError(f"{name} {getattr(self, name)!r}: choose one of {said}")
            if not 0 < self.adversarial < math.inf:
                raise ValueError(f"adversarial {self.adversarial}: must be above 0; unet is the family without it")
            if self.width < 1:
                raise ValueError(f"width {self.width}: must be at least 1")

    generator: Generator | ColorNet

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.generator == "unet":
            self.generator = Generator(config.net, config.channels).apply(start)
            stride, noise_planes = 1, self.generator.drawn
        else:
            self.generator = ColorNet(config.color, config.channels)
            stride, noise_planes = self.generator.stride, 0
        self.discriminator = Discriminator(1 + config.channels, config.width, config.patch).apply(start)
        self.minimum_size = self.discriminator.minimum_size * stride
        self.procedure = Direct(config.target, config.chroma, noise_planes)
        if config.wants_lab:
            self.gray_convention = "lab"
        self.last: tuple[Tensor, Tensor] | None = None

    def networks(self) -> dict[str, Network]:
        """The network that `Direct` calls."""
        return {"colors": self.generator}

    def learning_rates(self, part: str) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return self.generator.learning_rates() if isinstance(self.generator, ColorNet) and part == "generator" else {}

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray (b, 1, h, w), colour (b, 2 or 3, h, w) -> the player's losses.

        The generator's: the mix, and ``deceives``, what the discriminator makes of its picture. The discriminator's:
        the mean of what it makes of the truth and of the picture, the shares of patches that it tells right, and its
        mean outputs, before any sigmoid.
        """
        judges = OBJECTIVES[self.config.objective]
        if part == "generator":
            painted = self.generator(gray)
            self.last = (gray, painted.detach())
            small, truth = at_size(gray, painted), at_size(color, painted)
            parts = self.config.mix(painted, truth, gray)
            deceives = judges(self.discriminator(torch.cat([small, painted], 1)), True)
            return {**parts, "total": parts["total"] + self.config.adversarial * deceives, "deceives": deceives}
        painted = self._painted(gray)
        small, truth = at_size(gray, painted), at_size(color, painted)
        on_true, on_painted = (self.discriminator(torch.cat([small, x], 1)) for x in (truth, painted))
        middle = 0.0 if self.config.objective == "log" else 0.5
        return {
            "total": (judges(on_true, True) + judges(on_painted, False)) / 2,
            "true_right": (on_true > middle).float().mean(),
            "painted_right": (on_painted <= middle).float().mean(),
            "on_true": on_true.mean(),
            "on_painted": on_painted.mean(),
        }

    def _painted(self, gray: Tensor) -> Tensor:
        """What the generator painted of these when it was its turn, or paints of them now."""
        last, self.last = self.last, None
        if last and last[0] is gray:
            return last[1]
        with torch.no_grad():
            painted: Tensor = self.generator(gray)
        return painted

    def diagnostics(self, means: Mapping[str, float]) -> Iterator[str]:
        """What is wrong with the game, from the means of what was logged of late."""
        right = [means.get(f"discriminator/{name}") for name in ("true_right", "painted_right")]
        if None in right:
            return
        share = sum(x for x in right if x is not None) / 2
        if share > ALL:
            softer = "" if self.config.objective == "least-squares" else ", or take objective least-squares"
            yield (
                f"the discriminator has won: it tells {share:.0%} of patches right, so the generator learns nothing "
                f"from it; lower model.width ({self.config.width}) or optimizer.lr{softer}"
            )
        elif min(x for x in right if x is not None) < NONE:
            yield "the discriminator has lost: it calls everything the same; raise model.width or optimizer.lr"
