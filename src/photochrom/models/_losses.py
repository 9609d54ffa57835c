"""Losses between predicted and true colours, each ``(prediction, truth) -> scalar``; mixed by weight in a recipe.

Those in `SEEN` look at the pictures that the colours make.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ..backbones.perceptual import Perceptual
from ..core import color
from ..core.color import AB_SCALE, L_SCALE, lab_to_rgb

CHANNELS = {"ab": 2, "rgb": 3}
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
    """1 - colourfulness / 100 of sRGB in [0, 1], whatever the truth (DDColor, at a weight of 0.5 under others).

    Hasler & Suesstrunk (2003). By itself, or at a large weight, it paints anything, so long as it is vivid.
    """
    return 1 - color.colorfulness(rgb).mean() / 100


@lru_cache(maxsize=2)
def _vgg16(device: torch.device) -> Perceptual:
    return Perceptual("vgg16").to(device)


PLAIN = {"l1": l1, "l2": l2}
BENT = {"huber": huber, "distance": distance}
SEEN = ("perceptual", "colorfulness")
LOSSES = (*PLAIN, *BENT, *SEEN)


@dataclass(frozen=True)
class OnePass:
    """What a network that paints in one pass gives, and the losses by which it learns.

    ``target`` is ``ab`` or ``rgb``. ``chroma`` multiplies what is painted: a mean of several possible colours is paler
    than any of them. ``losses`` are weights by name; ``delta``, in Lab units (or 1 / 110 of half the range of sRGB), is
    where `huber` and `distance` bend, and ``layers``, 0 to 4, are the maps of VGG16 that `perceptual` compares.
    """

    needs = True  # a loss of these; where there is another, none need be given

    target: str = "ab"
    chroma: float = 1.0
    losses: Mapping[str, float] = field(default_factory=lambda: {"huber": 1.0})
    delta: float = 5.0
    layers: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        if self.target not in CHANNELS:
            raise ValueError(f"target {self.target!r}: choose {' or '.join(CHANNELS)}")
        weights = self.losses.values()
        if set(self.losses) - set(LOSSES) or not all(0 <= weight < math.inf for weight in weights):
            raise ValueError(
                f"losses {dict(self.losses)}: give finite weights of 0 or more to some of {', '.join(LOSSES)}"
            )
        if self.needs and not any(weights):
            raise ValueError(f"losses {dict(self.losses)}: give a weight above 0 to one or more of {', '.join(LOSSES)}")
        for name, most in (("chroma", 10), ("delta", 256)):
            if not 0 < getattr(self, name) <= most:
                raise ValueError(f"{name} {getattr(self, name)}: must be above 0, and {most} at most")
        if not self.layers or not set(self.layers) <= set(range(5)):
            raise ValueError(f"layers {list(self.layers)}: name some of VGG16's five, 0 to 4")

    @property
    def channels(self) -> int:
        """Of what is painted."""
        return CHANNELS[self.target]

    @property
    def wants_lab(self) -> bool:
        """Whether a loss looks at pictures of ab, which need Lab's own L."""
        return self.target == "ab" and any(name in self.weighed for name in SEEN)

    @property
    def weighed(self) -> dict[str, float]:
        """The losses that weigh anything."""
        return {name: weight for name, weight in self.losses.items() if weight}

    def mix(self, prediction: Tensor, truth: Tensor, gray: Tensor) -> dict[str, Tensor]:
        """The named losses and, as ``total``, their weighted sum.

        ``prediction`` and ``truth`` are ab / 110 (b, 2, h, w), or sRGB in [-1, 1] (b, 3, h, w). ``gray`` (b, 1, H, W)
        in [-1, 1], as large or larger, gives ab its picture, which is looked at in full size.
        """
        weighed = self.weighed
        parts = {name: PLAIN[name](prediction, truth) for name in weighed if name in PLAIN}
        parts |= {name: BENT[name](prediction, truth, self.delta / AB_SCALE) for name in weighed if name in BENT}
        if any(name in weighed for name in SEEN):
            pictures = (_picture(prediction, gray), _picture(truth, gray))
            if "perceptual" in weighed:
                parts["perceptual"] = perceptual(*pictures, self.layers)
            if "colorfulness" in weighed:
                parts["colorfulness"] = colorfulness(*pictures)
        total = sum((weighed[name] * part for name, part in parts.items()), prediction.new_zeros(()))
        return {"total": total, **parts}


def _picture(painted: Tensor, gray: Tensor) -> Tensor:
    """ab under Lab's L, or sRGB in [-1, 1], as sRGB in [0, 1] of the size of the gray."""
    if painted.shape[-2:] != gray.shape[-2:]:
        painted = F.interpolate(painted, gray.shape[-2:], mode="bilinear", align_corners=False)
    if painted.shape[1] == 3:
        return (painted / 2 + 0.5).clamp(0, 1)
    return lab_to_rgb(torch.cat([(gray + 1) * L_SCALE, painted * AB_SCALE], 1))
