"""How fast each parameter learns: over the steps, and beside the others."""

import math
from typing import Any

from torch import nn

from ..models.family import Family
from .recipe import Optimizer


def learning_rate(step: int, steps: int, settings: Optimizer) -> float:
    """The rate after so many of all steps: linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    return settings.lr * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def groups(model: Family, player: str, settings: Optimizer) -> list[dict[str, Any]]:
    """A player's parameters by learning rate and weight decay; biases, and norms, which have one axis, do not decay."""
    rates = model.learning_rates(player)
    made: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, p in model.get_submodule(player).named_parameters():
        if p.requires_grad:
            rate = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), 1.0)
            decays = p.ndim > 1 and "bias" not in name.split(".")
            made.setdefault((rate, settings.weight_decay * decays), []).append(p)
    return [{"params": ps, "rate": rate, "weight_decay": decay} for (rate, decay), ps in made.items()]
