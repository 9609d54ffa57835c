"""A VQ-VAE (van den Oord, Vinyals & Kavukcuoglu 2017): images as discrete codes.

It does not colorize; `cold` is trained in its latent.
"""

from collections.abc import Callable
from dataclasses import field

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from ..core.sampling import Reconstruction
from ._autoencoder import Autoencoder, concatenate_levels
from ._settings import NonNegative
from .family import Family


class Model(Family):
    """Color in, the same color out, through codes."""

    @dataclass(frozen=True)
    class Config:
        net: Autoencoder.Config = field(default_factory=Autoencoder.Config)
        commitment: NonNegative = 0.25  # beta, the weight of the distance of latents from their codes
        gray_too: bool = True  # learn grayscale images as well, as an autoencoder for `cold` must

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = Reconstruction()
        self.net = Autoencoder(config.net)

    def degraded_input(self, gray: Tensor, color: Tensor, noise: Callable[..., Tensor]) -> tuple[Tensor, Tensor | None]:
        return color, None

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the losses, and for each level how well its codes are used.

        ``usage``: share of codes with a tenth of the mean code's latents or more. ``perplexity``: number of codes
        that, used evenly, would carry as much information.
        """
        images = torch.cat([color, _grayscale(color)]) if self.config.gray_too else color
        levels = self.net.encoder.levels(images)
        decoded = self.net.decoder.decode(concatenate_levels([level.straight_through for level in levels]))
        losses = {"reconstruction": F.mse_loss(decoded, images)}
        commitments = [F.mse_loss(level.latents, level.codes.detach()) for level in levels]
        losses["commitment"] = torch.stack(commitments).sum()
        total = losses["reconstruction"] + self.config.commitment * losses["commitment"]
        if self.config.net.learning == "loss":
            codes = [F.mse_loss(level.codes, level.latents.detach()) for level in levels]
            losses["codes"] = torch.stack(codes).sum()
            total = total + losses["codes"]
        for book, level in zip(self.net.encoder.books, levels, strict=True):
            if self.training:
                book.update(level)
            suffix = "" if len(levels) == 1 else f"_{level.indices.shape[-1]}px"
            frequencies = book.counts / book.counts.sum().clamp(min=1e-9)
            losses[f"usage{suffix}"] = (frequencies * len(frequencies) >= 0.1).float().mean()
            losses[f"perplexity{suffix}"] = torch.special.entr(frequencies).sum().exp()
        return {"total": total, **losses}

    def validation_metrics(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error (b,) of reconstructed color and grayscale images in [-1, 1]."""
        return {"color_mse": self._error(color), "gray_mse": self._error(_grayscale(color))}

    def _error(self, image: Tensor) -> Tensor:
        return (self.net.decoder(self.net.encoder(image)) - image).square().mean((1, 2, 3))


def _grayscale(color: Tensor) -> Tensor:
    return color.mean(1, keepdim=True).expand_as(color)
