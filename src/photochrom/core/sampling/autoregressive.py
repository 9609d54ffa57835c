"""The procedure of ColTran (Kumar, Weissenborn & Kalchbrenner 2021): coarse colors pixel by pixel, then refined."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

from jaxtyping import Float, Int

from ..color import AB_SCALE, L_SCALE, lab_to_rgb, namespace, signed_rgb_to_ab
from ..degradation import Image, Noise
from ..resample import average_pool, check_divisible, upsample_nearest
from .procedure import AB, Capabilities, Gray, Hints, Net, Nets, Procedure, blend_hints

Coarse = Float[Any, "b 3 h2 w2"]  # RGB in [-1, 1], at 1 / factor of the sides of the gray
Pixel = Float[Any, "*b 3"]  # RGB in [-1, 1], channel last
Index = Int[Any, "*b"]

STAGES = ("core", "color", "spatial")
MAX_ATTENTION = 1 << 26  # pixels times the longer side, on which the spatial stage scores all pairs: 256 MB a head
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-6, 100.0  # beyond these float32 cannot hold the logits
# The color before the first pixel of a row, at the inputs of the network ``pixel``: outside [-1, 1], so that a graph
# can tell it from every color. Networks turn it into a mask when they read it.
START_OF_ROW = -2.0


def coarse_indices(rgb: Pixel, bits: int = 3) -> Index:
    """Return the coarse color of each pixel, one of 8**bits: the high bits of its 8-bit codes, red first."""
    codes, levels = _coarse_codes(rgb, bits), 2**bits
    return (codes[..., 0] * levels + codes[..., 1]) * levels + codes[..., 2]


def make_coarse(rgb: Image, bits: int = 3) -> Image:
    """Return each color as the middle of its coarse color, as `bin_centers` of its index has it."""
    codes = namespace(rgb).asarray(_coarse_codes(rgb, bits), dtype=rgb.dtype)
    return (codes + 0.5) * (2 / 2**bits) - 1


def _coarse_codes(values: Any, bits: int) -> Index:
    levels, xp = 2**bits, namespace(values)
    return xp.asarray(((values + 1) * (levels / 2)).clip(0, levels - 1), dtype=xp.int64)


def bin_centers(like: Any, bits: int = 3) -> Float[Any, "colors 3"]:
    """Return the RGB in the middle of each coarse color, by its index, in the type and precision of ``like``."""
    levels = 2**bits
    middles = [(code + 0.5) * (2 / levels) - 1 for code in range(levels)]
    return namespace(like).asarray(list(product(middles, repeat=3)), dtype=like.dtype, device=like.device)


def channel_last(rgb: Image) -> Pixel:
    """(b, 3, h, w) -> (b, h, w, 3)."""
    return namespace(rgb).stack([rgb[:, 0], rgb[:, 1], rgb[:, 2]], -1)


@dataclass(frozen=True)
class Autoregressive(Procedure):
    """Coarse colors from the ``core``, one after the other, then refined by two networks that see all pixels at once.

    There are 8**bits coarse colors, at 1 / ``factor`` of the sides of the gray. ``color`` refines them to 256 levels a
    channel, ``spatial`` enlarges them to the size of the gray. A model has the first of these ``stages``; a run that
    trains a later stage has that alone. ``guided``: the network ``guide`` gives features of the gray to the core.

    The solver ``sample`` samples each color at a ``temperature``; ``greedy`` takes the most likely one.
    """

    stages: tuple[str, ...] = STAGES  # stages that the model has
    factor: int = 4  # sides of the gray relative to those of the coarse colors
    bits: int = 3  # bits of a channel of coarse colors
    guided: bool = False  # whether the core gets features of the gray from the network `guide`
    solver: str = "sample"  # sample or greedy
    temperature: float = 1.0  # randomness of the solver sample
    target: ClassVar[str] = "rgb"
    solvers: ClassVar[Mapping[str, tuple[str, ...]]] = {"sample": ("solver", "temperature"), "greedy": ("solver",)}

    def __post_init__(self) -> None:
        if not self.stages or ",".join(self.stages) not in ",".join(STAGES):
            raise ValueError(f"stages {list(self.stages)}: choose one or more of {', '.join(STAGES)}, in order, no gap")
        self._check_choices(solver=self.solvers)
        if not MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE:
            limits = f"must be above 0 (from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g})"
            otherwise = "the solver greedy takes the most likely colors"
            raise ValueError(f"temperature {self.temperature}: {limits}; {otherwise}")
        if not 1 <= self.bits <= 4:
            raise ValueError(f"bits {self.bits}: must be from 1 (8 colors) to 4 (4096)")
        if self.factor < 1:
            raise ValueError(f"factor {self.factor}: must be at least 1")

    @property
    def capabilities(self) -> Capabilities:
        """See `Procedure`; without the core, it refines colors that are given."""
        has_core = "core" in self.stages
        guide = ("guide",) if self.guided else ()
        networks = (*guide, "encoder", "row", "pixel", "outer", *self.stages[1:]) if has_core else self.stages
        return Capabilities(networks, stochastic=self.solver == "sample", colorizes=has_core, has_likelihood=True)

    def check_size(self, height: int, width: int) -> None:
        """Raises ValueError for sides that the factor does not divide, or an image that no memory would hold."""
        check_divisible(height, width, self.factor)
        if "spatial" in self.stages and height * width * max(height, width) > MAX_ATTENTION:
            reason = "too large for the spatial stage, whose memory grows with the cube of the side"
            raise ValueError(f"{width} x {height} pixels: {reason}; choose a smaller inference size (--size)")

    def __call__(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> AB:
        """See `Procedure`. Raises ValueError as `check_size` does, FloatingPointError where a network gives NaN."""
        self.check_size(*gray.shape[2:])
        coarse = self.sample_coarse(nets, gray, noise, hints)
        return blend_hints(signed_rgb_to_ab(self.refine(nets, gray, coarse)), hints)

    def restore(self, nets: Nets, image: Image, condition: Any = None) -> Iterator[Image]:
        """Yield coarse colors, enlarged to the size of the gray (``condition``), and what the later stages give."""
        yield image
        color = self.refine(nets, condition, average_pool(image, self.factor))
        yield upsample_nearest(color, condition.shape[2] // color.shape[2])

    def refine(self, nets: Nets, gray: Gray, color: Coarse) -> Float[Any, "b 3 h3 w3"]:
        """Return coarse colors (b, 3, h', w') after the later stages, with the size of the gray after ``spatial``."""
        if "color" in self.stages:
            color = _refine_channels(nets["color"], average_pool(gray, self.factor), color)
        if "spatial" in self.stages:
            # One image at a time: each takes the scores of 256 levels at every pixel.
            large = upsample_nearest(color, self.factor)
            images = [_refine_channels(nets["spatial"], gray[i : i + 1], large[i : i + 1]) for i in range(len(gray))]
            color = namespace(color).concatenate(images, 0)
        return color

    def sample_coarse(self, nets: Nets, gray: Gray, noise: Noise, hints: Hints | None = None) -> Coarse:
        """Return coarse colors, each the center of its bin. Where hints decide most of a pixel, its color is theirs."""
        width = gray.shape[3] // self.factor
        row_noise: Any = None
        finite: Any = True  # looked at once, at the end: a GPU would have to be waited for at every pixel
        if hints is not None:
            hinted, hint_indices = self._hint_indices(gray, hints)

        def choose(row: int, column: int, logits: Any) -> Index:
            nonlocal row_noise, finite
            finite = _are_numbers(logits) & finite
            if self.solver == "sample":
                # Gumbel noise on logits makes the argmax a sample. One draw a row, since each call costs time.
                if column == 0:
                    row_noise = noise(logits[:, None][:, [0] * width], "gumbel")
                logits = logits * (1 / self.temperature) + row_noise[:, column]
            index = logits.argmax(1)
            if hints is None:
                return index
            return namespace(logits).where(hinted[:, row, column], hint_indices[:, row, column], index)

        coarse = self._decode(nets, gray, choose)
        _check(finite)
        return coarse

    def nll(self, nets: Nets, gray: Gray, color: Image) -> Float[Any, "b h2 w2"]:
        """See `Procedure`; each pixel is conditioned on the ground truth of the pixels before it, at temperature 1."""
        truth = coarse_indices(channel_last(average_pool(color, self.factor)), self.bits)
        nats = []

        def choose(row: int, column: int, logits: Any) -> Index:
            xp, index = namespace(logits), truth[:, row, column]
            top = xp.amax(logits, 1)
            log_total = top + xp.log(xp.exp(logits - top[:, None]).sum(1))
            nats.append(log_total - logits[list(range(len(index))), index])
            return index

        self._decode(nets, gray, choose)
        return namespace(gray).stack(nats, 1).reshape(truth.shape)

    def _decode(self, nets: Nets, gray: Gray, choose: Callable[[int, int, Any], Index]) -> Coarse:
        """Coarse colors in raster order, each as ``choose`` picks it for (row, column) by its logits (b, colors).

        What attention needs of earlier rows and pixels is cached, so a pixel costs one pass over itself.
        """
        xp, small, centers = namespace(gray), average_pool(gray, self.factor), bin_centers(gray, self.bits)
        inputs = {"gray": small}
        if self.guided:
            features = nets["guide"](gray=gray)
            inputs["features"] = average_pool(features, features.shape[2] // small.shape[2])
        context, norms, above, past_rows = nets["encoder"](**inputs)
        rows = []
        for row in range(context.shape[1]):
            row_context, pixels = context[:, row], []
            condition, past_pixels = nets["row"](context=row_context, above=above)
            color = condition[:, 0, [0, 0, 0]] * 0 + START_OF_ROW
            for column in range(context.shape[2]):
                here = condition[:, column]
                logits, cache = nets["pixel"](color=color, condition=here, norms=norms, past=past_pixels)
                past_pixels = xp.concatenate([past_pixels, cache[:, None]], 1)
                color = centers[choose(row, column, logits)]
                pixels.append(color)
            rows.append(xp.stack(pixels, 1))
            above, cache = nets["outer"](color=rows[-1], context=row_context, norms=norms, past=past_rows)
            past_rows = xp.concatenate([past_rows, cache[:, None]], 1)
        image = xp.stack(rows, 1)
        return xp.stack([image[..., 0], image[..., 1], image[..., 2]], 1)

    def _hint_indices(self, gray: Gray, hints: Hints) -> tuple[Any, Index]:
        """Whether hints decide most of each coarse pixel (1, h', w'), and the coarse color they ask for (b, h', w')."""
        hint_map = hints.at(*gray.shape[2:])
        weight = average_pool(hint_map.weight, self.factor)
        ab = average_pool(hint_map.ab, self.factor) / weight.clip(1e-3, None)
        lightness = (average_pool(gray, self.factor) + 1) * L_SCALE
        lab = namespace(gray).concatenate([lightness, ab * AB_SCALE + 0 * lightness], 1)
        return weight[:, 0] > 0.5, coarse_indices(channel_last(lab_to_rgb(lab) * 2 - 1), self.bits)


def _are_numbers(values: Any) -> Any:
    # argmax takes NaN for the largest: every pixel would get the first color.
    return (values == values).all()


def _check(finite: Any) -> None:
    if not finite:
        raise FloatingPointError("a network gives NaN")


def _refine_channels(net: Net, gray: Gray, color: Image) -> Image:
    """Each channel of the colors as the network predicts it from the gray and that channel."""
    planes = [net(gray=gray, plane=color[:, c : c + 1], channel=float(c)) for c in range(3)]
    refined = namespace(gray).concatenate(planes, 1)
    _check(_are_numbers(refined))
    return refined


def bits_per_dim(nats: Any) -> Any:
    """Return nats a pixel as bits a channel."""
    return nats * (1 / (3 * math.log(2)))
