"""Ways of doing the same thing, timed in turn, so that a noisy machine is as noisy for each."""

import time
from collections.abc import Callable
from statistics import median


def timed(way: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def in_turn(repeats: int, ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each, taken in turn, after one round that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            taken[name].append(timed(way))
    return {name: median(seconds[1:]) for name, seconds in taken.items()}
