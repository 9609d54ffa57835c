"""The procedures of one forward pass: of colors, of a distribution over colors, or of an autoencoder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import comb, dist, exp
from typing import Any, ClassVar

from jaxtyping import Float

from ..color import AB_SCALE, BIN_STEP, ab_bins, namespace, signed_rgb_to_ab
from ..degradation import Image, Noise
from .procedure import AB, Capabilities, Gray, Hints, LikelyColor, Nets, Procedure, blend_hints

ALIKE = 20.0  # Lab units between colors that count as one
RARE = 0.02  # a color of less probability is not named
SMOOTHING = 8  # averages of neighboring bins, so that noise is smooth on a scale of 20 Lab units


@dataclass(frozen=True)
class Direct(Procedure):
    """The network ``colors`` gives ab, or RGB in [-1, 1] whose ab is used.

    ``chroma`` multiplies the result. ``noise``: channels of normal noise that the network takes beside the gray, for
    networks with random dropout at inference.
    """

    target: str = "ab"  # what the network predicts: ab or rgb
    chroma: float = 1.0  # factor on predicted colors
    noise: int = 0  # channels of noise that the network takes

    @property
    def capabilities(self) -> Capabilities:
        """See `Procedure`; it is stochastic where the network takes noise."""
        return Capabilities(("colors",), stochastic=self.noise > 0)

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        inputs = {"gray": gray}
        if self.noise:
            inputs["noise"] = noise(gray[:, [0] * self.noise])
        color = nets["colors"](**inputs)
        ab = signed_rgb_to_ab(color) if self.target == "rgb" else color
        return blend_hints((ab * self.chroma).clip(-1, 1), hints)


@dataclass(frozen=True)
class AnnealedMean(Procedure):
    """Mean of the color bins under a sharpened softmax of the network ``logits`` (Zhang et al. 2016, section 2.3).

    ``temperature`` 1 gives the plain mean (safe, grayish), towards 0 the mode (vivid, blotchy); the paper uses 0.38.
    ``chroma`` multiplies the result. The solver ``sample`` adds noise of the standard deviation ``noise`` to the
    logits, the same at all pixels and smooth over the ab plane: what can have several colors gets another one, as a
    whole, and what has one likely color keeps it.
    """

    temperature: float = 0.38  # 1 = plain mean, towards 0 the likeliest color
    chroma: float = 1.0  # factor on predicted colors
    solver: str = "mean"  # mean or sample
    noise: float = 0.7  # standard deviation of the noise of the solver sample
    target: ClassVar[str] = "ab"
    solvers: ClassVar[Mapping[str, tuple[str, ...]]] = {"mean": ("solver",), "sample": ("solver",)}

    def __post_init__(self) -> None:
        self._check_choices(solver=self.solvers)
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature}: must be above 0 (0.38 is the paper's)")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(("logits",), stochastic=self.solver == "sample", has_distribution=True)

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        logits = nets["logits"](gray=gray)  # (b, bins, h', w')
        xp = namespace(logits)
        if self.solver == "sample":
            logits = logits + noise_of_bins(gray, noise)[:, :, None, None] * self.noise
        logits = logits * (1 / self.temperature)
        weights = xp.exp(logits - xp.amax(logits, 1)[:, None])
        sum_a, sum_b = 0, 0
        for index, (a, b) in enumerate(ab_bins()):
            sum_a = sum_a + (a * self.chroma / AB_SCALE) * weights[:, index]
            sum_b = sum_b + (b * self.chroma / AB_SCALE) * weights[:, index]
        total = weights.sum(1)
        ab = xp.stack([sum_a / total, sum_b / total], 1).clip(-1, 1)
        return blend_hints(ab, hints)

    def likely_colors(self, nets: Nets, gray: Gray, row: int, column: int) -> list[LikelyColor]:
        """See `Procedure`. The distribution is that of training, without temperature; bins that are `ALIKE` are one."""
        logits = nets["logits"](gray=gray)
        (_, _, height, width), (_, _, rows, columns) = gray.shape, logits.shape
        at_pixel = logits[0, :, row * rows // height, column * columns // width]
        weights = [exp(float(logit) - float(at_pixel.max())) for logit in at_pixel]
        left = sorted(zip(weights, ab_bins(), strict=True), reverse=True)
        colors = []
        while left:
            _, center = left[0]
            alike = [(weight, ab) for weight, ab in left if dist(ab, center) < ALIKE]
            left = [other for other in left if other not in alike]
            total = sum(weight for weight, _ in alike)
            a, b = (sum(weight * ab[axis] for weight, ab in alike) / total for axis in (0, 1))
            colors.append((a, b, total / sum(weights)))
        likely = [color for color in colors if color[2] >= RARE]
        return sorted(likely, key=lambda color: color[2], reverse=True)


def noise_of_bins(gray: Gray, noise: Noise) -> Float[Any, "b bins"]:
    """Return standard normal noise for each color bin, smooth over the ab plane, for each image of a batch."""
    xp = namespace(gray)
    rows = [int(a) // BIN_STEP for a, _ in ab_bins()]
    columns = [int(b) // BIN_STEP for _, b in ab_bins()]
    height, width = max(rows) - min(rows) + 1, max(columns) - min(columns) + 1
    shape = (len(gray), height + 2 * SMOOTHING, width + 2 * SMOOTHING)
    grid = noise(xp.broadcast_to(gray[:, 0, :1, :1], shape))
    for _ in range(SMOOTHING):
        grid = (grid[:, :-2] + 2 * grid[:, 1:-1] + grid[:, 2:]) / 4
        grid = (grid[:, :, :-2] + 2 * grid[:, :, 1:-1] + grid[:, :, 2:]) / 4
    cells = [grid[:, row - min(rows), column - min(columns)] for row, column in zip(rows, columns, strict=True)]
    return xp.stack(cells, 1) * (16**SMOOTHING / comb(4 * SMOOTHING, 2 * SMOOTHING))


@dataclass(frozen=True)
class Reconstruction(Procedure):
    """An image as its ``encoder`` and ``decoder`` reconstruct it; it does not colorize."""

    target: ClassVar[str] = "rgb"
    capabilities: ClassVar[Capabilities] = Capabilities(("encoder", "decoder"), colorizes=False, restores=True)

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        """Return the ab of the reconstructed gray image, which is close to 0."""
        _, image = self.restore(nets, gray[:, [0, 0, 0]])
        return blend_hints(signed_rgb_to_ab(image), hints)

    def restore(self, nets: Nets, image: Image, condition: Any = None) -> Iterator[Image]:
        """Yield the image (b, 3, h, w) in [-1, 1] and its reconstruction."""
        yield image
        yield nets["decoder"](latent=nets["encoder"](color=image))
