"""Procedures, which turn the output of networks into color.

The same object samples in training (torch) and for users (numpy and ONNX Runtime). Three rules keep that true:

1. only operators, indexing and positional methods (``x.clip(-1, 1)``); a library function through `namespace`;
2. coefficients and times are Python floats (a numpy scalar would silently promote to float64);
3. randomness comes in as ``noise(like)``, never made here.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from .autoregressive import Autoregressive
from .cold import Cold
from .diffusion import Diffusion
from .one_pass import AnnealedMean, Direct, Reconstruction
from .procedure import Procedure

__all__ = ["PROCEDURES", "AnnealedMean", "Autoregressive", "Cold", "Diffusion", "Direct", "Reconstruction"]
__all__ += ["describe", "load_procedure"]

PROCEDURES: dict[str, Callable[..., Procedure]] = {
    "direct": Direct,
    "annealed-mean": AnnealedMean,
    "diffusion": Diffusion,
    "cold": Cold,
    "reconstruction": Reconstruction,
    "autoregressive": Autoregressive,
}


def describe(procedure: Procedure) -> dict[str, Any]:
    """Return the procedure's kind and settings as the plain dict stored in ``model.json``."""
    kinds = {cls: kind for kind, cls in PROCEDURES.items()}
    return {"kind": kinds[type(procedure)], **asdict(procedure)}


def load_procedure(description: Mapping[str, Any]) -> Procedure:
    """Return the procedure of a `describe` dict. Raises ValueError for a kind or setting unknown to this version."""
    settings = dict(description)
    kind = settings.pop("kind", None)
    if kind not in PROCEDURES:
        raise ValueError(f"procedure {kind!r}: unknown to this version, which has {', '.join(PROCEDURES)}")
    for name, value in settings.items():
        if isinstance(value, list):  # JSON has no tuples
            settings[name] = tuple(value)
    try:
        return PROCEDURES[kind](**settings)
    except TypeError as error:
        raise ValueError(f"procedure {kind!r} with settings {settings}: {error}") from None
