"""Color settings and their limits, the same in the Python API, on the command line, over HTTP and on a cluster.

This module imports no numpy, so that the command line can show the limits without loading it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, TypedDict

# Lowest and highest value of each number. Up to the highest seed, JavaScript represents integers exactly.
LIMITS: dict[str, tuple[float, float]] = {
    "saturation": (0, 3),
    "size": (32, 2048),
    "seed": (0, 2**53 - 1),
    "variants": (1, 100),
    "steps": (1, 1000),
    "eta": (0, 1),
    "temperature": (1e-6, 100.0),
    "near": (0, 2**53 - 1),
    "distance": (0, 1),
    "warmth": (-1, 1),
    "local_saturation": (0, 3),
}
MAX_HINTS = 100
HINT_PATTERN = r"^\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*#?([0-9a-fA-F]{6})\s*$"  # x,y,#rrggbb

INTEGERS = ("size", "seed", "variants", "steps", "near")


@dataclass(frozen=True)
class Hint:
    """A color (sRGB, each channel from 0 to 255) at a pixel of the upright photo, counted from 0 at the upper left."""

    x: int
    y: int
    rgb: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not all(isinstance(place, Integral) and place >= 0 for place in (self.x, self.y)):
            raise ValueError(f"hint at {self.x!r},{self.y!r}: x and y must be integers, not negative")
        channels = tuple(self.rgb)
        if len(channels) != 3 or not all(isinstance(c, Integral) and 0 <= c <= 255 for c in channels):
            raise ValueError(f"hint color {self.rgb!r}: must be three integers from 0 to 255")

    @classmethod
    def parse(cls, text: str) -> "Hint":
        """Return the hint that ``x,y,#rrggbb`` describes. Raises ValueError for any other text."""
        match = re.match(HINT_PATTERN, text)
        if match is None:
            raise ValueError(f"hint {text!r}: write it as x,y,#rrggbb, for example 120,80,#b03a2e")
        x, y, code = match.groups()
        red, green, blue = bytes.fromhex(code)
        return cls(int(x), int(y), (red, green, blue))

    def __str__(self) -> str:
        return f"{self.x},{self.y},#{bytes(self.rgb).hex()}"


@dataclass(frozen=True)
class ColorOptions:
    """Everything that decides how a model colorizes a photo.

    Args:
        saturation: color saturation: 0 = grayscale, 1 = model output.
        size: inference size, the short side in pixels at which the model processes the photo; None: the model's own.
        seed: random seed (stochastic models only).
        variants: number of results, with the seeds ``seed``, ``seed + 1``, ...
        hints: colors at pixels of the photo.
        steps: number of sampling steps; None: the model's own, as for all that follow.
        solver: name of the sampler.
        eta: noise that ddim adds at each step, from 0 (none) to 1 (as ancestral sampling).
        temperature: randomness of sampling: below 1 safer colors, above 1 more varied ones.
        warmth: color added everywhere: above 0 warmer (more yellow), below 0 cooler (more blue).
        near: seed of a result that all results are to be like (stochastic models only); None: of none.
        distance: how far they may be from it: 0 = the same, 1 = as without `near`.
        local_saturation: difference of colors from their surroundings: 0 = none, 1 = model output.

    Raises ValueError for a value of the wrong type or outside `LIMITS`, and for more than `MAX_HINTS` hints.
    """

    saturation: float = 1.0
    size: int | None = None
    seed: int = 0
    variants: int = 1
    hints: tuple[Hint, ...] = ()
    steps: int | None = None
    solver: str | None = None
    eta: float | None = None
    temperature: float | None = None
    warmth: float = 0.0
    local_saturation: float = 1.0
    near: int | None = None
    distance: float = 0.3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in LIMITS and not (value is None and field.default is None):
                object.__setattr__(self, field.name, checked_number(field.name, value))
        if self.solver is not None and not isinstance(self.solver, str):
            raise ValueError(f"solver {self.solver!r}: must be the name of a sampler")
        highest = LIMITS["seed"][1]
        if self.seeds[-1] > highest:
            raise ValueError(f"seed {self.seed}: with {self.variants} variants the last seed must be at most {highest}")
        object.__setattr__(self, "hints", parse_hints(self.hints))

    @property
    def seeds(self) -> range:
        """The seed of each variant."""
        return range(self.seed, self.seed + self.variants)

    @property
    def sampler(self) -> dict[str, Any]:
        """The sampler options that are set, by name."""
        return {name: getattr(self, name) for name in SamplerOptions.__annotations__ if getattr(self, name) is not None}


class SamplerOptions(TypedDict, total=False):
    """Sampler options by name; see `ColorOptions`."""

    steps: int | None
    solver: str | None
    eta: float | None
    temperature: float | None


class ColorKeywords(SamplerOptions, total=False):
    """Color options by name, over those of `options`; see `ColorOptions`."""

    saturation: float
    warmth: float
    local_saturation: float
    near: int | None
    distance: float
    size: int | None
    seed: int
    variants: int
    hints: Sequence[Hint | str]
    options: ColorOptions | None


def merge_options(options: ColorOptions | None = None, **settings: Any) -> ColorOptions:
    """Return the options with some of them set by name, hints also as texts. Raises ValueError; TypeError for a name
    that is no option.
    """
    if "strength" in settings:  # the former name
        settings["saturation"] = settings.pop("strength")
    if "hints" in settings:
        settings["hints"] = parse_hints(settings["hints"])
    names = [option.name for option in fields(ColorOptions)]
    for name in settings:
        if name not in names:
            raise TypeError(f"{name}: not an option; choose from {', '.join(names)}")
    return replace(options or ColorOptions(), **settings)


def check_stochastic(
    name: str, stochastic: bool, options: ColorOptions, extras: Sequence[str] = (), dashes: str = ""
) -> None:
    """Raise ValueError for options or images that only a stochastic model has, if this one is deterministic.

    ``dashes``: those of the command line, for the message.
    """
    needed = [
        option for option in ("variants", "seed", "near") if getattr(options, option) != getattr(ColorOptions, option)
    ]
    needed += [extra for extra in extras if extra == "uncertainty"]
    if needed and not stochastic:
        problem = f"{dashes}{needed[0]} needs a stochastic model, for example classify"
        raise ValueError(f"{name} is deterministic; {problem}")


def checked_number(name: str, value: Any) -> int | float:
    """Return a setting as a Python number. Raises ValueError that names the value and its limits."""
    low, high = LIMITS[name]
    whole = name in INTEGERS
    right_type = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    # Written so that NaN, which no comparison holds for, is refused too.
    if not right_type or not low <= value <= high:
        kind = "an integer" if whole else "a number"
        raise ValueError(f"{name} {value!r}: must be {kind} from {low} to {high}")
    return int(value) if whole else float(value)


def parse_hints(hints: Sequence[Hint | str]) -> tuple[Hint, ...]:
    """Return hints given as `Hint` or as text ``x,y,#rrggbb``. Raises ValueError for malformed or too many hints."""
    if len(hints) > MAX_HINTS:
        raise ValueError(f"{len(hints)} hints: at most {MAX_HINTS} are allowed")
    parsed = tuple(Hint.parse(hint) if isinstance(hint, str) else hint for hint in hints)
    for hint in parsed:
        if not isinstance(hint, Hint):
            raise ValueError(f"hint {hint!r}: give a Hint, or a text such as 120,80,#b03a2e")
    return parsed
