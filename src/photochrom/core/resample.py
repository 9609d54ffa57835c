"""Resampling: channel-first arrays by whole factors, the same code for numpy and torch, and means of any areas."""

from typing import Any

import numpy as np
from jaxtyping import Float

from .color import namespace


def average_pool(planes: Float[Any, "b c h w"], factor: int) -> Float[Any, "b c h2 w2"]:
    """Return means over squares of ``factor`` pixels. Raises ValueError for sides that the factor does not divide."""
    b, c, h, w = planes.shape
    check_divisible(h, w, factor)
    return planes.reshape(b, c, h // factor, factor, w // factor, factor).mean(5).mean(3)


def upsample_nearest(planes: Float[Any, "b c h w"], factor: int) -> Float[Any, "b c h2 w2"]:
    """Return each pixel repeated as a square of ``factor`` pixels."""
    b, c, h, w = planes.shape
    repeated = namespace(planes).broadcast_to(planes[:, :, :, None, :, None], (b, c, h, factor, w, factor))
    return repeated.reshape(b, c, h * factor, w * factor)


def check_divisible(height: int, width: int, factor: int) -> None:
    """Raises ValueError for sides that the factor does not divide."""
    if height % factor or width % factor:
        raise ValueError(f"{width} x {height} pixels: both sides must divide by {factor}")


def area_matrix(
    size: int, target: int, start: float = 0.0, stop: float | None = None
) -> Float[np.ndarray, "target size"]:
    """Return the matrix that takes the means of equal lengths between two places, by default all of ``size`` pixels."""
    edges = np.linspace(start, size if stop is None else stop, target + 1)
    low = np.maximum.outer(edges[:-1], np.arange(size))
    high = np.minimum.outer(edges[1:], np.arange(1, size + 1))
    return (high - low).clip(0) * (target / (edges[-1] - edges[0]))
