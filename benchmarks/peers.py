"""The networks that a user would otherwise run, without weights, to compare speed.

Sources: Zhang, Isola & Efros 2016 (the released ECCV16 model: batch norm after each block, upsampled in features), and
Isola et al. 2017 (the generator `unet_256` of pix2pix, one channel in and two out).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# (filters of the block, its 3 x 3 convolutions, stride of the last, dilation of all)
ECCV16 = [
    (64, 2, 2, 1),
    (128, 2, 2, 1),
    (256, 3, 2, 1),
    (512, 3, 1, 1),
    (512, 3, 1, 2),
    (512, 3, 1, 2),
    (512, 3, 1, 1),
]
UNET_256 = [64, 128, 256, 512, 512, 512, 512, 512]  # filters at strides 2, 4, ..., 256
BINS = 313


def eccv16() -> nn.Sequential:
    """Map grayscale (b, 1, h, w) to ab (b, 2, h, w)."""
    layers: list[nn.Module] = []
    channels = 1
    for filters, count, stride, dilation in ECCV16:
        for i in range(count):
            step = stride if i == count - 1 else 1
            layers += [nn.Conv2d(channels, filters, 3, step, dilation, dilation), nn.ReLU(True)]
            channels = filters
        layers.append(nn.BatchNorm2d(filters))
    layers += [nn.ConvTranspose2d(channels, 256, 4, 2, 1), nn.ReLU(True)]
    layers += [nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(True), nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(True)]
    layers += [nn.Conv2d(256, BINS, 1), nn.Softmax(1), nn.Conv2d(BINS, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Upsample(scale_factor=4, mode="bilinear"))


class Skip(nn.Module):
    """A level of the pix2pix U-Net: down, the lower levels, up; concatenated with the input."""

    def __init__(self, outer: int, inner: int, below: nn.Module | None) -> None:
        super().__init__()
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
        norm = [] if below is None else [nn.BatchNorm2d(inner), below]
        wide = inner if below is None else 2 * inner
        up = [nn.ReLU(), nn.ConvTranspose2d(wide, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer)]
        self.level = nn.Sequential(*down, *norm, *up)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.level(x)], 1)


def unet_256() -> nn.Sequential:
    """Map grayscale (b, 1, 256, 256) to ab (b, 2, 256, 256)."""
    below: Skip | None = None
    for outer, inner in zip(UNET_256[-2::-1], UNET_256[:0:-1], strict=True):
        below = Skip(outer, inner, below)
    first, last = nn.Conv2d(1, UNET_256[0], 4, 2, 1, bias=False), nn.ConvTranspose2d(2 * UNET_256[0], 2, 4, 2, 1)
    return nn.Sequential(first, below, nn.ReLU(), last, nn.Tanh())


PEERS: dict[str, tuple[Callable[[], nn.Module], float, float]] = {  # million parameters, GMAC at 256 px
    "ECCV16, 32.2 M": (eccv16, 32.24, 42),
    "pix2pix U-Net, 54.4 M": (unet_256, 54.41, 5.98),
}


def size(build: Callable[[], nn.Module]) -> tuple[float, float]:
    """Return millions of parameters and billions of multiply-adds at 256 px, counted without computing."""
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        net = build().eval()
        net(torch.zeros(1, 1, 256, 256))
    return sum(p.numel() for p in net.parameters()) / 1e6, counter.get_total_flops() / 2e9


def peers() -> dict[str, nn.Module]:
    """Return the networks by name; AssertionError if a size differs from the published one."""
    for name, (build, millions, billions) in PEERS.items():
        parameters, products = size(build)
        assert abs(parameters / millions - 1) < 0.01, f"{name}: {parameters:.2f} M parameters instead of {millions}"
        assert abs(products / billions - 1) < 0.02, f"{name}: {products:.1f} GMAC instead of {billions}"
    return {name: build() for name, (build, *_) in PEERS.items()}
