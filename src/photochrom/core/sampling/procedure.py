"""The contract of procedures, which turn the output of a family's networks into color, and of color hints."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float

from ..degradation import UNCHANGED, Degradation, Image, Noise

Gray = Float[Any, "b 1 h w"]
AB = Float[Any, "b 2 h2 w2"]

LikelyColor = tuple[float, float, float]  # a and b in Lab units, and the probability of such colors

# A network, called with keyword inputs only: ``net(gray=gray)``, ``net(noisy=noisy, condition=gray, t=0.3)``.
# An input is an array with the batch first, or a Python float that the adapter repeats over the batch.
Net = Callable[..., Any]
Nets = Mapping[str, Net]


@dataclass(frozen=True)
class HintMap:
    """Color hints of one photo, spread over its pixels at one size.

    ``weight``: share of each color that the hints decide, in [0, 1]. ``ab``: their color in [-1, 1] times the weight.
    """

    ab: Float[Any, "1 2 h w"]
    weight: Float[Any, "1 1 h w"]

    def blend(self, ab: AB) -> AB:
        """Return the predicted ab (b, 2, h, w) with the hints blended into it."""
        return self.ab + ab * (1 - self.weight)


@runtime_checkable
class Hints(Protocol):
    """Color hints of one photo, at any size."""

    def at(self, height: int, width: int) -> HintMap:
        """Return the hints spread over an image of this size."""
        ...


def blend_hints(ab: AB, hints: Hints | None) -> AB:
    """Return the predicted ab (b, 2, h, w) with the hints, if any, blended into it."""
    return ab if hints is None else hints.at(*ab.shape[2:]).blend(ab)


@dataclass(frozen=True)
class Capabilities:
    """What a procedure can do with its settings, so that callers never ask for its class."""

    network_names: tuple[str, ...]  # of the networks that it calls
    stochastic: bool = False  # another seed gives another image
    colorizes: bool = True  # it gives color to a gray image
    iterative: bool = False  # it has a `trajectory`
    has_likelihood: bool = False  # it has an `nll`
    has_distribution: bool = False  # it has `likely_colors`
    restores: bool = False  # `restore` needs nothing but an image and the noise of its degradation
    operator: Degradation = UNCHANGED  # the degradation that it undoes


@dataclass(frozen=True)
class Procedure(ABC):
    """How networks colorize: a frozen dataclass whose fields are the settings that `describe` stores in ``model.json``.

    It runs in numpy and in torch by the rules in `core.sampling`. Required are `target`, `capabilities` and `__call__`.
    """

    solvers: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # the `option_names` with each solver
    solver = ""  # without a type, so that only procedures with `solvers` make it a field

    @property
    @abstractmethod
    def target(self) -> str:
        """What the networks learn: ``"ab"`` (2 channels, ab / 110) or ``"rgb"`` (3 channels in [-1, 1])."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What it can do with these settings."""

    @abstractmethod
    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        """Return the ab (b, 2, h', w') in [-1, 1] of gray (b, 1, h, w) in [-1, 1]; h' and w' may be smaller.

        ``hints`` are the same for all images of the batch.
        """

    def option_names(self, solver: str = "") -> tuple[str, ...]:
        """Return the settings that a user may change, since they need no other weights, with a solver (or its own)."""
        return self.solvers.get(solver, self.solvers.get(self.solver, ()))

    def check_size(self, height: int, width: int) -> None:  # noqa: B027  (the default accepts every size)
        """Raises ValueError for a gray image of a size that it cannot process."""

    def trajectory(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> Iterator[AB]:
        """Yield the ab of every step; the last is the result of a call."""
        raise NotImplementedError

    def nll(self, nets: Nets, gray: Gray, color: Image) -> Float[Any, "b h2 w2"]:
        """Return the negative log-likelihood of the ground truth in nats, pixel by pixel."""
        raise NotImplementedError

    def likely_colors(self, nets: Nets, gray: Gray, row: int, column: int) -> list[LikelyColor]:
        """Return likely colors of a pixel of gray (1, 1, h, w), the likeliest first."""
        raise NotImplementedError

    def restore(self, nets: Nets, image: Image, condition: Any = None) -> Iterator[Image]:
        """Yield a degraded image (b, 3, h, w), then what becomes of it; ``condition`` is the degradation's noise."""
        raise NotImplementedError

    def with_options(self, **options: Any) -> "Procedure":
        """Return a copy with other settings. Raises ValueError for an option it does not support or a wrong value."""
        supported = self.option_names(options.get("solver", ""))
        for name in options:
            if not supported:
                raise ValueError(f"{name}: not supported, because this model has no sampler options")
            if name not in supported:
                choices = ", ".join(supported)
                raise ValueError(f"{name}: not supported by this model or its solver; supported options: {choices}")
        return replace(self, **options)

    def _check_choices(self, **choices: Iterable[str]) -> None:
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r}: choose one of {', '.join(allowed)}")
