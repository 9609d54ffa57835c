"""Model families, one file or package each; each defines ``Model``, which obeys the contract in `family`."""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .family import Family


def family_names() -> list[str]:
    """Return the names of all families. Modules whose names start with an underscore are shared parts."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name for name in names if not name.startswith("_") and name != "family")


def load_family(name: str) -> "type[Family]":
    """Return the ``Model`` class of a family. Raises LookupError for an unknown name."""
    if name not in family_names():
        raise LookupError(f"no model family {name!r}; there are {', '.join(family_names())}")
    model: type[Family] = importlib.import_module(f"{__name__}.{name}").Model
    return model
