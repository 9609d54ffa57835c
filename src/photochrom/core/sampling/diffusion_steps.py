"""Diffusion as mathematics: schedules, what noise does, and the steps back, each for numpy and torch alike.

A schedule is a tuple of gammas (alpha-bar), from gamma_0 = 1, the clean picture, down to gamma_T, nearly noise:
y_t = sqrt(gamma_t) y_0 + sqrt(1 - gamma_t) noise. Gammas are Python floats, so nothing here is lost to float32. A step
goes from one gamma to the one before it in whatever list is walked, so fewer steps are a shorter list of the same
gammas (`respaced`), never a shorter schedule.
"""

import math
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

from jaxtyping import Float

Picture = Float[Any, "b c h w"]
Schedule = tuple[float, ...]

PREDICTIONS = ("noise", "clean", "velocity")


def from_betas(betas: tuple[float, ...]) -> Schedule:
    """Gammas of the variances that each step adds: the running product of 1 - beta, after 1."""
    return tuple(accumulate((1 - beta for beta in betas), lambda a, b: a * b, initial=1.0))


def linear(steps: int, first: float, last: float) -> Schedule:
    """Betas in even steps from first to last (Ho et al. 2020: 1000, 1e-4, 0.02)."""
    return from_betas(tuple(first + (last - first) * i / max(1, steps - 1) for i in range(steps)))


def cosine(steps: int, offset: float = 0.008, largest: float = 0.999) -> Schedule:
    """Gammas that fall as a squared cosine, with betas held under ``largest`` (Nichol & Dhariwal 2021, equation 17)."""
    level = [math.cos((i / steps + offset) / (1 + offset) * math.pi / 2) ** 2 for i in range(steps + 1)]
    return from_betas(tuple(min(1 - b / a, largest) for a, b in pairwise(level)))


def respaced(schedule: Schedule, steps: int) -> Schedule:
    """So many steps over the same gammas, evenly by index, both ends kept.

    Raises ValueError for fewer than 1 or more than the schedule has.
    """
    last = len(schedule) - 1
    if not 1 <= steps <= last:
        raise ValueError(f"{steps} steps: the schedule has {last}, choose from 1 to {last}")
    return tuple(schedule[round(i * last / steps)] for i in range(steps + 1))


def noised(clean: Picture, noise: Picture, gamma: Any) -> Picture:
    """What is left of a picture at gamma (a float, or an array that broadcasts)."""
    return clean * gamma**0.5 + noise * (1 - gamma) ** 0.5


def target(prediction: str, clean: Picture, noise: Picture, gamma: Any) -> Picture:
    """What a network of this kind of prediction is to give; the velocity is Salimans & Ho's (2022)."""
    _check(prediction)
    if prediction == "velocity":
        return noise * gamma**0.5 - clean * (1 - gamma) ** 0.5
    return noise if prediction == "noise" else clean


def clean_of(prediction: str, noisy: Picture, predicted: Picture, gamma: Any) -> Picture:
    """The clean picture that a prediction means. For noise at a gamma near 0 it is huge: clip it."""
    _check(prediction)
    if prediction == "noise":
        return (noisy - predicted * (1 - gamma) ** 0.5) * gamma**-0.5
    return predicted if prediction == "clean" else noisy * gamma**0.5 - predicted * (1 - gamma) ** 0.5


def noise_of(noisy: Picture, clean: Picture, gamma: float) -> Picture:
    """The noise that makes a clean picture this noisy."""
    return (noisy - clean * gamma**0.5) * (1 - gamma) ** -0.5


def _check(prediction: str) -> None:
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction {prediction!r}: choose one of {', '.join(PREDICTIONS)}")


def posterior(noisy: Picture, clean: Picture, gamma: Any, before: Any) -> Picture:
    """Mean of the step back, given the clean picture (Ho et al. 2020, equation 7)."""
    alpha = gamma / before
    return clean * (before**0.5 * (1 - alpha) / (1 - gamma)) + noisy * (alpha**0.5 * (1 - before) / (1 - gamma))


def variance(gamma: Any, before: Any, share: Any = 0.0) -> Any:
    """Of a step back: the posterior's own (``share`` 0, Ho et al. 2020) or that of the step forward, 1 - alpha (1, as
    Palette's Algorithm 2 has it), or between them by their logarithms (Nichol & Dhariwal 2021, equation 15).
    """
    forward = 1 - gamma / before
    own = forward * ((1 - before) / (1 - gamma))
    return forward**share * own ** (1 - share)


def ancestral(
    noisy: Picture, clean: Picture, gamma: float, before: float, fresh: Callable[[Any], Any], share: Any = 0.0
) -> Picture:
    """A random step back: the posterior's mean, and the `variance` of this ``share``. The last adds nothing."""
    mean = posterior(noisy, clean, gamma, before)
    return mean if before == 1 else mean + fresh(noisy) * variance(gamma, before, share) ** 0.5


def ddim(
    noisy: Picture, clean: Picture, gamma: float, before: float, fresh: Callable[[Any], Any], eta: float = 0.0
) -> Picture:
    """A step back that keeps the noise there is (``eta`` 0) or renews it (1 is `ancestral`) (Song et al. 2021, 12)."""
    spread = eta * ((1 - before) / (1 - gamma) * (1 - gamma / before)) ** 0.5
    kept = max(0.0, 1 - before - spread**2) ** 0.5
    moved = clean * before**0.5 + noise_of(noisy, clean, gamma) * kept
    return moved + fresh(noisy) * spread if spread else moved


def dpm_solver(
    noisy: Picture, clean: Picture, last: tuple[Picture, float] | None, gamma: float, before: float
) -> Picture:
    """A step back of second order, DPM-Solver++(2M) (Lu et al. 2022, Algorithm 2), from the clean picture predicted now
    and the one predicted before, with its gamma. The first step and the last are of first order.
    """
    if before == 1:
        return clean
    step = _half_snr(before) - _half_snr(gamma)
    if last is not None:
        earlier, its_gamma = last
        share = step / (2 * (_half_snr(gamma) - _half_snr(its_gamma)))
        clean = clean * (1 + share) - earlier * share
    return noisy * ((1 - before) / (1 - gamma)) ** 0.5 - clean * (before**0.5 * math.expm1(-step))


def _half_snr(gamma: float) -> float:
    """Half the logarithm of the ratio of signal to noise: lambda of the solver's paper."""
    return 0.5 * math.log(gamma / (1 - gamma))
