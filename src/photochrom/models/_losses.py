"""Losses between predicted and true colours, each ``(prediction, truth) -> scalar``; mixed by weight in a recipe."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

HUBER_DELTA = 5 / 110  # 5 Lab units: below it a square, above it a straight line


def l1(color: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (color - truth).abs().mean()


def l2(color: Tensor, truth: Tensor) -> Tensor:
    """Mean squared difference."""
    return (color - truth).square().mean()


def huber(color: Tensor, truth: Tensor) -> Tensor:
    """Smooth L1 of each channel with its bend at `HUBER_DELTA`, scaled so that far from it the slope is 1."""
    return F.smooth_l1_loss(color, truth, beta=HUBER_DELTA)


def distance(color: Tensor, truth: Tensor) -> Tensor:
    """Mean Euclidean distance of the colour vectors (channels at dim 1), rounded below `HUBER_DELTA`."""
    squared = (color - truth).square().sum(1)
    return ((squared + HUBER_DELTA**2).sqrt() - HUBER_DELTA).mean()


LOSSES = {f.__name__: f for f in (l1, l2, huber, distance)}


def check(weights: Mapping[str, float]) -> None:
    """Raises ValueError for a loss that does not exist, or when none has a weight."""
    unknown = sorted(set(weights) - set(LOSSES))
    if unknown or not any(weights.values()):
        raise ValueError(f"losses {dict(weights)}: give a weight to one or more of {', '.join(LOSSES)}")


def mix(weights: Mapping[str, float], color: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """The named losses and, as ``total``, their weighted sum."""
    parts = {name: LOSSES[name](color, truth) for name in weights}
    return {"total": torch.stack([weights[name] * part for name, part in parts.items()]).sum(), **parts}
