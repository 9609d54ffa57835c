"""Cold diffusion (Bansal et al. 2022), in pixels or in the latent of a VQ-VAE: restoring what was lost step by step.

The restorer learns to guess the whole from any stage of its loss; `core.restoring.Cold` walks back with it, and
`core.degradation` holds what can be lost.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.sampling.cold import Cold
from ._autoencoder import Autoencoder
from ._denoiser import Denoiser, waves
from .family import Family, Network

RESTORERS = ("unet", "mlp")
ROUNDING = 2 / 255  # from one of 256 levels in [-1, 1] to the next


class Mlp(nn.Module):
    """The seed document's restorer: ``layers`` of all numbers of a picture at once, each multiplied by the step.

    Layers are residual, with a rectifier. As the document has it, each is as wide as the picture has numbers: for a
    latent of 32 x 16 x 16 that is 8 times 8192 x 8192, 537 M weights. A ``width`` puts one layer down to so many
    numbers before them, and one up after them. Pictures have one size only.
    """

    @dataclass(frozen=True)
    class Config:
        """``layers``, and their ``width``: 0 for as many numbers as there are."""

        layers: int = 8
        width: int = 0

        def __post_init__(self) -> None:
            if self.layers < 1 or self.width < 0 or self.width % 2:
                raise ValueError("layers: at least 1; width: 0, or an even number")

    def __init__(self, config: Config, channels: int, side: int) -> None:
        super().__init__()
        numbers = channels * side**2
        self.width = config.width or numbers
        self.entry = nn.Linear(numbers, config.width) if config.width else nn.Identity()
        self.layers = nn.ModuleList(nn.Linear(self.width, self.width) for _ in range(config.layers))
        self.exit = nn.Linear(config.width, numbers) if config.width else nn.Identity()

    def forward(self, state: Tensor, condition: None, t: Tensor) -> Tensor:
        """(b, c, side, side), no condition, share of the steps (b,) -> (b, c, side, side)."""
        x, step = self.entry(state.flatten(1)), waves(t, self.width // 2)
        for layer in self.layers:
            x = x + F.relu(layer(x)) * step
        return self.exit(x).reshape(state.shape)


class Restorer(Network):
    """What its network adds to the state of a step is its guess at the whole; it sees the state over its ``scale``."""

    scale: Tensor

    def __init__(self, net: nn.Module, channels: int, side: int | None, size_multiple: int) -> None:
        super().__init__()
        self.inputs = {"state": (channels, side or "h", side or "w"), "t": ()}
        self.size_multiple = size_multiple
        self.net = net
        self.register_buffer("scale", torch.ones(()))

    def forward(self, state: Tensor, t: Tensor) -> Tensor:
        """State (b, c, h, w), share of the steps (b,) from 0 to 1 -> the whole, (b, c, h, w)."""
        return state + self.net(state / self.scale, None, t) * self.scale


class Model(Family):
    """What is left in, the whole out."""

    trainable = ("net",)
    pretrained_from = "vqvae"
    gray_convention = "mean"  # what `core.degradation.ColorLoss` leaves

    @dataclass(frozen=True)
    class Config:
        """The ``restorer``: the U-Net of ``net``, or the ``mlp`` for photographs of ``side`` pixels, and no others.

        In a latent, ``autoencoder`` must be that of the model given by ``--init``, which stays as it is. ``power`` of
        the loss is 1 or 2. Steps are drawn evenly, but for a share of ``final`` that are the last, from which all
        sampling starts.
        """

        restorer: str = "unet"
        net: Denoiser.Config = field(default_factory=lambda: Denoiser.Config())
        mlp: Mlp.Config = field(default_factory=lambda: Mlp.Config())
        side: int = 64
        autoencoder: Autoencoder.Config = field(default_factory=lambda: Autoencoder.Config())
        power: int = 1
        final: float = 0.0
        sampling: Cold = field(default_factory=lambda: Cold(latent=True))

        def __post_init__(self) -> None:
            if self.restorer not in RESTORERS:
                raise ValueError(f"restorer {self.restorer!r}: choose one of {', '.join(RESTORERS)}")
            if self.power not in (1, 2):
                raise ValueError(f"power {self.power}: must be 1 or 2")
            if not 0 <= self.final <= 1:
                raise ValueError(f"final {self.final}: must be from 0 (steps drawn evenly) to 1 (the last one alone)")
            if self.side % self.multiple or self.side < 1:
                raise ValueError(f"side {self.side}: must divide by {self.multiple}")
            if self.restorer == "mlp" and not self.mlp.width and self.channels * (self.side // self.stride) ** 2 % 2:
                raise ValueError(f"side {self.side}: gives an odd count of numbers, which needs a width")

        @property
        def stride(self) -> int:
            """Side of a photograph over that of the states."""
            return self.autoencoder.stride if self.sampling.latent else 1

        @property
        def channels(self) -> int:
            """Of the states."""
            return self.autoencoder.channels if self.sampling.latent else 3

        @property
        def multiple(self) -> int:
            """What sides must divide by for what is around the restorer."""
            return self.autoencoder.size_multiple if self.sampling.latent else self.sampling.operator.multiple

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.procedure = config.sampling
        self.image_size = config.side if config.restorer == "mlp" else None
        channels = config.channels
        if config.restorer == "unet":
            denoiser = Denoiser(config.net, channels, 0)
            restorer = Restorer(denoiser, channels, None, denoiser.size_multiple)
        else:
            side = config.side // config.stride
            restorer = Restorer(Mlp(config.mlp, channels, side), channels, side, 1)
        if not self.procedure.latent:
            restorer.size_multiple = math.lcm(restorer.size_multiple, self.procedure.operator.multiple)
        self.net = nn.ModuleDict({"restorer": restorer})
        if self.procedure.latent:
            around = Autoencoder(config.autoencoder).requires_grad_(False)
            self.net.update({"encoder": around.encoder, "decoder": around.decoder})
            self.frozen_weights = tuple(
                f"net.{half}.{name}"
                for half in ("encoder", "decoder")
                for name in self.net[half].state_dict()
                if not name.endswith((".counts", ".sums"))  # what codes were learnt by, which no bundle has
            )
            around.encoder.size_multiple *= restorer.size_multiple

    def networks(self) -> dict[str, Network]:
        """Those that `Cold` calls."""
        return {name: cast(Network, self.net[name]) for name in self.procedure.network_names}

    def degraded_input(self, gray: Tensor, color: Tensor, noise: Callable[..., Tensor]) -> tuple[Tensor, Tensor | None]:
        """What is left of colours (b, 3, h, w) in the end, and the dirt on them."""
        loses = self.procedure.operator
        dirt = loses.draw(color, noise)
        return loses.degrade(color, loses.steps, dirt), dirt

    def loss(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """RGB in [-1, 1] (b, 3, h, w) -> the mean |guess - whole|^power over the scale."""
        restorer: Any = self.net["restorer"]
        whole, (end, dirt) = color, self.degraded_input(gray, color, torch.randn_like)
        if self.procedure.latent:
            with torch.no_grad():
                whole, end = self.net["encoder"](color), self.net["encoder"](end)
            restorer.scale.copy_(self.spread())
        levels = self.procedure.levels
        step = torch.randint(1, levels + 1, (len(color), 1, 1, 1), device=color.device)
        step[torch.rand(step.shape, device=step.device) < self.config.final] = levels
        state = self.procedure.degraded(whole, step, end, dirt)
        if not self.procedure.latent:  # pictures come from files of 8 bits, whose rounding must not be sharpened
            state = state + (torch.rand_like(state) - 0.5) * ROUNDING
        error = (restorer(state, step.flatten() / levels) - whole) / restorer.scale
        return {"total": error.abs().pow(self.config.power).mean()}

    def spread(self) -> Tensor:
        """The root mean square of the codes."""
        encoder: Any = self.net["encoder"]
        return torch.stack([book.vectors.square().mean() for book in encoder.books]).mean().sqrt()
