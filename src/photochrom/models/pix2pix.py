"""pix2pix (Isola et al. 2017): a generator that colorizes, trained with a discriminator of its images.

The discriminator is the paper's, of patches, or one on pretrained features (Sauer et al. 2021, "Projected GANs").
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import field
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ..backbones.efficientnet import EfficientNetLite, frozen_pyramid
from ..core.sampling import Direct
from ._blocks import ColorNet, downsample
from ._losses import RegressionConfig, as_image
from ._settings import Count, Natural, NonNegative, Positive
from .family import Family, Network

WIDEST = 8  # widths double from layer to layer up to this multiple of the first
LEAK = 0.2  # slope of leaky ReLUs below zero
# Accuracies of the discriminator beyond which the generator or the discriminator no longer learns from the other.
WON, LOST = 0.98, 0.02
PATCHES = (7, 16, 34, 70, 142, 286)  # receptive fields of discriminators with 0 to 5 halvings


class PaperNorm(nn.BatchNorm2d):
    """Batch norm that, outside training, takes the statistics of each image, as the paper does, not running ones."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class Generator(Network):
    """The paper's U-Net: ``downs`` halvings and as many doublings with skip connections.

    Dropout is where the authors' PyTorch code has it, after the innermost block. In test mode ``paper`` it stays
    on, and its masks come from a noise input, so that a seed reproduces them.
    """

    @dataclass(frozen=True)
    class Config:
        downs: Annotated[int, Field(ge=2)] = 8  # number of scales, each of half the size
        filters: Count = 64  # channels at the first scale, doubled from scale to scale up to eight times as many
        dropped: Natural = 3  # number of decoder blocks with dropout of 0.5
        # Outside training, "paper" keeps dropout and takes the statistics of each image, "eval" the running ones.
        test: Literal["paper", "eval"] = "paper"

        def __post_init__(self) -> None:
            if self.dropped > self.downs - 2:
                raise ValueError(f"dropped {self.dropped}: must be at most {self.downs - 2}, two less than downs")

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        norm = PaperNorm if config.test == "paper" else nn.BatchNorm2d
        widths = [config.filters * min(2**level, WIDEST) for level in range(config.downs)]
        self.down = nn.ModuleList([nn.Conv2d(1, widths[0], 4, 2, 1)])
        for before, after in pairwise(widths[:-1]):
            conv = nn.Conv2d(before, after, 4, 2, 1, bias=False)
            self.down.append(nn.Sequential(conv, norm(after)))
        self.down.append(nn.Conv2d(widths[-2], widths[-1], 4, 2, 1))
        self.up = nn.ModuleList()
        width = widths[-1]
        for skip in widths[-2::-1]:
            grow = nn.ConvTranspose2d(width, skip, 4, 2, 1, bias=False)
            self.up.append(nn.Sequential(grow, norm(skip)))
            width = 2 * skip
        self.exit = nn.ConvTranspose2d(width, channels, 4, 2, 1)
        # Width and stride of the maps with dropout, of blocks 1, 2, ... after the innermost.
        levels = [config.downs - 2 - block for block in range(1, config.dropped + 1)]
        self.dropout_maps = [(widths[level], 2 ** (level + 1)) for level in levels]
        # Planes of noise in full size that hold a number for each feature of a smaller map.
        self.planes = [math.ceil(width / stride**2) for width, stride in self.dropout_maps]
        self.noise_planes = sum(self.planes)
        self.stride = 1  # of the output
        self.inputs = {"gray": (1, "h", "w")}
        if config.test == "paper" and self.planes:
            self.inputs["noise"] = (self.noise_planes, "h", "w")

    def forward(self, gray: Tensor, noise: Tensor | None = None) -> Tensor:
        """Gray (b, 1, h, w), and normal noise (b, noise_planes, h, w) for dropout -> (b, channels, h, w).

        Sides that 2**downs does not divide are extended by mirroring, and the output is cropped.
        """
        h, w = gray.shape[-2:]
        multiple = 2 ** len(self.down)
        if noise is None and (self.training or "noise" in self.inputs):
            noise = torch.randn(len(gray), self.noise_planes, h, w, device=gray.device)
        masks = [] if noise is None else self.dropout_masks(mirror_pad(noise, multiple))
        x, skips = mirror_pad(gray, multiple), []
        for level, down in enumerate(self.down):
            x = down(F.leaky_relu(x, LEAK) if level else x)
            skips.append(x)
        skips.pop()
        for block, up in enumerate(self.up):
            x = up(F.relu(x))
            if 1 <= block <= len(masks):
                x = x * masks[block - 1]
            x = torch.cat([x, skips.pop()], 1)
        return torch.tanh(self.exit(F.relu(x)))[:, :, :h, :w]

    def dropout_masks(self, noise: Tensor) -> list[Tensor]:
        """Return factors for the features of each block with dropout (b, width, h', w'): 2 to keep, 0 to drop."""
        masks = []
        for part, (width, stride) in zip(noise.split(self.planes, 1), self.dropout_maps, strict=True):
            features = F.pixel_unshuffle(part, stride)[:, :width]
            masks.append((features > 0).to(noise.dtype) * 2)
        return masks


def mirror_pad(x: Tensor, multiple: int) -> Tensor:
    """Return maps (b, c, h, w) extended to the next multiples by mirroring at the lower and right edge."""
    for axis in (2, 3):
        side = x.shape[axis]
        indices = torch.arange(side + -side % multiple, device=x.device)
        mirrored = torch.where(indices < side, indices, 2 * (side - 1) - indices)
        x = x.index_select(axis, mirrored.clamp(min=0))
    return x


class Discriminator(nn.Module):
    """Gray and color together -> a score of each patch, whose side is one of `PATCHES`; the paper's is 70."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        channels += 1  # the gray
        halvings = PATCHES.index(patch)
        layers: list[nn.Module] = []
        for level in range(halvings + 1):
            out = width * min(2**level, WIDEST)
            stride = 2 if level < halvings else 1
            layers.append(nn.Conv2d(channels, out, 4, stride, 1, bias=level == 0))
            if level:
                layers.append(nn.BatchNorm2d(out))
            layers.append(nn.LeakyReLU(LEAK))
            channels = out
        self.minimum_size = 3 * 2**halvings  # the last two layers turn 3 pixels into 1
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 1))

    def forward(self, gray: Tensor, color: Tensor) -> Tensor:
        """Gray, and color (b, channels, h, w) in [-1, 1] -> scores (b, 1, h', w'). ValueError for small images."""
        h, w = color.shape[-2:]
        if min(h, w) < self.minimum_size:
            raise ValueError(
                f"{w} x {h} pixels are too small for the discriminator's patches of {self.patch}: choose a smaller "
                f"model.patch, or a larger data.size, until sides are {self.minimum_size} or more"
            )
        return self.layers(torch.cat([downsample(gray, color), color], 1))


class ProjectedDiscriminator(nn.Module):
    """An image in color -> scores of its regions, from the `frozen_pyramid` of its features at strides 4, 8, 16 and 32.

    A head of ``width`` filters on each of the four maps gives scores at stride 32.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.minimum_size = EfficientNetLite.size_multiple
        self.heads = nn.ModuleList()
        for halvings, channels in zip((3, 2, 1, 0), frozen_pyramid(torch.device("cpu")).channels[1:], strict=True):
            layers: list[nn.Module] = [spectral_norm(nn.Conv2d(channels, width, 1)), nn.LeakyReLU(LEAK)]
            for _ in range(halvings):
                layers += [spectral_norm(nn.Conv2d(width, width, 3, 2, 1)), nn.LeakyReLU(LEAK)]
            self.heads.append(nn.Sequential(*layers, spectral_norm(nn.Conv2d(width, 1, 3, 1, 1))))

    def forward(self, gray: Tensor, color: Tensor) -> Tensor:
        """Gray (b, 1, h, w), and color that `as_image` takes -> scores of all heads (b, n)."""
        rgb, scores = as_image(color, gray), []
        for head, x in zip(self.heads, frozen_pyramid(rgb.device)(rgb * 2 - 1)[1:], strict=True):
            scores.append(head(F.normalize(x) * x.shape[1] ** 0.5).flatten(1))
        return torch.cat(scores, 1)


def initialize(layer: nn.Module) -> None:
    """Set the paper's initial weights: normal with a deviation of 0.02, those of norms about 1."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


class Model(Family):
    """Gray in, colors out; the discriminator is not exported."""

    trainable = ("generator", "discriminator")
    generator: Generator | ColorNet

    @dataclass(frozen=True)
    class Config(RegressionConfig):
        loss_required = False

        losses: Mapping[str, NonNegative] = field(default_factory=lambda: {"l1": 100.0})  # weights by name
        generator: Literal["unet", "colornet"] = "unet"  # that of the paper, or the network of `unet` and `classify`
        net: Generator.Config = field(default_factory=Generator.Config)  # the generator unet
        color: ColorNet.Config = field(default_factory=ColorNet.Config)  # the generator colornet
        discriminator: Literal["patch", "projected"] = "patch"  # on images, or on pretrained features
        discriminator_rate: Positive = 1.0  # learning rate of the discriminator, relative to `optimizer.lr`
        patch: Literal[7, 16, 34, 70, 142, 286] = 70  # side of the patches, in pixels of the generator's output
        width: Count = 64  # channels of the first layer of the discriminator
        objective: Literal["log", "least-squares"] = "log"  # loss of the discriminator: cross-entropy, or squared error
        # Weight of the objective beside the losses. For a projected discriminator, the norm of its gradient at the
        # generator's output, relative to that of the losses.
        adversarial: Positive = 1.0

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.discriminator == "projected" and not any(self.losses.values()):
                raise ValueError("losses: a projected discriminator needs one with a weight above 0")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.generator == "unet":
            self.generator = Generator(config.net, config.channels).apply(initialize)
        else:
            self.generator = ColorNet(config.color, config.channels)
        self.gray_convention = config.gray_convention
        self.discriminator: Discriminator | ProjectedDiscriminator
        if config.discriminator == "patch":
            self.discriminator = Discriminator(config.channels, config.width, config.patch).apply(initialize)
            self.minimum_size = self.discriminator.minimum_size * self.generator.stride
        else:
            self.discriminator = ProjectedDiscriminator(config.width)
            self.minimum_size = self.discriminator.minimum_size
            if config.target == "ab":
                self.gray_convention = "lab"  # since `as_image` turns ab into sRGB
        noise_planes, *_ = self.generator.inputs.get("noise", (0,))
        self.procedure = Direct(config.target, config.chroma, int(noise_planes))
        self.last: tuple[Tensor, Tensor] | None = None  # gray images and the generator's output for them

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the losses of the generator or the discriminator.

        The generator's: its mix of losses, and ``adversarial``. The discriminator's: its accuracy and mean score for
        patches of real and of generated (fake) images.
        """
        if part == "generator":
            fake = self.generator(gray)
            self.last = (gray, fake.detach())
            losses = self.config.total_loss(fake, downsample(color, fake), gray)
            if self.config.discriminator == "projected":
                adversarial = self._balanced(gray, fake, losses["total"])
                return {**losses, "total": losses["total"] + adversarial, "adversarial": adversarial}
            adversarial = self.objective(self.discriminator(gray, fake), True)
            total = losses["total"] + self.config.adversarial * adversarial
            return {**losses, "total": total, "adversarial": adversarial}
        # The generator's step on the same batch comes first, so its output is still at hand.
        last, self.last = self.last, None
        if last and last[0] is gray:
            fake = last[1]
        else:
            with torch.no_grad():
                fake = self.generator(gray)
        on_real, on_fake = self.discriminator(gray, downsample(color, fake)), self.discriminator(gray, fake)
        threshold = 0.0 if self.config.objective == "log" else 0.5
        return {
            "total": (self.objective(on_real, True) + self.objective(on_fake, False)) / 2,
            "real_accuracy": (on_real > threshold).float().mean(),
            "fake_accuracy": (on_fake <= threshold).float().mean(),
            "real_score": on_real.mean(),
            "fake_score": on_fake.mean(),
        }

    def objective(self, scores: Tensor, real: bool) -> Tensor:
        """Return how far scores are from those of real or of generated images."""
        if self.config.objective == "log":
            return F.softplus(-scores if real else scores).mean()
        return (scores - float(real)).square().mean()  # Mao et al. 2017

    def _balanced(self, gray: Tensor, fake: Tensor, loss: Tensor) -> Tensor:
        """Return the objective; the norm of its gradient at ``fake`` is ``adversarial`` times that of the loss."""
        value = self.objective(self.discriminator(gray, fake), True)
        if not fake.requires_grad:  # in validation
            return value
        (gradient,) = torch.autograd.grad(value, fake, retain_graph=True)
        (of_loss,) = torch.autograd.grad(loss, fake, retain_graph=True)
        scale = self.config.adversarial * of_loss.norm() / gradient.norm().clamp(min=1e-12)
        return value.detach() + scale * ((fake - fake.detach()) * gradient).sum()

    def learning_rates(self, part: str) -> Mapping[str, float]:
        return {"": self.config.discriminator_rate} if part == "discriminator" else super().learning_rates(part)

    def diagnostics(self, means: Mapping[str, float]) -> Iterator[str]:
        """Yield a warning if generator and discriminator are out of balance."""
        on_real, on_fake = means.get("discriminator/real_accuracy"), means.get("discriminator/fake_accuracy")
        if on_real is None or on_fake is None:
            return
        accuracy = (on_real + on_fake) / 2
        if accuracy > WON:
            objective = "" if self.config.objective == "least-squares" else ", or choose objective least-squares"
            yield (
                f"the discriminator has won: it classifies {accuracy:.0%} of patches correctly, so the generator "
                f"learns nothing from it; lower model.width ({self.config.width}) or optimizer.lr{objective}"
            )
        elif min(on_real, on_fake) < LOST:
            yield "the discriminator has lost: it gives all patches the same class; raise model.width or optimizer.lr"
