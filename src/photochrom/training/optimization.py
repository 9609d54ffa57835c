"""Groups of parameters and the learning rate over a training."""

import math
from collections.abc import Callable
from typing import Any

from ..models.family import Family
from .recipe import Optimizer

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: (1 + math.cos(math.pi * progress)) / 2,
}


def parameter_groups(model: Family, part: str, settings: Optimizer) -> list[dict[str, Any]]:
    """Return a part's parameters, grouped by relative learning rate and weight decay (none for biases and norms)."""
    rates = model.learning_rates(part)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.get_submodule(part).named_parameters():
        if parameter.requires_grad:
            rate = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), 1.0)
            decays = parameter.ndim > 1 and "bias" not in name.split(".")  # the weights of norms have one axis
            decay = settings.weight_decay * decays
            group = groups.setdefault((rate, decay), {"params": [], "rate": rate, "weight_decay": decay})
            group["params"].append(parameter)
    return list(groups.values())


def learning_rate(step: int, progress: float, settings: Optimizer) -> float:
    """Return the learning rate of a step: linear warm-up times a schedule over the training's progress from 0 to 1."""
    warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    fall = max(0.0, min(1.0, progress) - settings.hold) / (1 - settings.hold)
    return settings.lr * warmup * SCHEDULES[settings.schedule](fall)
