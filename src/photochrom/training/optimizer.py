"""One AdamW for each trainable part of a model, and the learning rate over the steps."""

import math
from typing import Any

import torch
from torch import nn

from ..models.family import Family
from .recipe import Optimizer


def create_optimizers(model: Family, settings: Optimizer) -> dict[str, torch.optim.Optimizer]:
    """Return the optimizer of each trainable part."""
    optimizers: dict[str, torch.optim.Optimizer] = {}
    for part in model.trainable:
        groups = parameter_groups(model, part, settings)
        optimizers[part] = torch.optim.AdamW(groups, settings.lr, settings.betas, fused=True)
    return optimizers


def parameter_groups(model: Family, part: str, settings: Optimizer) -> list[dict[str, Any]]:
    """Return a part's parameters, grouped by relative learning rate and weight decay (none for biases and norms)."""
    rates = model.learning_rates(part)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.get_submodule(part).named_parameters():
        if not parameter.requires_grad:
            continue
        rate = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), 1.0)
        decays = parameter.ndim > 1 and "bias" not in name.split(".")  # the weights of norms have one axis
        groups.setdefault((rate, settings.weight_decay * decays), []).append(parameter)
    return [{"params": ps, "rate": rate, "weight_decay": decay} for (rate, decay), ps in groups.items()]


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of each group, times its relative rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * lr


def learning_rate(step: int, steps: int, settings: Optimizer) -> float:
    """Return the learning rate after ``step`` of ``steps``: linear warm-up times a cosine decay to zero."""
    warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    return settings.lr * warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
