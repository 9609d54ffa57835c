"""The pretrained networks that look at coloured photographs: features, classes, and LPIPS to the truth."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from ..backbones.efficientnet import SHA256, Classifier
from ..backbones.perceptual import Perceptual
from ..backbones.weights import DIGESTS

RGB8 = UInt8[np.ndarray, "h w 3"]
LPIPS = {"lpips-alex": "alexnet", "lpips-vgg": "vgg16"}


class Networks:
    """What is seen in the truth and in pictures of it.

    Args:
        side: short side in pixels at which LPIPS looks, smaller pictures as they are; sides under 32 are brought to it.
        inception: the variant of `backbones.inception` to look through as well; ``fid`` alone is called ``inception``.

    ``missing``: a sentence for each network that is not installed and left out. Raises ModuleNotFoundError for the
    classifier, and what `backbones.inception.load` raises.
    """

    def __init__(self, side: int, inception: str | None = None) -> None:
        self.side = side
        self.missing: list[str] = []
        self.classifiers: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {Classifier.name: Classifier()}
        if inception:
            from ..backbones.inception import load

            name = "inception" if inception == "fid" else f"inception-{inception}"
            self.classifiers[name] = load(inception)
        self.perceptual: dict[str, Perceptual] = {}
        for metric, name in LPIPS.items():
            try:
                self.perceptual[metric] = Perceptual(name)
            except ModuleNotFoundError as error:
                self.missing.append(f"{metric} left out: {error}")

    @property
    def key(self) -> str:
        """What tells these networks from others."""
        return f"{self.side} {sorted(self.classifiers)} {SHA256} {sorted(self.perceptual)} {sorted(DIGESTS.items())}"

    @torch.no_grad()
    def __call__(self, pictures: Sequence[RGB8]) -> list[dict[str, np.ndarray]]:
        """What is seen in each picture of one size, the truth first.

        ``features/NETWORK`` (d,), ``classes/NETWORK`` (classes,) probabilities, and LPIPS to the truth by name.
        """
        rgb = _batch(pictures)
        seen: list[dict[str, np.ndarray]] = [{} for _ in pictures]

        def note(name: str, found: Tensor) -> None:
            for at, one in zip(seen, found.numpy(), strict=True):
                at[name] = one

        for name, look in self.classifiers.items():
            features, logits = look(rgb)
            note(f"features/{name}", features)
            note(f"classes/{name}", logits.softmax(1))
        small = _short_side(rgb, self.side)
        for metric, net in self.perceptual.items():
            maps = net(small)
            note(metric, net.distance(maps, [m[:1] for m in maps]))
            if net.name == "vgg16":
                note("features/vgg16", maps[-1].mean((2, 3)))
        return seen

    @torch.no_grad()
    def spread(self, pictures: Sequence[RGB8]) -> dict[str, float]:
        """Mean LPIPS between every two of two or more pictures, by name."""
        small = _short_side(_batch(pictures), self.side)
        pairs = list(combinations(range(len(pictures)), 2))
        found = {}
        for metric, net in self.perceptual.items():
            maps = net(small)
            apart = [net.distance([m[i : i + 1] for m in maps], [m[j : j + 1] for m in maps]) for i, j in pairs]
            found[metric] = float(torch.cat(apart).mean())
        return found


def _batch(pictures: Sequence[RGB8]) -> Tensor:
    """Pictures of one size as (b, 3, h, w) in [0, 1]."""
    return torch.stack([torch.from_numpy(np.ascontiguousarray(p)) for p in pictures]).permute(0, 3, 1, 2) / 255


def _short_side(rgb: Tensor, side: int) -> Tensor:
    height, width = rgb.shape[-2:]
    scale = min(1.0, side / min(height, width))
    size = [max(32, round(n * scale)) for n in (height, width)]
    return rgb if size == [height, width] else F.interpolate(rgb, size, mode="bilinear", antialias=True)
