"""Resampling of channel-first arrays by whole factors, the same code for numpy and torch."""

from typing import Any

from jaxtyping import Float


def average_pool(planes: Float[Any, "b c h w"], factor: int) -> Float[Any, "b c h2 w2"]:
    """Return means over squares of ``factor`` pixels. Raises ValueError for sides that the factor does not divide."""
    b, c, h, w = planes.shape
    check_divisible(h, w, factor)
    return planes.reshape(b, c, h // factor, factor, w // factor, factor).mean(5).mean(3)


def upsample_nearest(planes: Float[Any, "b c h w"], factor: int) -> Float[Any, "b c h2 w2"]:
    """Return each pixel repeated as a square of ``factor`` pixels."""
    height, width = planes.shape[2:]
    rows = [i // factor for i in range(height * factor)]
    columns = [i // factor for i in range(width * factor)]
    return planes[:, :, rows][..., columns]


def check_divisible(height: int, width: int, factor: int) -> None:
    """Raises ValueError for sides that the factor does not divide."""
    if height % factor or width % factor:
        raise ValueError(f"{width} x {height} pixels: both sides must divide by {factor}")
