"""ColTran, the colorization transformer (Kumar, Weissenborn & Kalchbrenner 2021), in three stages.

The core predicts 512 coarse colors pixel by pixel, each from the gray image and all colors before it in raster order;
`Autoregressive` samples from it. Two parallel networks then refine the colors and enlarge them. Each stage can be
trained alone, on true colors made coarse or small; `Model.merge_stages` joins the stages.
"""

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.resample import average_pool, upsample_nearest
from ...core.sampling.autoregressive import STAGES, Autoregressive, make_coarse
from .._settings import Count
from ..family import Family, Network
from .axial import Axial, Stack
from .core import LEVELS, Core, CoreConfig, quantize

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
        shape: Axial = field(default_factory=lambda: Axial(width=64))
        layers: Count = 2  # pairs of layers, along rows and columns
        # Level to take: the paper has the likeliest. Where no level is likely, that is often the first or the last,
        # where saturated colors pile up: blotches of lime in a blue sky.
        pick: Literal["mean", "likeliest"] = "mean"

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
        images = torch.arange(len(color), device=color.device)
        if self.training:
            channels = [torch.randint_like(images, 3)]
        else:
            channels = [torch.full_like(images, channel) for channel in range(3)]
        losses = []
        for channel in channels:
            logits = self.logits(gray, inputs[images, channel], channel)
            losses.append(F.cross_entropy(logits.flatten(0, 2), quantize(color[images, channel]).flatten()))
        return {"total": torch.stack(losses).mean()}


class Model(Family):
    """The stages in ``sampling.stages``, each trained with an optimizer of its own."""

    @dataclass(frozen=True)
    class Config:
        core: CoreConfig = field(default_factory=CoreConfig)
        color: Upsampler.Config = field(default_factory=Upsampler.Config)
        spatial: Upsampler.Config = field(default_factory=Upsampler.Config)
        sampling: Autoregressive = field(default_factory=Autoregressive)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = config.sampling
        self.trainable = self.procedure.stages
        factor, bits = self.procedure.factor, self.procedure.bits
        if "core" in self.trainable:
            self.core = Core(config.core, self.procedure)
            if self.core.guide:  # which starts from a model that predicts colors in one pass
                self.pretrained_from = "unet or classify"
        if "color" in self.trainable:
            self.color = Upsampler(config.color, 2**bits, factor)
        if "spatial" in self.trainable:
            self.spatial = Upsampler(config.spatial, LEVELS, factor)

    def degraded_input(self, gray: Tensor, color: Tensor, noise: Callable[..., Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return the input of the first stage, at the size of the gray, and the gray; for stages without a core."""
        return upsample_nearest(self.stage_input(self.trainable[0], color), self.procedure.factor), gray

    def stage_input(self, stage: str, color: Tensor) -> Tensor:
        """Return true colors (b, 3, h, w) made small, and for the stage ``color`` coarse."""
        small = average_pool(color, self.procedure.factor)
        return small if stage == "spatial" else make_coarse(small, self.procedure.bits)

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the stage's cross-entropy, in nats per pixel."""
        factor = self.procedure.factor
        if part == "core":
            return self.core.loss(gray, color)
        inputs = self.stage_input(part, color)
        if part == "color":
            return self.color.loss(average_pool(gray, factor), inputs, average_pool(color, factor))
        return self.spatial.loss(gray, upsample_nearest(inputs, factor), color)

    def validation_metrics(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the negative log-likelihood of each image's coarse colors (b,), in bits per dimension."""
        return {"bits_per_dim": self.core.bits_per_dim(gray, color)} if "core" in self.trainable else {}

    @classmethod
    def merge_stages(cls, parts: Mapping[str, "Model"]) -> "Model":
        """Raises ValueError for stages that are missing, given twice, or of another factor or bits."""
        first = next(iter(parts))
        runs: dict[str, str] = {}  # of each stage
        for run, part in parts.items():
            for name in ("factor", "bits"):
                value, agreed = getattr(part.procedure, name), getattr(parts[first].procedure, name)
                if value != agreed:
                    raise ValueError(f"{run}: sampling.{name} = {value}, but {agreed} in {first}: stages must agree")
            for stage in part.trainable:
                if stage in runs:
                    raise ValueError(f"{run}: has the stage {stage}, and so has {runs[stage]}: give each stage once")
                runs[stage] = run
        last = max(runs, key=STAGES.index)
        stages = STAGES[: STAGES.index(last) + 1]
        for stage in stages:
            if stage not in runs:
                raise ValueError(f"{runs[last]}: its stage {last} needs {stage}: give that run too")
        sampling = replace(parts[runs["core"]].procedure, stages=stages)
        configs = {stage: getattr(parts[run].config, stage) for stage, run in runs.items()}
        model = cls(replace(parts[first].config, sampling=sampling, **configs))
        for stage, run in runs.items():
            model.get_submodule(stage).load_state_dict(parts[run].get_submodule(stage).state_dict())
        return model.eval()
