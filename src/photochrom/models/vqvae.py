"""A VQ-VAE (van den Oord, Vinyals & Kavukcuoglu 2017): photographs as codes, for others to work on.

By itself it colours nothing; `cold` is trained on one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.sampling.reconstruction import Reconstruction
from ._autoencoder import Autoencoder, Codebook, joined, perplexity
from .family import Family, Network


class Model(Family):
    """Colour in, the same colour out, through codes."""

    trainable = ("net",)

    @dataclass(frozen=True)
    class Config:
        """The autoencoder; ``commitment`` (beta) holds places to their codes; ``gray_too`` learns the gray as well.

        Of an autoencoder that is to serve `cold`, gray photographs must have codes of their own.
        """

        net: Autoencoder.Config = field(default_factory=lambda: Autoencoder.Config())
        commitment: float = 0.25
        gray_too: bool = True

        def __post_init__(self) -> None:
            if not self.commitment >= 0:
                raise ValueError(f"commitment {self.commitment}: must be at least 0")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = Reconstruction()
        self.net = Autoencoder(config.net)

    def networks(self) -> dict[str, Network]:
        """Those that `Reconstruction` calls."""
        return {"encoder": self.net.encoder, "decoder": self.net.decoder}

    def degraded_input(self, gray: Tensor, color: Tensor, noise: Callable[..., Tensor]) -> tuple[Tensor, Tensor | None]:
        """What it is to give back."""
        return color, None

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """RGB in [-1, 1] (b, 3, h, w) -> reconstruction, codes and commitment; and how many codes are in use lately.

        ``usage`` is the share of codes that stand for a tenth of the mean code's places or more; ``perplexity`` the
        number of codes, used evenly, that would tell as much.
        """
        pictures = torch.cat([color, color.mean(1, keepdim=True).expand_as(color)]) if self.config.gray_too else color
        levels = self.net.encoder.levels(pictures)
        parts = {"reconstruction": F.mse_loss(self.net.decoder.paint(joined([q.straight for q in levels])), pictures)}
        parts["commitment"] = torch.stack([F.mse_loss(q.places, q.codes.detach()) for q in levels]).sum()
        total = parts["reconstruction"] + self.config.commitment * parts["commitment"]
        if self.config.net.learning == "loss":
            parts["codes"] = torch.stack([F.mse_loss(q.codes, q.places.detach()) for q in levels]).sum()
            total = total + parts["codes"]
        books: list[Codebook] = list(self.net.encoder.books)  # type: ignore[arg-type]
        for book, found in zip(books, levels, strict=True):
            if self.training:
                book.follow(found)
            level = "" if len(books) == 1 else f"_{found.numbers.shape[-1]}px"
            parts[f"usage{level}"] = (book.shares * len(book.counts) >= 0.1).float().mean()
            parts[f"perplexity{level}"] = perplexity(book.shares)
        return {"total": total, **parts}

    def validation_metrics(self, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """The mean squared error (b,) of colour and of gray given back, in [-1, 1]."""
        mean = color.mean(1, keepdim=True).expand_as(color)
        return {name: self._given_back(x) for name, x in (("color_mse", color), ("gray_mse", mean))}

    def _given_back(self, picture: Tensor) -> Tensor:
        return (self.net.decoder(self.net.encoder(picture)) - picture).square().mean((1, 2, 3))
