"""The procedure of diffusion models."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from ..color import AB_SCALE, ab_of, lab_to_rgb, namespace, rgb_to_lab
from ..degradation import Noise
from . import diffusion_steps as diffusion
from .procedure import AB, Gray, Net, Pin, unpinned

SOLVERS = ("ancestral", "ddim", "dpm-solver")
SCHEDULES = ("linear", "cosine")
VARIANCES = ("posterior", "forward", "learned")


@dataclass(frozen=True)
class Diffusion:
    """Colour out of noise in ``steps`` steps back, by the network ``denoiser`` (Ho et al. 2020; Palette, Algorithm 2).

    ``schedule`` is linear in beta from ``betas[0]`` to ``betas[1]``, or cosine, over ``levels`` levels of noise;
    ``steps`` go over it evenly. ``prediction`` and the solvers are `core.diffusion`'s: ddim with ``eta``, and ancestral
    with the ``variance`` of the posterior, of the step forward, or a learned one between them, of which the network
    then gives as many planes again. ``gain`` multiplies the colours before noise is added to them, so that they spread
    about as far. ``guided``: the network ``guide`` turns the gray into what the denoiser is conditioned on, once, at
    the size of the colours; otherwise that is the gray itself.
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
    stochastic: ClassVar[bool] = True
    option_names: ClassVar[tuple[str, ...]] = ("steps", "solver", "eta")
    colorizes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, choices in (
            ("schedule", SCHEDULES),
            ("prediction", diffusion.PREDICTIONS),
            ("solver", SOLVERS),
            ("variance", VARIANCES),
            ("target", ("ab", "rgb")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r}: choose one of {', '.join(choices)}")
        first, final = self.betas
        if not 0 < first <= final < 1:
            raise ValueError(f"betas {list(self.betas)}: must rise, from above 0 to below 1")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta {self.eta}: must be from 0 (no new noise) to 1 (ancestral)")
        if not self.gain > 0:
            raise ValueError(f"gain {self.gain}: must be above 0")
        self.walk()

    @property
    def channels(self) -> int:
        """Of what the network paints."""
        return 2 if self.target == "ab" else 3

    @property
    def networks(self) -> tuple[str, ...]:
        """What it calls."""
        return ("guide", "denoiser") if self.guided else ("denoiser",)

    def gammas(self) -> diffusion.Schedule:
        """Every level of the schedule, clean first."""
        if self.schedule == "cosine":
            return diffusion.cosine(self.levels)
        return diffusion.linear(self.levels, *self.betas)

    def walk(self) -> diffusion.Schedule:
        """The levels that sampling stops at. Raises ValueError for more steps than the schedule has."""
        return diffusion.respaced(self.gammas(), self.steps)

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> AB:
        """Gray (b, 1, h, w) in [-1, 1] -> one possible ab (b, 2, h', w') in [-1, 1]."""
        *_, last = self.trajectory(nets, gray, noise, pin)
        return last

    def trajectory(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> Iterator[AB]:
        """The colours from pure noise to the answer: ``steps`` + 1 of them, still noisy but for the last.

        ``pin`` changes what the network believes the clean colours to be, before each step is taken from it.
        """
        condition = nets["guide"](0.0, gray=gray) if self.guided else gray
        noisy = noise(condition[:, [0] * self.channels])
        last, ab = None, noisy
        for before, gamma in reversed(list(pairwise(self.walk()))):
            yield self._ab(noisy)
            predicted, share = self.read(nets["denoiser"](gamma**0.5, noisy=noisy, condition=condition))
            clean = diffusion.clean_of(self.prediction, noisy, predicted, gamma).clip(-self.gain, self.gain)
            ab = pin(self._ab(clean))
            if pin is not unpinned:
                clean = self._of_ab(ab, clean)
            if self.solver == "ddim":
                noisy = diffusion.ddim(noisy, clean, gamma, before, noise, self.eta)
            elif self.solver == "dpm-solver":
                noisy = diffusion.dpm_solver(noisy, clean, last, gamma, before)
            else:
                noisy = diffusion.ancestral(noisy, clean, gamma, before, noise, share)
            last = (clean, gamma)
        yield ab

    def read(self, said: Any) -> tuple[Any, Any]:
        """What a network gives -> its prediction, and the ``share`` that `core.diffusion.variance` takes."""
        if self.variance != "learned":
            return said, float(self.variance == "forward")
        return said[:, : self.channels], (said[:, self.channels :] * 0.5 + 0.5).clip(0, 1)

    def _ab(self, painted: Any) -> AB:
        """Of what the network paints, whichever its target."""
        painted = painted * (1 / self.gain)
        return painted if self.target == "ab" else ab_of(painted)

    def _lab(self, painted: Any) -> Any:
        return rgb_to_lab((painted * (0.5 / self.gain) + 0.5).clip(0, 1))

    def _of_ab(self, ab: AB, painted: Any) -> Any:
        """What the network would have painted, had it meant this ab."""
        if self.target == "ab":
            return ab * self.gain
        lab = namespace(ab).concatenate([self._lab(painted)[:, :1], ab * AB_SCALE], 1)
        return (lab_to_rgb(lab) - 0.5) * (2 * self.gain)
