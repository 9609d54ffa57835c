"""Grading: adjustments of predicted colors that need no new prediction."""

import numpy as np
from jaxtyping import Float

from ..core.color import AB_SCALE
from ..core.sampling.procedure import Hints
from .options import ColorOptions

AB = Float[np.ndarray, "2 h w"]

WARM = np.array([[[4.0]], [[16.0]]], np.float32) / AB_SCALE  # that a warmth of 1 adds: red and, above all, yellow
SURROUNDINGS = 0.1  # standard deviation of the surroundings of a pixel, in short sides of the image


def grade(ab: AB, options: ColorOptions, hints: Hints | None = None) -> AB:
    """Return ab in [-1, 1] with the local saturation, warmth and saturation of the options, in this order.

    ``hints``: those that `ab` contains, whose colors stay.
    """
    saturation = np.float32(options.saturation)
    change = WARM * np.float32(options.warmth)
    if options.local_saturation != 1:
        change = change + (ab - blur(ab)) * np.float32(options.local_saturation - 1)
    if hints is None:
        return (ab + change) * saturation
    hinted = hints.at(*ab.shape[1:])
    return (ab + change * (1 - hinted.weight[0])) * saturation + hinted.ab[0] * (1 - saturation)


def blur(ab: AB) -> AB:
    """Return the mean of the surroundings of each pixel, weighted by a Gaussian that ends at the edges."""
    height, width = ab.shape[1:]
    sigma = SURROUNDINGS * min(height, width)
    down, across = (_weights(side, sigma) for side in (height, width))
    return down @ ab @ across.T


def _weights(side: int, sigma: float) -> Float[np.ndarray, "side side"]:
    offsets = np.subtract.outer(np.arange(side), np.arange(side)) / sigma
    weights = np.exp(-(offsets**2) / 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
