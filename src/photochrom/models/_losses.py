"""Losses between predicted and true colors, which a recipe mixes by weight."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from ..backbones.perceptual import vgg16_difference
from ..core.color import AB_SCALE, L_SCALE, colorfulness, lab_to_rgb
from ._settings import NonNegative

VIVID = 50.0  # chroma in Lab units from which a pixel counts twice in `vivid_distance`
VggLayer = Annotated[int, Field(ge=0, le=4)]  # of five feature maps


def huber(prediction: Tensor, truth: Tensor, delta: float) -> Tensor:
    """Smooth L1 of each channel: quadratic below ``delta``, with a slope of 1 far above it."""
    return F.smooth_l1_loss(prediction, truth, beta=delta)


def distance(prediction: Tensor, truth: Tensor, delta: float) -> Tensor:
    """Mean Euclidean distance of the color vectors (channels at dim 1), smoothed below ``delta``."""
    return _distances(prediction, truth, delta).mean()


def vivid_distance(prediction: Tensor, truth: Tensor, delta: float) -> Tensor:
    """Mean distance of ab / 110 weighted by the chroma of the truth: 1 for gray to 2 from `VIVID` on.

    The weights are relative to their mean over the image, so that several processes train as one does.
    """
    weights = 1 + (truth.norm(dim=1) * (AB_SCALE / VIVID)).clamp(max=1)
    return (_distances(prediction, truth, delta) * weights / weights.mean((1, 2), keepdim=True)).mean()


def _distances(prediction: Tensor, truth: Tensor, delta: float) -> Tensor:
    squared = (prediction - truth).square().sum(1)
    return (squared + delta**2).sqrt() - delta


PLAIN_LOSSES = {"l1": F.l1_loss, "l2": F.mse_loss}
SMOOTH_LOSSES = {"huber": huber, "distance": distance, "vivid-distance": vivid_distance}  # take a delta
IMAGE_LOSSES = ("perceptual", "colorfulness")  # of sRGB images instead of color channels
LOSSES = (*PLAIN_LOSSES, *SMOOTH_LOSSES, *IMAGE_LOSSES)


@dataclass(frozen=True)
class RegressionConfig:
    """Settings of a network that predicts colors in one pass, and the losses that train it."""

    loss_required = True  # whether one of these losses must have a weight; not a setting

    target: Literal["ab", "rgb"] = "ab"  # what the network predicts
    # Factor on predicted colors, since the mean of possible colors is paler than each of them.
    chroma: Annotated[float, Field(gt=0, le=10)] = 1.0
    losses: Mapping[str, NonNegative] = field(default_factory=lambda: {"huber": 1.0})  # weights by name
    # Where `huber` and the distances bend, in Lab units; of rgb, in 1 / 110 of half its range.
    delta: Annotated[float, Field(gt=0, le=256)] = 5.0
    layers: Annotated[tuple[VggLayer, ...], Field(min_length=1)] = (1, 2)  # layers of VGG16 that `perceptual` compares

    def __post_init__(self) -> None:
        names = ", ".join(LOSSES)
        if not set(self.losses) <= set(LOSSES):
            raise ValueError(f"losses {dict(self.losses)}: give weights to some of {names}")
        if self.loss_required and not any(self.losses.values()):
            raise ValueError(f"losses {dict(self.losses)}: give a weight above 0 to one or more of {names}")
        if self.target == "rgb" and self.losses.get("vivid-distance"):
            raise ValueError("losses.vivid-distance: measures chroma, which target = 'rgb' does not predict")

    @property
    def channels(self) -> int:
        return 2 if self.target == "ab" else 3

    @property
    def gray_convention(self) -> str | None:
        """Image losses turn ab into sRGB, which takes the L of Lab as gray."""
        return "lab" if self.target == "ab" and self._uses_images() else None

    def _uses_images(self) -> bool:
        return any(self.losses.get(name) for name in IMAGE_LOSSES)

    def total_loss(self, prediction: Tensor, truth: Tensor, gray: Tensor) -> dict[str, Tensor]:
        """Return the losses with a weight above 0 by name, and their weighted sum as ``total``.

        ``prediction`` and ``truth``: ab / 110 (b, 2, h, w) or sRGB in [-1, 1] (b, 3, h, w). ``gray`` (b, 1, H, W) in
        [-1, 1], as large or larger: images are compared at its size.
        """
        losses = {}
        for name, loss in PLAIN_LOSSES.items():
            if self.losses.get(name):
                losses[name] = loss(prediction, truth)
        for name, smooth_loss in SMOOTH_LOSSES.items():
            if self.losses.get(name):
                losses[name] = smooth_loss(prediction, truth, self.delta / AB_SCALE)
        if self._uses_images():
            rgb, true_rgb = as_image(prediction, gray), as_image(truth, gray)
            if self.losses.get("perceptual"):
                losses["perceptual"] = vgg16_difference(rgb, true_rgb, self.layers)
            if self.losses.get("colorfulness"):
                # As in DDColor, at a weight of 0.5. Alone, or at a large weight, any vivid color satisfies it.
                losses["colorfulness"] = 1 - colorfulness(rgb).mean() / 100
        total = prediction.new_zeros(())
        for name, value in losses.items():
            total = total + self.losses[name] * value
        return {"total": total, **losses}


def as_image(color: Tensor, gray: Tensor) -> Tensor:
    """Return ab / 110 under the L of Lab, or sRGB in [-1, 1], as sRGB in [0, 1] at the size of the gray."""
    if color.shape[-2:] != gray.shape[-2:]:
        color = F.interpolate(color, gray.shape[-2:], mode="bilinear", align_corners=False)
    if color.shape[1] == 3:
        return (color / 2 + 0.5).clamp(0, 1)
    return lab_to_rgb(torch.cat([(gray + 1) * L_SCALE, color * AB_SCALE], 1))
