"""VGG16 and AlexNet as stacks of feature maps, and LPIPS, the learned distance on them (Zhang et al. 2018)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .weights import load_lpips, on_device

MINIMUM_SIZE = 32  # pixels
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the input in [-1, 1]


@dataclass(frozen=True)
class Conv:
    """A convolution with ReLU. ``pool``: kernel of the max pool before it, 0 for none; ``is_output``: gives a map."""

    channels: int
    kernel: int = 3
    stride: int = 1
    pool: int = 0
    is_output: bool = True


def _vgg_block(channels: int, count: int, pool: int = 2) -> list[Conv]:
    first, middle = Conv(channels, pool=pool, is_output=False), Conv(channels, is_output=False)
    return [first, *[middle] * (count - 2), Conv(channels)]


STACKS = {
    "alexnet": [Conv(64, 11, 4), Conv(192, 5, pool=3), Conv(384, pool=3), Conv(256), Conv(256)],
    "vgg16": _vgg_block(64, 2, 0) + _vgg_block(128, 2) + _vgg_block(256, 3) + 2 * _vgg_block(512, 3),
}


class Perceptual(nn.Module):
    """The convolutions of ``alexnet`` or ``vgg16``, frozen, with the weights and LPIPS heads of `load_lpips`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in STACKS:
            raise ValueError(f"network {name!r}: choose one of {', '.join(STACKS)}")
        self.name, self.stack = name, STACKS[name]
        self.convs, self.heads = nn.ModuleList(), nn.ParameterList()
        before = 3
        for conv in self.stack:
            padding = 2 if conv.kernel == 11 else conv.kernel // 2
            self.convs.append(nn.Conv2d(before, conv.channels, conv.kernel, conv.stride, padding))
            if conv.is_output:
                self.heads.append(torch.empty(conv.channels))
            before = conv.channels
        self.load_state_dict(load_lpips(name))
        self.requires_grad_(False).eval()

    def forward(self, rgb: Float[Tensor, "b 3 h w"], count: int = 5) -> list[Tensor]:
        """sRGB in [0, 1], sides of at least `MINIMUM_SIZE` -> the first ``count`` feature maps, after their ReLU."""
        shift, scale = rgb.new_tensor(SHIFT)[:, None, None], rgb.new_tensor(SCALE)[:, None, None]
        x, maps = (rgb * 2 - 1 - shift) / scale, []
        for layer, conv in zip(self.convs, self.stack, strict=True):
            x = F.relu(layer(F.max_pool2d(x, conv.pool, 2) if conv.pool else x))
            if conv.is_output:
                maps.append(x)
            if len(maps) == count:
                break
        return maps

    def distance(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Float[Tensor, "b"]:
        """Return LPIPS between the maps of two batches, either of which may have one image; 0 for equal ones."""
        distances = []
        for a, b, head in zip(one, other, self.heads, strict=True):
            squares = (_unit_length(a) - _unit_length(b)).square()
            distances.append((squares * head[:, None, None]).sum(1).mean((1, 2)))
        return torch.stack(distances).sum(0)


def _unit_length(x: Tensor) -> Tensor:
    return x / (x.norm(dim=1, keepdim=True) + 1e-10)


def vgg16_difference(rgb: Tensor, truth: Tensor, layers: Sequence[int]) -> Tensor:
    """Return the mean absolute difference of maps of sRGB in [0, 1], relative to their mean in the truth.

    As in DDColor. ``layers``: indices of the maps of VGG16. Small images are enlarged.
    """
    network, count = on_device(_vgg16, rgb.device), max(layers) + 1
    scale = MINIMUM_SIZE / min(rgb.shape[-2:])
    if scale > 1:
        rgb = F.interpolate(rgb, scale_factor=scale, mode="bilinear", align_corners=False)
        truth = F.interpolate(truth, scale_factor=scale, mode="bilinear", align_corners=False)
    with torch.no_grad():
        true_maps = network(truth, count)
    maps = network(rgb, count)
    differences = []
    for layer in layers:
        difference = (maps[layer] - true_maps[layer]).abs().mean()
        differences.append(difference / true_maps[layer].abs().mean())
    return torch.stack(differences).mean()


def _vgg16() -> Perceptual:
    return Perceptual("vgg16")
