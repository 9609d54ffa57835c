"""VGG16 and AlexNet as stacks of feature maps, and LPIPS, the learned distance on them (Zhang et al. 2018)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from . import weights

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the input in [-1, 1]


@dataclass(frozen=True)
class Conv:
    """One convolution with its ReLU; ``pool``: kernel of the maximum before it, of stride 2; ``kept``: given out."""

    channels: int
    kernel: int = 3
    stride: int = 1
    pool: int = 0
    kept: bool = True


def _vgg(channels: int, count: int, pool: int = 2) -> tuple[Conv, ...]:
    return tuple(Conv(channels, pool=pool if i == 0 else 0, kept=i == count - 1) for i in range(count))


STACKS = {
    "alexnet": (Conv(64, 11, 4), Conv(192, 5, pool=3), Conv(384, pool=3), Conv(256), Conv(256)),
    "vgg16": (*_vgg(64, 2, 0), *_vgg(128, 2), *_vgg(256, 3), *_vgg(512, 3), *_vgg(512, 3)),
}


class Perceptual(nn.Module):
    """The convolutions of ``alexnet`` or ``vgg16`` with ImageNet weights, frozen, and the LPIPS heads.

    Raises ModuleNotFoundError, with the pip line, where the weights are not installed.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in STACKS:
            raise ValueError(f"network {name!r}: choose one of {', '.join(STACKS)}")
        self.name, self.stack = name, STACKS[name]
        channels = [3, *(conv.channels for conv in self.stack)]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, conv.channels, conv.kernel, conv.stride, 2 if conv.kernel == 11 else conv.kernel // 2)
            for before, conv in zip(channels, self.stack, strict=False)
        )
        self.heads = nn.ParameterList(torch.empty(conv.channels) for conv in self.stack if conv.kept)
        self.load_state_dict(weights.lpips(name))
        self.requires_grad_(False).eval()
        self.dim = self.stack[-1].channels

    def forward(self, rgb: Float[Tensor, "b 3 h w"], count: int = 5) -> list[Tensor]:
        """sRGB in [0, 1], sides of at least 32 -> ``count`` feature maps after their ReLU, shallowest first."""
        shift, scale = (rgb.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        x, maps = (rgb * 2 - 1 - shift) / scale, []
        for conv, shape in zip(self.convs, self.stack, strict=True):
            x = F.max_pool2d(x, shape.pool, 2) if shape.pool else x
            x = F.relu(conv(x))
            if shape.kept:
                maps.append(x)
            if len(maps) == count:
                break
        return maps

    def distance(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Float[Tensor, "b"]:
        """LPIPS between the maps of two batches, either of which may hold a single photograph; 0 for equal ones."""
        parts = [
            ((_unit(a) - _unit(b)).square() * head[:, None, None]).sum(1).mean((1, 2))
            for a, b, head in zip(one, other, self.heads, strict=True)
        ]
        return torch.stack(parts).sum(0)


def _unit(x: Tensor) -> Tensor:
    """Features scaled to length 1 at each place."""
    return x / (x.norm(dim=1, keepdim=True) + 1e-10)
