"""Turn networks into colours: the procedure of every family, written once for numpy and torch.

The same object samples while training (torch) and afterwards (numpy and ONNX Runtime). Three rules keep that true:

1. only operators, indexing and positional methods (``x.clip(-1, 1)``); a library function through `namespace`;
2. coefficients and times are Python floats (a numpy scalar would silently promote to float64);
3. randomness comes in as ``noise(like)``, never made here.

A *net* is called as ``net(t, **arrays)`` with ``t`` a Python float; its adapter broadcasts t over the batch.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from .annealed_mean import AnnealedMean
from .autoregressive import Autoregressive
from .cold import Cold
from .diffusion import Diffusion
from .direct import Direct
from .procedure import Procedure
from .reconstruction import Reconstruction

__all__ = [
    "KINDS",
    "AnnealedMean",
    "Autoregressive",
    "Cold",
    "Diffusion",
    "Direct",
    "Procedure",
    "Reconstruction",
    "describe",
    "load_procedure",
]

KINDS: dict[str, Callable[..., Procedure]] = {
    "direct": Direct,
    "annealed-mean": AnnealedMean,
    "diffusion": Diffusion,
    "cold": Cold,
    "reconstruction": Reconstruction,
    "autoregressive": Autoregressive,
}


def describe(procedure: Procedure) -> dict[str, Any]:
    """A procedure as the plain dict stored in ``model.json``."""
    kind = next(name for name, made in KINDS.items() if type(procedure) is made)
    return {"kind": kind, **asdict(procedure)}  # type: ignore[call-overload]


def load_procedure(description: Mapping[str, Any]) -> Procedure:
    """The procedure that a stored description names.

    Raises ValueError for a kind or a setting that this version does not know.
    """
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in description.items()}
    kind = settings.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"procedure {kind!r}: this version knows {', '.join(KINDS)}")
    try:
        return KINDS[kind](**settings)
    except TypeError as error:
        raise ValueError(f"procedure {kind!r} with settings {settings}: {error}") from None
