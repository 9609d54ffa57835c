"""ColTran, the colorization transformer (Kumar, Weissenborn & Kalchbrenner 2021), in three stages.

The core tells 512 coarse colours pixel by pixel, each from the gray photograph and all colours before it in raster
order; `core.autoregression` draws from it. Two parallel networks then make coarse colours fine and small ones large.
Each stage may be trained by itself, on true colours made coarse or small; `Model.merge_stages` joins them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.sampling.autoregressive import STAGES, Autoregressive, channel_last, palette, pooled, repeated, symbols
from ._axial import Axial, Stack
from ._coltran import LEVELS, Core, level
from .family import Family, Network

PICKS = ("mean", "likeliest")
HAIR = 0.01  # of a level, added to a mean: the middle of all levels, if none is likely, is no tie for the next stage


class Upsampler(Network):
    """Each channel of a picture told again, one of 256 levels at every pixel, from it and the gray alone.

    The ``color`` stage is given channels of 2**bits levels, the ``spatial`` one of 256. It learns from one channel of
    each photograph, at random, and is judged by all three.
    """

    discrete_output = (
        True  # a level, or one that a level is made of: where two are as near, an export may take the other
    )

    @dataclass(frozen=True)
    class Config:
        """The shape of its layers, how many pairs of them, and the level they ``pick``: the mean or the likeliest.

        The likeliest is the paper's. Of levels of which none is likely it takes the first or last, where saturated
        colours pile up, rather than one of many: blotches of lime in a blue sky.
        """

        shape: Axial = field(default_factory=lambda: Axial(width=64))
        layers: int = 2
        pick: str = "mean"

        def __post_init__(self) -> None:
            if self.pick not in PICKS:
                raise ValueError(f"pick {self.pick!r}: choose one of {', '.join(PICKS)}")
            if self.layers < 1:
                raise ValueError(f"layers {self.layers}: must be at least 1")

    def __init__(self, config: Config, levels: int, multiple: int = 1) -> None:
        super().__init__()
        self.inputs = {"gray": (1, "h", "w"), "plane": (1, "h", "w"), "channel": ()}
        self.given, self.size_multiple, self.pick = levels, multiple, config.pick
        width = config.shape.width
        self.gray, self.channel = nn.Embedding(LEVELS, width), nn.Embedding(3 * levels, width)
        self.entry, self.stack = nn.Linear(2 * width, width), Stack(config.shape, config.layers)
        self.head = nn.Linear(width, LEVELS)

    def logits(self, gray: Tensor, plane: Tensor, channel: Tensor) -> Tensor:
        """Gray (b, 1, h, w), one channel (b, h, w) in [-1, 1], which it is (b,) -> (b, h, w, 256)."""
        known = self.channel(level(plane, self.given) + self.given * channel[:, None, None])
        return self.head(self.stack(self.entry(torch.cat([known, self.gray(level(gray[:, 0]))], -1))))

    def forward(self, gray: Tensor, plane: Tensor, channel: Tensor) -> Tensor:
        """Gray and a channel in [-1, 1], both (b, 1, h, w), and which of 0 to 2 (b,) -> what is picked (b, 1, h, w).

        Scores that are no numbers give what is none.
        """
        scores = self.logits(gray, plane[:, 0], channel.round().clamp(0, 2).long())
        if self.pick == "mean":
            picked = scores.softmax(-1) @ torch.arange(LEVELS, dtype=scores.dtype, device=scores.device) + HAIR
        else:
            picked = scores.argmax(-1) + 0 * scores.sum(-1)
        return ((picked + 0.5) * (2 / LEVELS) - 1)[:, None]

    def loss(self, gray: Tensor, given: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray, what is given and what is true, all (b, ., h, w) -> cross-entropy in nats a pixel and channel."""
        count = len(color)
        drawn = [torch.randint(3, (count,), device=color.device)]
        all_three = [torch.full((count,), channel, device=color.device) for channel in range(3)]
        each, losses = torch.arange(count, device=color.device), []
        for channel in drawn if self.training else all_three:
            scores = self.logits(gray, given[each, channel], channel)
            losses.append(F.cross_entropy(scores.flatten(0, 2), level(color[each, channel]).flatten()))
        return {"total": torch.stack(losses).mean()}


class Model(Family):
    """The stages that ``sampling`` names, each a player of its own."""

    @dataclass(frozen=True)
    class Config:
        """The three stages' networks, and how they are sampled: which ``sampling.stages`` there are to be trained."""

        core: Core.Config = field(default_factory=lambda: Core.Config())
        color: Upsampler.Config = field(default_factory=lambda: Upsampler.Config())
        spatial: Upsampler.Config = field(default_factory=lambda: Upsampler.Config())
        sampling: Autoregressive = field(default_factory=Autoregressive)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = config.sampling
        self.trainable = self.procedure.stages
        factor, bits = self.procedure.factor, self.procedure.bits
        if "core" in self.trainable:
            self.core = Core(config.core, self.procedure)
            if self.core.guide:
                self.frozen_weights = self.core.guide.frozen_weights("core.guide")
        if "color" in self.trainable:
            self.color = Upsampler(config.color, 2**bits, factor)
        if "spatial" in self.trainable:
            self.spatial = Upsampler(config.spatial, LEVELS, factor)

    @property
    def pretrained_from(self) -> str:
        """A guide starts from a model that colorizes by itself."""
        guided = "core" in self.trainable and self.core.guide
        return "unet or classify" if guided else self.family_name

    def networks(self) -> dict[str, Network]:
        """Those that `Autoregressive` calls."""
        networks = self.core.networks() if "core" in self.trainable else {}
        for stage in self.trainable:
            if stage != "core":
                networks[stage] = cast(Network, self.get_submodule(stage))
        return networks

    def learning_rates(self, part: str) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return self.core.learning_rates() if part == "core" else {}

    def degraded_input(self, gray: Tensor, color: Tensor, noise: Callable[..., Tensor]) -> tuple[Tensor, Tensor | None]:
        """What is given to stages without a core, as large as the gray, and the gray (b, 1, h, w)."""
        first = self.trainable[0]
        return repeated(self.given(first, color), self.procedure.factor), gray

    def given(self, stage: str, color: Tensor) -> Tensor:
        """What a later stage is given of true colours (b, 3, h, w): small ones, coarse for the first of these."""
        small = pooled(color, self.procedure.factor)
        if stage == "spatial":
            return small
        coarse = symbols(channel_last(small), self.procedure.bits)
        return palette(small, self.procedure.bits)[coarse].movedim(-1, 1)

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray (b, 1, h, w), RGB (b, 3, h, w) in [-1, 1] -> the stage's cross-entropy, in nats a pixel."""
        factor = self.procedure.factor
        if part == "core":
            return self.core.loss(gray, color)
        given = self.given(part, color)
        if part == "color":
            return self.color.loss(pooled(gray, factor), given, pooled(color, factor))
        return self.spatial.loss(gray, repeated(given, factor), color)

    def validation_metrics(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """What the core knows of each photograph's coarse colours (b,), in bits per dimension: a channel of a pixel."""
        return {"bits_per_dim": self.core.bits_per_dim(gray, color)} if "core" in self.trainable else {}

    @classmethod
    def merge_stages(cls, parts: Mapping[str, "Model"]) -> "Model":
        """The model of stages that were trained apart, by the names of their runs.

        Raises ValueError, by name, for stages that are missing, there twice, or of another size or number of colours.
        """
        (first, leader), *_ = parts.items()
        runs: dict[str, str] = {}
        settings = vars(leader.procedure)
        for run, part in parts.items():
            for name in ("factor", "bits"):
                one, other = settings[name], vars(part.procedure)[name]
                if one != other:
                    raise ValueError(
                        f"{run}: its stage {', '.join(part.trainable)} has sampling.{name} = {other}, but {one} in "
                        f"{first}: stages of one model must agree"
                    )
            for stage in part.trainable:
                if stage in runs:
                    raise ValueError(f"{run}: has the stage {stage}, and so has {runs[stage]}: give each stage once")
                runs[stage] = run
        there = tuple(stage for stage in STAGES if stage in runs)
        if missing := [stage for stage in STAGES[: STAGES.index(there[-1])] if stage not in there]:
            raise ValueError(
                f"{runs[there[-1]]}: its stage {there[-1]} needs {' and '.join(missing)}: give that run too"
            )
        configs = {stage: vars(parts[run].config)[stage] for stage, run in runs.items()}
        sampling = replace(parts[runs["core"]].procedure, stages=there)
        model = cls(replace(leader.config, sampling=sampling, **configs))
        for stage, run in runs.items():
            model.get_submodule(stage).load_state_dict(parts[run].get_submodule(stage).state_dict())
        return model.eval()
