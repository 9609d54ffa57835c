"""Time several implementations alternately, so that other load on the machine affects all of them."""

import time
from collections.abc import Callable
from statistics import median


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alternate(repeats: int, calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each call, timed alternately after one round of warm-up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            times[name].append(timed(call))
    return {name: median(seconds[1:]) for name, seconds in times.items()}
