"""The core of ColTran: the probability of each coarse color, given the gray image and the coarse colors before it.

The procedure `Autoregressive` calls four networks: ``encoder`` once per image, ``row`` and ``outer`` once per row and
``pixel`` once per pixel. Training runs the same layers over all pixels at once.
"""

from collections.abc import Container, Sequence
from dataclasses import field
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.resample import average_pool
from ...core.sampling.autoregressive import START_OF_ROW, Autoregressive, bits_per_dim, channel_last, coarse_indices
from .._blocks import ColorNet, Guide, downsample
from .._settings import Count, NonNegative, Share
from ..family import Network
from .axial import Axial, Conditions, Layer, Norms, PositionEmbedding, Stack

LEVELS = 256  # of gray, and of each channel of a fine color
LayerPart = Literal["attention", "mlp", "norm"]


def quantize(values: Tensor, levels: int = LEVELS) -> Tensor:
    """Return the index of each value among evenly spaced levels of [-1, 1]."""
    return ((values + 1) * (levels / 2)).clamp(0, levels - 1).long()


@dataclass(frozen=True)
class CoreConfig:
    """Numbers of layers of one shape, and how the core is conditioned and trained."""

    shape: Axial = field(default_factory=Axial)
    encoder: Count = 4  # pairs of layers of the encoder of the gray
    outer: Count = 2  # pairs of layers of the outer decoder, over the rows above
    inner: Count = 2  # layers of the inner decoder, along a row
    conditional: tuple[LayerPart, ...] = ("attention", "mlp", "norm")  # parts of decoder layers that see the gray
    parallel: Share = 0.01  # lambda, the weight of the parallel head's loss
    guide: ColorNet.Config = field(default_factory=ColorNet.Config)  # the guide, if ``sampling.guided``
    guide_rate: NonNegative = 0.0  # relative learning rate of the guide; 0 keeps it as ``--init`` gave it

    @property
    def norms(self) -> tuple[int, int]:
        """Shape of the scales and shifts of conditional norms; without these, of a placeholder."""
        width = self.shape.width
        return (4 * self.outer + 2 * self.inner, 2 * width) if "norm" in self.conditional else (1, width)

    @property
    def memory(self) -> int:
        """Numbers that the outer decoder remembers of each pixel."""
        return 2 * self.shape.width * self.outer * (1 if self.shape.attention == "axial" else 2)


class Encoder(Network):
    """Gray, and a guide's features if there is one -> context, and what sampling starts from."""

    def __init__(self, config: CoreConfig, factor: int, features: int) -> None:
        super().__init__()
        shape = config.shape
        self.inputs = {"gray": (1, "h", "w"), **({"features": (features, "h", "w")} if features else {})}
        self.size_multiple, self.memory = factor, config.memory
        self.levels = nn.Embedding(LEVELS, shape.width)
        self.entry = nn.Linear(features, shape.width) if features else None
        self.stack = Stack(shape, config.encoder)
        self.outer = PositionEmbedding(shape.side, shape.width)
        self.inner = PositionEmbedding(shape.side, shape.width)
        self.norms = Norms(shape.side, shape.width, config.norms[0]) if "norm" in config.conditional else None

    def forward(self, gray: Tensor, features: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gray (b, 1, h, w) in [-1, 1], features (b, c, h, w) -> context, norms, and what is above the first row.

        The context (b, h, w, 3 d): the encoder's output, that with the outer decoder's position embedding added, and
        that with the inner's. Above the first row there are zeros (b, w, d) and an empty memory (b, 0, w, m).
        """
        x = self.levels(quantize(gray[:, 0]))
        if self.entry is not None and features is not None:
            x = x + self.entry(features.movedim(1, -1))
        x = self.stack(x)
        b, h, w, d = x.shape
        norms = self.norms(x) if self.norms else x[:, 0, :1]
        context = torch.cat([x, x + self.outer(h, w), x + self.inner(h, w)], -1)
        return context, norms, x.new_zeros(b, w, d), x.new_zeros(b, 0, w, self.memory)


class DecoderLayers(nn.ModuleList):
    """Conditional layers along these axes; ``masked``: those whose attention is masked and needs what came before.

    A list of layers, not a module that holds one, for the names in published weights; it cannot be sliced.
    """

    def __init__(self, config: CoreConfig, axes: Sequence[str], masked: Container[str]) -> None:
        super().__init__(Layer(config.shape, axis, axis in masked, config.conditional) for axis in axes)
        self.masked = [axis in masked for axis in axes]

    def forward(self, x: Tensor, conditions: Tensor, norms: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (b, h, w, d), `Conditions`, two `Norms` per layer, past -> x, memory, as `Attention` takes and gives it."""
        size, count = conditions.shape[-1] // len(self), sum(self.masked)
        pasts = [None] * count if past is None else list(past.chunk(count, -1))
        memory: list[Tensor] = []
        for i, (layer, masked) in enumerate(zip(self, self.masked, strict=True)):
            layer_past = pasts[len(memory)] if masked else None
            x, new = layer(x, conditions[..., i * size : (i + 1) * size], norms[:, 2 * i : 2 * i + 2], layer_past)
            if masked:
                memory.append(new)
        return x, torch.cat(memory, -1)


class Row(Network):
    """The gray context and the outer decoder's output for the row above -> the condition of the inner decoder."""

    def __init__(self, config: CoreConfig) -> None:
        super().__init__()
        width = config.shape.width
        self.inputs = {"context": ("w", 3 * width), "above": ("w", width)}
        self.memory = 2 * width * config.inner
        self.conditions = Conditions(2 * width, width, config.inner, config.conditional)

    def forward(self, context: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
        """(b, ..., 3 d) and (b, ..., d) -> condition (b, ..., k), and an empty memory of pixels (b, 0, m)."""
        gray, _, start = context.chunk(3, -1)
        condition = torch.cat([start + above, self.conditions(torch.cat([gray, above], -1))], -1)
        return condition, context.new_zeros(len(context), 0, self.memory)


class Pixel(Network):
    """The inner decoder: the logits of each pixel from the colors to its left. ``condition``: numbers per layer."""

    def __init__(self, config: CoreConfig, bits: int, condition: int) -> None:
        super().__init__()
        width, self.bits = config.shape.width, bits
        self.embed = nn.Embedding(8**bits, width)
        self.layers = DecoderLayers(config, ["row"] * config.inner, masked={"row"})
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 8**bits))
        self.inputs = {
            "color": (3,),
            "condition": (width + condition * config.inner,),
            "norms": config.norms,
            "past": ("w", 2 * width * config.inner),
        }

    def forward(self, color: Tensor, condition: Tensor, norms: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """RGB of the pixel before (b, 3), condition (b, k), norms, memory (b, n, m) -> logits, memory of this pixel.

        Before the first pixel of a row, the color is `START_OF_ROW`.
        """
        logits, memory = self.rows(color[:, None, None], condition[:, None, None], norms, past[:, None])
        return logits[:, 0, 0], memory[:, 0, 0]

    def rows(self, color: Tensor, condition: Tensor, norms: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """All pixels at once (b, h, w, .), each with the color before it."""
        width = self.embed.embedding_dim
        has_color = (color[..., :1] != START_OF_ROW).to(condition.dtype)
        x = condition[..., :width] + self.embed(coarse_indices(color, self.bits)) * has_color
        # The last norms are the inner decoder's, two per layer.
        x, memory = self.layers(x, condition[..., width:], norms[:, -2 * len(self.layers) :], past)
        return self.head(x), memory


class Outer(Network):
    """The outer decoder: the colors of a row and of all above it -> what the row below is conditioned on."""

    def __init__(self, config: CoreConfig, bits: int) -> None:
        super().__init__()
        shape, self.bits = config.shape, bits
        self.embed = nn.Embedding(8**bits, shape.width)
        axes = shape.axes() * config.outer
        self.layers = DecoderLayers(config, axes, masked={"column", "both"})
        self.conditions = Conditions(shape.width, shape.width, len(axes), config.conditional)
        self.inputs = {
            "color": ("w", 3),
            "context": ("w", 3 * shape.width),
            "norms": config.norms,
            "past": ("h", "w", config.memory),
        }

    def forward(self, color: Tensor, context: Tensor, norms: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """RGB of a row (b, w, 3), its context, norms, memory (b, n, w, m) -> (b, w, d), and memory of this row."""
        x, memory = self.rows(color[:, None], context[:, None], norms, past)
        return x[:, 0], memory[:, 0]

    def rows(self, color: Tensor, context: Tensor, norms: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All rows at once (b, h, w, .), each with all above it; not yet shifted down."""
        gray, start, _ = context.chunk(3, -1)
        x = start + self.embed(coarse_indices(color, self.bits))
        return self.layers(x, self.conditions(gray), norms, past)


class Core(nn.Module):
    """The encoder, the two decoders, and a parallel head that predicts coarse colors from the context alone."""

    def __init__(self, config: CoreConfig, sampling: Autoregressive) -> None:
        super().__init__()
        self.config, self.sampling = config, sampling
        self.guide = Guide(config.guide, config.guide_rate) if sampling.guided else None
        if self.guide and sampling.factor % self.guide.stride:
            raise ValueError(f"factor {sampling.factor}: must divide by {self.guide.stride}, the guide's stride")
        self.encoder = Encoder(config, sampling.factor, self.guide.channels if self.guide else 0)
        self.row, self.outer = Row(config), Outer(config, sampling.bits)
        self.pixel = Pixel(config, sampling.bits, self.row.conditions.size)
        if config.parallel:
            self.parallel = nn.Linear(config.shape.width, 8**sampling.bits, bias=False)

    def logits(self, gray: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Gray (b, 1, h, w), coarse RGB (b, h', w', 3) -> context, and logits (b, h', w', 8**bits).

        The logits of a pixel depend on the colors before it in raster order.
        """
        small = average_pool(gray, self.sampling.factor)
        features = downsample(self.guide(gray), small) if self.guide else None
        context, norms, _, _ = self.encoder(small, features)
        rows, _ = self.outer.rows(coarse, context, norms)
        above = F.pad(rows[:, :-1], (0, 0, 0, 0, 1, 0))  # moved down by a row
        condition, _ = self.row(context, above)
        before = F.pad(coarse[:, :, :-1], (0, 0, 1, 0), value=START_OF_ROW)  # moved right by a pixel
        return context, self.pixel.rows(before, condition, norms, None)[0]

    def loss(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return (1 - lambda) autoregressive + lambda parallel cross-entropy, in nats per pixel."""
        context, truth, nats = self._score(gray, color)
        autoregressive, weight = nats.mean(), self.config.parallel
        if not weight:
            return {"total": autoregressive, "autoregressive": autoregressive}
        logits = self.parallel(context[..., : self.config.shape.width])
        parallel = F.cross_entropy(logits.flatten(0, 2), truth.flatten())
        total = (1 - weight) * autoregressive + weight * parallel
        return {"total": total, "autoregressive": autoregressive, "parallel": parallel}

    def bits_per_dim(self, gray: Tensor, color: Tensor) -> Tensor:
        """Return -log2 p of each image's coarse colors (b,), per pixel and channel."""
        return bits_per_dim(self._score(gray, color)[2].mean((1, 2)))

    def _score(self, gray: Tensor, color: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Context, true coarse colors by index (b, h', w'), and their negative log-likelihood in nats (b, h', w')."""
        coarse = channel_last(average_pool(color, self.sampling.factor))
        context, logits = self.logits(gray, coarse)
        truth = coarse_indices(coarse, self.sampling.bits)
        return context, truth, F.cross_entropy(logits.movedim(-1, 1), truth, reduction="none")
