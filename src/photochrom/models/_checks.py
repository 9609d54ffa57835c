"""Checks of settings; their messages name the setting, its value and what is allowed."""

import math
from collections.abc import Collection
from typing import Any


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} {value!r}: choose one of {', '.join(map(str, choices))}")


def check_minimum(minimum: float, **values: float) -> None:
    """Raise ValueError unless all values are at least the minimum."""
    for name, value in values.items():
        check_range(name, value, minimum)


def check_range(
    name: str, value: float, low: float, high: float = math.inf, *, exclusive: str = "", hint: str = ""
) -> None:
    """Raise ValueError unless the value is in the range, ends included, except those in ``exclusive``: low, high."""
    above = value > low if "low" in exclusive else value >= low
    below = value < high if "high" in exclusive else value <= high
    if above and below:
        return
    limits = f"above {low:g}" if "low" in exclusive else f"at least {low:g}"
    if high < math.inf:
        limits += f" and below {high:g}" if "high" in exclusive else f" and at most {high:g}"
    raise ValueError(f"{name} {value}: must be {limits}" + (f"; {hint}" if hint else ""))
