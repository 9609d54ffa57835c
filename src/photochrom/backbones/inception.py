"""Inception-v3 (Szegedy et al. 2015), with which FID and the Inception score are measured, from the published files."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .weights import read_checked

VARIABLE = "PHOTOCHROM_INCEPTION"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as in torchvision
THREE, FIVE, WIDE, TALL, FORK = ((3, 3),), ((5, 5),), ((1, 7),), ((7, 1),), ((1, 3), (3, 1))


@dataclass(frozen=True)
class Variant:
    """A published network."""

    file: str
    classes: int
    tensorflow: bool = False  # pools as the graph of 2015, and no bias in the logits
    gain: Sequence[float] = (2, 2, 2)  # of sRGB, for the input
    offset: Sequence[float] = (-1, -1, -1)

    @property
    def digest(self) -> str:
        """First 8 hex digits of the file's sha256, which end its name."""
        return Path(self.file).stem[-8:]


GOOGLE = "inception_v3_google-1a9a5a14.pth"
VARIANTS: dict[str, Variant] = {
    "fid": Variant("pt_inception-2015-12-05-6726825d.pth", 1008, tensorflow=True),
    "torchvision": Variant(GOOGLE, 1000),
    "ct2": Variant(GOOGLE, 1000, gain=[2 * s for s in STD], offset=[2 * m - 1 for m in MEAN]),
    "ddcolor": Variant(GOOGLE, 1000, gain=STD, offset=[s + 2 * m - 1 for m, s in zip(MEAN, STD, strict=True)]),
}


@dataclass(frozen=True)
class Layer:
    """A convolution of a branch, padded unless its stride is 2; with two ``kernels``, two of them side by side."""

    channels: int
    kernels: tuple[tuple[int, int], ...] = ((1, 1),)
    stride: int = 1


Branches = Mapping[str, Sequence[Layer]]


class Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: int, out: int, kernel: tuple[int, int], stride: int = 1, pad: bool = False) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if pad else 0
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Features (b, channels, h, w) -> (b, out, h', w')."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Branches side by side, whose modules are named as in the published files: 1, 2a, 2b and so on."""

    def __init__(self, channels: int, branches: Branches, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.paths: dict[str, list[list[str]]] = {}  # module names of each branch, step by step
        self.channels = 0
        for branch, layers in branches.items():
            self.paths[branch] = []
            width = channels
            for number, layer in enumerate(layers, 1):
                name = branch if len(layers) == 1 else f"{branch}_{number}"
                names = [name] if len(layer.kernels) == 1 else [f"{name}a", f"{name}b"]
                for module, kernel in zip(names, layer.kernels, strict=True):
                    self.add_module(module, Conv(width, layer.channels, kernel, layer.stride, pad=layer.stride == 1))
                self.paths[branch].append(names)
                width = layer.channels * len(names)
            self.channels += width

    def forward(self, x: Tensor) -> Tensor:
        """Features (b, c, h, w) -> (b, ``channels``, h, w), or half the sides."""
        outputs = []
        for branch, path in self.paths.items():
            y = self.pool(x) if branch == "branch_pool" else x
            for names in path:
                y = torch.cat([self.get_submodule(name)(y) for name in names], 1)
            outputs.append(y)
        return torch.cat(outputs, 1)


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
MIXED = {"5b": _a(32), "5c": _a(64), "5d": _a(64), "6a": B, "6b": _c(128), "6c": _c(160), "6d": _c(160)}
MIXED |= {"6e": _c(192), "7a": D, "7b": E, "7c": E}


class Inception(nn.Module):
    """Inception-v3, frozen, with random weights; `load` loads the published ones.

    Args:
        variant: ``fid``, the TensorFlow graph that defines FID and the Inception score (Heusel et al. 2017): average
            pools do not count the padding, and the last block has a max pool. ``torchvision``: that library's, whose
            input is 2 x - 1 as well. ``ct2``, ``ddcolor``: torchvision's, with the input of Weng et al. (2022) and Kang
            et al. (2023), which undo a normalization that was never done: their FID compares with no other.
    """

    name, dim, side = "inception", 2048, 299

    def __init__(self, variant: str = "fid") -> None:
        super().__init__()
        self.variant = _variant(variant)
        self.Conv2d_1a_3x3 = Conv(3, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = Conv(32, 64, (3, 3), pad=True)
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
        tensorflow = self.variant.tensorflow
        return nn.MaxPool2d(3, 1, 1) if name == "7c" and tensorflow else nn.AvgPool2d(3, 1, 1, False, not tensorflow)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 2048"], Float[Tensor, "b classes"]]:
        """sRGB in [0, 1], resized to 299 x 299 (bilinear, not antialiased) -> mean features, and logits.

        The logits of ``fid`` have no bias: the code of the Inception score (Salimans et al. 2016) multiplies by the
        matrix alone, and so does torch-fidelity (``logits_unbiased``).
        """
        gain, offset = rgb.new_tensor(self.variant.gain), rgb.new_tensor(self.variant.offset)
        x = F.interpolate(rgb, (self.side, self.side), mode="bilinear", align_corners=False)
        x = x * gain[:, None, None] + offset[:, None, None]
        *trunk, _ = self.children()
        for part in trunk:
            x = part(x)
        features = x.mean((2, 3))
        return features, F.linear(features, self.fc.weight, None if self.variant.tensorflow else self.fc.bias)


def load(variant: str, path: str | Path | None = None) -> Inception:
    """Return the network with its published weights, from ``path`` or the file that ``PHOTOCHROM_INCEPTION`` names.

    Raises FileNotFoundError, with what to do, without the file, and ValueError for another file.
    """
    published, path = _variant(variant), path or os.environ.get(VARIABLE)
    if not path or not Path(path).is_file():
        name = f"{published.file} (sha256 {published.digest}...) is " + (f"not at {path}" if path else "not given")
        raise FileNotFoundError(f"{name}: pass its path, or set {VARIABLE} to it")
    content = read_checked(Path(path), published.digest, f"this is not the published {published.file}")
    weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    net = Inception(variant)
    # torchvision's second head is used in training only.
    net.load_state_dict({name: value for name, value in weights.items() if not name.startswith("AuxLogits.")})
    return net


def _variant(name: str) -> Variant:
    if name not in VARIANTS:
        raise ValueError(f"Inception {name!r}: choose one of {', '.join(VARIANTS)}")
    return VARIANTS[name]
