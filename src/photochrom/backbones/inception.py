"""Inception-v3 (Szegedy et al. 2015) as FID and Inception score are measured with it, read from the published files."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .weights import checked

VARIABLE = "PHOTOCHROM_INCEPTION"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision has them
ONE, THREE, FIVE, WIDE, TALL = ((1, 1),), ((3, 3),), ((5, 5),), ((1, 7),), ((7, 1),)
FORK = ((1, 3), (3, 1))


@dataclass(frozen=True)
class Variant:
    """A published network: its ``file``, how many ``classes`` it has, and how it is fed: ``gain`` * sRGB + ``offset``.

    ``tensorflow``: pools as the graph of 2015 does, and leaves the bias out of the logits.
    """

    file: str
    classes: int
    tensorflow: bool = False
    gain: Sequence[float] = (2, 2, 2)
    offset: Sequence[float] = (-1, -1, -1)

    @property
    def digest(self) -> str:
        """The first 8 hex digits of the file's sha256, with which its name ends."""
        return Path(self.file).stem.rpartition("-")[2]


GOOGLE = "inception_v3_google-1a9a5a14.pth"
VARIANTS: dict[str, Variant] = {
    "fid": Variant("pt_inception-2015-12-05-6726825d.pth", 1008, tensorflow=True),
    "torchvision": Variant(GOOGLE, 1000),
    "ct2": Variant(GOOGLE, 1000, gain=[2 * s for s in STD], offset=[2 * m - 1 for m in MEAN]),
    "ddcolor": Variant(GOOGLE, 1000, gain=STD, offset=[s + 2 * m - 1 for m, s in zip(MEAN, STD, strict=True)]),
}


@dataclass(frozen=True)
class Layer:
    """One convolution of a branch, padded unless its stride is 2; with two ``kernels``, two of one input, joined."""

    channels: int
    kernels: tuple[tuple[int, int], ...] = ONE
    stride: int = 1


Branches = Mapping[str, Sequence[Layer]]


class Conv(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self, channels: int, out: int, kernel: tuple[int, int], stride: int = 1, padding: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Features (b, channels, h, w) -> (b, out, h', w')."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Branches side by side, the pooled one last, of layers named as in the published files: 1, 2a, 2b and so on."""

    def __init__(self, channels: int, branches: Branches, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.paths = {name: self._add(name, channels, layers) for name, layers in branches.items()}
        lasts = [layers[-1] if layers else Layer(channels) for layers in branches.values()]
        self.channels = sum(last.channels * len(last.kernels) for last in lasts)

    def _add(self, branch: str, channels: int, layers: Sequence[Layer]) -> list[list[str]]:
        """Makes the layers of a branch. Returns their names, step by step."""
        path = []
        for i, layer in enumerate(layers, 1):
            name = branch if len(layers) == 1 else f"{branch}_{i}"
            names = [f"{name}{letter}" for letter in "ab"] if len(layer.kernels) > 1 else [name]
            for each, (h, w) in zip(names, layer.kernels, strict=True):
                padding = (0, 0) if layer.stride > 1 else (h // 2, w // 2)
                self.add_module(each, Conv(channels, layer.channels, (h, w), layer.stride, padding))
            path.append(names)
            channels = layer.channels * len(names)
        return path

    def forward(self, x: Tensor) -> Tensor:
        """Features (b, c, h, w) -> (b, ``channels``, h, w), or half the sides."""
        pooled = self.pool(x)
        return torch.cat([self._along(p, pooled if name == "branch_pool" else x) for name, p in self.paths.items()], 1)

    def _along(self, path: list[list[str]], x: Tensor) -> Tensor:
        for names in path:
            x = torch.cat([self.get_submodule(name)(x) for name in names], 1)
        return x


def _a(pooled: int) -> Branches:
    return {
        "branch1x1": [Layer(64)],
        "branch5x5": [Layer(48), Layer(64, FIVE)],
        "branch3x3dbl": [Layer(64), Layer(96, THREE), Layer(96, THREE)],
        "branch_pool": [Layer(pooled)],
    }


def _c(width: int) -> Branches:
    across, down = Layer(width, WIDE), Layer(width, TALL)
    return {
        "branch1x1": [Layer(192)],
        "branch7x7": [Layer(width), across, Layer(192, TALL)],
        "branch7x7dbl": [Layer(width), down, across, down, Layer(192, WIDE)],
        "branch_pool": [Layer(192)],
    }


B: Branches = {
    "branch3x3": [Layer(384, THREE, 2)],
    "branch3x3dbl": [Layer(64), Layer(96, THREE), Layer(96, THREE, 2)],
    "branch_pool": [],
}
D: Branches = {
    "branch3x3": [Layer(192), Layer(320, THREE, 2)],
    "branch7x7x3": [Layer(192), Layer(192, WIDE), Layer(192, TALL), Layer(192, THREE, 2)],
    "branch_pool": [],
}
E: Branches = {
    "branch1x1": [Layer(320)],
    "branch3x3": [Layer(384), Layer(384, FORK)],
    "branch3x3dbl": [Layer(448), Layer(384, THREE), Layer(384, FORK)],
    "branch_pool": [Layer(192)],
}
MIXED = {
    "5b": _a(32),
    "5c": _a(64),
    "5d": _a(64),
    "6a": B,
    "6b": _c(128),
    "6c": _c(160),
    "6d": _c(160),
    "6e": _c(192),
    "7a": D,
    "7b": E,
    "7c": E,
}


class Inception(nn.Module):
    """Inception-v3, frozen, with random weights; `load` gives it the published ones.

    Args:
        variant: ``fid``, the graph of TensorFlow that FID and Inception score are defined on (Heusel et al. 2017): its
            average pools do not count the padding, and its last block takes a maximum. ``torchvision``: that library's,
            which normalises by ImageNet's mean and deviation and then undoes it, so that it is fed 2 x - 1 as well.
            ``ct2``, ``ddcolor``: torchvision's, fed as the code of Weng et al. (2022) and of Kang et al. (2023) does,
            which undoes what it never did, of sRGB and of (1 + sRGB) / 2: their FID is comparable with no other.

    Raises ValueError for another variant.
    """

    name, dim, side = "inception", 2048, 299

    def __init__(self, variant: str = "fid") -> None:
        super().__init__()
        self.variant = _published(variant)
        self.Conv2d_1a_3x3 = Conv(3, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = Conv(32, 64, (3, 3), padding=(1, 1))
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = Conv(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = Conv(80, 192, (3, 3))
        self.maxpool2 = nn.MaxPool2d(3, 2)
        channels = 192
        for name, branches in MIXED.items():
            block = Block(channels, branches, self._pool(name))
            self.add_module(f"Mixed_{name}", block)
            channels = block.channels
        self.fc = nn.Linear(channels, self.variant.classes)
        self.requires_grad_(False).eval()

    def _pool(self, name: str) -> nn.Module:
        if name in ("6a", "7a"):
            return nn.MaxPool2d(3, 2)
        if name == "7c" and self.variant.tensorflow:
            return nn.MaxPool2d(3, 1, 1)
        return nn.AvgPool2d(3, 1, 1, count_include_pad=not self.variant.tensorflow)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 2048"], Float[Tensor, "b classes"]]:
        """sRGB in [0, 1], brought to 299 x 299 (bilinear, not antialiased) -> features, averaged, and logits.

        Those of ``fid`` are without the bias: the code of the Inception score (Salimans et al. 2016) multiplies by the
        matrix alone, and so does torch-fidelity (``logits_unbiased``). The others' are with it.
        """
        gain, offset = (rgb.new_tensor(values)[:, None, None] for values in (self.variant.gain, self.variant.offset))
        x = F.interpolate(rgb, (self.side, self.side), mode="bilinear", align_corners=False) * gain + offset
        *trunk, _ = self.children()
        for part in trunk:
            x = part(x)
        pooled = x.mean((2, 3))
        return pooled, F.linear(pooled, self.fc.weight, None if self.variant.tensorflow else self.fc.bias)


def load(variant: str, path: str | Path | None = None) -> Inception:
    """The network with its published weights, from ``path`` or from the file that ``PHOTOCHROM_INCEPTION`` names.

    torchvision's second head, used in its training alone, is passed over.

    Raises FileNotFoundError, with what to give and how, where there is no file, and ValueError for another file.
    """
    published, given = _published(variant), path or os.environ.get(VARIABLE)
    if not given or not Path(given).is_file():
        where = f"not at {given}" if given else "not given"
        raise FileNotFoundError(
            f"{published.file} (sha256 {published.digest}...) is {where}: pass its path, or set {VARIABLE} to it"
        )
    content = checked(Path(given), published.digest, f"this is not the published {published.file}")
    weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    net = Inception(variant)
    net.load_state_dict({name: value for name, value in weights.items() if not name.startswith("AuxLogits.")})
    return net


def _published(variant: str) -> Variant:
    if variant not in VARIANTS:
        raise ValueError(f"Inception {variant!r}: choose one of {', '.join(VARIANTS)}")
    return VARIANTS[variant]
