"""Pretrained networks that compare images: features, class probabilities, and LPIPS to the ground truth."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..backbones.efficientnet import SHA256, Classifier
from ..backbones.perceptual import MINIMUM_SIZE, Perceptual
from ..backbones.weights import DIGESTS
from .protocols import RGB8

LPIPS = {"lpips-alex": "alexnet", "lpips-vgg": "vgg16"}


class FeatureNetworks:
    """The networks of one evaluation; ``missing`` has a sentence for each that is not installed and left out.

    LPIPS takes images scaled down to the short side ``lpips_side``; ``inception`` is a variant of `backbones.inception`
    to use as well. They run on a CUDA GPU if ``device`` is auto or cuda and there is one, else on the CPU. Raises
    ModuleNotFoundError without the classifier, and what `backbones.inception.load` raises.
    """

    def __init__(self, lpips_side: int, inception: str | None = None, device: str = "auto") -> None:
        on_cuda = device in ("auto", "cuda") and torch.cuda.is_available()
        self.device = torch.device("cuda" if on_cuda else "cpu")
        self.lpips_side = lpips_side
        self.missing: list[str] = []
        self.classifiers: dict[str, nn.Module] = {Classifier.name: Classifier().to(self.device)}
        if inception:
            from ..backbones.inception import load

            name = "inception" if inception == "fid" else f"inception-{inception}"
            self.classifiers[name] = load(inception).to(self.device)
        self.perceptual: dict[str, Perceptual] = {}
        for metric, name in LPIPS.items():
            try:
                self.perceptual[metric] = Perceptual(name).to(self.device)
            except ModuleNotFoundError as error:
                self.missing.append(f"{metric} left out: {error}")
        names = f"{sorted(self.classifiers)} {sorted(self.perceptual)}"
        # Differs for other networks.
        self.key = f"{lpips_side} {names} {SHA256[Classifier.name]} {sorted(DIGESTS.items())}"

    @torch.no_grad()
    def __call__(self, images: Sequence[RGB8]) -> dict[str, np.ndarray]:
        """Describe images of one size, the ground truth first.

        Returns for all images ``features/NETWORK`` (b, d), ``classes/NETWORK`` probabilities (b, classes), and LPIPS
        to the ground truth (b,) by the name of the metric.
        """
        rgb = self._to_batch(images)
        columns: dict[str, Tensor] = {}
        for name, classifier in self.classifiers.items():
            columns[f"features/{name}"], logits = classifier(rgb)
            columns[f"classes/{name}"] = logits.softmax(1)
        small = _scale_down(rgb, self.lpips_side)
        for metric, net in self.perceptual.items():
            maps = net(small)
            columns[metric] = net.distance(maps, _select(maps, 0))
            if net.name == "vgg16":
                columns["features/vgg16"] = maps[-1].mean((2, 3))
        return {name: column.cpu().numpy() for name, column in columns.items()}

    @torch.no_grad()
    def diversity(self, images: Sequence[RGB8]) -> dict[str, float]:
        """Return the mean LPIPS between each two of two or more images, by the name of the metric."""
        small = _scale_down(self._to_batch(images), self.lpips_side)
        means = {}
        for metric, net in self.perceptual.items():
            maps = net(small)
            pairs = combinations(range(len(images)), 2)
            distances = [net.distance(_select(maps, i), _select(maps, j)) for i, j in pairs]
            means[metric] = float(torch.cat(distances).mean())
        return means

    def _to_batch(self, images: Sequence[RGB8]) -> Tensor:
        return torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2) / 255


def _scale_down(rgb: Tensor, side: int) -> Tensor:
    height, width = rgb.shape[-2:]
    scale = min(1.0, side / min(height, width))
    size = [max(MINIMUM_SIZE, round(height * scale)), max(MINIMUM_SIZE, round(width * scale))]
    return rgb if size == [height, width] else F.interpolate(rgb, size, mode="bilinear", antialias=True)


def _select(maps: Sequence[Tensor], index: int) -> list[Tensor]:
    return [layer[index : index + 1] for layer in maps]
