"""Families small enough to train in a test, and photos to train them on."""

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import nn

from photochrom.core.sampling import Direct
from photochrom.models.family import Family, Network


@dataclass(frozen=True)
class Inner:
    depth: int = 2


@dataclass(frozen=True)
class Config:
    width: int = 8
    dropout: float = 0.2
    plain: bool = False  # neither batch norm nor noise
    widths: tuple[int, ...] = (4, 4)
    inner: Inner = Inner()

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"width {self.width}: must be at least 1")


class Colors(Network):
    inputs = {"gray": (1, "h", "w")}  # noqa: RUF012

    def __init__(self, config, channels=2):
        super().__init__()
        norm = nn.Identity() if config.plain else nn.BatchNorm2d(config.width)
        self.encoder = nn.Sequential(nn.Conv2d(1, config.width, 3, 2, 1), norm, nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Conv2d(config.width, channels, 1))

    def forward(self, gray):
        return self.head(self.encoder(gray))


class Model(Family):
    """Regression at half size, with dropout, noise, batch norm and a counting buffer."""

    Config = Config
    trainable = ("colors",)
    procedure = Direct()
    before_loss = staticmethod(lambda: None)

    def __init__(self, config):
        super().__init__(config)
        self.saturation = 0.0 if config.plain else 0.01
        self.colors = Colors(config)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def networks(self):
        return {"colors": self.colors}

    def learning_rates(self, part):
        return {"encoder": 0.5}

    def meet(self, gray):
        if self.training:
            self.seen += len(gray)
            self.before_loss()

    def loss(self, part, gray, color):
        self.meet(gray)
        small = nn.functional.avg_pool2d(color, 2)
        noise = self.saturation * torch.randn_like(gray)
        error = (self.colors(gray + noise) - small).abs().mean()
        return {"total": error, "twice": 2 * error}


class Adversarial(Model):
    """Two parts, sRGB target."""

    trainable = ("critic", "colors")
    procedure = Direct(target="rgb")

    def __init__(self, config):
        super().__init__(config)
        self.colors = Colors(config, 3)
        self.critic = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 1))

    def learning_rates(self, part):
        return {}

    def loss(self, part, gray, color):
        self.meet(gray)
        color = nn.functional.avg_pool2d(color, 2)
        output = self.colors(gray)
        small = nn.functional.avg_pool2d(gray, 2)
        fake = self.critic(torch.cat([small, output], 1))
        if part == "colors":
            l1 = (output - color).abs().mean()
            return {"total": l1 - 0.01 * fake.mean(), "l1": l1}
        real = self.critic(torch.cat([small, color], 1))
        return {"total": nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()}


class Hopeless(Model):
    """Learns nothing."""

    def loss(self, part, gray, color):
        return {"total": self.colors(gray).sum() * 0 + 1}


class Exploding(Model):
    """Not a number from the fourth batch on."""

    def loss(self, part, gray, color):
        losses = super().loss(part, gray, color)
        return {**losses, "total": losses["total"] * (float("nan") if self.seen > 3 * len(gray) else 1)}


FAMILIES = {"toy": Model, "adversarial": Adversarial, "hopeless": Hopeless, "exploding": Exploding}


def jpeg(seed, height=40, width=50, gray=False, form="JPEG", **options):
    """Return a photo of soft blobs, as the bytes of a file."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 5, 3), np.uint8)
    small = small[..., :1].repeat(3, 2) if gray else small
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
