"""Color options: one set of limits, checked wherever options come from."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

from photochrom.core.sampling import autoregressive
from photochrom.inference.options import (
    LIMITS,
    MAX_HINTS,
    ColorOptions,
    Hint,
    checked_number,
    merge_options,
    parse_hints,
)


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_inclusive(name):
    low, high = LIMITS[name]
    for value in (low, high):
        assert getattr(ColorOptions(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, (low, high) in LIMITS.items() for value in (low - 1, high + 1)],
)
def test_values_outside_the_limits_are_refused(name, value):
    low, high = LIMITS[name]
    with pytest.raises(ValueError, match=rf"^{name} {value}: must be an? \w+ from {low} to {high}$"):
        ColorOptions(**{name: value})


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [math.nan, math.inf, "1", True, None, 64.5])
def test_values_of_another_kind_are_refused(name, value):
    """Directly, since tests check the types of arguments before the function sees them."""
    if value == 64.5 and name == "temperature":
        assert checked_number(name, value) == value
        return
    with pytest.raises(ValueError, match=f"{name} {value!r}: must be"):
        checked_number(name, value)


def test_saturation_is_never_nan():
    with pytest.raises(ValueError, match="saturation nan: must be a number from 0 to 3"):
        ColorOptions(saturation=math.nan)


def test_numbers_become_python_numbers():
    options = ColorOptions(saturation=2)
    assert type(options.saturation) is float
    assert type(checked_number("seed", np.int64(3))) is int
    assert type(checked_number("saturation", np.float32(0.5))) is float


def test_seeds_count_up_from_the_seed():
    assert list(ColorOptions(seed=7, variants=3).seeds) == [7, 8, 9]
    with pytest.raises(ValueError, match="with 3 variants the last seed must be at most"):
        ColorOptions(seed=LIMITS["seed"][1], variants=3)


def test_sampler_holds_the_options_that_are_set():
    assert ColorOptions().sampler == {}
    assert ColorOptions(steps=5, eta=0.0, solver="ddim").sampler == {"steps": 5, "solver": "ddim", "eta": 0.0}


def test_hints_are_parsed_and_counted():
    hints = parse_hints(["1,2,#ff0000", Hint(3, 4, (0, 255, 0))])
    assert hints == (Hint(1, 2, (255, 0, 0)), Hint(3, 4, (0, 255, 0)))
    assert ColorOptions(hints=hints).hints == hints
    with pytest.raises(ValueError, match=f"{MAX_HINTS + 1} hints: at most {MAX_HINTS} are allowed"):
        ColorOptions(hints=hints[:1] * (MAX_HINTS + 1))


def test_options_travel_to_another_process():
    options = ColorOptions(seed=3, hints=parse_hints(["1,2,#ff0000"]), steps=4)
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.parametrize("text", ["", "1,2", "1,2,red", "-1,2,#ff0000", "1.5,2,#ff0000", "1,2,#ff00", "1,2,#gg0000"])
def test_a_malformed_hint_is_refused(text):
    with pytest.raises(ValueError, match=r"write it as x,y,#rrggbb, for example 120,80,#b03a2e"):
        Hint.parse(text)


def test_a_hint_gives_its_text_back():
    assert str(Hint.parse(" 120, 80,B03A2E ")) == "120,80,#b03a2e"
    assert Hint.parse(str(Hint(1, 2, (0, 10, 255)))) == Hint(1, 2, (0, 10, 255))


@pytest.mark.parametrize(
    ("arguments", "message"), [((-1, 0, (0, 0, 0)), "negative"), ((0, 0, (0, 0, 256)), "0 to 255")]
)
def test_a_hint_outside_every_photo_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Hint(*arguments)


def test_temperature_limits_are_those_of_the_sampler():
    assert LIMITS["temperature"] == (autoregressive.MIN_TEMPERATURE, autoregressive.MAX_TEMPERATURE)


def test_limits_are_known_without_numpy():
    code = "import photochrom.inference.options, sys; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


MALFORMED = """
from photochrom import ColorOptions, Hint
calls = [(Hint, (1.5, 2, (0, 0, 0))), (Hint, (1, -2, (0, 0, 0))), (Hint, (1, 2, "abc")), (Hint, (1, 2, (0, 0, 256)))]
calls += [(lambda hints: ColorOptions(hints=hints), ([hint],)) for hint in (5, None, (1, 2, "#ffffff"), "1,2")]
for function, arguments in calls:
    try:
        function(*arguments)
    except ValueError as error:
        assert "hint" in str(error), error
    else:
        raise AssertionError(arguments)
"""


def test_malformed_hints_are_refused():
    """In a process without the shape checks of the tests, which would refuse them first."""
    subprocess.run([sys.executable, "-c", MALFORMED], check=True)


def test_the_former_name_of_saturation_is_understood():
    assert merge_options(strength=0.5) == ColorOptions(saturation=0.5)


def test_an_option_that_does_not_exist_is_named():
    with pytest.raises(TypeError, match="foo: not an option; choose from saturation, size, seed, variants"):
        merge_options(foo=1)
