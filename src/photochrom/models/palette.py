"""Palette (Saharia et al. 2022): RGB generated from noise, conditioned on the gray image at every step.

The network is given the noise level, not the index of a step: it is trained on one schedule, at levels between its
steps too, and sampled on another. The gray is one channel: repeating it would tell a convolution nothing more.
"""

from dataclasses import field

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from ..core.sampling import Diffusion, diffusion
from ._denoiser import Denoiser, predict
from ._settings import Count, Power
from .family import Family


class Model(Family):
    """Gray and noisy RGB in, its noise out; the default settings are the paper's."""

    gammas: Tensor  # (levels + 1,) of the training schedule, clean first

    @dataclass(frozen=True)
    class Config:
        net: Denoiser.Config = field(default_factory=Denoiser.Config)
        # Power of differences in the loss: 2 gives more diverse colors, 1 more cautious ones (section 5.1).
        power: Power = 2
        levels: Count = 2000  # number of noise levels of the schedule of training
        betas: tuple[float, float] = (1e-6, 0.01)  # first and last beta of the schedule of training, which is linear
        sampling: Diffusion = Diffusion(
            "rgb", "linear", 1000, (1e-4, 0.09), "noise", "ancestral", 1000, variance="forward"
        )

        def __post_init__(self) -> None:
            if not 0 < self.betas[0] <= self.betas[1] < 1:
                raise ValueError(f"betas {list(self.betas)}: must be between 0 and 1, in ascending order")
            if self.sampling.target != "rgb" or self.sampling.guided or self.sampling.variance == "learned":
                raise ValueError("sampling: this family predicts rgb, without a guide or a learned variance")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = config.sampling
        gammas = diffusion.linear_schedule(config.levels, *config.betas)
        self.register_buffer("gammas", torch.tensor(gammas), persistent=False)
        self.net = Denoiser(config.net, 3, 1)

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the loss of Algorithm 1; gamma is drawn evenly between two steps."""
        step = torch.randint(1, len(self.gammas), (len(gray),), device=gray.device)
        fraction = torch.rand(len(gray), device=gray.device)
        gammas = torch.lerp(self.gammas[step - 1], self.gammas[step], fraction)
        prediction = predict(self.net, self.procedure, color * self.procedure.gain, gray, gammas)
        return {"total": prediction.simple_loss(self.config.power)}
