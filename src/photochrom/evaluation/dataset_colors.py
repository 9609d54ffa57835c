"""The colors of a data set, before any training: statistics, a chart, and warnings."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .._processes import available_processors
from ..core.color import BIN_STEP, ab_bins, colorfulness, lab_to_rgb, rgb_to_lab
from ..imaging.errors import PhotoError
from ..imaging.photo import open_photo
from ..imaging.sources import SourceImage
from .files import write

RGB = Float[np.ndarray, "3 h w"]
Lab = Float[np.ndarray, "3 h w"]

SIDE = 64  # pixels of the short side at which colors are counted
READ_AHEAD = 64  # images that are read at once
CELL, GRID = 7, 23  # pixels of a color bin in a chart, and bins on a side
FAINT = 1e-6  # share of a bin that is drawn white
MIN_COLORFULNESS = 9.0  # default of data.min_colorfulness: training leaves out images below
MAX_CHROMA = 150  # Lab units up to which chroma is counted
SMALL_SET = 1000  # images below which a network without pretraining overfits
GRAY_CHROMA = 5.0  # Lab units below which a pixel is gray
DOMINANT = 0.6  # share of the colored pixels above which one kind dominates
# Kinds of color, of which the first that fits counts: ranges of hue in degrees, chroma and lightness.
KINDS = {
    "skin": ((25, 75), (12, 50), (30, 90)),
    "warm": ((0, 95), (0, 150), (0, 100)),
    "foliage": ((95, 155), (8, 150), (0, 100)),
    "sky": ((220, 290), (6, 150), (45, 100)),
}
SHARES = ("near-gray photos", "kinds")  # values of a summary that are shares of 1
# Of the kinds of color, gray and other, in a chart.
FILLS = ("#d8a48f", "#b8763f", "#6b8f45", "#7ea6d8", "#999", "#b58bc4")


# Index of the nearest color bin at each point of the grid of step `BIN_STEP` over a and b.
_AXIS = np.arange(-120, 121, BIN_STEP)
_GRID = np.stack(np.meshgrid(_AXIS, _AXIS, indexing="ij"), -1)
NEAREST_BINS = np.argmin(((_GRID[..., None, :] - np.array(ab_bins())) ** 2).sum(-1), -1)


def bin_indices(lab: Lab) -> Int[np.ndarray, "h w"]:
    """Return the index of each pixel's color bin (`core.color.ab_bins`)."""
    a, b = np.rint(lab[1:].clip(-120, 120) / BIN_STEP).astype(int) + 120 // BIN_STEP
    indices: np.ndarray = NEAREST_BINS[a, b]
    return indices


@dataclass(frozen=True)
class DatasetColors:
    """Color statistics of images in color; those near gray are left out, like in training.

    Shares are of all pixels; each image counts the same.
    """

    n: int
    bins: Float[np.ndarray, "bins"]  # share in each color bin
    distances: Float[np.ndarray, "distances"]  # share at each distance from gray, in whole Lab units
    kinds: Mapping[str, float]  # share of each kind of color
    near_gray: float  # share of near-gray images among all
    colorfulness: float  # mean
    left_out: Sequence[str] = ()  # reasons for which images were left out

    @property
    def photos(self) -> str:
        """Number of images in words."""
        return "1 photo" if self.n == 1 else f"{self.n} photos"

    @property
    def effective_bins(self) -> float:
        """Number of equally frequent bins with the same variety: the exponential of the entropy."""
        shares = self.bins[self.bins > 0]
        return float(np.exp(-(shares * np.log(shares)).sum()))

    def bins_for(self, share: float) -> int:
        """Return how many of the most frequent bins hold a share of the pixels."""
        return int(np.searchsorted(np.cumsum(np.sort(self.bins)[::-1]), share - 1e-9) + 1)

    def chroma_for(self, share: float) -> int:
        """Return the distance from gray, in whole Lab units, within which a share of the pixels lies."""
        return int(np.searchsorted(np.cumsum(self.distances), share - 1e-9) + 1)

    def summary(self) -> dict[str, Any]:
        """Return the statistics as plain values, by names with their units."""
        ten, half, ninety = map(self.chroma_for, (0.1, 0.5, 0.9))
        bins = {"of": len(self.bins), "used": int((self.bins > 0).sum()), "effective": self.effective_bins}
        return {
            "photos": self.n,
            "colorfulness": self.colorfulness,
            "near-gray photos": self.near_gray,
            "distance from gray, Lab units": {"10% within": ten, "50% within": half, "90% within": ninety},
            "kinds": dict(self.kinds),
            "color bins": {**bins, "hold 50% of pixels": self.bins_for(0.5), "hold 90% of pixels": self.bins_for(0.9)},
        }

    def lines(self) -> Iterator[str]:
        """Yield the summary as text, a line for each statistic."""
        for name, value in self.summary().items():
            parts = value if isinstance(value, dict) else {"": value}
            texts = [f"{part} {_format(name, number)}".strip() for part, number in parts.items()]
            yield f"{name}: {', '.join(texts)}"

    def histograms(self) -> dict[str, Any]:
        """Return the shares of pixels in each used bin, as [a, b, share], and by distance from gray."""
        bins = [[a, b, float(share)] for (a, b), share in zip(ab_bins(), self.bins, strict=True) if share]
        return {"shares of color bins (a, b, share)": bins, "shares by distance from gray": self.distances.tolist()}

    def warnings(self) -> Iterator[str]:
        """Yield what will go wrong in a training on this data set, a sentence each."""
        if self.n < SMALL_SET:
            advice = "start from a trained model (--init) and watch the validation loss"
            yield f"{self.photos}: a network trained from scratch overfits so few; {advice}"
        if self.near_gray > 0.1:
            near_gray = f"{self.near_gray:.0%} of the photos are near gray (colorfulness under {MIN_COLORFULNESS:g})"
            advice = "with a lower data.min_colorfulness the model would learn to stay gray"
            yield f"{near_gray}: training leaves them out; {advice}"
        if self.chroma_for(0.5) < 8:
            advice = "for classify, lower model.uniform or raise model.chroma"
            half = f"half of all pixels are within {self.chroma_for(0.5)} Lab units of gray"
            yield f"{half}: a regression model will be pale; {advice}"
        colored = 1 - self.kinds["gray"]
        warm = self.kinds["skin"] + self.kinds["warm"]
        for kind, share in {**self.kinds, "gray": 0.0, "skin": 0.0, "warm": 0.0, "skin and other warm": warm}.items():
            if share > DOMINANT * colored > 0:
                advice = "a model trained on these photos will use them everywhere; add photos of other subjects"
                yield f"{share / colored:.0%} of the colored pixels have {kind} colors: {advice}"


def read_small(images: Sequence[SourceImage]) -> Iterator[RGB | PhotoError]:
    """Yield each image as sRGB (3, h, w) of short side `SIDE`, or why it is left out."""
    with ThreadPoolExecutor(available_processors()) as pool:
        for start in range(0, len(images), READ_AHEAD):
            yield from pool.map(_read_small, images[start : start + READ_AHEAD])


def _read_small(image: SourceImage) -> RGB | PhotoError:
    try:
        photo = open_photo(image.open(), name=f"{image.source}/{image.name}")
        if photo.is_colorized:
            raise PhotoError(f"{photo.name}: left out, like in training: colorized by Photochrom, so no ground truth")
        return np.asarray(photo.resize(SIDE, 1))
    except PhotoError as error:
        return error


def count_colors(images: Iterable[RGB | PhotoError]) -> DatasetColors:
    """Return the color statistics of images, sRGB (3, h, w) in [0, 1]. Raises ValueError without images in color.

    An error in place of an image is the reason for which it is left out.
    """
    n, near_gray, vividness = 0, 0, 0.0
    bins, distances = np.zeros(len(ab_bins())), np.zeros(MAX_CHROMA)
    kinds = dict.fromkeys((*KINDS, "gray", "other"), 0.0)
    left_out: list[str] = []
    for rgb in images:
        if isinstance(rgb, PhotoError):
            left_out.append(str(rgb))
            continue
        vivid = float(colorfulness(rgb))
        if vivid < MIN_COLORFULNESS:
            near_gray += 1
            continue
        n, vividness = n + 1, vividness + vivid
        lab = rgb_to_lab(rgb)
        chroma = np.hypot(lab[1], lab[2])
        whole = chroma.astype(int).ravel().clip(0, MAX_CHROMA - 1)
        bins += np.bincount(bin_indices(lab).ravel(), minlength=len(bins)) / chroma.size
        distances += np.bincount(whole, minlength=MAX_CHROMA) / chroma.size
        for kind, mask in kind_masks(lab).items():
            kinds[kind] += float(mask.mean())
    if not n:
        raise ValueError("\n".join([*left_out, f"no color photos ({near_gray} near gray)"]))
    shares = {kind: total / n for kind, total in kinds.items()}
    return DatasetColors(n, bins / n, distances / n, shares, near_gray / (n + near_gray), vividness / n, left_out)


def kind_masks(lab: Lab) -> dict[str, np.ndarray]:
    """Return a mask (h, w) of the pixels of each kind of color; every pixel is of exactly one kind."""
    chroma = np.hypot(lab[1], lab[2])
    planes = np.stack([np.degrees(np.arctan2(lab[2], lab[1])) % 360, chroma, lab[0]])
    rest = chroma >= GRAY_CHROMA
    masks = {"gray": ~rest}
    for kind, ranges in KINDS.items():
        low, high = np.array(ranges).T[:, :, None, None]
        masks[kind] = ((low <= planes) & (planes <= high)).all(0) & rest
        rest = rest & ~masks[kind]
    return {**masks, "other": rest}


def _format(name: str, value: float) -> str:
    if name in SHARES:
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}"


def write_colors(colors: DatasetColors, chart: Path | None, json_file: Path | None) -> None:
    """Write `draw_chart` and all values to the files that are given. Raises WriteError."""
    if chart:
        write(chart, draw_chart(colors))
    if json_file:
        write(json_file, json.dumps(colors.summary() | colors.histograms()) + "\n")


def draw_histogram(shares: np.ndarray) -> str:
    """Draw the shares of the color bins as an SVG element: each bin in its own color, fainter where it is rarer."""
    bins = np.array(ab_bins(), np.float32)
    lab = np.stack([np.full(len(bins), 65, np.float32), *bins.T])[:, None]
    fills = np.rint(lab_to_rgb(lab)[:, 0].T * 255).astype(int).tolist()
    opacities = 1 - np.log(np.maximum(shares, FAINT)) / math.log(FAINT)
    side, cells = CELL * GRID, []
    for (a, b), fill, opacity in zip(bins, fills, opacities, strict=True):
        x, y = CELL * (GRID // 2 + a / BIN_STEP), CELL * (GRID // 2 - b / BIN_STEP)
        cells.append(_rectangle(x, y, CELL, CELL, f"rgb{tuple(fill)}", opacity))
    return f"<svg width='{side}' height='{side}' viewBox='0 0 {side} {side}' role='img'>{''.join(cells)}</svg>"


def draw_chart(colors: DatasetColors) -> str:
    """Draw an SVG file: frequency of colors, distances from gray, and kinds of color."""
    side, width, limit = CELL * GRID, 260, colors.chroma_for(0.999)
    bars, kinds = [], []
    for distance, height in enumerate(side * colors.distances[:limit] / colors.distances.max()):
        bars.append(_rectangle(width * distance / limit, 20 + side - height, width / limit, height, "#888"))
    for row, (kind, share) in enumerate(colors.kinds.items()):
        x, y = 66 + 200 * share, 30 * row + 44
        kinds.append(_rectangle(60, 30 * row + 30, 200 * share, 18, FILLS[row]))
        kinds.append(f"<text y='{y}'>{kind}</text><text x='{x:.1f}' y='{y}'>{share:.0%}</text>")
    chart = Template(Path(__file__).with_suffix(".svg").read_text(encoding="utf-8"))
    return chart.substitute(
        histogram=draw_histogram(colors.bins),
        photos=colors.photos,
        effective=round(colors.effective_bins),
        bars="\n".join(bars),
        limit=limit,
        half=colors.chroma_for(0.5),
        kinds="\n".join(kinds),
    )


def _rectangle(x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0) -> str:
    size = f"width='{width:.1f}' height='{height:.1f}'"
    return f"<rect x='{x:.1f}' y='{y:.1f}' {size} fill='{fill}' fill-opacity='{opacity:.3f}'/>"
