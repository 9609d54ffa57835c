"""Parts that several families use unchanged."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..backbones.efficientnet import CHANNELS, EfficientNetLite0
from .family import Network

ENCODERS = ("plain", "efficientnet-lite0")


def conv_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU: (b, channels_in, h, w) -> (b, channels_out, h, w)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU(True)
    )


def at_size(x: Tensor, like: Tensor) -> Tensor:
    """x averaged down to the height and width of another map, which divide its own."""
    return F.avg_pool2d(x, x.shape[-1] // like.shape[-1]) if x.shape[-2:] != like.shape[-2:] else x


class PlainEncoder(nn.Module):
    """The contracting half of a U-Net (Ronneberger et al. 2015), at strides 1, 2, 4, ... with filters doubling."""

    def __init__(self, depth: int, filters: int) -> None:
        super().__init__()
        self.channels = tuple(filters * 2**level for level in range(depth + 1))
        self.size_multiple = 2**depth
        pairs = zip((1, *self.channels), self.channels, strict=False)
        self.levels = nn.ModuleList(nn.Sequential(conv_block(i, o), conv_block(o, o)) for i, o in pairs)

    def forward(self, gray: Tensor) -> list[Tensor]:
        """Gray (b, 1, h, w) in [-1, 1], h and w multiples of 2**depth -> features at strides 1, 2, ..., 2**depth."""
        x, pyramid = gray, []
        for level, block in enumerate(self.levels):
            x = block(F.max_pool2d(x, 2) if level else x)
            pyramid.append(x)
        return pyramid


class ColorNet(Network):
    """A U-Net from a gray photograph to colour maps, of its size or smaller."""

    inputs = {"gray": (1, "h", "w")}  # noqa: RUF012

    @dataclass(frozen=True)
    class Config:
        """One `ENCODERS`; depth and filters of the plain one, or whether the other starts from ImageNet.

        ``frozen`` counts the stages of a pretrained encoder that are not trained further, ``encoder_rate`` slows the
        others. ``dropout`` is the chance of each of the deepest features to be left out. ``widths`` are the decoder's,
        deepest first, each at twice the size of the one before; none: back up to full size, as wide as the encoder.
        """

        encoder: str = "plain"
        depth: int = 4
        filters: int = 32
        pretrained: bool = True
        frozen: int = 0
        encoder_rate: float = 1.0
        dropout: float = 0.0
        widths: tuple[int, ...] = ()

        def __post_init__(self) -> None:
            if self.encoder not in ENCODERS:
                raise ValueError(f"encoder {self.encoder!r}: choose one of {', '.join(ENCODERS)}")
            for name in ("depth", "filters"):
                if getattr(self, name) < 1:
                    raise ValueError(f"{name} {getattr(self, name)}: must be at least 1")
            if not 0 <= self.frozen <= len(CHANNELS):
                raise ValueError(f"frozen {self.frozen}: must be from 0 (none) to {len(CHANNELS)} (all stages)")
            if not self.encoder_rate > 0:
                raise ValueError(f"encoder_rate {self.encoder_rate}: must be above 0; frozen keeps stages as they are")
            if not 0 <= self.dropout < 1:
                raise ValueError(f"dropout {self.dropout}: must be at least 0 and below 1")
            if min(self.widths, default=1) < 1:
                raise ValueError(f"widths {list(self.widths)}: each must be at least 1")

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.config = config
        self.encoder: Any = (
            PlainEncoder(config.depth, config.filters)
            if config.encoder == "plain"
            else EfficientNetLite0(config.pretrained, config.frozen)
        )
        deepest, *skips = self.encoder.channels[::-1]
        widths = config.widths or tuple(skips)
        if len(widths) > len(skips):
            raise ValueError(f"widths {list(widths)}: the encoder has {len(skips)} scales to climb, not {len(widths)}")
        pairs = zip((deepest, *widths), skips, widths, strict=False)
        self.decoder = nn.ModuleList(conv_block(below + skip, width) for below, skip, width in pairs)
        self.head = nn.Sequential(conv_block(widths[-1], widths[-1]), nn.Conv2d(widths[-1], channels, 1))
        self.size_multiple = int(self.encoder.size_multiple)  # the largest stride
        self.channels, self.stride = widths[-1], self.size_multiple // 2 ** len(widths)  # of what the last layer sees

    def learning_rates(self) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return {"encoder.": self.config.encoder_rate}

    def forward(self, gray: Tensor) -> Tensor:
        """Gray (b, 1, h, w) in [-1, 1] -> (b, channels, h / stride, w / stride)."""
        *skips, x = self.encoder(gray)
        x = F.dropout2d(x, self.config.dropout, self.training)
        for block, skip in zip(self.decoder, reversed(skips), strict=False):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], 1))
        return self.head(x)


class Guide(ColorNet):
    """The features from which a `ColorNet` would tell colours; with a rate of 0, as it was when training began."""

    def __init__(self, config: ColorNet.Config, rate: float) -> None:
        super().__init__(config, channels=1)
        self.head = nn.Sequential(self.head[0])
        self.rate = rate
        if not rate:
            self.requires_grad_(False)

    def frozen_weights(self, prefix: str) -> tuple[str, ...]:
        """The names of its weights, where it is not to learn and so needs them from ``--init``."""
        names = () if self.rate else tuple(self.state_dict())  # what counts batches is in no bundle, and says nothing
        return tuple(f"{prefix}.{name}" for name in names if not name.endswith("num_batches_tracked"))

    def train(self, mode: bool = True) -> "Guide":
        """Training mode, unless it is to stay as it is."""
        return super().train(mode and self.rate > 0)
