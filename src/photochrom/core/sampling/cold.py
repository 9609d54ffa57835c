"""The procedure of cold diffusion, which undoes a degradation step by step (Bansal et al. 2022)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from ..color import signed_rgb_to_ab
from ..degradation import DEGRADATIONS, Image, Noise, interpolate
from .procedure import AB, Capabilities, Gray, Hints, Net, Nets, Procedure, blend_hints


@dataclass(frozen=True)
class Cold(Procedure):
    """A degradation undone in ``steps`` by the network ``restorer``, which predicts the clean image from any step.

    ``levels`` is T, the steps of the degradation. The solver ``one-shot`` takes the first prediction; ``naive``
    (Algorithm 1) degrades each prediction again, one step less; ``improved`` (Algorithm 2) adds the difference between
    the prediction degraded by these two steps. ``latent``: the process runs on the straight line between the latents of
    the degraded and the clean image, which the networks ``encoder`` and ``decoder`` give and take.
    """

    degradation: str = "color"  # what is undone: the loss of color, or another of `DEGRADATIONS`
    levels: int = 50  # number of steps of the degradation
    steps: int = 50  # number of sampling steps
    solver: str = "improved"  # improved, naive or one-shot
    latent: bool = False  # whether latents are restored instead of pixels
    target: ClassVar[str] = "rgb"
    solvers: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "improved": ("steps", "solver"),
        "naive": ("steps", "solver"),
        "one-shot": ("solver",),
    }

    def __post_init__(self) -> None:
        self._check_choices(degradation=DEGRADATIONS, solver=self.solvers)
        if not 1 <= self.steps <= self.levels:
            raise ValueError(f"{self.steps} steps: trained with {self.levels}, choose from 1 to {self.levels}")

    @property
    def capabilities(self) -> Capabilities:
        """See `Procedure`; it colorizes where the degradation is the loss of color."""
        networks = ("encoder", "restorer", "decoder") if self.latent else ("restorer",)
        colorizes, operator = self.degradation == "color", DEGRADATIONS[self.degradation]
        return Capabilities(networks, colorizes=colorizes, iterative=True, restores=True, operator=operator)

    def timesteps(self) -> list[int]:
        """Return the degradation steps at which it calls the restorer, from T down, and 0 at the end."""
        return [round(i * self.levels / self.steps) for i in range(self.steps, -1, -1)]

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        """See `Procedure`; the gray is the mean of the channels."""
        *_, state = self.states(nets["restorer"], self._encode(nets, gray[:, [0, 0, 0]]))
        return blend_hints(signed_rgb_to_ab(self._decode(nets, state)), hints)

    def trajectory(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> Iterator[AB]:
        """Yield the ab from gray to the result: ``steps`` + 1 of them, 2 with one-shot."""
        for image in self.restore(nets, gray[:, [0, 0, 0]]):
            yield blend_hints(signed_rgb_to_ab(image), hints)

    def restore(self, nets: Nets, image: Image, condition: Any = None) -> Iterator[Image]:
        """See `Procedure`. Raises ValueError where the noise of the degradation is needed and missing."""
        noise_needed = self.capabilities.operator.sampler and not self.latent and self.solver != "one-shot"
        if noise_needed and condition is None:
            need = f"the solver {self.solver} needs the noise of the degradation"
            raise ValueError(f"{self.degradation}: {need}; pass it, or choose one-shot")
        yield image
        for state in self.states(nets["restorer"], self._encode(nets, image), condition):
            yield self._decode(nets, state)

    def _encode(self, nets: Nets, image: Image) -> Any:
        return nets["encoder"](color=image) if self.latent else image

    def _decode(self, nets: Nets, state: Any) -> Image:
        image = nets["decoder"](latent=state) if self.latent else state
        return image.clip(-1, 1)

    def states(self, restorer: Net, start: Any, noise: Any = None) -> Iterator[Any]:
        """Yield the state (an image or a latent) after each step, from ``start`` at step T to the result at step 0."""
        state = start
        for step, next_step in pairwise(self.timesteps()):
            clean = restorer(state=state, t=step / self.levels)
            if self.solver == "one-shot":
                yield clean
                return
            less_degraded = self.degrade(clean, next_step, start, noise)
            if self.solver == "naive":
                state = less_degraded
            else:
                # An error of the prediction is in both degraded images, so most of it cancels.
                state = state - self.degrade(clean, step, start, noise) + less_degraded
            yield state

    def degrade(self, clean: Any, step: Any, start: Any, noise: Any = None) -> Any:
        """Return the clean image after ``step`` steps; a latent moves straight towards ``start``, that of step T."""
        share = step / self.levels
        if self.latent:
            return interpolate(clean, start, share)
        return self.capabilities.operator.degrade(clean, share, noise)
