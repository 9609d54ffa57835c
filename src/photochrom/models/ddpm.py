"""A conditional DDPM: color (ab) diffused, conditioned on the gray image (COLORIZED; Ho et al. 2020).

Only color gets noise, so lightness cannot drift. Since color has little detail, it can be diffused at the size and on
the features of a `ColorNet` (``guided``), which runs once per image however many steps are taken.
"""

import math
from dataclasses import field

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from ..core.color import AB_SCALE
from ..core.sampling import Diffusion, diffusion
from ._blocks import ColorNet, Guide, downsample
from ._denoiser import Denoiser, Prediction, predict
from ._settings import NonNegative, Power
from .family import Family

LEVELS_PER_IMAGE = 8  # at which the bound of an image is estimated


class Model(Family):
    """Gray and noisy color in, its noise out; with a guide, two networks."""

    pretrained_from = "classify or unet"
    gammas: Tensor  # (T + 1,), clean first

    @dataclass(frozen=True)
    class Config:
        net: Denoiser.Config = field(default_factory=Denoiser.Config)
        guide: ColorNet.Config = field(default_factory=ColorNet.Config)  # the guide, if ``sampling.guided``
        guide_rate: NonNegative = 0.0  # relative learning rate of the guide; 0 keeps it as ``--init`` gave it
        power: Power = 2  # power of differences in the loss
        # Weight of the variational bound in the loss, for a learned variance, which alone it trains (Nichol & Dhariwal
        # 2021).
        bound_weight: float = 0.001
        sampling: Diffusion = field(default_factory=lambda: Diffusion(gain=6.0))

        def __post_init__(self) -> None:
            if self.sampling.target != "ab":
                raise ValueError(f"sampling.target {self.sampling.target!r}: this family predicts ab")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = config.sampling
        self.register_buffer("gammas", torch.tensor(self.procedure.gammas()), persistent=False)
        guide = Guide(config.guide, config.guide_rate) if config.sampling.guided else None
        denoiser = Denoiser(config.net, 2, guide.channels if guide else 1, config.sampling.variance == "learned")
        self.net = nn.ModuleDict({"denoiser": denoiser})
        if guide:
            denoiser.size_multiple *= guide.stride
            self.net["guide"] = guide

    def condition(self, gray: Tensor) -> Tensor:
        """Return what the denoiser sees of the gray (b, 1, h, w): the guide's features, or the gray itself."""
        return self.net["guide"](gray) if "guide" in self.net else gray

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the simple loss at levels drawn evenly, and the bound if the variance is learned."""
        condition = self.condition(gray)
        clean = downsample(color, condition) * self.procedure.gain
        step = torch.randint(1, len(self.gammas), (len(gray),), device=gray.device)
        prediction = predict(self.net["denoiser"], self.procedure, clean, condition, self.gammas[step])
        simple = prediction.simple_loss(self.config.power)
        if self.procedure.variance != "learned":
            return {"total": simple}
        # The first step back adds no noise, so there is no variance to learn. Elsewhere the bound must not train the
        # mean, hence the detached images.
        later = step.clamp(min=2)
        costs = step_cost(prediction, clean, prediction.clean.detach(), self.gammas[later], self.gammas[later - 1])
        bound = (costs * (step > 1)[:, None, None, None]).mean() / math.log(2) * (len(self.gammas) - 1)
        return {"total": simple + self.config.bound_weight * bound, "simple": simple, "bound": bound}

    def validation_metrics(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the variational bound on colors in whole Lab units, in bits per dimension: its parts and their sum."""
        condition = self.condition(gray)
        unit = self.procedure.gain / AB_SCALE
        clean = (downsample(color, condition) * AB_SCALE).round() * unit
        parts = variational_bound(self.net["denoiser"], self.procedure, self.gammas, clean, condition, unit)
        prior, steps, decoder = (nats / (clean[0].numel() * math.log(2)) for nats in parts)
        return {"bits_per_dim": prior + steps + decoder, "bits_L_T": prior, "bits_L_t": steps, "bits_L_0": decoder}


@torch.no_grad()
def variational_bound(
    net: nn.Module, sampling: Diffusion, gammas: Tensor, clean: Tensor, condition: Tensor, unit: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the bound (Ho et al. 2020, equation 5) on -log p of images whose values are whole multiples of ``unit``.

    In nats per image (b,): of the noisiest level, of all steps back from it (an unbiased estimate from
    `LEVELS_PER_IMAGE` of them), and of colors at level 1, by a Gaussian with its variance that is integrated over each
    unit. ``clean`` is (b, c, h, w), its ``condition`` (b, k, h, w).
    """
    count, levels = len(clean), len(gammas) - 1
    last = gammas[-1]
    prior = 0.5 * (last * clean**2 - last - torch.log1p(-last))

    # Levels are drawn in proportion to the fall of log SNR, since there the cost lies, and weighted by its inverse.
    # Drawing evenly over the batch (low discrepancy) instead of independently lowers the variance of the estimate.
    steps = torch.zeros(count, device=clean.device)
    shares = torch.logit(gammas[1:].cpu().double()).diff().neg()
    shares /= shares.sum()
    edges = shares.cumsum(0)
    for _ in range(LEVELS_PER_IMAGE if levels > 1 else 0):
        quantiles = (torch.arange(count).double() / count + torch.rand(1)) % 1
        index = torch.searchsorted(edges, quantiles).clamp(max=levels - 2)
        step = (index + 2).to(clean.device)
        prediction = predict(net, sampling, clean, condition, gammas[step])
        cost = step_cost(prediction, clean, prediction.clean, gammas[step], gammas[step - 1])
        steps += cost.flatten(1).sum(1) / (shares[index].float() * LEVELS_PER_IMAGE).to(clean.device)

    first = gammas[torch.ones(count, dtype=torch.long, device=clean.device)]
    estimate = predict(net, sampling, clean, condition, first).clean
    decoder = interval_nll(clean, estimate, (1 - first).sqrt()[:, None, None, None], unit)
    return prior.flatten(1).sum(1), steps, decoder.flatten(1).sum(1)


def step_cost(prediction: Prediction, clean: Tensor, estimate: Tensor, gammas: Tensor, before: Tensor) -> Tensor:
    """Return the nats (b, c, h, w) of a step from gammas (b,) to those before, if ``estimate`` is taken for clean."""
    gammas, before = gammas[:, None, None, None], before[:, None, None, None]
    steps = []
    for image, share in ((clean, 0.0), (estimate, prediction.share)):
        mean = diffusion.posterior_mean(prediction.noisy, image, gammas, before)
        deviation = diffusion.step_variance(gammas, before, share).sqrt()
        steps.append(Normal(mean, deviation, validate_args=False))
    return kl_divergence(*steps)


def interval_nll(value: Tensor, mean: Tensor, deviation: Tensor, unit: float) -> Tensor:
    """Return -log of a Gaussian's probability of the interval of width ``unit`` around each value, in nats."""
    near = (abs(value - mean) - unit / 2) / deviation
    far = (abs(value - mean) + unit / 2) / deviation
    # Both tails are far below float32's smallest numbers for values away from the mean, so they stay logarithms.
    log_near, log_far = torch.special.log_ndtr(-near), torch.special.log_ndtr(-far)
    return -(log_near + torch.log(-torch.expm1(log_far - log_near)))
