"""Diffusion compared with diffusers: its UNet2DModel and schedulers at the size of our denoiser, on the same threads.

    python benchmarks/diffusion.py [--recipe recipes/ddpm.toml] [--steps 20] [--batch 8] [--repeats 5] [--threads N]

Sampling is timed as users run it: ours exported (ONNX Runtime) and in torch, theirs in torch in two memory layouts.
Training is one forward and backward pass and a step of AdamW.
"""

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel
from timing import alternate
from torch import Tensor, nn

from photochrom.core.sampling import Diffusion
from photochrom.inference.onnx import OnnxNet, SeededNoise
from photochrom.models._denoiser import Denoiser, predict
from photochrom.training.graph import export_network
from photochrom.training.recipe import read
from photochrom.training.validation import torch_noise

CONDITION = 64  # channels of the condition: those of the guide's features


def theirs(config: Denoiser.Config, channels: int, condition: int) -> UNet2DModel:
    """Return a UNet2DModel of the same widths, blocks and attention."""
    widths = [config.channels * multiplier for multiplier in config.multipliers]
    attention = [config.resolution // 2**level in config.attention for level in range(len(widths))]
    return UNet2DModel(
        sample_size=config.resolution,
        in_channels=channels + condition,
        out_channels=channels,
        layers_per_block=config.blocks,
        block_out_channels=widths,
        down_block_types=["AttnDownBlock2D" if used else "DownBlock2D" for used in attention],
        up_block_types=["AttnUpBlock2D" if used else "UpBlock2D" for used in reversed(attention)],
        attention_head_dim=config.head,
        norm_num_groups=math.gcd(config.channels, 16),
        resnet_time_scale_shift="scale_shift",
    )


def samplers(ours: Denoiser, other: UNet2DModel, steps: int, batch: int, side: int) -> dict[str, Callable[[], object]]:
    procedure = Diffusion(prediction="noise", schedule="linear", steps=steps)
    condition = np.random.default_rng(0).standard_normal((batch, CONDITION, side, side)).astype(np.float32)
    exported = {"guide": lambda gray: gray, "denoiser": OnnxNet(export_network(ours)[0], torch.get_num_threads())}
    guided = Diffusion(prediction="noise", schedule="linear", steps=steps, guided=True)
    scheduler = DDIMScheduler(num_train_timesteps=procedure.levels, beta_start=1e-4, beta_end=0.02)
    scheduler.set_timesteps(steps)

    @torch.no_grad()
    def in_torch() -> Tensor:
        def net(noisy: Tensor, condition: Tensor, t: float) -> Tensor:
            return ours(noisy, condition, torch.full((len(noisy),), t))

        output: Tensor = guided(
            {"guide": lambda gray: gray, "denoiser": net}, torch.from_numpy(condition), torch_noise(0)
        )
        return output

    @torch.no_grad()
    def in_diffusers(layout: torch.memory_format) -> Tensor:
        gray = torch.from_numpy(condition).contiguous(memory_format=layout)
        noisy = torch.randn(batch, 2, side, side)
        for t in scheduler.timesteps:
            noise = other(torch.cat([noisy, gray], 1), t).sample
            noisy = scheduler.step(noise, t, noisy).prev_sample
        return noisy

    def channels_last() -> Tensor:
        other.to(memory_format=torch.channels_last)
        return in_diffusers(torch.channels_last)

    def contiguous() -> Tensor:
        other.to(memory_format=torch.contiguous_format)
        return in_diffusers(torch.contiguous_format)

    return {
        "ours, exported": lambda: guided(exported, condition, SeededNoise(range(batch))),
        "ours, torch": in_torch,
        "diffusers, channels last": channels_last,
        "diffusers, contiguous": contiguous,
    }


def trainers(ours: Denoiser, other: UNet2DModel, batch: int, side: int) -> dict[str, Callable[[], object]]:
    sampling = Diffusion(prediction="noise", schedule="linear")
    clean, condition = torch.randn(batch, 2, side, side), torch.randn(batch, CONDITION, side, side)
    gammas = torch.tensor(sampling.gammas())

    class Theirs(nn.Module):
        def forward(self, noisy: Tensor, condition: Tensor, t: Tensor) -> Tensor:
            output: Tensor = other(torch.cat([noisy, condition], 1), t * 1000).sample
            return output

    def training(net: nn.Module, weights: nn.Module) -> Callable[[], object]:
        optimizer = torch.optim.AdamW(weights.parameters(), 1e-4)

        def step() -> None:
            levels = gammas[torch.randint(1, len(gammas), (batch,))]
            loss = predict(net, sampling, clean, condition, levels).simple_loss(2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return step

    return {"ours, torch": training(ours, ours), "diffusers, channels last": training(Theirs(), other)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", type=Path, default=Path("recipes/ddpm.toml"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = read(options.recipe).model.net
    side = config.resolution
    ours, other = Denoiser(config, 2, CONDITION).eval(), theirs(config, 2, CONDITION).eval()
    sizes = [sum(p.numel() for p in net.parameters()) / 1e6 for net in (ours, other)]
    print(f"{side} px, {options.threads} threads; ours {sizes[0]:.1f} M parameters, diffusers {sizes[1]:.1f} M")
    sampling = alternate(options.repeats, samplers(ours, other, options.steps, options.batch, side))
    for net in (ours, other):
        net.train().to(memory_format=torch.channels_last)
    training = alternate(options.repeats, trainers(ours, other, 4 * options.batch, side))
    print("| task | implementation | photos/s | speed of ours relative to it |\n|---|---|---|---|")
    for task, times, photos in (
        (f"sampling, {options.steps} steps of DDIM", sampling, options.batch),
        ("training", training, 4 * options.batch),
    ):
        best = min(seconds for name, seconds in times.items() if name.startswith("ours"))
        for name, seconds in times.items():
            print(f"| {task} | {name} | {photos / seconds:.1f} | {seconds / best:.2f} |")


if __name__ == "__main__":
    main()
