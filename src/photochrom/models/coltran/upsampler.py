"""The later stages of ColTran, which refine each channel of an image in parallel."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._checks import check_choice, check_minimum
from ..family import Network
from .axial import Axial, Stack
from .core import LEVELS, quantize

PICKS = ("mean", "likeliest")
# Added to the mean, in levels: if no level is likely the mean is halfway between two, and rounding would decide which
# of them the next stage sees.
TIE_BREAK = 0.01


class Upsampler(Network):
    """Predicts one of 256 levels at every pixel of a channel, from that channel in fewer levels or pixels and the gray.

    Training takes one random channel of each image; the loss in eval mode takes all three.
    """

    discrete_output = True

    @dataclass(frozen=True)
    class Config:
        """Settings of the network."""

        shape: Axial = field(default_factory=lambda: Axial(width=64))
        layers: int = 2  # pairs along rows and columns
        # The level to pick: the paper has the likeliest. Where no level is likely, that is often the first or the last,
        # where saturated colors pile up: blotches of lime in a blue sky.
        pick: str = "mean"

        def __post_init__(self) -> None:
            check_choice("pick", self.pick, PICKS)
            check_minimum(1, layers=self.layers)

    def __init__(self, config: Config, levels: int, size_multiple: int = 1) -> None:
        super().__init__()
        self.inputs = {"gray": (1, "h", "w"), "plane": (1, "h", "w"), "channel": ()}
        self.levels, self.size_multiple, self.pick = levels, size_multiple, config.pick
        width = config.shape.width
        self.gray, self.channel = nn.Embedding(LEVELS, width), nn.Embedding(3 * levels, width)
        self.entry, self.stack = nn.Linear(2 * width, width), Stack(config.shape, config.layers)
        self.head = nn.Linear(width, LEVELS)

    def logits(self, gray: Tensor, plane: Tensor, channel: Tensor) -> Tensor:
        """Gray (b, 1, h, w), a channel (b, h, w) in [-1, 1], its index (b,) -> (b, h, w, 256)."""
        color = self.channel(quantize(plane, self.levels) + self.levels * channel[:, None, None])
        return self.head(self.stack(self.entry(torch.cat([color, self.gray(quantize(gray[:, 0]))], -1))))

    def forward(self, gray: Tensor, plane: Tensor, channel: Tensor) -> Tensor:
        """Gray and a channel (b, 1, h, w) in [-1, 1], its index 0 to 2 (b,) -> that channel refined (b, 1, h, w)."""
        logits = self.logits(gray, plane[:, 0], channel.round().clamp(0, 2).long())
        if self.pick == "mean":
            levels = torch.arange(LEVELS, dtype=logits.dtype, device=logits.device)
            level = logits.softmax(-1) @ levels + TIE_BREAK
        else:
            level = logits.argmax(-1) + 0 * logits.sum(-1)  # NaN stays NaN
        return ((level + 0.5) * (2 / LEVELS) - 1)[:, None]

    def loss(self, gray: Tensor, inputs: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray, input and true colors (b, ., h, w) -> cross-entropy in nats per pixel and channel."""
        count, device = len(color), color.device
        if self.training:
            channels = [torch.randint(3, (count,), device=device)]
        else:
            channels = [torch.full((count,), channel, device=device) for channel in range(3)]
        images = torch.arange(count, device=device)
        losses = []
        for channel in channels:
            logits = self.logits(gray, inputs[images, channel], channel)
            losses.append(F.cross_entropy(logits.flatten(0, 2), quantize(color[images, channel]).flatten()))
        return {"total": torch.stack(losses).mean()}
