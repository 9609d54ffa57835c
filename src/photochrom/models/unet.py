"""Color by regression: a U-Net from gray to ab or RGB, under a mix of losses (the UPC study of losses in Lab)."""

from dataclasses import field

from pydantic.dataclasses import dataclass
from torch import Tensor

from ..core.sampling import Direct
from ._blocks import ColorNet, downsample
from ._losses import RegressionConfig
from .family import Family


class Model(Family):
    """Gray in, colors out, one network."""

    @dataclass(frozen=True)
    class Config(RegressionConfig):
        net: ColorNet.Config = field(default_factory=ColorNet.Config)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = Direct(config.target, config.chroma)
        self.gray_convention = config.gray_convention
        self.net = ColorNet(config.net, config.channels)

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the losses at the size of the network's output."""
        prediction = self.net(gray)
        return self.config.total_loss(prediction, downsample(color, prediction), gray)
