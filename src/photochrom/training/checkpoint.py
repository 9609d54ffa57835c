"""Checkpoints: one safetensors file each, with a JSON record in its header; no pickle, never half written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import models
from ..imaging.atomic import atomic_path
from ..models.family import Family
from .recipe import Recipe, parse

CHECKPOINTS = ("best", "last")


def write(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write tensors and a record of JSON values as one file, atomically, over an earlier one. Raises WriteError."""
    stored = {}
    for name, tensor in tensors.items():
        # Tensors that share memory, or are not dense, cannot be stored: each is copied.
        stored[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    with atomic_path(path, overwrite=True) as temporary:
        try:
            save_file(stored, temporary, {"record": json.dumps(record)})
        except SafetensorError as error:
            raise OSError(str(error)) from None


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the record of a checkpoint. Raises ValueError when it is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            record = json.loads(file.metadata()["record"])
        return load_file(path), record
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such checkpoint") from None
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a checkpoint, or a damaged one: {error}") from None


def load(run: Path, name: str = "best") -> tuple[Family, Recipe, dict[str, Any]]:
    """Load the model of a run in eval mode with its averaged weights, its recipe, and its record.

    ``name`` is ``best`` (by validation) or ``last``. The record holds ``step``, ``seconds``, ``validation`` (metrics)
    and ``photographs`` (counts and digest), among others. Raises ValueError when it is missing or damaged.
    """
    if name not in CHECKPOINTS:
        raise ValueError(f"checkpoint {name!r}: choose one of {', '.join(CHECKPOINTS)}")
    tensors, record = read(Path(run) / f"{name}.safetensors")
    recipe = parse(record["recipe"], f"{run}: stored recipe")
    model: Family = models.load_family(recipe.family)(recipe.model)
    model.load_state_dict(without_prefix("ema", tensors))
    return model.eval(), recipe, record


def without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix.``, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with ``prefix.`` before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def optimizer_state(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of an optimizer as ``parameter:quantity``, by the names of its parameters."""
    tensors = {}
    for name, parameter in parameters.items():
        for quantity, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{name}:{quantity}"] = value
    return tensors


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Give an optimizer the state that `optimizer_state` returned."""
    for key, tensor in tensors.items():
        name, _, quantity = key.rpartition(":")
        # In the parameter's memory format: otherwise sums are taken in another order, and a resumed run differs.
        like = parameters[name] if tensor.shape == parameters[name].shape else tensor
        state = optimizer.state[parameters[name]]
        state[quantity] = torch.empty_like(like, device=parameters[name].device).copy_(tensor)
