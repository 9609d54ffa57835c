"""Checkpoints: one safetensors file each, with a JSON record in its header; no pickle, never half written."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import models
from ..imaging.atomic import atomic_path
from ..models.family import Family
from .processes import is_main_process
from .recipe import Recipe, parse

CHECKPOINTS = ("best", "last")


def point_name(point: float) -> str:
    """Return the name of the checkpoint of a point of `Trainer.points`, such as ``at-0.25``."""
    return f"at-{point:g}"


def write(path: Path, sections: Mapping[str, Mapping[str, Tensor]], record: Mapping[str, Any]) -> None:
    """Write sections of tensors and a record of JSON values as one file, over an earlier one. Raises WriteError."""
    tensors = {}
    for section, entries in sections.items():
        for name, tensor in entries.items():
            # Tensors that share memory, or are not dense, cannot be stored: each is copied.
            tensors[f"{section}.{name}"] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    with atomic_path(path, overwrite=True) as temporary:
        try:
            save_file(tensors, temporary, {"record": json.dumps(record)})
        except SafetensorError as error:
            raise OSError(str(error)) from None


def read(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Return the sections and the record of a checkpoint. Raises ValueError when it is missing or damaged.

    The section ``ema`` has the averaged weights. ``last`` has two more: ``model``, the weights that are trained, and
    ``optimizer``, as `optimizer_state` returns it.
    """
    tensors, record = _read_tensors(path)
    if record is None:
        raise ValueError(f"{path}: not a checkpoint: it has no record of a run")
    sections = defaultdict[str, dict[str, Tensor]](dict)
    for key, tensor in tensors.items():
        section, _, name = key.partition(".")
        sections[section][name] = tensor
    return sections, record


def read_weights(path: Path) -> tuple[dict[str, Tensor], bool]:
    """Return the averaged weights of a checkpoint, or all tensors of a safetensors file from elsewhere.

    The second value is whether it is the checkpoint of a run. Raises ValueError when it is missing or damaged.
    """
    tensors, record = _read_tensors(path)
    if record is None:
        return tensors, False
    return {name.removeprefix("ema."): tensor for name, tensor in tensors.items() if name.startswith("ema.")}, True


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    try:
        with safe_open(path, "pt") as file:
            record = (file.metadata() or {}).get("record", "null")
        return load_file(path), json.loads(record)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such checkpoint") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path}: not a checkpoint, or a damaged one: {error}") from None


def load(run: Path, name: str = "best") -> tuple[Family, Recipe, dict[str, Any]]:
    """Load the model of a run in eval mode with its averaged weights, its recipe, and its record.

    ``name`` is ``best`` (by validation), ``last``, or ``at-0.25`` for a point of `Trainer.points`. The record holds
    ``step``, ``seconds``, ``validation`` (metrics) and ``photographs`` (counts and digest), among others. Raises
    ValueError when it is missing or damaged.
    """
    path = Path(run) / f"{name}.safetensors"
    if name not in CHECKPOINTS and not path.exists():
        choices = sorted({*CHECKPOINTS, *(other.stem for other in Path(run).glob("at-*.safetensors"))})
        raise ValueError(f"{run}: has no checkpoint {name!r}; choose one of {', '.join(choices)}")
    sections, record = read(path)
    recipe = parse(record["recipe"], f"{run}: stored recipe")
    model: Family = models.load_family(recipe.family)(recipe.model)
    model.load_state_dict(sections["ema"])
    return model.eval(), recipe, record


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
    """Give an optimizer the state of its parameters in what `optimizer_state` returned for one or more optimizers."""
    for key, tensor in tensors.items():
        name, _, quantity = key.rpartition(":")
        if name in parameters:
            parameter = parameters[name]
            # In the parameter's memory format: otherwise sums are taken in another order, and a resumed run differs.
            like = parameter if tensor.shape == parameter.shape else tensor
            optimizer.state[parameter][quantity] = torch.empty_like(like, device=parameter.device).copy_(tensor)


@contextmanager
def run_folder(run: Path, resume: bool) -> Iterator[None]:
    """Create the folder of a run, and remove it if nothing is in it when the block fails. Raises ValueError."""
    if not is_main_process():
        yield
        return
    started = (run / "last.safetensors").exists()
    if started and not resume:
        raise ValueError(f"{run}: holds a run already: resume it, or name another folder")
    if resume and not started:
        raise ValueError(f"{run}: holds no last.safetensors to resume from; start without --resume")
    missing = [folder for folder in (run, *run.parents) if not folder.exists()]
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{run}: cannot be a folder for a run ({error.strerror}): name another") from None
    try:
        yield
    except Exception:
        with suppress(OSError):  # something is in it
            for folder in missing:
                folder.rmdir()
        raise
