"""Resampling: channel-first arrays by whole factors, the same code for numpy and torch, and means of any areas."""

from typing import Any

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


def area_matrix(edges: Float[Any, "edges"], size: int) -> Float[Any, "areas size"]:
    """Return the matrix that takes the means of ``size`` pixels between each edge, in pixels, and the next."""
    xp, before = namespace(edges), namespace(edges).arange(size)
    low, high = edges[:-1, None], edges[1:, None]
    overlap = xp.minimum(high, before + 1) - xp.maximum(low, before)
    return overlap.clip(0, None) / (high - low)
