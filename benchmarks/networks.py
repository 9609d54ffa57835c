"""Rows of `speed.py` that run networks: latency compared with other architectures, training with bare convolutions."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from peers import peers
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from photochrom import models
from photochrom.inference.colorizer import Colorizer
from photochrom.training.recipe import Recipe, read

# (photos, channels, side) of 3 x 3 convolutions, from many pixels to many channels
CONVOLUTIONS = [(8, 64, 96), (8, 128, 48), (8, 256, 24), (8, 512, 12), (1, 256, 64)]

Row = Callable[..., None]
Alternate = Callable[[int, dict[str, Callable[[], float]]], dict[str, list[float]]]


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds of a call, after one that is not counted and wakes the threads of its library."""
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def forward_pass(net: nn.Module, layout: torch.memory_format) -> Callable[[], float]:
    """Return a function that times one forward pass at 256 px."""
    net = net.eval().to(memory_format=layout)
    gray = torch.rand(1, 1, 256, 256).to(memory_format=layout)

    def measure() -> float:
        with torch.no_grad():
            return timed(lambda: net(gray))

    return measure


def latency_rows(model: str, threads: int, repeats: int, alternate: Alternate, row: Row) -> None:
    """Print the latency of one photo at 256 px, for the bundle in `Colorizer` and for each peer in torch."""
    torch.set_num_threads(threads)
    colorizer = Colorizer(model, threads=threads)
    gray = np.random.default_rng(0).uniform(-1, 1, (1, 256, 256)).astype(np.float32)
    for name, net in peers().items():
        times = alternate(repeats, {"ours": lambda: timed(lambda: colorizer.predict([gray])), **layouts(net)})
        ours = median(times.pop("ours"))
        best, layout = min((median(seconds), layout) for layout, seconds in times.items())
        goal = "at least 10 x faster" if "ECCV16" in name else ""
        peer = f"{name}: {best * 1e3:.0f} ms ({layout})"
        row("latency at 256 px", f"{ours * 1e3:.1f} ms", peer, f"{best / ours:.1f} x faster", goal)


def layouts(net: nn.Module) -> dict[str, Callable[[], float]]:
    """Return the forward pass in both layouts; weights are converted before each, outside the measured time."""
    return {
        "contiguous": lambda: forward_pass(net, torch.contiguous_format)(),
        "channels last": lambda: forward_pass(net, torch.channels_last)(),
    }


def convolution(photos: int, channels: int, side: int) -> Callable[[], float]:
    """Return a function that measures GFLOP/s of one plain convolution, fp32, channels last."""
    net = nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    x = torch.rand(photos, channels, side, side).to(memory_format=torch.channels_last)
    operations = 2 * 9 * channels**2 * photos * side**2

    def measure() -> float:
        with torch.no_grad():
            return operations / timed(lambda: net(x)) / 1e9

    return measure


def training_step(recipe: Recipe) -> Callable[[], None]:
    """Return a bare training step (loss, gradients, AdamW) on random images."""
    model = models.load_family(recipe.family)(recipe.model).train().to(memory_format=torch.channels_last)
    gray, color = (batch(recipe, channels) for channels in (1, 2 if model.procedure.target == "ab" else 3))
    optimizers = {}
    for part in model.trainable:
        weights = [weight for weight in getattr(model, part).parameters() if weight.requires_grad]
        optimizers[part] = torch.optim.AdamW(weights, recipe.optimizer.lr, fused=True)

    def step() -> None:
        for part, optimizer in optimizers.items():
            optimizer.zero_grad()
            model.loss(part, gray, color)["total"].backward()
            optimizer.step()

    return step


def batch(recipe: Recipe, channels: int) -> Tensor:
    """Return random numbers in [-1, 1] of the recipe's batch and crop size."""
    x = torch.rand(recipe.trainer.batch, channels, recipe.data.size, recipe.data.size) * 2 - 1
    return x.to(memory_format=torch.channels_last)


def backward_flops(gradient: Any, x: Any, weight: Any, *rest: Any, out_shape: Any = None) -> int:
    """Count the operations of a convolution's two gradients, each equal to its forward pass.

    torch 2.13 does not divide them by the groups.
    """
    transposed, mask = rest[4], rest[7]
    positions = math.prod((x if transposed else gradient)[2:])
    return 2 * x[0] * positions * math.prod(weight) * sum(mask[:2])


def training_row(path: Path, threads: int, repeats: int, alternate: Alternate, row: Row) -> None:
    """Print samples per second, and the fraction of the best rate of convolutions on this machine."""
    torch.set_num_threads(threads)
    recipe = read(path)
    step = training_step(recipe)
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: backward_flops})
    with counter:
        step()
    operations = counter.get_total_flops() / 1e9
    bare = {f"{c} channels, {s} px": convolution(n, c, s) for n, c, s in CONVOLUTIONS}
    times = alternate(repeats, {"step": lambda: timed(step), **bare})
    seconds = median(times.pop("step"))
    peak, name = max((median(rates), name) for name, rates in times.items())
    size, crop = recipe.trainer.batch, recipe.data.size
    ours = f"{size / seconds:.0f} samples/s, {operations / seconds:.0f} GFLOP/s"
    share = f"{operations / seconds / peak:.0%} of peak"
    what = f"training {recipe.family}, {size} x {crop} px, {operations / size:.2f} GFLOP a sample"
    row(what, ours, f"3 x 3 convolution, {name}: {peak:.0f} GFLOP/s", share, "")
