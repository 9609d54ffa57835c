"""Diffusion: noise schedules, the forward process and the solvers' steps as formulas, and the procedure that samples.

A schedule is a tuple of gammas (alpha-bar), from gamma_0 = 1, the clean image, down to gamma_T, nearly pure noise:
y_t = sqrt(gamma_t) y_0 + sqrt(1 - gamma_t) noise. Gammas are Python floats, so float32 costs no precision. A step goes
from one gamma to the next lower noise level of the list that is sampled, so fewer steps are a shorter list of the same
gammas (`Diffusion.timesteps`), never another schedule.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, ClassVar

from jaxtyping import Float

from ..color import AB_SCALE, lab_to_rgb, namespace, rgb_to_lab, signed_rgb_to_ab
from ..degradation import Noise
from .procedure import AB, Capabilities, Gray, Hints, Nets, Procedure, blend_hints

Image = Float[Any, "b c h w"]
Schedule = tuple[float, ...]

CHANNELS = {"ab": 2, "rgb": 3}  # of a target
OPTIONS = ("steps", "solver", "eta")
PREDICTIONS = ("noise", "clean", "velocity")


def linear_schedule(steps: int, first: float, last: float) -> Schedule:
    """Return gammas whose betas rise linearly from first to last (Ho et al. 2020: 1000, 1e-4, 0.02)."""
    return _from_betas([first + (last - first) * i / max(1, steps - 1) for i in range(steps)])


def cosine_schedule(steps: int, offset: float = 0.008, largest: float = 0.999) -> Schedule:
    """Return gammas that fall as a squared cosine, with betas up to ``largest`` (Nichol & Dhariwal 2021, eq. 17)."""
    levels = [math.cos((i / steps + offset) / (1 + offset) * math.pi / 2) ** 2 for i in range(steps + 1)]
    return _from_betas([min(1 - after / before, largest) for before, after in pairwise(levels)])


def _from_betas(betas: list[float]) -> Schedule:
    # A beta is the variance that a step adds.
    return tuple(accumulate(betas, lambda gamma, beta: gamma * (1 - beta), initial=1.0))


def add_noise(clean: Image, noise: Image, gamma: Any) -> Image:
    """Return the noisy image at gamma, a float or an array that broadcasts."""
    return clean * gamma**0.5 + noise * (1 - gamma) ** 0.5


def prediction_target(prediction: str, clean: Image, noise: Image, gamma: Any) -> Image:
    """Return what a network learns to predict, one of `PREDICTIONS`; velocity: Salimans & Ho (2022)."""
    if prediction == "velocity":
        return noise * gamma**0.5 - clean * (1 - gamma) ** 0.5
    return noise if prediction == "noise" else clean


def clean_from(prediction: str, noisy: Image, predicted: Image, gamma: Any) -> Image:
    """Return the clean image that a prediction implies. For noise at a gamma near 0 it is huge: clip it."""
    if prediction == "noise":
        return (noisy - predicted * (1 - gamma) ** 0.5) * gamma**-0.5
    return predicted if prediction == "clean" else noisy * gamma**0.5 - predicted * (1 - gamma) ** 0.5


def noise_from(noisy: Image, clean: Image, gamma: float) -> Image:
    """Return the noise that turns the clean image into the noisy one."""
    return (noisy - clean * gamma**0.5) * (1 - gamma) ** -0.5


def posterior_mean(noisy: Image, clean: Image, gamma: Any, before: Any) -> Image:
    """Return the mean of the step to the gamma ``before``, given the clean image (Ho et al. 2020, equation 7)."""
    alpha = gamma / before
    return clean * (before**0.5 * (1 - alpha) / (1 - gamma)) + noisy * (alpha**0.5 * (1 - before) / (1 - gamma))


def step_variance(gamma: Any, before: Any, share: Any = 0.0) -> Any:
    """Return the variance of the step to ``before``: of the posterior at a share of 0, of the forward step at 1.

    Between them logarithms are interpolated (Nichol & Dhariwal 2021, equation 15); 1 is Palette's Algorithm 2.
    """
    forward = 1 - gamma / before
    posterior = forward * ((1 - before) / (1 - gamma))
    return forward**share * posterior ** (1 - share)


def ancestral_step(noisy: Image, clean: Image, gamma: float, before: float, noise: Noise, share: Any = 0.0) -> Image:
    """Return a random step: the posterior's mean, and noise of this `step_variance`. The last step adds none."""
    mean = posterior_mean(noisy, clean, gamma, before)
    return mean if before == 1 else mean + noise(noisy) * step_variance(gamma, before, share) ** 0.5


def ddim_step(noisy: Image, clean: Image, gamma: float, before: float, noise: Noise, eta: float = 0.0) -> Image:
    """Return a step that reuses the noise of the image (``eta`` 0) or renews it (1) (Song et al. 2021, eq. 12)."""
    spread = eta * step_variance(gamma, before) ** 0.5
    reused = max(0.0, 1 - before - spread**2) ** 0.5
    mean = clean * before**0.5 + noise_from(noisy, clean, gamma) * reused
    return mean + noise(noisy) * spread if spread else mean


def dpm_solver_step(noisy: Image, clean: Image, last: tuple[Image, float] | None, gamma: float, before: float) -> Image:
    """Return a step of second order, DPM-Solver++(2M) (Lu et al. 2022, Algorithm 2); the first and last are of first.

    ``last`` is the clean image that the step before predicted, with its gamma.
    """
    if before == 1:
        return clean
    step = _half_snr(before) - _half_snr(gamma)
    if last is not None:
        earlier, its_gamma = last
        share = step / (2 * (_half_snr(gamma) - _half_snr(its_gamma)))
        clean = clean * (1 + share) - earlier * share
    return noisy * ((1 - before) / (1 - gamma)) ** 0.5 - clean * (before**0.5 * math.expm1(-step))


def _half_snr(gamma: float) -> float:
    """Half the logarithm of the signal-to-noise ratio: lambda in the solver's paper."""
    return 0.5 * math.log(gamma / (1 - gamma))


@dataclass(frozen=True)
class Diffusion(Procedure):
    """Color from noise in ``steps`` denoising steps (Ho et al. 2020; Palette, Algorithm 2) by the network ``denoiser``.

    ``schedule``: linear in beta from ``betas[0]`` to ``betas[1]``, or cosine, over ``levels`` noise levels; the
    ``steps`` are spaced evenly. ``prediction``: see `prediction_target`. The solvers are dpm-solver, ddim with ``eta``,
    and ancestral with the ``variance`` of the posterior, of the forward step, or a learned one between them, for which
    the network gives as many channels again. ``gain`` multiplies the colors before noise is added, so that they spread
    about as far. ``guided``: the network ``guide`` turns the gray into the condition of the denoiser, once, at the size
    of the colors; otherwise the condition is the gray itself.
    """

    target: str = "ab"  # what is diffused: ab or rgb
    schedule: str = "cosine"  # cosine or linear
    levels: int = 1000  # number of noise levels
    betas: tuple[float, float] = (1e-4, 0.02)  # first and last beta of the linear schedule
    prediction: str = "velocity"  # what the network predicts: noise, clean or velocity
    solver: str = "ddim"  # ddim, ancestral or dpm-solver
    steps: int = 20  # number of sampling steps
    eta: float = 0.0  # noise that ddim adds at each step: 0 none, 1 as ancestral
    variance: str = "posterior"  # variance of ancestral steps: posterior, forward or learned
    gain: float = 1.0  # factor on colors before noise is added
    guided: bool = False  # whether the network `guide` makes the condition of the denoiser
    solvers: ClassVar[Mapping[str, tuple[str, ...]]] = {"ancestral": OPTIONS, "ddim": OPTIONS, "dpm-solver": OPTIONS}

    def __post_init__(self) -> None:
        self._check_choices(target=CHANNELS, schedule=("linear", "cosine"), prediction=PREDICTIONS)
        self._check_choices(solver=self.solvers, variance=("posterior", "forward", "learned"))
        first, final = self.betas
        if not 0 < first <= final < 1:
            raise ValueError(f"betas {list(self.betas)}: must rise, from above 0 to below 1")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta {self.eta}: must be from 0 (no new noise) to 1 (ancestral)")
        if not self.gain > 0:
            raise ValueError(f"gain {self.gain}: must be above 0")
        if not 1 <= self.steps <= self.levels:
            last = self.levels
            raise ValueError(f"{self.steps} steps: the noise schedule has {last}, choose from 1 to {last}")

    @property
    def capabilities(self) -> Capabilities:
        networks = ("guide", "denoiser") if self.guided else ("denoiser",)
        return Capabilities(networks, stochastic=True, iterative=True)

    def gammas(self) -> Schedule:
        """Return every level of the schedule, clean first."""
        if self.schedule == "cosine":
            return cosine_schedule(self.levels)
        return linear_schedule(self.levels, *self.betas)

    def timesteps(self) -> Schedule:
        """Return the levels at which sampling stops, evenly spaced, both ends included, clean first."""
        schedule = self.gammas()
        return tuple(schedule[round(i * self.levels / self.steps)] for i in range(self.steps + 1))

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        *_, ab = self.trajectory(nets, gray, noise, hints)
        return ab

    def trajectory(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> Iterator[AB]:
        """Yield the ab from pure noise to the result: ``steps`` + 1 of them, noisy but for the last."""
        condition = nets["guide"](gray=gray) if self.guided else gray
        noisy = noise(condition[:, [0] * CHANNELS[self.target]])
        last, ab = None, noisy
        for before, gamma in reversed(list(pairwise(self.timesteps()))):
            yield self._to_ab(noisy)
            predicted, share = self.split_output(nets["denoiser"](noisy=noisy, condition=condition, t=gamma**0.5))
            clean = clean_from(self.prediction, noisy, predicted, gamma).clip(-self.gain, self.gain)
            ab = blend_hints(self._to_ab(clean), hints)
            if hints is not None:  # steps start from the hinted image, so that later predictions agree with it
                clean = self._from_ab(ab, clean)
            if self.solver == "ddim":
                noisy = ddim_step(noisy, clean, gamma, before, noise, self.eta)
            elif self.solver == "dpm-solver":
                noisy = dpm_solver_step(noisy, clean, last, gamma, before)
            else:
                noisy = ancestral_step(noisy, clean, gamma, before, noise, share)
            last = (clean, gamma)
        yield ab

    def split_output(self, output: Any) -> tuple[Any, Any]:
        """Return the prediction in the network's output, and the ``share`` that `step_variance` takes."""
        if self.variance != "learned":
            return output, float(self.variance == "forward")
        channels = CHANNELS[self.target]
        return output[:, :channels], (output[:, channels:] * 0.5 + 0.5).clip(0, 1)

    def _to_ab(self, image: Any) -> AB:
        image = image * (1 / self.gain)
        return image if self.target == "ab" else signed_rgb_to_ab(image)

    def _from_ab(self, ab: AB, image: Any) -> Any:
        """The image (ab or RGB, times the gain) with these ab, and the lightness of ``image``."""
        if self.target == "ab":
            return ab * self.gain
        lightness = rgb_to_lab((image * (0.5 / self.gain) + 0.5).clip(0, 1))[:, :1]
        lab = namespace(ab).concatenate([lightness, ab * AB_SCALE], 1)
        return (lab_to_rgb(lab) - 0.5) * (2 * self.gain)
