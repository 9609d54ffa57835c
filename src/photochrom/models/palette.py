"""Palette (Saharia et al. 2022): the photograph's RGB out of noise, the gray one beside it, at every step.

The network is told how much noise there is, not which step it is: it learns on one schedule, whose levels are drawn
from between the steps too, and samples on another. The gray is given once, as one channel: two repetitions of it would
tell a convolution nothing more.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.sampling import Diffusion
from ..core.sampling import diffusion_steps as diffusion
from ._denoiser import Denoiser, guess, simple_loss
from .family import Family, Network


class Model(Family):
    """Gray and noisy RGB in, the noise out."""

    trainable = ("net",)
    gammas: Tensor  # (levels + 1,) of the schedule learnt on, clean first

    @dataclass(frozen=True)
    class Config:
        """The denoiser, the ``power`` of its loss, the linear schedule learnt on, and how pictures are sampled.

        Power 2 gives more diverse colours, 1 more cautious ones (section 5.1). The defaults are the paper's.
        """

        net: Denoiser.Config = field(default_factory=lambda: Denoiser.Config())
        power: int = 2
        levels: int = 2000
        betas: tuple[float, float] = (1e-6, 0.01)
        sampling: Diffusion = field(
            default_factory=lambda: Diffusion(
                "rgb", "linear", 1000, (1e-4, 0.09), "noise", "ancestral", 1000, variance="forward"
            )
        )

        def __post_init__(self) -> None:
            if self.power not in (1, 2):
                raise ValueError(f"power {self.power}: must be 1 or 2")
            if not (self.levels >= 1 and 0 < self.betas[0] <= self.betas[1] < 1):
                raise ValueError(f"levels {self.levels}, betas {list(self.betas)}: give one or more, from above 0 up")
            if self.sampling.target != "rgb" or self.sampling.guided or self.sampling.variance == "learned":
                raise ValueError("sampling: this family paints rgb, without a guide or a learned variance")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = config.sampling
        self.register_buffer("gammas", torch.tensor(diffusion.linear(config.levels, *config.betas)), persistent=False)
        self.net = Denoiser(config.net, 3, 1)

    def networks(self) -> dict[str, Network]:
        """The one that `Diffusion` calls."""
        return {"denoiser": self.net}

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Gray (b, 1, h, w), RGB in [-1, 1] (b, 3, h, w) -> Algorithm 1's loss; gamma is even between two steps."""
        step = torch.randint(1, len(self.gammas), (len(gray),), device=gray.device)
        share = torch.rand(len(gray), device=gray.device)
        gammas = torch.lerp(self.gammas[step - 1], self.gammas[step], share)
        clean = color * self.procedure.gain
        return {"total": simple_loss(guess(self.net, self.procedure, clean, gray, gammas), self.config.power)}
