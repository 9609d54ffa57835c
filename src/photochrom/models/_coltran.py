"""The core of ColTran: from a gray photograph, and the coarse colours before it, to how likely each coarse colour is.

Four networks that `core.autoregression` calls, once a photograph (encoder), a row (row, outer) and a pixel; training
runs the same layers over all pixels at once.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.sampling.autoregressive import START_OF_ROW, Autoregressive, bits_per_dim, channel_last, pooled, symbols
from ._axial import CONDITIONAL, Axial, Conditions, Layer, Norms, Places, Stack
from ._blocks import ColorNet, Guide, at_size
from .family import Network

LEVELS = 256  # of gray, and of each channel of a fine colour


def level(values: Tensor, levels: int = LEVELS) -> Tensor:
    """Which of so many even steps of [-1, 1] each value is in."""
    return ((values + 1) * (levels / 2)).clamp(0, levels - 1).long()


class Encoder(Network):
    """Gray into a context, once a photograph, and with it all that painting starts from.

    With a guide, its features are added to the levels of gray.
    """

    def __init__(self, config: "Core.Config", factor: int, features: int) -> None:
        super().__init__()
        shape = config.shape
        self.inputs = {"gray": (1, "h", "w")} | ({"features": (features, "h", "w")} if features else {})
        self.size_multiple, self.memory = factor, config.memory
        self.levels = nn.Embedding(LEVELS, shape.width)
        self.entry = nn.Linear(features, shape.width) if features else None
        self.stack = Stack(shape, config.encoder)
        self.outer, self.inner = Places(shape.side, shape.width), Places(shape.side, shape.width)
        self.norms = Norms(shape.side, shape.width, config.norms[0]) if "norm" in config.conditional else None

    def forward(self, gray: Tensor, features: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gray (b, 1, h, w) in [-1, 1], features (b, c, h, w) -> context, norms, what is above, what is remembered.

        The context (b, h, w, 3 d) is three maps: what the encoder found, that with the outer decoder's places added,
        and that with the inner's. Nothing stands above the first row (b, w, d), and nothing (b, 0, w, m) is remembered.
        """
        x = self.levels(level(gray[:, 0]))
        if self.entry is not None and features is not None:
            x = x + self.entry(features.movedim(1, -1))
        x = self.stack(x)
        b, h, w, d = x.shape
        norms = self.norms(x) if self.norms else x[:, 0, :1]
        context = torch.cat([x, x + self.outer(h, w), x + self.inner(h, w)], -1)
        return context, norms, x.new_zeros(b, w, d), x.new_zeros(b, 0, w, self.memory)


class Row(Network):
    """What a row of the inner decoder begins with, and is conditioned by: the gray context and what stands above it."""

    def __init__(self, config: "Core.Config") -> None:
        super().__init__()
        width = config.shape.width
        self.inputs = {"context": ("w", 3 * width), "above": ("w", width)}
        self.memory = 2 * width * config.inner
        self.conditions = Conditions(2 * width, width, config.inner, config.conditional)

    def forward(self, context: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
        """(b, w, 3 d) and (b, w, d) -> condition (b, w, k), and an empty memory of pixels (b, 0, m)."""
        gray, _, start = context.chunk(3, -1)
        condition = torch.cat([start + above, self.conditions(torch.cat([gray, above], -1))], -1)
        return condition, context.new_zeros(len(context), 0, self.memory)


class Pixel(Network):
    """The inner decoder: along a row, each pixel's logits from the colours to the left of it."""

    def __init__(self, config: "Core.Config", bits: int, size: int) -> None:
        """``size``: numbers that condition one layer at a pixel."""
        super().__init__()
        width, self.bits, self.size = config.shape.width, bits, size
        self.embed = nn.Embedding(8**bits, width)
        self.layers = nn.ModuleList(Layer(config.shape, "row", True, config.conditional) for _ in range(config.inner))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 8**bits))
        self.inputs = {
            "color": (3,),
            "condition": (width + size * config.inner,),
            "norms": config.norms,
            "past": ("w", 2 * width * config.inner),
        }

    def forward(self, color: Tensor, condition: Tensor, norms: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """RGB of the pixel before (b, 3), condition (b, k), norms, memory (b, n, m) -> logits, memory of this pixel."""
        logits, new = self.rows(color[:, None, None], condition[:, None, None], norms, past[:, None])
        return logits[:, 0, 0], new[:, 0, 0]

    def rows(
        self, before: Tensor, condition: Tensor, norms: Tensor, past: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All pixels at once: colours already shifted to the right (b, h, w, 3) -> logits (b, h, w, 8**bits)."""
        width = self.embed.embedding_dim
        there = (before[..., :1] > (START_OF_ROW - 1) / 2).to(condition.dtype)
        x = condition[..., :width] + self.embed(symbols(before, self.bits)) * there
        memories = [None] * len(self.layers) if past is None else past.chunk(len(self.layers), -1)
        found = []
        for i, (layer, memory) in enumerate(zip(self.layers, memories, strict=True)):
            told = condition[..., width + i * self.size : width + (i + 1) * self.size]
            x, new = layer(x, told, norms[:, -2 * (len(self.layers) - i) :][:, :2], memory)
            found.append(new)
        return self.head(x), torch.cat(found, -1)


class Outer(Network):
    """The outer decoder: a row's colours, and all above it, into what the row below it begins with."""

    def __init__(self, config: "Core.Config", bits: int) -> None:
        super().__init__()
        shape, self.bits = config.shape, bits
        self.embed = nn.Embedding(8**bits, shape.width)
        axes = shape.axes() * config.outer
        self.remembers = [axis != "row" for axis in axes]
        self.layers = nn.ModuleList(Layer(shape, axis, axis != "row", config.conditional) for axis in axes)
        self.conditions = Conditions(shape.width, shape.width, len(axes), config.conditional)
        self.inputs = {
            "color": ("w", 3),
            "context": ("w", 3 * shape.width),
            "norms": config.norms,
            "past": ("h", "w", config.memory),
        }

    def forward(self, color: Tensor, context: Tensor, norms: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """RGB of a row (b, w, 3), its context, norms, memory (b, n, w, m) -> (b, w, d), and memory of this row."""
        found, new = self.rows(color[:, None], context[:, None], norms, past)
        return found[:, 0], new[:, 0]

    def rows(self, color: Tensor, context: Tensor, norms: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All rows at once (b, h, w, .), each with all above it; not yet shifted down."""
        gray, start, _ = context.chunk(3, -1)
        conditions, size = self.conditions(gray), self.conditions.size
        x = start + self.embed(symbols(color, self.bits))
        memories = iter([None] * len(self.layers) if past is None else past.chunk(sum(self.remembers), -1))
        found = []
        for i, (layer, remembers) in enumerate(zip(self.layers, self.remembers, strict=True)):
            memory = next(memories) if remembers else None
            x, new = layer(x, conditions[..., i * size : (i + 1) * size], norms[:, 2 * i : 2 * i + 2], memory)
            found += [new] if remembers else []
        return x, torch.cat(found, -1)


def shifted(x: Tensor, dim: int, fill: float = 0.0) -> Tensor:
    """x one place further along a dimension: what enters is ``fill``, the last falls out."""
    first = torch.full_like(x.narrow(dim, 0, 1), fill)
    return torch.cat([first, x.narrow(dim, 0, x.shape[dim] - 1)], dim)


class Core(nn.Module):
    """The encoder and the two decoders, and the parallel head that tells coarse colours from the context alone."""

    @dataclass(frozen=True)
    class Config:
        """The shape of all layers, how many the ``encoder`` and the ``outer`` and ``inner`` decoders have.

        ``conditional``: which parts of the decoders' layers are. ``parallel`` is lambda, the share of the parallel head
        in the loss. ``guide`` is the network whose features the encoder is shown where ``sampling.guided``; its
        learning ``guide_rate`` slows, and 0 keeps it as ``--init`` gave it.
        """

        shape: Axial = field(default_factory=Axial)
        encoder: int = 4
        outer: int = 2
        inner: int = 2
        conditional: tuple[str, ...] = CONDITIONAL
        parallel: float = 0.01
        guide: ColorNet.Config = field(default_factory=lambda: ColorNet.Config())
        guide_rate: float = 0.0

        def __post_init__(self) -> None:
            if min(self.encoder, self.outer, self.inner) < 1:
                raise ValueError("encoder, outer, inner: each must be at least 1 layer")
            if unknown := set(self.conditional) - set(CONDITIONAL):
                raise ValueError(f"conditional {sorted(unknown)}: choose some or none of {', '.join(CONDITIONAL)}")
            if not 0 <= self.parallel < 1:
                raise ValueError(f"parallel {self.parallel}: must be from 0 to below 1; the paper has 0.01")
            if not self.guide_rate >= 0:
                raise ValueError(f"guide_rate {self.guide_rate}: must be at least 0")

        @property
        def norms(self) -> tuple[int, int]:
            """The shape of what scales and shifts conditional norms; where there are none, of something unused."""
            width = self.shape.width
            return (4 * self.outer + 2 * self.inner, 2 * width) if "norm" in self.conditional else (1, width)

        @property
        def memory(self) -> int:
            """Numbers that the outer decoder remembers of each pixel."""
            return 2 * self.shape.width * self.outer * (1 if self.shape.attention == "axial" else 2)

    def __init__(self, config: Config, sampling: Autoregressive) -> None:
        super().__init__()
        self.config, self.sampling = config, sampling
        self.guide = Guide(config.guide, config.guide_rate) if sampling.guided else None
        if self.guide and sampling.factor % self.guide.stride:
            raise ValueError(
                f"factor {sampling.factor}: must divide by {self.guide.stride}, at which its guide gives features"
            )
        self.encoder = Encoder(config, sampling.factor, self.guide.channels if self.guide else 0)
        self.row, self.outer = Row(config), Outer(config, sampling.bits)
        self.pixel = Pixel(config, sampling.bits, self.row.conditions.size)
        if config.parallel:
            self.parallel = nn.Linear(config.shape.width, 8**sampling.bits, bias=False)

    def networks(self) -> dict[str, Network]:
        """Those that `Autoregressive` calls: once a photograph, a row, a pixel and a row."""
        guide: dict[str, Network] = {"guide": self.guide} if self.guide else {}
        return {**guide, "encoder": self.encoder, "row": self.row, "pixel": self.pixel, "outer": self.outer}

    def learning_rates(self) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return {"guide.": self.config.guide_rate}

    def logits(self, gray: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Gray (b, 1, h, w), coarse RGB (b, h', w', 3) -> context, and logits (b, h', w', 8**bits).

        Those of each pixel are told the colours before it in raster order.
        """
        small = pooled(gray, self.sampling.factor)
        features = at_size(self.guide(gray), small) if self.guide else None
        context, norms, _, _ = self.encoder(small, features)
        above = shifted(self.outer.rows(coarse, context, norms)[0], 1)
        condition, _ = self.row(context.flatten(1, 2), above.flatten(1, 2))
        before = shifted(coarse, 2, START_OF_ROW)
        return context, self.pixel.rows(before, condition.unflatten(1, context.shape[1:3]), norms)[0]

    def loss(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray and RGB in [-1, 1] -> (1 - lambda) autoregressive + lambda parallel cross-entropy, in nats a pixel."""
        coarse = channel_last(pooled(color, self.sampling.factor))
        context, logits = self.logits(gray, coarse)
        truth = symbols(coarse, self.sampling.bits).flatten()
        found = {"autoregressive": F.cross_entropy(logits.flatten(0, 2), truth)}
        if not self.config.parallel:
            return {"total": found["autoregressive"], **found}
        beside = self.parallel(context[..., : self.config.shape.width])
        found["parallel"] = F.cross_entropy(beside.flatten(0, 2), truth)
        share = self.config.parallel
        return {"total": (1 - share) * found["autoregressive"] + share * found["parallel"], **found}

    def bits_per_dim(self, gray: Tensor, color: Tensor) -> Tensor:
        """-log2 p of each photograph's coarse colours (b,), over pixels and channels."""
        coarse = channel_last(pooled(color, self.sampling.factor))
        logits, truth = self.logits(gray, coarse)[1], symbols(coarse, self.sampling.bits)
        nats = F.cross_entropy(logits.movedim(-1, 1), truth, reduction="none")
        return bits_per_dim(nats.mean((1, 2)))
