"""Model families: one file each, found by its name; a file defines ``Model`` and, inside it, its ``Config``."""

import importlib
import math
import pkgutil
from typing import Any


def names() -> list[str]:
    """Every family, by file name; files that start with an underscore are shared parts."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def family(name: str) -> Any:
    """The ``Model`` class of one family. Raises LookupError for a name that is not there."""
    if name not in names():
        raise LookupError(f"no model family {name!r}; there are {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}").Model


def side(model: Any) -> int | None:
    """The side of the only photographs that a model can see (``model.side``); None when it sees any."""
    return getattr(model, "side", None)


def multiple(model: Any) -> int:
    """What the sides of a photograph must divide by, for every network of a model that says so (``net.multiple``)."""
    return math.lcm(*(getattr(net, "multiple", 1) for net in model.networks().values()))
