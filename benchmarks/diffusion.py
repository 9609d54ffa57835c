"""Diffusion beside diffusers: its UNet2DModel and schedulers at our denoiser's size, one run, both on torch's threads.

    python benchmarks/diffusion.py [--recipe recipes/ddpm.toml] [--steps 20] [--batch 8] [--repeats 5] [--threads N]

Sampling is timed as each is used: ours as exported (ONNX Runtime) and in torch, theirs in torch in the faster of two
layouts. Training is one forward and backward pass and a step of AdamW.
"""

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel
from timing import in_turn
from torch import Tensor, nn

from photochrom.core.sampling import Diffusion
from photochrom.inference.onnx import OnnxNet, SeededNoise
from photochrom.models._denoiser import Denoiser, predict, simple_loss
from photochrom.training.graph import network_bytes
from photochrom.training.recipe import read
from photochrom.training.validation import torch_noise

CONDITION = 64  # channels beside the noisy picture: as many as the guide's features


def theirs(config: Denoiser.Config, channels: int, condition: int) -> UNet2DModel:
    """A UNet2DModel of the same widths, blocks and attention."""
    widths = [config.channels * multiplier for multiplier in config.multipliers]
    attends = [config.resolution // 2**level in config.attention for level in range(len(widths))]
    return UNet2DModel(
        sample_size=config.resolution,
        in_channels=channels + condition,
        out_channels=channels,
        layers_per_block=config.blocks,
        block_out_channels=widths,
        down_block_types=["AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        up_block_types=["AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        attention_head_dim=config.head,
        norm_num_groups=math.gcd(config.channels, 16),
        resnet_time_scale_shift="scale_shift",
    )


def samplers(ours: Denoiser, other: UNet2DModel, steps: int, batch: int, side: int) -> dict[str, Callable[[], object]]:
    procedure = Diffusion(prediction="noise", schedule="linear", steps=steps)
    condition = np.random.default_rng(0).standard_normal((batch, CONDITION, side, side)).astype(np.float32)
    exported = {"guide": lambda gray: gray, "denoiser": OnnxNet(network_bytes(ours), torch.get_num_threads())}
    guided = Diffusion(prediction="noise", schedule="linear", steps=steps, guided=True)
    scheduler = DDIMScheduler(num_train_timesteps=procedure.levels, beta_start=1e-4, beta_end=0.02)
    scheduler.set_timesteps(steps)

    @torch.no_grad()
    def in_torch() -> Tensor:
        def net(noisy: Tensor, condition: Tensor, t: float) -> Tensor:
            return ours(noisy, condition, torch.full((len(noisy),), t))

        found: Tensor = guided(
            {"guide": lambda gray: gray, "denoiser": net}, torch.from_numpy(condition), torch_noise(0)
        )
        return found

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
            found: Tensor = other(torch.cat([noisy, condition], 1), t * 1000).sample
            return found

    def training(net: nn.Module, weights: nn.Module) -> Callable[[], object]:
        optimizer = torch.optim.AdamW(weights.parameters(), 1e-4)

        def step() -> None:
            levels = gammas[torch.randint(1, len(gammas), (batch,))]
            loss = simple_loss(predict(net, sampling, clean, condition, levels), 2)
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
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    config = read(asked.recipe).model.net
    side = config.resolution
    ours, other = Denoiser(config, 2, CONDITION).eval(), theirs(config, 2, CONDITION).eval()
    sizes = [sum(p.numel() for p in net.parameters()) / 1e6 for net in (ours, other)]
    print(f"{side} px, {asked.threads} threads; ours {sizes[0]:.1f} M parameters, diffusers {sizes[1]:.1f} M")
    sampled = in_turn(asked.repeats, samplers(ours, other, asked.steps, asked.batch, side))
    for net in (ours, other):
        net.train().to(memory_format=torch.channels_last)
    trained = in_turn(asked.repeats, trainers(ours, other, 4 * asked.batch, side))
    print("| what | way | photos/s | ours over it |\n|---|---|---|---|")
    for what, found, photos in (
        (f"sampling, {asked.steps} steps of DDIM", sampled, asked.batch),
        ("training", trained, 4 * asked.batch),
    ):
        best = min(seconds for name, seconds in found.items() if name.startswith("ours"))
        for name, seconds in found.items():
            print(f"| {what} | {name} | {photos / seconds:.1f} | {seconds / best:.2f} |")


if __name__ == "__main__":
    main()
