"""Turn networks into colours: the procedure of every family, written once for numpy and torch.

The same object samples while training (torch) and afterwards (numpy and ONNX Runtime). Three rules keep that true:

1. only operators, indexing and positional methods (``x.clip(-1, 1)``); a library function through `namespace`;
2. coefficients and times are Python floats (a numpy scalar would silently promote to float64);
3. randomness comes in as ``noise(like)``, never made here.

A *net* is called as ``net(t, **arrays)`` with ``t`` a Python float; its adapter broadcasts t over the batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float

from .color import AB_SCALE, ab_bins, namespace, rgb_to_lab

Gray = Float[Any, "b 1 h w"]
AB = Float[Any, "b 2 h2 w2"]
Net = Callable[..., Any]
Noise = Callable[..., Any]


@runtime_checkable
class Procedure(Protocol):
    """How a family's networks become colours; a frozen dataclass, stored by `describe` beside the weights.

    ``target`` is what its networks learn from: ``"ab"`` (2 channels, ab / 110) or ``"rgb"`` (3 channels in [-1, 1]);
    ``networks`` are the names it calls them by.
    """

    networks: ClassVar[tuple[str, ...]]

    @property
    def target(self) -> str:
        """What the networks learn from."""
        ...

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise) -> AB:
        """Gray (b, 1, h, w) in [-1, 1] -> ab (b, 2, h', w') in [-1, 1], of the gray's size or smaller."""
        ...


@dataclass(frozen=True)
class Direct:
    """One forward pass: the network called ``colors`` gives ab, or RGB in [-1, 1] whose ab is kept."""

    target: str = "ab"
    networks: ClassVar[tuple[str, ...]] = ("colors",)

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise) -> AB:
        """Gray (b, 1, h, w) in [-1, 1] -> the network's ab (b, 2, h', w') in [-1, 1]."""
        color = nets["colors"](0.0, gray=gray)
        if self.target == "rgb":
            color = rgb_to_lab((color / 2 + 0.5).clip(0, 1))[:, 1:] / AB_SCALE
        return color.clip(-1, 1)


@dataclass(frozen=True)
class AnnealedMean:
    """Mean of the colour bins under a sharpened softmax of the network ``logits`` (Zhang et al. 2016, section 2.3).

    ``temperature`` 1 is the plain mean (safe, grayish), towards 0 the mode (vivid, blotchy); the paper uses 0.38.
    ``chroma`` multiplies the result.
    """

    temperature: float = 0.38
    chroma: float = 1.0
    target: ClassVar[str] = "ab"
    networks: ClassVar[tuple[str, ...]] = ("logits",)

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature}: must be above 0 (0.38 is the paper's)")

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise) -> AB:
        """Gray (b, 1, h, w) in [-1, 1] -> the mean colour (b, 2, h', w') in [-1, 1]."""
        logits = nets["logits"](0.0, gray=gray) * (1 / self.temperature)  # (b, q, h', w')
        xp = namespace(logits)
        weights = xp.exp(logits - xp.amax(logits, 1)[:, None])
        bins = [[c * self.chroma / AB_SCALE for c in pair] for pair in ab_bins()]
        total = weights.sum(1)
        ab = [sum(pair[i] * weights[:, q] for q, pair in enumerate(bins)) / total for i in (0, 1)]
        return xp.stack(ab, 1).clip(-1, 1)


KINDS: dict[str, Callable[..., Procedure]] = {"direct": Direct, "annealed-mean": AnnealedMean}


def describe(procedure: Procedure) -> dict[str, Any]:
    """A procedure as the plain dict stored in ``model.json``."""
    kind = next(name for name, made in KINDS.items() if type(procedure) is made)
    return {"kind": kind, **asdict(procedure)}  # type: ignore[call-overload]


def restore(description: Mapping[str, Any]) -> Procedure:
    """The procedure that a stored description names.

    Raises ValueError for a kind or a setting that this version does not know.
    """
    settings = dict(description)
    kind = settings.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"procedure {kind!r}: this version knows {', '.join(KINDS)}")
    try:
        return KINDS[kind](**settings)
    except TypeError as error:
        raise ValueError(f"procedure {kind!r} with settings {settings}: {error}") from None
