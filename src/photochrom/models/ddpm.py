"""A conditional DDPM: colour (ab) diffused under the gray photograph (COLORIZED; Ho et al. 2020).

Only colour is ever noised, by fixed scales, and the noise that is added is what is learnt: no lightness to drift, and
nothing about a photograph that must be known in advance. Colour being low in detail, it may be diffused at the size and
on the features of a `ColorNet` (``guided``), which runs once a photograph however many steps are taken.
"""

import math
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from ..core.color import AB_SCALE
from ..core.sampling import Diffusion
from ._blocks import ColorNet, Guide, at_size
from ._bound import bits, bound, step_back
from ._denoiser import Denoiser, guess, simple_loss
from .family import Family, Network


class Model(Family):
    """Gray and noisy colour in, what is noise in it out; with a guide, two networks."""

    trainable = ("net",)
    pretrained_from = "classify or unet"
    gammas: Tensor  # (T + 1,), clean first

    @dataclass(frozen=True)
    class Config:
        """The denoiser, its guide where ``sampling.guided``, the loss, and how colour is noised and sampled.

        ``guide_rate`` slows the guide's learning; 0 keeps it as ``--init`` gave it. ``power`` of the loss is 1 or 2.
        Where ``sampling.variance`` is learned, ``bound_weight`` of the variational bound is added to the loss, which
        teaches the variance alone (Nichol & Dhariwal 2021, section 3.1).
        """

        net: Denoiser.Config = field(default_factory=lambda: Denoiser.Config())
        guide: ColorNet.Config = field(default_factory=lambda: ColorNet.Config())
        guide_rate: float = 0.0
        power: int = 2
        bound_weight: float = 0.001
        sampling: Diffusion = field(default_factory=lambda: Diffusion(gain=6.0))

        def __post_init__(self) -> None:
            if self.power not in (1, 2):
                raise ValueError(f"power {self.power}: must be 1 or 2")
            if not self.guide_rate >= 0:
                raise ValueError(f"guide_rate {self.guide_rate}: must be at least 0")
            if self.sampling.target != "ab":
                raise ValueError(f"sampling.target {self.sampling.target!r}: this family paints ab")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = config.sampling
        self.register_buffer("gammas", torch.tensor(self.procedure.gammas()), persistent=False)
        guide = Guide(config.guide, config.guide_rate) if config.sampling.guided else None
        learned = config.sampling.variance == "learned"
        denoiser = Denoiser(config.net, 2, guide.channels if guide else 1, learned)
        self.net = nn.ModuleDict({"denoiser": denoiser})
        if guide:
            denoiser.size_multiple *= guide.stride
            self.net["guide"] = guide
            self.frozen_weights = guide.frozen_weights("net.guide")

    def networks(self) -> dict[str, Network]:
        """Those that `Diffusion` calls."""
        return {name: cast(Network, net) for name, net in self.net.items()}

    def learning_rates(self, part: str) -> dict[str, float]:
        """Learning rates relative to the recipe's, by prefix of the parameter."""
        return {"guide.": self.config.guide_rate}

    def condition(self, gray: Tensor) -> Tensor:
        """What the denoiser is given of the gray (b, 1, h, w)."""
        return self.net["guide"](gray) if "guide" in self.net else gray

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray (b, 1, h, w), ab (b, 2, h, w) -> the simple loss (Ho et al. 2020, equation 14), levels drawn evenly."""
        condition = self.condition(gray)
        clean = at_size(color, condition) * self.procedure.gain
        step = torch.randint(1, len(self.gammas), (len(gray),), device=gray.device)
        guessed = guess(self.net["denoiser"], self.procedure, clean, condition, self.gammas[step])
        simple = simple_loss(guessed, self.config.power)
        if self.procedure.variance != "learned":
            return {"total": simple}
        later = step.clamp(min=2)  # the first step back adds no noise, so there is no variance to learn
        costs = step_back(guessed, clean, guessed.found.detach(), self.gammas[later], self.gammas[later - 1])
        bound = (costs * (step > 1)[:, None, None, None]).mean() / math.log(2) * (len(self.gammas) - 1)
        return {"total": simple + self.config.bound_weight * bound, "simple": simple, "bound": bound}

    def validation_metrics(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """The variational bound of each photograph (b,), in bits per dimension: its three parts, and their sum.

        It is on the colours at the size they are painted at, in whole Lab units.
        """
        condition = self.condition(gray)
        clean = (at_size(color, condition) * AB_SCALE).round() * (self.procedure.gain / AB_SCALE)
        unit = self.procedure.gain / AB_SCALE
        found = bound(self.net["denoiser"], self.procedure, self.gammas, clean, condition, unit)
        parts = {"bits_L_T": found.prior, "bits_L_t": found.steps, "bits_L_0": found.decoder}
        told = {name: bits(nats, clean[0].numel()) for name, nats in parts.items()}
        return {"bits_per_dim": sum(told.values(), torch.zeros(len(gray), device=gray.device)), **told}
