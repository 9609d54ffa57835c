"""Cold diffusion (Bansal et al. 2022), in pixels or in the latent of a VQ-VAE: degradation undone step by step."""

import math
from collections.abc import Callable
from dataclasses import field
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.sampling.cold import Cold
from ._autoencoder import Autoencoder, Encoder
from ._denoiser import Denoiser, level_embedding
from ._settings import Count, Natural, Power
from .family import Family, Network

ROUNDING = 2 / 255  # distance of two 8-bit values in [-1, 1]


class Mlp(nn.Module):
    """The restorer of the seed document: residual layers over all numbers of an image, multiplied by the step.

    There layers are as wide as the image has numbers; a ``width`` adds a layer before them that maps to it, and one
    after. Images have one size only.
    """

    @dataclass(frozen=True)
    class Config:
        layers: Count = 8  # number of residual layers
        width: Natural = 0  # numbers in a layer; 0: as many as an image has

    def __init__(self, config: Config, channels: int, side: int) -> None:
        super().__init__()
        numbers = channels * side**2
        self.width = config.width or numbers
        self.entry = nn.Linear(numbers, config.width) if config.width else nn.Identity()
        self.layers = nn.ModuleList(nn.Linear(self.width, self.width) for _ in range(config.layers))
        self.exit = nn.Linear(config.width, numbers) if config.width else nn.Identity()

    def forward(self, state: Tensor, condition: None, t: Tensor) -> Tensor:
        """(b, c, side, side), no condition, share of the steps (b,) -> (b, c, side, side)."""
        x, step = self.entry(state.flatten(1)), level_embedding(t, (self.width + 1) // 2)[:, : self.width]
        for layer in self.layers:
            x = x + F.relu(layer(x)) * step
        return self.exit(x).reshape(state.shape)


class Restorer(Network):
    """Predicts the clean state as the state of a step plus the output of its network, in units of ``scale``."""

    scale: Tensor

    def __init__(self, net: nn.Module, channels: int, side: int | None, size_multiple: int) -> None:
        super().__init__()
        self.inputs = {"state": (channels, side or "h", side or "w"), "t": ()}
        self.size_multiple = size_multiple
        self.net = net
        self.register_buffer("scale", torch.ones(()))

    def forward(self, state: Tensor, t: Tensor) -> Tensor:
        """State (b, c, h, w), share of the steps (b,) from 0 to 1 -> clean state (b, c, h, w)."""
        return state + self.net(state / self.scale, None, t) * self.scale


class Model(Family):
    """A degraded image in, the clean one out."""

    pretrained_from = "vqvae"
    gray_convention = "mean"  # what the degradation ``color`` ends in

    @dataclass(frozen=True)
    class Config:
        restorer: Literal["unet", "mlp"] = "unet"  # network that predicts the clean image
        net: Denoiser.Config = field(default_factory=Denoiser.Config)  # the restorer unet
        mlp: Mlp.Config = field(default_factory=Mlp.Config)  # the restorer mlp
        side: Count = 64  # side of images in pixels; the mlp works with this size only
        # The autoencoder, if ``sampling.latent``: that of the model given by ``--init``, which is not trained.
        autoencoder: Autoencoder.Config = field(default_factory=Autoencoder.Config)
        power: Power = 1  # power of differences in the loss
        # Share of training steps at the last level, where sampling starts; other levels are drawn evenly.
        final: Annotated[float, Field(ge=0, le=1)] = 0.0
        sampling: Cold = field(default_factory=lambda: Cold(latent=True))

        def __post_init__(self) -> None:
            *_, multiple = self.state_layout()
            if self.side % multiple:
                raise ValueError(f"side {self.side}: must divide by {multiple}")

        def state_layout(self) -> tuple[int, int, int]:
            """Return the channels of states, their stride in pixels, and a number that must divide sides of images."""
            if self.sampling.latent:
                multiple = self.autoencoder.size_multiple
                return self.autoencoder.channels, multiple // self.autoencoder.levels, multiple
            return 3, 1, self.sampling.capabilities.operator.size_multiple

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = config.sampling
        channels, stride, multiple = config.state_layout()
        if config.restorer == "unet":
            denoiser = Denoiser(config.net, channels, 0)
            restorer = Restorer(denoiser, channels, None, denoiser.size_multiple)
        else:
            self.image_size, side = config.side, config.side // stride
            restorer = Restorer(Mlp(config.mlp, channels, side), channels, side, 1)
        self.net = nn.ModuleDict({"restorer": restorer})
        if not self.procedure.latent:
            restorer.size_multiple = math.lcm(restorer.size_multiple, multiple)
            return
        autoencoder = Autoencoder(config.autoencoder).requires_grad_(False)
        self.net.update({"encoder": autoencoder.encoder, "decoder": autoencoder.decoder})
        autoencoder.encoder.size_multiple *= restorer.size_multiple

    def degraded_input(self, gray: Tensor, color: Tensor, noise: Callable[..., Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return color images (b, 3, h, w) after the last step of the degradation, and its noise."""
        operator = self.procedure.capabilities.operator
        drawn = operator.draw(color, noise)
        return operator.degrade(color, 1.0, drawn), drawn

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        restorer = cast(Restorer, self.net["restorer"])
        clean, (end, noise) = color, self.degraded_input(gray, color, torch.randn_like)
        if self.procedure.latent:
            with torch.no_grad():
                clean, end = self.net["encoder"](color), self.net["encoder"](end)
            # The root mean square of all codes.
            books = cast(Encoder, self.net["encoder"]).books
            mean_squares = [book.vectors.square().mean() for book in books]
            restorer.scale.copy_(torch.stack(mean_squares).mean().sqrt())
        levels = self.procedure.levels
        step = torch.randint(1, levels + 1, (len(color), 1, 1, 1), device=color.device)
        step[torch.rand(step.shape, device=step.device) < self.config.final] = levels
        state = self.procedure.degrade(clean, step, end, noise)
        if not self.procedure.latent:
            # Without this, the restorer would learn to amplify the rounding of 8-bit files.
            state = state + (torch.rand_like(state) - 0.5) * ROUNDING
        error = (restorer(state, step.flatten() / levels) - clean) / restorer.scale
        return {"total": error.abs().pow(self.config.power).mean()}
