"""Validation: metrics and samples on held-out images, by the procedure that users run."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyvips
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..core.color import AB_SCALE, fit_gamut, lab_to_rgb, rgb_to_lab, signed_rgb_to_ab
from ..models.family import Family, Network

Batch = tuple[Tensor, Tensor, Tensor]  # gray, color, and sRGB in [0, 1]


def torch_nets(model: Family) -> dict[str, Callable[..., Tensor]]:
    """Return a model's networks in eval mode, for a procedure to call with keyword inputs (see `procedure.Net`)."""
    return {name: _adapt(net.eval()) for name, net in model.networks().items()}


def _adapt(net: Network) -> Callable[..., Tensor]:
    @torch.no_grad()
    def call(**inputs: Tensor | float) -> Tensor:
        like = next(value for value in inputs.values() if isinstance(value, Tensor))
        values = []
        for name in net.inputs:
            value = inputs[name]
            if not isinstance(value, Tensor):
                value = torch.full((len(like),), value, dtype=torch.float32, device=like.device)
            values.append(value)
        return net(*values)

    return call


def torch_noise(seed: int) -> Callable[..., Tensor]:
    """Return ``noise(like, kind)`` for a procedure, normal or Gumbel.

    It is drawn on the device of ``like``, since a GPU would wait for a CPU: a seed gives the same noise every time on
    one kind of device, which is all that validation needs, but other noise on another kind.
    """
    generators: dict[torch.device, torch.Generator] = {}

    def noise(like: Tensor, kind: str = "normal") -> Tensor:
        device = like.device
        if device not in generators:
            generators[device] = torch.Generator(device).manual_seed(seed)
        if kind == "normal":
            return torch.randn(like.shape, generator=generators[device], device=device)
        return -torch.empty(like.shape, device=device).exponential_(generator=generators[device]).log()

    return noise


@torch.no_grad()
def colorize(model: Family, gray: Float[Tensor, "b 1 h w"], seed: int = 0) -> Float[Tensor, "b 2 h w"]:
    """Return the ab / 110 that a model gives to gray images, resized to them (bicubic)."""
    ab = model.procedure(torch_nets(model), gray, torch_noise(seed))
    return ab if ab.shape[-2:] == gray.shape[-2:] else F.interpolate(ab, gray.shape[-2:], mode="bicubic")


@torch.no_grad()
def restore(
    model: Family, gray: Float[Tensor, "b 1 h w"], color: Float[Tensor, "b 3 h w"], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return degraded images and what a model that restores them makes of these, both sRGB in [-1, 1]."""
    start = model.degraded_input(gray, color, torch_noise(seed))
    first, *_, last = model.procedure.restore(torch_nets(model), *start)
    return first, last


@torch.no_grad()
def metrics(model: Family, batches: Iterable[Batch], seed: int) -> dict[str, float]:
    """Return validation metrics of a model in eval mode, means over the images.

    ``loss``: the total losses of its trainable parts, summed. ``ab_error``: mean distance to ground truth in the ab
    plane, Lab units; ``gray_error``: the same of the grayscale baseline. ``chroma_ratio``: mean chroma over that of
    ground truth. And the family's own `validation_metrics`.
    """
    torch.manual_seed(seed)
    device = next(model.parameters()).device
    sums, count = defaultdict[str, float](float), 0
    for batch in batches:
        gray, color, rgb = (tensor.to(device) for tensor in batch)
        count += len(gray)
        for part in model.trainable:
            sums["loss"] += model.loss(part, gray, color)["total"].item() * len(gray)
        if model.procedure.capabilities.colorizes:
            predicted = colorize(model, gray, seed) * AB_SCALE
        else:
            predicted = signed_rgb_to_ab(restore(model, gray, color, seed)[1]) * AB_SCALE
        truth = rgb_to_lab(rgb)[:, 1:]
        for name, ab in (("ab_error", predicted - truth), ("chroma", predicted), ("gray_error", truth)):
            sums[name] += ab.norm(dim=1).mean().item() * len(gray)
        for name, values in model.validation_metrics(gray, color).items():
            sums[name] += values.sum().item()
    ratio = sums.pop("chroma") / max(sums["gray_error"], 1e-9)
    return {**{name: total / count for name, total in sums.items()}, "chroma_ratio": ratio}


def write_samples(model: Family, batch: Batch, path: Path, seed: int) -> None:
    """Write a PNG of three rows: the model's inputs, its outputs, and ground truth."""
    device = next(model.parameters()).device
    gray, color, rgb = (tensor.to(device) for tensor in batch)
    if model.procedure.capabilities.colorizes:
        lightness, ab = rgb_to_lab(rgb)[:, :1], colorize(model, gray, seed)
        inputs = gray.expand(-1, 3, -1, -1) / 2 + 0.5
        outputs = lab_to_rgb(fit_gamut(torch.cat([lightness, ab * AB_SCALE], 1)))
    else:
        degraded, restored = restore(model, gray, color, seed)
        inputs, outputs = degraded / 2 + 0.5, restored / 2 + 0.5
    rows = [torch.cat(list(images), 2) for images in (inputs, outputs, rgb)]
    codes = (torch.cat(rows, 1).clamp(0, 1) * 255).round().byte()
    path.parent.mkdir(exist_ok=True)
    pixels = np.ascontiguousarray(codes.permute(1, 2, 0).cpu().numpy())
    pyvips.Image.new_from_array(pixels).write_to_file(str(path))
