"""What colours a set of photographs holds, before anything learns from it: figures, a picture, and warnings."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..core.color import BIN_STEP, ab_bins, colorfulness, lab_to_rgb, rgb_to_lab

RGB = Float[np.ndarray, "3 h w"]
Lab = Float[np.ndarray, "3 h w"]

CELL = 7  # pixels of a colour bin
FAINT = 1e-6  # share of a bin that is drawn white
NEAR_GRAY = 9.0  # colourfulness (Hasler & Suesstrunk) under which a training leaves a photograph out
FARTHEST = 150  # Lab units from gray up to which distances are counted
FEW = 1000  # photographs below which a network from nothing learns them by heart
KINDS = {  # by colour alone, the first that fits: hue in degrees, chroma, lightness, each from and to
    "skin": ((25, 75), (12, 50), (30, 90)),
    "warm": ((0, 95), (0, 150), (0, 100)),
    "foliage": ((95, 155), (8, 150), (0, 100)),
    "sky": ((220, 290), (6, 150), (45, 100)),
}
MOST = 0.6  # of what is coloured that one kind may be
COLORLESS = 5.0  # Lab units: chroma of a gray pixel


def _nearest() -> np.ndarray:
    """Bin of each place of the grid of step `BIN_STEP`; that of the nearest bin where no colour of sRGB is."""
    bins = np.array(ab_bins())
    grid = np.stack(np.meshgrid(*[np.arange(-120, 121, BIN_STEP)] * 2, indexing="ij"), -1)
    return np.argmin(((grid[..., None, :] - bins) ** 2).sum(-1), -1)


NEAREST = _nearest()


def bins_of(lab: Lab) -> Int[np.ndarray, "h w"]:
    """The colour bin (`core.color.ab_bins`) of each pixel."""
    a, b = np.rint(lab[1:].clip(-120, 120) / BIN_STEP).astype(int) + 120 // BIN_STEP
    found: np.ndarray = NEAREST[a, b]
    return found


@dataclass(frozen=True)
class Colors:
    """The colours of ``n`` photographs, those near gray left out, as a training does.

    ``bins`` (262,) and ``distances`` (`FARTHEST`,), by whole Lab units from gray, are shares of all pixels, each
    photograph counting the same; so are ``kinds``: tones of ``skin``, other ``warm`` ones, of ``foliage`` and ``sky``,
    ``gray`` and ``other``.
    ``near_gray`` is the share of those left out, ``colorfulness`` the mean of the others.
    """

    n: int
    bins: Float[np.ndarray, "bins"]
    distances: Float[np.ndarray, "far"]
    kinds: Mapping[str, float]
    near_gray: float
    colorfulness: float

    @property
    def effective(self) -> float:
        """How many colour bins, used evenly, would be as varied: the exponential of the entropy."""
        used = self.bins[self.bins > 0]
        return float(np.exp(-(used * np.log(used)).sum()))

    def within(self, share: float) -> int:
        """How many of the commonest bins hold a share of the pixels."""
        return int(np.searchsorted(np.cumsum(np.sort(self.bins)[::-1]), share - 1e-9) + 1)

    def chroma(self, share: float) -> int:
        """The distance from gray, in whole Lab units, below which a share of the pixels is."""
        return int(np.searchsorted(np.cumsum(self.distances), share - 1e-9) + 1)

    def histograms(self) -> dict[str, Any]:
        """Shares of all pixels: of each colour bin that is used, beside its a and b, and by Lab units from gray."""
        used = [[a, b, float(share)] for (a, b), share in zip(ab_bins(), self.bins, strict=True) if share]
        return {"shares of colour bins (a, b, share)": used, "shares by distance from gray": self.distances.tolist()}

    def figures(self) -> dict[str, Any]:
        """What sums them up as plain values, named with their units."""
        return {
            "photographs": self.n,
            "colourfulness": self.colorfulness,
            "near-gray photographs": self.near_gray,
            "distance from gray, Lab units": {f"{share:.0%} within": self.chroma(share) for share in (0.1, 0.5, 0.9)},
            "kinds": dict(self.kinds),
            "colour bins": {
                "of": len(self.bins),
                "used": int((self.bins > 0).sum()),
                "effective": self.effective,
                "hold 50% of pixels": self.within(0.5),
                "hold 90% of pixels": self.within(0.9),
            },
        }

    def warnings(self) -> Iterator[str]:
        """What training on them will do, a sentence each."""
        if self.n < FEW:
            yield (
                f"{self.n} photographs: a network that starts from nothing learns so few by heart; start from a model "
                "(--init), and watch where validation turns"
            )
        if self.near_gray > 0.1:
            yield (
                f"{self.near_gray:.0%} of the photographs are near gray (colourfulness under {NEAR_GRAY:g}): a "
                "training leaves them out; with a lower data.min_colorfulness it would learn from them to stay gray"
            )
        if self.chroma(0.5) < 8:
            yield (
                f"half of all pixels are within {self.chroma(0.5)} Lab units of gray: a regression will be pale; give "
                "classify a lower model.uniform, or raise model.chroma"
            )
        colored = 1 - self.kinds["gray"]
        shares = {
            "skin and other warm": self.kinds["skin"] + self.kinds["warm"],
            **{kind: self.kinds[kind] for kind in ("foliage", "sky", "other")},
        }
        for kind, share in shares.items():
            if share > MOST * colored > 0:
                yield (
                    f"{share / colored:.0%} of what is coloured is of {kind} colours: a model of these will paint "
                    "everything so; add photographs of other things"
                )


def colors_of(photographs: Iterable[RGB]) -> Colors:
    """The colours of photographs, sRGB (3, h, w) in [0, 1]. Raises ValueError for none, or none in colour."""
    n, near, vivid = 0, 0, 0.0
    bins, distances, kinds = np.zeros(len(ab_bins())), np.zeros(FARTHEST), dict.fromkeys((*KINDS, "gray", "other"), 0.0)
    for rgb in photographs:
        found = float(colorfulness(rgb))
        if found < NEAR_GRAY:
            near += 1
            continue
        n, vivid = n + 1, vivid + found
        lab = rgb_to_lab(rgb)
        chroma = np.hypot(lab[1], lab[2])
        bins += np.bincount(bins_of(lab).ravel(), minlength=len(bins)) / chroma.size
        distances += np.bincount(chroma.astype(int).ravel().clip(0, FARTHEST - 1), minlength=FARTHEST) / chroma.size
        for kind, where in kinds_of(lab).items():
            kinds[kind] += float(where.mean())
    if not n:
        raise ValueError(f"no photographs in colour to look at ({near} near gray)")
    return Colors(n, bins / n, distances / n, {k: v / n for k, v in kinds.items()}, near / (n + near), vivid / n)


def kinds_of(lab: Lab) -> dict[str, np.ndarray]:
    """Which pixels (h, w) have the colours of each kind; every pixel is of one."""
    chroma = np.hypot(lab[1], lab[2])
    planes = (np.degrees(np.arctan2(lab[2], lab[1])) % 360, chroma, lab[0])
    made, left = {"gray": chroma < COLORLESS}, chroma >= COLORLESS
    for kind, ranges in KINDS.items():
        inside = [(low <= plane) & (plane <= high) for plane, (low, high) in zip(planes, ranges, strict=True)]
        made[kind] = np.logical_and.reduce(inside) & left
        left = left & ~made[kind]
    return {**made, "other": left}


def histogram(shares: np.ndarray) -> str:
    """The shares of the colour bins as an SVG, each bin in its own colour, fainter where it is rarer."""
    bins = np.array(ab_bins(), np.float32)
    lab = np.stack([np.full(len(bins), 65, np.float32), *bins.T])[:, None]
    colors = np.rint(lab_to_rgb(lab)[:, 0].T * 255).astype(int)
    depth = (np.log(np.maximum(shares, FAINT)) - math.log(FAINT)) / -math.log(FAINT)
    side = CELL * 23
    cells = (
        f"<rect x='{CELL * (a / BIN_STEP + 11):.0f}' y='{CELL * (11 - b / BIN_STEP):.0f}' "
        f"width='{CELL}' height='{CELL}' fill='rgb({r},{g},{blue})' fill-opacity='{opacity:.3f}'/>"
        for (a, b), (r, g, blue), opacity in zip(bins, colors, depth, strict=True)
    )
    return f"<svg width='{side}' height='{side}' viewBox='0 0 {side} {side}' role='img'>{''.join(cells)}</svg>"


def picture(colors: Colors) -> str:
    """An SVG file: which colours are how frequent, how far from gray pixels are, and what kinds of colour there are."""
    inside, height, chart = 23 * CELL, 23 * CELL + 40, 260
    begin, far = inside + 100, colors.chroma(0.999)
    tallest = max(colors.distances)
    bars = (
        f"<rect x='{begin + chart * i / far:.1f}' y='{20 + inside * (1 - share / tallest):.1f}' "
        f"width='{chart / far:.1f}' height='{inside * share / tallest:.1f}' fill='#888'/>"
        for i, share in enumerate(colors.distances[:far])
    )
    fills = dict(zip(colors.kinds, ("#d8a48f", "#b8763f", "#6b8f45", "#7ea6d8", "#999", "#b58bc4"), strict=True))
    left, rows = begin + chart + 40, list[str]()
    for i, (kind, share) in enumerate(colors.kinds.items()):
        y = 30 + i * 30
        rows.append(f"<rect x='{left + 60}' y='{y}' width='{200 * share:.1f}' height='18' fill='{fills[kind]}'/>")
        rows.append(f"<text x='{left}' y='{y + 14}'>{kind}</text>")
        rows.append(f"<text x='{left + 66 + 200 * share:.1f}' y='{y + 14}'>{share:.0%}</text>")
    captions = (
        (0, 12, "how frequent each colour is (log)"),
        (begin, 12, "distance from gray"),
        (begin, inside + 36, f"0 to {far} Lab units; half within {colors.chroma(0.5)}"),
        (0, inside + 36, f"{colors.n} photographs, {colors.effective:.0f} colours if even"),
        (left, 12, "kinds of colour"),
    )
    texts = (f"<text x='{x}' y='{y}'>{text}</text>" for x, y, text in captions)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {left + 310} {height}' width='{left + 310}' "
        f"font-family='sans-serif' font-size='12'><rect width='100%' height='100%' fill='white'/>"
        f"<g transform='translate(0 20)'>{histogram(colors.bins)}</g>{''.join((*bars, *rows, *texts))}</svg>\n"
    )
