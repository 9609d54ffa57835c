"""Checkpoints: one safetensors file each, with a JSON record in its header; no pickle, never half written."""

import json
import logging
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .. import models
from ..inference import bundle as bundles
from ..models.family import Family
from .recipe import Recipe, parse

log = logging.getLogger(__name__)

WHICH = ("best", "last")
TRANSPOSED = ".T"  # after the name of a matrix that a graph has as its transpose


def write(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write tensors and a JSON-able record as one file, beside its place first, then renamed. Raises OSError."""
    temporary = path.with_suffix(".writing")
    try:
        save_file({name: _plain(t) for name, t in tensors.items()}, temporary, {"record": json.dumps(record)})
        temporary.replace(path)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the record of a checkpoint. Raises ValueError for a missing or damaged file."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["record"])  # noqa: SIM118
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such checkpoint") from None
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a checkpoint, or a damaged one: {error}") from None


def load(run: Path, which: str = "best") -> tuple[Family, Recipe, dict[str, Any]]:
    """The model of a run in eval mode with its averaged weights, its recipe, and its record.

    Args:
        run: the folder that `train` returned.
        which: ``best`` by validation, or ``last``.

    The record holds ``step``, ``seconds``, ``validation`` (figures then) and ``photographs`` (counts and digest).
    Raises ValueError.
    """
    if which not in WHICH:
        raise ValueError(f"checkpoint {which!r}: choose one of {', '.join(WHICH)}")
    tensors, record = read(Path(run) / f"{which}.safetensors")
    recipe = parse(record["recipe"], f"{run}: stored recipe")
    model = models.load_family(recipe.family)(recipe.model)
    model.load_state_dict(part(tensors, "ema"))
    return model.eval(), recipe, record


def part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names start with ``name.``, without it."""
    return {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}


def prefixed(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The opposite of `part`."""
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def optimizer_state(optimizer: torch.optim.Optimizer, names: dict[Tensor, str]) -> dict[str, Tensor]:
    """What an optimiser remembers, as ``parameter name:quantity``."""
    return {f"{names[p]}:{k}": v for p, state in optimizer.state.items() for k, v in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, names: dict[Tensor, str], tensors: dict[str, Tensor]) -> None:
    """Give an optimiser back what `optimizer_state` took from it."""
    parameters = {name: p for p, name in names.items()}
    for key, tensor in tensors.items():
        name, _, quantity = key.rpartition(":")
        p = parameters[name]
        like = torch.empty_like(p) if tensor.shape == p.shape else torch.empty_like(tensor, device=p.device)
        optimizer.state[p][quantity] = like.copy_(tensor)


def start(model: Family, init: Path | None) -> None:
    """Begin with the weights of ``init``, if given; it must have all that the model borrows and does not learn.

    Raises ValueError.
    """
    names = set(model.state_dict())
    left = names if init is None else set(start_from(model, Path(init)))
    frozen_weights = {name for name in names if name.startswith(model.frozen_weights)}
    if missing := frozen_weights & left:
        source = "no --init" if init is None else f"{init} has no {min(missing)} that fits"
        raise ValueError(
            f"{source}: {len(missing)} of {len(frozen_weights)} weights that this model keeps as they are must "
            f"come from a run or bundle of the family {model.pretrained_from}: "
            "name with --init one of the same settings"
        )
    if init is not None:
        kept = f"; {len(frozen_weights)} of its weights stay as they are" if frozen_weights else ""
        log.info("started from %s%s; %d of %d weights start afresh", init, kept, len(left), len(names))


def start_from(model: Family, path: Path) -> list[str]:
    """Copy weights where names and shapes agree; returns the names left as they were.

    Args:
        model: changed in place.
        path: a run folder (its best checkpoint, averaged), a ``.safetensors`` file, or a bundle, installed or not: a
            network takes the weights of the bundle's of the same name, or of its only one.

    Raises ValueError when nothing agrees.
    """
    own = model.state_dict()
    if (path / "best.safetensors").exists() or path.suffix == ".safetensors":
        weights = part(read(path / "best.safetensors" if path.is_dir() else path)[0], "ema")
    else:
        weights = _bundled(model, path)
    found = {k: t for k, t in weights.items() if k in own and own[k].shape == t.shape}
    if not found:
        raise ValueError(
            f"{path}: no weight fits this model: start from a run of {model.pretrained_from} with the same settings"
        )
    model.load_state_dict(found, strict=False)
    return [name for name in own if name not in found]


def _bundled(model: Family, path: Path) -> dict[str, Tensor]:
    """The weights in a bundle's graphs by the names that they have in the model."""
    graphs = {name: onnx.load_from_string(content) for name, content in bundles.load(path).networks.items()}
    weights, own = {}, model.state_dict()
    for name, net in model.networks().items():
        graph = graphs.get(name) or (next(iter(graphs.values())) if len(graphs) == 1 else None)
        prefix = next(prefix for prefix, module in model.named_modules() if module is net)
        for weight in graph.graph.initializer if graph else ():
            tensor = torch.from_numpy(numpy_helper.to_array(weight).copy()).float()
            key = f"{prefix}.{weight.name.removesuffix('.half')}"
            if key.endswith(TRANSPOSED):
                key, tensor = key.removesuffix(TRANSPOSED), tensor.T
            same = key in own and own[key].squeeze().shape == tensor.squeeze().shape  # norms are (c, 1, 1) in graphs
            weights[key] = tensor.reshape(own[key].shape) if same else tensor
    return weights
