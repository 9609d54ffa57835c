"""Colour chosen pixel by pixel out of a few hundred, then refined (ColTran: Kumar, Weissenborn & Kalchbrenner 2021).

Written once for numpy and torch, by the rules of `core.sampling`. What has been painted is remembered, row by row and
pixel by pixel, so that a pixel costs the same work whatever has been painted before it, but for looking back at it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float, Int

from ..color import AB_SCALE, L_SCALE, ab_of, lab_to_rgb, namespace
from ..degradation import Noise
from .procedure import AB, Gray, Net, Pin, unpinned

RGB = Float[Any, "b 3 h w"]  # in [-1, 1]
Small = Float[Any, "b 3 h2 w2"]  # the same, at the size of the coarse colours
Pixel = Float[Any, "*b 3"]  # RGB in [-1, 1], channel last
Symbol = Int[Any, "*b"]

STAGES = ("core", "color", "spatial")
SOLVERS = ("sample", "greedy")
LARGEST = 1 << 26  # pixels times those that each looks at along its line: 256 MB of scores for each head
COLDEST, HOTTEST = 1e-6, 100.0  # temperatures at which float32 still holds the scores
NOTHING = -2.0  # in place of the colour before the first pixel of a row


def symbols(rgb: Pixel, bits: int = 3) -> Symbol:
    """The coarse colour of each pixel, of 8**bits, red counting most.

    Of 8-bit codes x it is made of floor(x / 2^(8 - bits)). Colours outside [-1, 1] count as the nearest inside.
    """
    xp, levels = namespace(rgb), 2**bits
    codes = xp.asarray(((rgb + 1) * (levels / 2)).clip(0, levels - 1), dtype=xp.int64)
    return (codes[..., 0] * levels + codes[..., 1]) * levels + codes[..., 2]


def palette(like: Any, bits: int = 3) -> Float[Any, "colors 3"]:
    """The colour in the middle of each coarse one, in the order of `symbols`, in the precision of ``like``."""
    levels = 2**bits
    middles = [(code + 0.5) * (2 / levels) - 1 for code in range(levels)]
    colors = [[r, g, b] for r in middles for g in middles for b in middles]
    return namespace(like).asarray(colors, dtype=like.dtype, device=like.device)


def pooled(planes: Float[Any, "b c h w"], factor: int) -> Float[Any, "b c h2 w2"]:
    """Means over squares of ``factor`` pixels. Raises ValueError where they do not fit."""
    b, c, h, w = planes.shape
    _divide(h, w, factor)
    return planes.reshape(b, c, h // factor, factor, w // factor, factor).mean(5).mean(3)


def _divide(height: int, width: int, factor: int) -> None:
    if height % factor or width % factor:
        raise ValueError(f"{width} x {height} pixels: both sides must divide by the factor {factor}")


def repeated(planes: Float[Any, "b c h w"], factor: int) -> Float[Any, "b c h2 w2"]:
    """Each pixel as a square of ``factor`` of them."""
    rows, columns = ([i for i in range(side) for _ in range(factor)] for side in planes.shape[2:])
    return planes[:, :, rows][..., columns]


def channel_last(rgb: RGB) -> Pixel:
    """(b, 3, h, w) -> (b, h, w, 3)."""
    return namespace(rgb).stack([rgb[:, channel] for channel in range(3)], -1)


@dataclass(frozen=True)
class Autoregressive:
    """Coarse colours drawn one after the other by the ``core``, then two networks that see all pixels at once.

    The photograph is seen at ``factor`` times the sides of the coarse colours, of which there are 8**bits. ``color``
    makes them fine, ``spatial`` large; a model has the first of these ``stages``, and what trains a later one has that.
    ``guided``: the network ``guide`` turns the photograph as it is seen into features that the core is shown beside its
    small gray. The solver ``greedy`` takes the likeliest colour each time; ``sample`` draws it, likelihoods to the
    power of 1 / ``temperature``.
    """

    stages: tuple[str, ...] = STAGES
    factor: int = 4
    bits: int = 3
    guided: bool = False
    solver: str = "sample"
    temperature: float = 1.0
    target: ClassVar[str] = "rgb"

    def __post_init__(self) -> None:
        if not self.stages or self.stages not in [STAGES[i:j] for i in range(3) for j in range(i + 1, 4)]:
            raise ValueError(f"stages {list(self.stages)}: choose one or more of {', '.join(STAGES)}, in order, no gap")
        if self.solver not in SOLVERS:
            raise ValueError(f"solver {self.solver!r}: choose {' or '.join(SOLVERS)}")
        if not COLDEST <= self.temperature <= HOTTEST:
            raise ValueError(
                f"temperature {self.temperature}: must be above 0 (from {COLDEST:g}, surer, to {HOTTEST:g}, bolder); "
                "the solver greedy takes the likeliest"
            )
        if not 1 <= self.bits <= 4:
            raise ValueError(f"bits {self.bits}: must be from 1 (8 colours) to 4 (4096)")
        if self.factor < 1:
            raise ValueError(f"factor {self.factor}: must be at least 1")

    @property
    def option_names(self) -> tuple[str, ...]:
        """Those of its settings that a user may change; what draws nothing has no temperature."""
        return ("solver", "temperature") if self.stochastic else ("solver",)

    @property
    def stochastic(self) -> bool:
        """Whether it uses its noise."""
        return self.solver == "sample"

    @property
    def colorizes(self) -> bool:
        """Whether it gives colour to what has none."""
        return "core" in self.stages

    @property
    def networks(self) -> tuple[str, ...]:
        """What it calls."""
        core = (*(("guide",) if self.guided else ()), "encoder", "row", "pixel", "outer") if self.colorizes else ()
        return (*core, *(stage for stage in STAGES[1:] if stage in self.stages))

    def __call__(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> AB:
        """Gray (b, 1, h, w) in [-1, 1] -> one possible ab (b, 2, h', w') in [-1, 1].

        Raises ValueError for a picture that does not `fit`, FloatingPointError where a network gives what is no number.
        """
        self.fit(*gray.shape[2:])
        coarse = self.coarse(nets, gray, noise, pin)
        return pin(ab_of(self.refined(nets, gray, coarse)))

    def fit(self, height: int, width: int) -> None:
        """Raises ValueError for a picture whose sides do not divide by the factor, or which no memory would hold."""
        _divide(height, width, self.factor)
        if "spatial" in self.stages and height * width * max(height, width) > LARGEST:
            raise ValueError(
                f"{width} x {height} pixels: more than the spatial stage has memory for, which grows with the cube of "
                "the side: let the model see the photograph smaller (--size)"
            )

    def restore(self, nets: Mapping[str, Net], picture: RGB, gray: Gray) -> Any:
        """Coarse colours as a picture of the gray's size, and what the later stages make of them."""
        yield picture
        found = self.refined(nets, gray, pooled(picture, self.factor))
        yield repeated(found, gray.shape[2] // found.shape[2])

    def refined(self, nets: Mapping[str, Net], gray: Gray, color: Small) -> Float[Any, "b 3 h3 w3"]:
        """Coarse colours through the stages that are there, channel by channel.

        Large pictures go one by one: each holds the likelihoods of 256 levels at every pixel.
        """
        if "color" in self.stages:
            color = _told(nets["color"], pooled(gray, self.factor), color)
        if "spatial" in self.stages:
            large, xp = repeated(color, self.factor), namespace(color)
            each = [_told(nets["spatial"], gray[i : i + 1], large[i : i + 1]) for i in range(len(gray))]
            color = xp.concatenate(each, 0)
        return color

    def coarse(self, nets: Mapping[str, Net], gray: Gray, noise: Noise, pin: Pin = unpinned) -> Small:
        """Gray (b, 1, h, w) -> coarse colours (b, 3, h / factor, w / factor), each the middle of its kind.

        Where ``pin`` decides most of a pixel, its colour is the one asked for, and what follows knows of it.
        """
        colors = palette(gray, self.bits)
        pinned, asked = _asked(gray, self.factor, pin)
        drawn: Any = None

        def choose(row: int, column: int, logits: Any) -> Pixel:
            nonlocal drawn
            xp = namespace(logits)
            _checked(logits)
            if self.stochastic:
                if not column:
                    drawn = noise(logits[:, None][:, [0] * pinned.shape[2]], "gumbel")
                logits = logits * (1 / self.temperature) + drawn[:, column]
            chosen = logits.argmax(1)
            if pin is not unpinned:
                chosen = xp.where(pinned[:, row, column], symbols(asked[:, :, row, column], self.bits), chosen)
            return colors[chosen]

        return self._paint(nets, gray, choose)

    def nll(self, nets: Mapping[str, Net], gray: Gray, color: RGB) -> Float[Any, "b h2 w2"]:
        """-log p, in nats, of the coarse colours of true ones (b, 3, h, w), each told those before it, undistorted."""
        colors, true = palette(gray, self.bits), symbols(channel_last(pooled(color, self.factor)), self.bits)
        told: list[list[Any]] = []

        def choose(row: int, column: int, logits: Any) -> Pixel:
            xp, wanted = namespace(logits), true[:, row, column]
            top = xp.amax(logits, 1)
            total = top + xp.log(xp.exp(logits - top[:, None]).sum(1))
            if not column:
                told.append([])
            told[row].append(total - logits[list(range(len(wanted))), wanted])
            return colors[wanted]

        self._paint(nets, gray, choose)
        xp = namespace(gray)
        return xp.stack([xp.stack(row, 1) for row in told], 1)

    def _paint(self, nets: Mapping[str, Net], gray: Gray, choose: Callable[[int, int, Any], Pixel]) -> Small:
        """Coarse colours (b, 3, h', w'), each as ``choose`` picks it for (row, column) by logits (b, colors)."""
        xp, small = namespace(gray), pooled(gray, self.factor)
        seen = {"gray": small}
        if self.guided:
            features = nets["guide"](0.0, gray=gray)
            seen["features"] = pooled(features, features.shape[2] // small.shape[2])
        context, norms, above, rows = nets["encoder"](0.0, **seen)
        lines = []
        for row in range(context.shape[1]):
            here = context[:, row]
            condition, pixels = nets["row"](0.0, context=here, above=above)
            color, line = condition[:, 0, [0, 0, 0]] * 0 + NOTHING, []
            for column in range(context.shape[2]):
                logits, new = nets["pixel"](0.0, color=color, condition=condition[:, column], norms=norms, past=pixels)
                pixels = xp.concatenate([pixels, new[:, None]], 1)
                color = choose(row, column, logits)
                line.append(color)
            lines.append(xp.stack(line, 1))
            above, new = nets["outer"](0.0, color=lines[-1], context=here, norms=norms, past=rows)
            rows = xp.concatenate([rows, new[:, None]], 1)
        painted = xp.stack(lines, 1)
        return xp.stack([painted[..., channel] for channel in range(3)], 1)


def _checked(made: Any) -> Any:
    """What a network made. Raises FloatingPointError where that is no number, of which the first would be likeliest."""
    if not (made == made).all():
        raise FloatingPointError("likelihoods that are not numbers")
    return made


def _told(net: Net, gray: Gray, color: RGB) -> RGB:
    """Each channel as a network tells it, whose time says which."""
    planes = [net(float(c), gray=gray, plane=color[:, c : c + 1]) for c in range(3)]
    return _checked(namespace(gray).concatenate(planes, 1))


def _asked(gray: Gray, factor: int, pin: Pin) -> tuple[Any, Small]:
    """Which coarse pixels (b, h', w') a pin decides more of than not, and the colours it asks for under this gray."""
    nothing = gray[:, [0, 0]] * 0
    told = pooled(pin(nothing), factor)
    kept = pooled(pin(nothing + 1), factor) - told  # how much of what would be there otherwise
    ab = told / (1 - kept).clip(1e-3, None)
    lab = namespace(gray).concatenate([(pooled(gray, factor) + 1) * L_SCALE, ab * AB_SCALE], 1)
    return kept[:, 0] < 0.5, lab_to_rgb(lab) * 2 - 1


def bits_per_dim(nats: Any) -> Any:
    """Nats a pixel in bits a channel of it."""
    return nats * (1 / (3 * math.log(2)))
