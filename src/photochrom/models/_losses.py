"""Losses between predicted and true colours, each ``(prediction, truth) -> scalar``; mixed by weight in a recipe.

Those in `SEEN` look at the pictures that the colours make.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ..backbones.perceptual import Perceptual
from ..core import color
from ..core.color import AB_SCALE, L_SCALE, lab_to_rgb

SMALLEST = 32  # pixels: the side of the smallest picture that VGG16 can look at


def l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (prediction - truth).abs().mean()


def l2(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared difference."""
    return (prediction - truth).square().mean()


def huber(prediction: Tensor, truth: Tensor, delta: float) -> Tensor:
    """Smooth L1 of each channel with its bend at ``delta``, scaled so that far from it the slope is 1."""
    return F.smooth_l1_loss(prediction, truth, beta=delta)


def distance(prediction: Tensor, truth: Tensor, delta: float) -> Tensor:
    """Mean Euclidean distance of the colour vectors (channels at dim 1), rounded below ``delta``."""
    squared = (prediction - truth).square().sum(1)
    return ((squared + delta**2).sqrt() - delta).mean()


def perceptual(rgb: Tensor, truth: Tensor, layers: tuple[int, ...]) -> Tensor:
    """Mean absolute difference of the feature maps of VGG16 at ``layers``, over the mean of the truth's own.

    sRGB (b, 3, h, w) in [0, 1]; small pictures are enlarged. Johnson et al. (2016), with DDColor's absolute difference.
    """
    network, count = _vgg16(rgb.device), max(layers) + 1
    scale = SMALLEST / min(rgb.shape[-2:])
    if scale > 1:
        rgb, truth = (F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False) for x in (rgb, truth))
    with torch.no_grad():
        wanted = network(truth, count)
    found = network(rgb, count)
    return torch.stack([l1(found[i], wanted[i]) / wanted[i].abs().mean() for i in layers]).mean()


def colorfulness(rgb: Tensor, truth: Tensor) -> Tensor:
    """1 - colourfulness / 100 of sRGB in [0, 1], whatever the truth (DDColor; Hasler & Suesstrunk 2003)."""
    return 1 - color.colorfulness(rgb).mean() / 100


@lru_cache(maxsize=2)
def _vgg16(device: torch.device) -> Perceptual:
    return Perceptual("vgg16").to(device)


PLAIN = {"l1": l1, "l2": l2}
BENT = {"huber": huber, "distance": distance}
SEEN = ("perceptual", "colorfulness")
LOSSES = (*PLAIN, *BENT, *SEEN)


@dataclass(frozen=True)
class Mix:
    """Losses by name and weight.

    ``delta``, in Lab units, is where `huber` and `distance` bend; ``layers``, 0 to 4, are the maps of VGG16 that
    `perceptual` compares.
    """

    weights: Mapping[str, float]
    delta: float = 5.0
    layers: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(LOSSES))
        if unknown or not any(self.weights.values()) or min(self.weights.values()) < 0:
            known = ", ".join(LOSSES)
            raise ValueError(f"losses {dict(self.weights)}: give a weight above 0 to one or more of {known}")
        if not self.delta > 0:
            raise ValueError(f"delta {self.delta}: must be above 0 Lab units")
        if not self.layers or not set(self.layers) <= set(range(5)):
            raise ValueError(f"layers {list(self.layers)}: name some of VGG16's five, 0 to 4")

    @property
    def looks(self) -> bool:
        """Whether it looks at pictures, which of ab need Lab's own L."""
        return any(name in self.weights for name in SEEN)

    def __call__(self, prediction: Tensor, truth: Tensor, gray: Tensor) -> dict[str, Tensor]:
        """The named losses and, as ``total``, their weighted sum.

        ``prediction`` and ``truth`` are ab / 110 (b, 2, h, w), or sRGB in [-1, 1] (b, 3, h, w). ``gray`` (b, 1, H, W)
        in [-1, 1], as large or larger, gives ab its picture, which is looked at in full size.
        """
        delta = self.delta / AB_SCALE
        parts = {name: PLAIN[name](prediction, truth) for name in self.weights if name in PLAIN}
        parts |= {name: BENT[name](prediction, truth, delta) for name in self.weights if name in BENT}
        if self.looks:
            pictures = (_picture(prediction, gray), _picture(truth, gray))
            if "perceptual" in self.weights:
                parts["perceptual"] = perceptual(*pictures, self.layers)
            if "colorfulness" in self.weights:
                parts["colorfulness"] = colorfulness(*pictures)
        return {"total": torch.stack([self.weights[name] * part for name, part in parts.items()]).sum(), **parts}


def _picture(painted: Tensor, gray: Tensor) -> Tensor:
    """ab under Lab's L, or sRGB in [-1, 1], as sRGB in [0, 1] of the size of the gray."""
    if painted.shape[-2:] != gray.shape[-2:]:
        painted = F.interpolate(painted, gray.shape[-2:], mode="bilinear", align_corners=False)
    if painted.shape[1] == 3:
        return painted / 2 + 0.5
    return lab_to_rgb(torch.cat([(gray + 1) * L_SCALE, painted * AB_SCALE], 1))
