"""ColTran, the colorization transformer (Kumar, Weissenborn & Kalchbrenner 2021), in three stages.

The core tells 512 coarse colours pixel by pixel, each from the gray photograph and all colours before it in raster
order; `core.autoregression` draws from it. Two parallel networks then make coarse colours fine and small ones large.
Each stage may be trained by itself, on true colours made coarse or small; `Model.join` puts them together again.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.autoregression import NOTHING, STAGES, Autoregressive, channel_last, palette, pooled, repeated, symbols
from ._axial import CONDITIONAL, Axial, Conditions, Layer, Norms, Places, Stack
from ._blocks import ColorNet, Guide, at_size

LEVELS = 256  # of gray, and of each channel of a fine colour


def level(values: Tensor, levels: int = LEVELS) -> Tensor:
    """Which of so many even steps of [-1, 1] each value is in."""
    return ((values + 1) * (levels / 2)).clamp(0, levels - 1).long()


class Encoder(nn.Module):
    """Gray into a context, once a photograph, and with it all that painting starts from.

    With a guide, features of the whole photograph are added to its levels of gray.
    """

    def __init__(self, config: "Core.Config", factor: int) -> None:
        super().__init__()
        shape, self.factor = config.shape, factor
        self.inputs = {"gray": (1, "h", "w")}
        self.multiple = factor
        self.sizes = (config.memory, shape.width)
        self.levels = nn.Embedding(LEVELS, shape.width)
        self.guide = Guide(config.guide, config.guide_rate) if config.guided else None
        if self.guide:
            if factor % self.guide.stride:
                raise ValueError(f"factor {factor}: must divide by {self.guide.stride}, the guide's own")
            self.multiple = math.lcm(factor, self.guide.multiple)
            self.entry = nn.Conv2d(self.guide.channels, shape.width, 1)
        self.stack = Stack(shape, config.encoder)
        self.outer, self.inner = Places(shape.side, shape.width), Places(shape.side, shape.width)
        self.norms = Norms(shape.side, shape.width, 4 * config.outer + 2 * config.inner) if config.normed else None

    def forward(self, gray: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gray (b, 1, h, w) in [-1, 1] -> context, norms, and what the first row has above it and remembers: nothing.

        The context (b, h', w', 3 d) is followed by itself where the outer decoder begins, and the inner.
        """
        x = self.levels(level(pooled(gray, self.factor)[:, 0]))
        if self.guide:
            features = self.entry(self.guide(gray))
            x = x + at_size(features, gray[:, :, :: self.factor, :: self.factor]).movedim(1, -1)
        x = self.stack(x)
        b, h, w, d = x.shape
        norms = self.norms(x) if self.norms else x[:, 0, :1]
        context = torch.cat([x, x + self.outer(h, w), x + self.inner(h, w)], -1)
        return context, norms, x.new_zeros(b, w, d), x.new_zeros(b, 0, w, self.sizes[0])


class Row(nn.Module):
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


class Pixel(nn.Module):
    """The inner decoder: along a row, each pixel's logits from the colours to the left of it."""

    def __init__(self, config: "Core.Config", bits: int) -> None:
        super().__init__()
        width, self.bits = config.shape.width, bits
        self.embed = nn.Embedding(8**bits, width)
        self.layers = nn.ModuleList(
            Layer(config.shape, "row", True, config.conditional) for _ in range(config.inner)
        )
        self.size = config.condition
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 8**bits))
        self.inputs = {
            "color": (3,),
            "condition": (width + self.size * config.inner,),
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
        there = (before[..., :1] > (NOTHING - 1) / 2).to(condition.dtype)
        x = condition[..., :width] + self.embed(symbols(before, self.bits)) * there
        memories = [None] * len(self.layers) if past is None else past.chunk(len(self.layers), -1)
        found = []
        for i, (layer, memory) in enumerate(zip(self.layers, memories, strict=True)):
            told = condition[..., width + i * self.size : width + (i + 1) * self.size]
            x, new = layer(x, told, norms[:, -2 * (len(self.layers) - i) :][:, :2], memory)
            found.append(new)
        return self.head(x), torch.cat(found, -1)


class Outer(nn.Module):
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
        in the loss. ``guided``: the encoder is also shown the features of a `ColorNet`, whose learning ``guide_rate``
        slows; 0 keeps it as ``--init`` gave it.
        """

        shape: Axial = field(default_factory=Axial)
        encoder: int = 4
        outer: int = 2
        inner: int = 2
        conditional: tuple[str, ...] = CONDITIONAL
        parallel: float = 0.01
        guided: bool = False
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
        def normed(self) -> bool:
            """Whether norms are conditional."""
            return "norm" in self.conditional

        @property
        def norms(self) -> tuple[int, int]:
            """The shape of what scales and shifts them."""
            return (4 * self.outer + 2 * self.inner, 2 * self.shape.width) if self.normed else (1, self.shape.width)

        @property
        def memory(self) -> int:
            """Numbers that the outer decoder remembers of each pixel."""
            return 2 * self.shape.width * self.outer * (1 if self.shape.attention == "axial" else 2)

        @property
        def condition(self) -> int:
            """Numbers that condition one layer of the inner decoder at a pixel."""
            return self.shape.width * (6 * ("attention" in self.conditional) + 2 * ("mlp" in self.conditional))

    def __init__(self, config: Config, factor: int, bits: int) -> None:
        super().__init__()
        self.config, self.factor, self.bits = config, factor, bits
        self.encoder, self.row = Encoder(config, factor), Row(config)
        self.pixel, self.outer = Pixel(config, bits), Outer(config, bits)
        if config.parallel:
            self.parallel = nn.Linear(config.shape.width, 8**bits, bias=False)

    def networks(self) -> dict[str, nn.Module]:
        """Those that `Autoregressive` calls, each once a photograph, a row, a pixel and a row."""
        return {"encoder": self.encoder, "row": self.row, "pixel": self.pixel, "outer": self.outer}

    def rates(self) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return {"encoder.guide.": self.config.guide_rate}

    def logits(self, gray: Tensor, color: Tensor) -> tuple[Tensor, Tensor]:
        """Gray (b, 1, h, w), coarse RGB (b, h', w', 3) -> context, and logits (b, h', w', 8**bits), each colour told those before it."""
        context, norms, _, _ = self.encoder(gray)
        above = shifted(self.outer.rows(color, context, norms)[0], 1)
        flat = [x.flatten(1, 2) for x in (context, above)]
        condition = self.row(*flat)[0].unflatten(1, context.shape[1:3])
        return context, self.pixel.rows(shifted(color, 2, NOTHING), condition, norms)[0]

    def loss(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray and RGB in [-1, 1] -> (1 - lambda) autoregressive + lambda parallel cross-entropy, in nats a pixel."""
        coarse = channel_last(pooled(color, self.factor))
        context, logits = self.logits(gray, coarse)
        truth = symbols(coarse, self.bits).flatten()
        found = {"autoregressive": F.cross_entropy(logits.flatten(0, 2), truth)}
        if not self.config.parallel:
            return {"total": found["autoregressive"], **found}
        beside = self.parallel(context[..., : self.config.shape.width])
        found["parallel"] = F.cross_entropy(beside.flatten(0, 2), truth)
        share = self.config.parallel
        return {"total": (1 - share) * found["autoregressive"] + share * found["parallel"], **found}

    def bits_per_dim(self, gray: Tensor, color: Tensor) -> Tensor:
        """-log2 p of each photograph's coarse colours (b,), over pixels and channels."""
        coarse = channel_last(pooled(color, self.factor))
        logits, truth = self.logits(gray, coarse)[1], symbols(coarse, self.bits)
        nats = F.cross_entropy(logits.movedim(-1, 1), truth, reduction="none")
        return nats.mean((1, 2)) / (3 * math.log(2))


class Upsampler(nn.Module):
    """Each channel of a picture told again, one of 256 levels at every pixel, from it and the gray alone.

    The ``color`` one is given channels of 2**bits levels, the ``spatial`` one of 256. Which channel it is, its levels
    say. Training sees one channel of each photograph, at random.
    """

    chooses = True

    @dataclass(frozen=True)
    class Config:
        """The shape of its layers, and how many pairs of them."""

        shape: Axial = field(default_factory=lambda: Axial(width=64))
        layers: int = 2

        def __post_init__(self) -> None:
            if self.layers < 1:
                raise ValueError(f"layers {self.layers}: must be at least 1")

    def __init__(self, config: Config, levels: int, multiple: int = 1) -> None:
        super().__init__()
        self.inputs = {"gray": (1, "h", "w"), "color": (3, "h", "w")}
        self.given, self.multiple = levels, multiple
        width = config.shape.width
        self.gray, self.channel = nn.Embedding(LEVELS, width), nn.Embedding(3 * levels, width)
        self.entry, self.stack = nn.Linear(2 * width, width), Stack(config.shape, config.layers)
        self.head = nn.Linear(width, LEVELS)

    def logits(self, gray: Tensor, plane: Tensor, channel: Tensor) -> Tensor:
        """Gray (b, 1, h, w), one channel (b, h, w) in [-1, 1], which it is (b,) -> (b, h, w, 256)."""
        known = self.channel(level(plane, self.given) + self.given * channel[:, None, None])
        return self.head(self.stack(self.entry(torch.cat([known, self.gray(level(gray[:, 0]))], -1))))

    def forward(self, gray: Tensor, color: Tensor) -> Tensor:
        """Gray (b, 1, h, w), RGB (b, 3, h, w) in [-1, 1] -> the likeliest RGB (b, 3, h, w), channel by channel."""
        planes = []
        for channel in range(3):
            which = torch.full_like(gray[:, 0, 0, 0], channel).long()
            planes.append(self.logits(gray, color[:, channel], which).argmax(-1))
        return (torch.stack(planes, 1) + 0.5) * (2 / LEVELS) - 1

    def loss(self, gray: Tensor, given: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray, what is given and what is true, all (b, ., h, w) -> cross-entropy of a random channel, nats a pixel."""
        channel = torch.randint(3, (len(color),), device=color.device)
        each = torch.arange(len(color), device=color.device)
        logits = self.logits(gray, given[each, channel], channel)
        return {"total": F.cross_entropy(logits.flatten(0, 2), level(color[each, channel]).flatten())}


class Model(nn.Module):
    """The stages that ``sampling`` names, each a player of its own."""

    stages: ClassVar[tuple[str, ...]] = STAGES

    @dataclass(frozen=True)
    class Config:
        """The three stages' networks, and how they are sampled: which ``sampling.stages`` there are to be trained."""

        core: Core.Config = field(default_factory=lambda: Core.Config())
        color: Upsampler.Config = field(default_factory=lambda: Upsampler.Config())
        spatial: Upsampler.Config = field(default_factory=lambda: Upsampler.Config())
        sampling: Autoregressive = field(default_factory=Autoregressive)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.procedure = config, config.sampling
        self.players = self.procedure.stages
        factor, bits = self.procedure.factor, self.procedure.bits
        if "core" in self.players:
            self.core = Core(config.core, factor, bits)
        if "color" in self.players:
            self.color = Upsampler(config.color, 2**bits, factor)
        if "spatial" in self.players:
            self.spatial = Upsampler(config.spatial, LEVELS, factor)

    def networks(self) -> dict[str, nn.Module]:
        """Those that `Autoregressive` calls."""
        core = self.core.networks() if "core" in self.players else {}
        return core | {stage: getattr(self, stage) for stage in self.players if stage != "core"}

    def rates(self, player: str) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return self.core.rates() if player == "core" else {}

    def start(self, gray: Tensor, color: Tensor, noise: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        """What is given to stages without a core, as large as the gray, and the gray (b, 1, h, w)."""
        first = self.players[0]
        return repeated(self.given(first, color), self.procedure.factor), gray

    def given(self, stage: str, color: Tensor) -> Tensor:
        """What a later stage is given of true colours (b, 3, h, w): small ones, coarse for the first of these."""
        small, factor = pooled(color, self.procedure.factor), self.procedure.factor
        if stage == "spatial":
            return small
        coarse = symbols(channel_last(small), self.procedure.bits)
        return palette(small, self.procedure.bits)[coarse].movedim(-1, 1)

    def loss(self, player: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray (b, 1, h, w), RGB (b, 3, h, w) in [-1, 1] -> the stage's cross-entropy, in nats a pixel."""
        factor = self.procedure.factor
        if player == "core":
            return self.core.loss(gray, color)
        given = self.given(player, color)
        if player == "color":
            return self.color.loss(pooled(gray, factor), given, pooled(color, factor))
        return self.spatial.loss(gray, repeated(given, factor), color)

    def measures(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """What the core knows of each photograph's coarse colours (b,), in bits per dimension: a channel of a pixel."""
        return {"bits_per_dim": self.core.bits_per_dim(gray, color)} if "core" in self.players else {}
