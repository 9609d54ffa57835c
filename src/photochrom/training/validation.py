"""What a model in training does to photographs it never learns from, by the procedure that users run."""

from collections import Counter
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

Batch = tuple[Tensor, Tensor, Tensor]  # gray, color, rgb in [0, 1]


def torch_nets(model: Family) -> dict[str, Callable[..., Tensor]]:
    """A model's networks, put in eval mode, for a procedure to call with keyword inputs (see `procedure.Net`)."""
    return {name: _adapted(net.eval()) for name, net in model.networks().items()}


def _adapted(net: Network) -> Callable[..., Tensor]:
    @torch.no_grad()
    def call(**inputs: Tensor | float) -> Tensor:
        like = next(value for value in inputs.values() if isinstance(value, Tensor))
        feeds = []
        for name in net.inputs:
            value = inputs[name]
            if isinstance(value, float):
                value = torch.full((len(like),), value, dtype=torch.float32, device=like.device)
            feeds.append(value)
        return net(*feeds)

    return call


def torch_noise(seed: int) -> Callable[..., Tensor]:
    """``noise(like, kind)`` for a procedure, normal or Gumbel; drawn on the CPU, so the same on every device."""
    generator = torch.Generator().manual_seed(seed)

    def noise(like: Tensor, kind: str = "normal") -> Tensor:
        if kind == "normal":
            drawn = torch.randn(like.shape, generator=generator)
        else:
            drawn = -torch.empty(like.shape).exponential_(generator=generator).log()
        return drawn.to(like.device)

    return noise


@torch.no_grad()
def colors(model: Family, gray: Float[Tensor, "b 1 h w"], seed: int = 0) -> Float[Tensor, "b 2 h w"]:
    """The ab / 110 a model gives to gray photographs, brought to their size (bicubic)."""
    ab = model.procedure(torch_nets(model), gray, torch_noise(seed))
    return ab if ab.shape[-2:] == gray.shape[-2:] else F.interpolate(ab, gray.shape[-2:], mode="bicubic")


@torch.no_grad()
def restored(
    model: Family, gray: Float[Tensor, "b 1 h w"], color: Float[Tensor, "b 3 h w"], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """What a model that paints nothing is given of gray and sRGB in [-1, 1], and what it makes of that."""
    begin, *_, end = model.procedure.restore(torch_nets(model), *model.degraded_input(gray, color, torch_noise(seed)))
    return begin, end


@torch.no_grad()
def figures(model: Family, batches: Iterable[Batch], seed: int) -> dict[str, float]:
    """Validation figures of a model in eval mode, means over the photographs.

    ``loss``: the players' totals, summed. ``ab_error``: mean distance in the ab plane, Lab units; ``gray_error``: the
    same for a gray picture. ``chroma_ratio``: mean chroma over the true one, 1 is as colourful as the truth. And what
    the model itself ``measures`` of gray and true colours, where it does.
    """
    torch.manual_seed(seed)
    device = next(model.parameters()).device
    sums, count = Counter[str](), 0
    for gray, color, rgb in batches:
        sums.update(_sums(model, (gray.to(device), color.to(device), rgb.to(device)), seed))
        count += len(gray)
    chroma = sums.pop("chroma") / max(sums["gray_error"], 1e-9)
    return {**{name: total / count for name, total in sums.items()}, "chroma_ratio": chroma}


def _sums(model: Family, batch: Batch, seed: int) -> dict[str, float]:
    gray, color, rgb = batch
    count = len(gray)
    loss = sum(model.loss(player, gray, color)["total"].item() for player in model.trainable)
    ab = (
        colors(model, gray, seed)
        if model.procedure.colorizes
        else signed_rgb_to_ab(restored(model, gray, color, seed)[1])
    )
    ours, truth = ab * AB_SCALE, rgb_to_lab(rgb)[:, 1:]
    distances = {"ab_error": ours - truth, "chroma": ours, "gray_error": truth}
    own = model.validation_metrics(gray, color)
    return {
        "loss": loss * count,
        **{name: d.norm(dim=1).mean().item() * count for name, d in distances.items()},
        **{name: each.sum().item() for name, each in own.items()},
    }


def strip(model: Family, batch: Batch, path: Path, seed: int) -> None:
    """Write a PNG of three rows: what the model is given (the gray photographs), ours, the truth."""
    device = next(model.parameters()).device
    gray, color, rgb = (x.to(device) for x in batch)
    if model.procedure.colorizes:
        lightness, ab = rgb_to_lab(rgb)[:, :1], colors(model, gray, seed)
        given = gray.expand(-1, 3, -1, -1) / 2 + 0.5
        ours = lab_to_rgb(fit_gamut(torch.cat([lightness, ab * AB_SCALE], 1)))
    else:
        given, ours = (picture / 2 + 0.5 for picture in restored(model, gray, color, seed))
    rows = [torch.cat(list(row), 2) for row in (given, ours, rgb)]
    pixels = (torch.cat(rows, 1).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    path.parent.mkdir(exist_ok=True)
    pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).write_to_file(str(path))
