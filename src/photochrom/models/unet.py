"""Colour by regression: a U-Net from gray to ab (or RGB) under a weighted mix of losses.

The networks of the UPC study of losses in Lab (L1, L2, Huber; any depth and filters; Lab or RGB target), with a plain
encoder or one that has learnt ImageNet.
"""

from dataclasses import dataclass, field

from torch import Tensor

from ..core.sampling import Direct
from ._blocks import ColorNet, at_size
from ._losses import OnePass
from .family import Family, Network


class Model(Family):
    """Gray in, colours out, one network."""

    trainable = ("net",)

    @dataclass(frozen=True)
    class Config(OnePass):
        """The network (see `ColorNet`), and what it learns (see `OnePass`)."""

        net: ColorNet.Config = field(default_factory=lambda: ColorNet.Config())

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = Direct(config.target, config.chroma)
        self.net = ColorNet(config.net, config.channels)
        if config.wants_lab:
            self.gray_convention = "lab"

    def networks(self) -> dict[str, Network]:
        """The network that `Direct` calls."""
        return {"colors": self.net}

    def learning_rates(self, part: str) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return self.net.learning_rates()

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray (b, 1, h, w), colour (b, 2 or 3, h, w) -> the mixed losses at the network's own size."""
        prediction = self.net(gray)
        return self.config.mix(prediction, at_size(color, prediction), gray)
