"""Procedures that give back what was lost: cold diffusion, and the plain way through an autoencoder.

Written once for numpy and torch, by the rules of `core.sampling`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from ..color import ab_of
from ..degradation import KINDS as DEGRADATIONS
from ..degradation import Certain, Degradation, Noise, Photo, towards
from .procedure import AB, Gray, Net, Pin, unpinned

RESTORERS = ("improved", "naive", "one-shot")


@dataclass(frozen=True)
class Cold:
    """What was lost by a `degradation`, restored in ``steps`` by the network ``restorer`` (Bansal et al. 2022).

    ``levels`` is T, the steps in which it was lost. At each step s the restorer guesses the whole from what is there.
    The ``one-shot`` solver takes its first guess; ``naive`` (Algorithm 1) degrades the guess again, one step less;
    ``improved`` (Algorithm 2) adds only what lies between those two steps. Nothing is drawn.

    ``latent``: all of it happens between the codes of the photograph as it is and as it should be, straight from one to
    the other; ``encoder`` and ``decoder`` are the networks around it.
    """

    degradation: str = "color"
    levels: int = 50
    steps: int = 50
    solver: str = "improved"
    latent: bool = False
    target: ClassVar[str] = "rgb"
    stochastic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.degradation not in DEGRADATIONS:
            raise ValueError(f"degradation {self.degradation!r}: choose one of {', '.join(DEGRADATIONS)}")
        if self.solver not in RESTORERS:
            raise ValueError(f"solver {self.solver!r}: choose one of {', '.join(RESTORERS)}")
        if not 1 <= self.steps <= self.levels:
            raise ValueError(f"{self.steps} steps: it is lost in {self.levels}, choose from 1 to {self.levels}")

    @property
    def option_names(self) -> tuple[str, ...]:
        """Those of its settings that a user may change; one shot has no steps."""
        return ("solver",) if self.solver == "one-shot" else ("steps", "solver")

    @property
    def colorizes(self) -> bool:
        """Whether it is colour that was lost."""
        return self.degradation == "color"

    @property
    def networks(self) -> tuple[str, ...]:
        """What it calls."""
        return ("encoder", "restorer", "decoder") if self.latent else ("restorer",)

    @property
    def loses(self) -> Degradation:
        """The degradation itself."""
        return DEGRADATIONS[self.degradation](self.levels)

    def walk(self) -> list[int]:
        """The steps that are stopped at, the last one first, 0 at the end."""
        return [round(i * self.levels / self.steps) for i in range(self.steps, -1, -1)]

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> AB:
        """Gray, the mean of the channels, (b, 1, h, w) in [-1, 1] -> ab (b, 2, h, w) in [-1, 1]."""
        *_, state = self.states(nets["restorer"], self._coded(nets, gray[:, [0, 0, 0]]))
        return pin(ab_of(self._shown(nets, state)))

    def trajectory(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> Iterator[AB]:
        """The colours from gray to the answer, ``steps`` + 1 of them (2 for one shot)."""
        for picture in self.restore(nets, gray[:, [0, 0, 0]]):
            yield pin(ab_of(picture))

    def restore(self, nets: Mapping[str, Net], picture: Photo, dirt: Any = None) -> Iterator[Photo]:
        """All that becomes of a degraded picture (b, 3, h, w) in [-1, 1], itself first; ``dirt``: see `Degradation`.

        Raises ValueError where it is needed and not given.
        """
        if dirt is None and self.solver != "one-shot" and not (self.latent or isinstance(self.loses, Certain)):
            raise ValueError(
                f"{self.degradation}: {self.solver} needs its dirt (what was random in it); give it, or choose one-shot"
            )
        yield picture
        for state in self.states(nets["restorer"], self._coded(nets, picture), dirt):
            yield self._shown(nets, state)

    def _coded(self, nets: Mapping[str, Net], picture: Photo) -> Any:
        return nets["encoder"](0.0, color=picture) if self.latent else picture

    def _shown(self, nets: Mapping[str, Net], state: Any) -> Photo:
        return (nets["decoder"](0.0, latent=state) if self.latent else state).clip(-1, 1)

    def states(self, restorer: Net, end: Any, dirt: Any = None) -> Iterator[Any]:
        """From what is left at step T to what is believed to have been there at step 0, in latent or in pixels."""
        state = end
        for step, before in pairwise(self.walk()):
            found = restorer(step / self.levels, state=state)
            if self.solver == "one-shot":
                yield found
                return
            less = self.degraded(found, before, end, dirt)
            state = less if self.solver == "naive" else state - self.degraded(found, step, end, dirt) + less
            yield state

    def degraded(self, whole: Any, step: Any, end: Any, dirt: Any = None) -> Any:
        """What is left of a whole after so many steps; in latent, on the straight way to ``end``."""
        if self.latent:
            return towards(whole, end, step / self.levels)
        return self.loses.degrade(whole, step, dirt)
