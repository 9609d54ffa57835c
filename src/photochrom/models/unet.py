"""Colour by regression: a U-Net from gray to ab (or RGB) under a weighted mix of losses.

The networks of the UPC study of losses in Lab (L1, L2, Huber; any depth and filters; Lab or RGB target), with a plain
encoder or one that has learnt ImageNet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from ..core.sampling import Direct
from ._blocks import ColorNet, at_size
from ._losses import Mix


class Model(nn.Module):
    """Gray in, colours out, one network."""

    players = ("net",)

    @dataclass(frozen=True)
    class Config:
        """The network (see `ColorNet`), the target (``ab`` or ``rgb``) and the losses (see `_losses.Mix`).

        ``chroma`` multiplies what is painted: a mean of several possible colours is paler than any of them.
        """

        net: ColorNet.Config = field(default_factory=lambda: ColorNet.Config())
        target: str = "ab"
        chroma: float = 1.0
        losses: Mapping[str, float] = field(default_factory=lambda: {"huber": 1.0})
        delta: float = 5.0
        layers: tuple[int, ...] = (1, 2)

        @property
        def mix(self) -> Mix:
            """The losses, to be called."""
            return Mix(self.losses, self.delta, self.layers)

        def __post_init__(self) -> None:
            _ = self.mix
            if self.target not in ("ab", "rgb"):
                raise ValueError(f"target {self.target!r}: choose ab or rgb")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.procedure = Direct(config.target, config.chroma)
        if config.mix.looks and config.target == "ab":
            self.gray = "lab"
        self.net = ColorNet(config.net, channels={"ab": 2, "rgb": 3}[config.target])

    def networks(self) -> dict[str, nn.Module]:
        """The network that `Direct` calls."""
        return {"colors": self.net}

    def rates(self, player: str) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return self.net.rates()

    def loss(self, player: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray (b, 1, h, w), colour (b, 2 or 3, h, w) -> the mixed losses at the network's own size."""
        prediction = self.net(gray)
        return self.config.mix(prediction, at_size(color, prediction), gray)
