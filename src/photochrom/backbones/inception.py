"""Inception-v3 (Szegedy et al. 2015), with which FID and the Inception score are measured, from the published files."""

import os
import tomllib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .weights import open_checked

VARIABLE = "PHOTOCHROM_INCEPTION"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as in torchvision
BLOCKS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Variant:
    """A published network, in a ``file`` whose name ends with the first 8 hex digits of its sha256."""

    file: str
    classes: int
    tensorflow: bool = False  # pools as the graph of 2015, and no bias in the logits
    gain: Sequence[float] = (2, 2, 2)  # of sRGB, for the input
    offset: Sequence[float] = (-1, -1, -1)


GOOGLE = "inception_v3_google-1a9a5a14.pth"
VARIANTS: dict[str, Variant] = {
    "fid": Variant("pt_inception-2015-12-05-6726825d.pth", 1008, tensorflow=True),
    "torchvision": Variant(GOOGLE, 1000),
    "ct2": Variant(GOOGLE, 1000, gain=[2 * s for s in STD], offset=[2 * m - 1 for m in MEAN]),
    "ddcolor": Variant(GOOGLE, 1000, gain=STD, offset=[s + 2 * m - 1 for m, s in zip(MEAN, STD, strict=True)]),
}


def _variant(name: str) -> Variant:
    if name not in VARIANTS:
        raise ValueError(f"Inception {name!r}: choose one of {', '.join(VARIANTS)}")
    return VARIANTS[name]


def _conv(channels: int, out: int, kernel: tuple[int, int], stride: int = 1, pad: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, stride, "same" if pad else 0, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out, eps=0.001), relu=nn.ReLU(inplace=True)))


class Block(nn.Module):
    """A block of ``inception.toml``; its ``branch_pool`` begins with the ``pool``, unless it halves the image."""

    def __init__(self, channels: int, branches: Mapping[str, Sequence[str]], pool: nn.Module) -> None:
        super().__init__()
        halves = not branches["branch_pool"]
        self.pool = nn.MaxPool2d(3, 2) if halves else pool
        self.channels = 0
        self.paths: dict[str, list[list[nn.Sequential]]] = {}  # side by side in each step of a branch
        for branch, layers in branches.items():
            self.paths[branch] = []
            width = channels
            for number, layer in enumerate(layers, 1):
                out, *kernels = layer.split()
                name = branch if len(layers) == 1 else f"{branch}_{number}"
                stride = 2 if halves and number == len(layers) else 1
                suffixes = ("a", "b") if len(kernels) == 2 else ("",)
                step = []
                for suffix, kernel in zip(suffixes, kernels, strict=True):
                    height, breadth = kernel.split("x")
                    conv = _conv(width, int(out), (int(height), int(breadth)), stride, pad=stride == 1)
                    self.add_module(name + suffix, conv)
                    step.append(conv)
                self.paths[branch].append(step)
                width = int(out) * len(step)
            self.channels += width

    def forward(self, x: Tensor) -> Tensor:
        """Features (b, c, h, w) -> (b, ``channels``, h, w), or half the sides."""
        outputs = []
        for branch, path in self.paths.items():
            y = self.pool(x) if branch == "branch_pool" else x
            for step in path:
                y = torch.cat([conv(y) for conv in step], 1)
            outputs.append(y)
        return torch.cat(outputs, 1)


class Inception(nn.Module):
    """Inception-v3, frozen, with random weights; `load` loads the published ones.

    Args:
        variant: ``fid``, the TensorFlow graph that defines FID and the Inception score (Heusel et al. 2017): average
            pools do not count the padding, and the last block has a max pool. ``torchvision``: that library's, whose
            input is 2 x - 1 as well. ``ct2``, ``ddcolor``: torchvision's, with the input of Weng et al. (2022) and Kang
            et al. (2023), which undo a normalization that was never done: their FID compares with no other.
    """

    name, side = "inception", 299

    def __init__(self, variant: str = "fid") -> None:
        super().__init__()
        self.variant = _variant(variant)
        self.Conv2d_1a_3x3 = _conv(3, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = _conv(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = _conv(32, 64, (3, 3), pad=True)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = _conv(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = _conv(80, 192, (3, 3))
        self.maxpool2 = nn.MaxPool2d(3, 2)
        channels, tensorflow = 192, self.variant.tensorflow
        for name, branches in BLOCKS.items():
            average = nn.AvgPool2d(3, 1, 1, count_include_pad=not tensorflow)
            block = Block(channels, branches, nn.MaxPool2d(3, 1, 1) if tensorflow and name == "7c" else average)
            self.add_module(f"Mixed_{name}", block)
            channels = block.channels
        self.fc = nn.Linear(channels, self.variant.classes)
        self.requires_grad_(False).eval()

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
    file, path = _variant(variant).file, path or os.environ.get(VARIABLE)
    digest = Path(file).stem[-8:]
    if not path or not Path(path).is_file():
        problem = f"not at {path}" if path else "not given"
        raise FileNotFoundError(f"{file} (sha256 {digest}...) is {problem}: pass its path, or set {VARIABLE} to it")
    content = open_checked(Path(path), digest, f"this is not the published {file}")
    weights = torch.load(content, map_location="cpu", weights_only=True)
    net = Inception(variant)  # takes long, so after all checks
    # torchvision's second head is used in training only.
    net.load_state_dict({name: value for name, value in weights.items() if not name.startswith("AuxLogits.")})
    return net
