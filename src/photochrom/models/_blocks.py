"""Networks and layers that several families share."""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from ..backbones.efficientnet import STAGES, EfficientNetLite, Version
from ._settings import Count, Positive, Share
from .family import Network


def conv_block(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return a 3 x 3 convolution with batch norm and ReLU."""
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU(True))


def downsample(x: Tensor, like: Tensor) -> Tensor:
    """Return x averaged down to the height and width of another map, which must divide its own."""
    if x.shape[-2:] == like.shape[-2:]:
        return x
    return F.avg_pool2d(x, x.shape[-1] // like.shape[-1])


class PlainEncoder(nn.Module):
    """The contracting half of a U-Net (Ronneberger et al. 2015), whose filters double from scale to scale."""

    def __init__(self, depth: Count, filters: int) -> None:
        super().__init__()
        self.channels = tuple(filters * 2**level for level in range(depth + 1))
        self.size_multiple = 2**depth
        self.levels = nn.ModuleList()
        for before, width in pairwise((1, *self.channels)):
            self.levels.append(nn.Sequential(conv_block(before, width), conv_block(width, width)))

    def forward(self, gray: Tensor) -> list[Tensor]:
        """Gray (b, 1, h, w) in [-1, 1] -> features at strides 1, 2, 4, ..., 2**depth."""
        x, pyramid = gray, []
        for level, block in enumerate(self.levels):
            x = block(F.max_pool2d(x, 2) if level else x)
            pyramid.append(x)
        return pyramid


class ColorNet(Network):
    """A U-Net from a gray image to color maps of its size or smaller."""

    inputs = {"gray": (1, "h", "w")}  # noqa: RUF012

    @dataclass(frozen=True)
    class Config:
        encoder: Literal["plain", Version] = "plain"  # plain: as U-Net has it; others can be pretrained
        depth: Count = 4  # number of scales of the plain encoder below the first
        filters: Count = 32  # channels at the first scale of the plain encoder; they double from scale to scale
        pretrained: bool = True  # begin any other encoder with its weights of ImageNet
        frozen: Annotated[int, Field(ge=0, le=STAGES)] = 0  # number of its first stages that are not trained
        encoder_rate: Positive = 1.0  # learning rate of the encoder, relative to `optimizer.lr`
        dropout: Share = 0.0  # share of the deepest features that is left out in training
        # Channels of the decoder's blocks, deepest first, each at twice the size of the one before. If empty, the
        # decoder mirrors the encoder up to full size.
        widths: tuple[Count, ...] = ()

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.learning_rates = {"encoder.": config.encoder_rate}
        self.encoder: PlainEncoder | EfficientNetLite
        if config.encoder == "plain":
            self.encoder = PlainEncoder(config.depth, config.filters)
        else:
            self.encoder = EfficientNetLite(config.encoder, config.pretrained, config.frozen)
        below, *skips = self.encoder.channels[::-1]
        widths = config.widths or tuple(skips)
        if len(widths) > len(skips):
            raise ValueError(f"widths {list(widths)}: the encoder has {len(skips)} scales to climb, not {len(widths)}")
        self.decoder = nn.ModuleList()
        for skip, width in zip(skips, widths, strict=False):
            self.decoder.append(conv_block(below + skip, width))
            below = width
        self.head = nn.Sequential(conv_block(below, below), nn.Conv2d(below, channels, 1))
        self.channels = below  # of the features before the last layer
        self.size_multiple = self.encoder.size_multiple
        self.stride = self.size_multiple // 2 ** len(widths)

    def forward(self, gray: Tensor) -> Tensor:
        """Gray (b, 1, h, w) in [-1, 1] -> (b, channels, h / stride, w / stride)."""
        *skips, x = self.encoder(gray)
        x = F.dropout2d(x, self.dropout, self.training)
        for block, skip in zip(self.decoder, reversed(skips), strict=False):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], 1))
        return self.head(x)


class Guide(ColorNet):
    """The features before the last layer of a `ColorNet`; with a ``rate`` of 0 they stay as they are."""

    def __init__(self, config: ColorNet.Config, rate: float) -> None:
        super().__init__(config, channels=1)
        self.head = nn.Sequential(self.head[0])
        self.rate, self.learning_rates = rate, {"": rate}  # all names begin with ""
        if not rate:
            self.requires_grad_(False)

    def train(self, mode: bool = True) -> "Guide":
        """Set training mode, in which a guide that is not trained keeps its statistics."""
        return super().train(mode and self.rate > 0)
