"""Weights to start a training from: those of another run, a checkpoint, a bundle, or a file from elsewhere."""

import copy
import logging
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from ..inference import bundle as bundles
from ..models.family import Family
from . import checkpoint
from .graph import HALF, TRANSPOSED

log = logging.getLogger(__name__)

NETWORK = "net"  # the attribute of a family that has its network, or several by their names


def initialize(model: Family, init: str | Path | None) -> None:
    """Start a model from the weights in ``init`` (see `load_weights`), or from random ones where that is None.

    Raises ValueError when no weights fit, or less than half of those of a network, or some are missing that the model
    does not train itself.
    """
    names = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}
    if init is not None and bundles.is_hub_address(init):
        init = bundles.find(init)
    random = names if init is None else names & load_weights(model, Path(init))
    for network, prefix in _prefixes(model).items():
        own = {name for name in names if name.startswith(f"{prefix}.")}
        fitting = own - random
        # A few weights that fit by chance would only disturb those of another network.
        if fitting and len(fitting) < len(own) / 2:
            raise ValueError(
                f"{init}: fits only {len(fitting)} of the {len(own)} weights of the network {network}: start from a "
                "model with the same network, or choose the recipe of that model"
            )
    frozen = model.frozen_weights
    missing = frozen & random
    if missing:
        problem = "no --init" if init is None else f"{init} has no {min(missing)} that fits"
        raise ValueError(
            f"{problem}: {len(missing)} of {len(frozen)} frozen weights of this model must come from a run or bundle "
            f"of the family {model.pretrained_from}: name one with the same settings with --init"
        )
    if init is not None:
        note = f"; {len(frozen)} weights are frozen" if frozen else ""
        log.info("initialized from %s%s; %d of %d weights start at random", init, note, len(random), len(names))


def load_weights(model: Family, path: Path) -> set[str]:
    """Copy weights into a model where names and shapes agree; return the names of the other weights.

    ``path`` is a run folder (its best checkpoint, averaged), a ``.safetensors`` file of a run or from elsewhere, or a
    bundle, installed or not. A file from elsewhere names the parameters of the model, or those of one of its networks:
    the one that most of them fit, and so does a run of another family. A network takes the weights of the bundle's
    network of the same name, or of its only one. Raises ValueError when nothing agrees, or a file from elsewhere fits
    two networks alike.
    """
    own = model.state_dict()
    best = path / "best.safetensors"
    if best.exists() or path.suffix == ".safetensors":
        weights, of_run = checkpoint.read_weights(best if best.exists() else path)
        fitting = _fitting(weights, own) if of_run else _best_fitting(weights, model, path, own)
        if not fitting:  # a run of another family, whose network is one of several here
            alone = {name.removeprefix(f"{NETWORK}."): weight for name, weight in weights.items()}
            fitting = _best_fitting(alone, model, path, own)
    else:
        fitting = _fitting(_bundle_weights(model, path, own), own)
    if not fitting:
        raise ValueError(
            f"{path}: no weight fits this model: start from a run of {model.pretrained_from} with the same settings"
        )
    model.load_state_dict(fitting, strict=False)
    return own.keys() - fitting.keys()


@torch.no_grad()
def blend(model: Family, path: Path, share: float) -> None:
    """Interpolate a model's networks towards the weights in ``path`` (see `load_weights`), which get this share.

    Raises ValueError when ``path`` lacks weights of the networks.
    """
    other = copy.deepcopy(model)
    missing = load_weights(other, path)
    theirs = other.state_dict()
    for prefix, net in zip(_prefixes(model).values(), model.networks().values(), strict=True):
        for name, weight in net.state_dict().items():
            if not weight.is_floating_point():
                continue
            if f"{prefix}.{name}" in missing:
                raise ValueError(f"{path}: has no {prefix}.{name} that fits: blend weights of the same network")
            weight.lerp_(theirs[f"{prefix}.{name}"], share)


def _prefixes(model: Family) -> dict[str, str]:
    """Return the name of the module of each network."""
    modules = {module: name for name, module in model.named_modules()}
    return {name: modules[net] for name, net in model.networks().items()}


def _fitting(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if name in own and tensor.shape == own[name].shape}


def _best_fitting(
    weights: Mapping[str, Tensor], model: Family, path: Path, own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the weights that fit under their own names, or under those of the network that most of them fit."""
    fits = {"": _fitting(weights, own)}
    for network in _prefixes(model).values():
        fits[network] = _fitting({f"{network}.{name}": tensor for name, tensor in weights.items()}, own)
    most = max(map(len, fits.values()))
    best = [network for network, fit in fits.items() if len(fit) == most]
    if best[0] and len(best) > 1:  # the file's own names come first and are not ambiguous
        full = min(fits[best[0]])
        raise ValueError(f"{path}: fits {' and '.join(best)} alike: name its parameters in full, for example {full}")
    return fits[best[0]]


def _bundle_weights(model: Family, path: Path, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    bundle = bundles.load(path)
    weights = {}
    for name, prefix in _prefixes(model).items():
        source = next(iter(bundle.networks)) if len(bundle.networks) == 1 else name
        if source not in bundle.networks:
            continue
        graph = onnx.load_from_string(bundle.networks[source]).graph
        parameters = bundle.card.parameters.get(source)
        for weight in graph.initializer:
            # Bundles written before the card had this map use the names of parameters in the graph itself.
            parameter = weight.name.removesuffix(HALF) if parameters is None else parameters.get(weight.name)
            if parameter is None:
                continue
            key = f"{prefix}.{parameter.removesuffix(TRANSPOSED)}"
            tensor = torch.from_numpy(numpy_helper.to_array(weight).copy()).float()
            tensor = tensor.T if parameter.endswith(TRANSPOSED) else tensor
            # Graphs have axes of size one more or less, as (c, 1, 1) for norms; another shape does not fit the model.
            shape = own[key].shape if key in own else tensor.shape
            same = torch.empty(shape).squeeze().shape == tensor.squeeze().shape
            weights[key] = tensor.reshape(shape) if same else tensor
    return weights
