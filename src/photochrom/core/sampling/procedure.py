"""What every way of turning networks into colours is: the contract, and the names of what goes in and out."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float

from ..degradation import Noise

Gray = Float[Any, "b 1 h w"]
AB = Float[Any, "b 2 h2 w2"]
Net = Callable[..., Any]
Pin = Callable[[Any], Any]  # ab (b, 2, h, w) in [-1, 1] -> the same with a person's colours in it


def unpinned(ab: AB) -> AB:
    """The colours as they are: nobody asks for others."""
    return ab


@runtime_checkable
class Procedure(Protocol):
    """How a family's networks become colours; a frozen dataclass, stored by `describe` beside the weights.

    ``target`` is what its networks learn from: ``"ab"`` (2 channels, ab / 110) or ``"rgb"`` (3 channels in [-1, 1]);
    ``networks`` are the names it calls them by; ``draws``: whether another seed gives another picture.
    """

    @property
    def stochastic(self) -> bool:
        """Whether it uses its noise."""
        ...

    @property
    def colorizes(self) -> bool:
        """Whether it gives colour to what has none."""
        ...

    @property
    def option_names(self) -> tuple[str, ...]:
        """Those of its settings that need no other weights, which a user may change."""
        ...

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of those it calls."""
        ...

    @property
    def target(self) -> str:
        """What the networks learn from."""
        ...

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> AB:
        """Gray (b, 1, h, w) in [-1, 1] -> ab (b, 2, h', w') in [-1, 1], of the gray's size or smaller.

        ``pin`` puts a person's colours into what the networks believe in.
        """
        ...
