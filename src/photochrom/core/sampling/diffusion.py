"""The procedure of diffusion models."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from ..color import AB_SCALE, lab_to_rgb, namespace, rgb_to_lab, signed_rgb_to_ab
from ..degradation import Noise
from . import diffusion_steps as diffusion
from .procedure import AB, Capabilities, Gray, Hints, Nets, Procedure, blend_hints

CHANNELS = {"ab": 2, "rgb": 3}  # of a target
OPTIONS = ("steps", "solver", "eta")


@dataclass(frozen=True)
class Diffusion(Procedure):
    """Color from noise in ``steps`` denoising steps (Ho et al. 2020; Palette, Algorithm 2) by the network ``denoiser``.

    ``schedule``: linear in beta from ``betas[0]`` to ``betas[1]``, or cosine, over ``levels`` noise levels; the
    ``steps`` are spaced evenly. ``prediction`` and the solvers are those of `core.sampling.diffusion_steps`: ddim with
    ``eta``, and ancestral with the ``variance`` of the posterior, of the forward step, or a learned one between them,
    for which the network gives as many channels again. ``gain`` multiplies the colors before noise is added, so that
    they spread about as far. ``guided``: the network ``guide`` turns the gray into the condition of the denoiser, once,
    at the size of the colors; otherwise the condition is the gray itself.
    """

    target: str = "ab"
    schedule: str = "cosine"
    levels: int = 1000
    betas: tuple[float, float] = (1e-4, 0.02)
    prediction: str = "velocity"
    solver: str = "ddim"
    steps: int = 20
    eta: float = 0.0
    variance: str = "posterior"
    gain: float = 1.0
    guided: bool = False
    solvers: ClassVar[Mapping[str, tuple[str, ...]]] = {"ancestral": OPTIONS, "ddim": OPTIONS, "dpm-solver": OPTIONS}

    def __post_init__(self) -> None:
        self._check_choices(target=CHANNELS, schedule=("linear", "cosine"), prediction=diffusion.PREDICTIONS)
        self._check_choices(solver=self.solvers, variance=("posterior", "forward", "learned"))
        first, final = self.betas
        if not 0 < first <= final < 1:
            raise ValueError(f"betas {list(self.betas)}: must rise, from above 0 to below 1")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta {self.eta}: must be from 0 (no new noise) to 1 (ancestral)")
        if not self.gain > 0:
            raise ValueError(f"gain {self.gain}: must be above 0")
        self.timesteps()

    @property
    def capabilities(self) -> Capabilities:
        """See `Procedure`."""
        networks = ("guide", "denoiser") if self.guided else ("denoiser",)
        return Capabilities(networks, stochastic=True, iterative=True)

    def gammas(self) -> diffusion.Schedule:
        """Return every level of the schedule, clean first."""
        if self.schedule == "cosine":
            return diffusion.cosine_schedule(self.levels)
        return diffusion.linear_schedule(self.levels, *self.betas)

    def timesteps(self) -> diffusion.Schedule:
        """Return the levels at which sampling stops, clean first. Raises ValueError for more steps than levels."""
        return diffusion.respace(self.gammas(), self.steps)

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        """See `Procedure`."""
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
            clean = diffusion.clean_from(self.prediction, noisy, predicted, gamma).clip(-self.gain, self.gain)
            ab = blend_hints(self._to_ab(clean), hints)
            if hints is not None:  # steps start from the hinted image, so that later predictions agree with it
                clean = self._from_ab(ab, clean)
            if self.solver == "ddim":
                noisy = diffusion.ddim_step(noisy, clean, gamma, before, noise, self.eta)
            elif self.solver == "dpm-solver":
                noisy = diffusion.dpm_solver_step(noisy, clean, last, gamma, before)
            else:
                noisy = diffusion.ancestral_step(noisy, clean, gamma, before, noise, share)
            last = (clean, gamma)
        yield ab

    def split_output(self, output: Any) -> tuple[Any, Any]:
        """Return the prediction in the network's output, and the ``share`` that `diffusion_steps.variance` takes."""
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
