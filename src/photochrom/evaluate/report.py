"""Photographs in, a table out: what a colouring scores beside a gray picture and the truth itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..core.color import colorfulness, lab_to_rgb, rgb_to_lab
from .metrics import RGB, ab_error, psnr

COLORLESS = 0.5  # Lab units of mean chroma, less than which is rounding
Row = Mapping[str, float]


@dataclass
class Scores:
    """Sums over photographs of one way of colouring them."""

    sums: dict[str, float] = field(default_factory=dict)
    n: int = 0

    def add(self, rgb: RGB, truth: RGB) -> None:
        """Take one photograph and its truth into account."""
        found = {
            "psnr": min(psnr(rgb, truth), 100.0),  # of equal pictures it is infinite
            "ab_error": ab_error(rgb, truth),
            "colorfulness": float(colorfulness(rgb)),
        }
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in found.items()}
        self.n += 1

    def means(self) -> dict[str, float]:
        """The mean of each figure over the photographs."""
        return {name: total / self.n for name, total in self.sums.items()}


def planes(pixels: np.ndarray) -> RGB:
    """(h, w, 3) codes of 8 or 16 bits -> (3, h, w) in [0, 1]."""
    return np.moveaxis(pixels, -1, 0).astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def gray(truth: RGB) -> RGB:
    """The photograph without its colour: the same L, a = b = 0."""
    lab = rgb_to_lab(truth)
    return lab_to_rgb(np.stack([lab[0], lab[0] * 0, lab[0] * 0]))


def compare(pairs: Iterable[tuple[RGB, RGB]]) -> dict[str, dict[str, float]]:
    """(ours, truth) of each photograph -> rows ``gray``, ``ours`` and ``truth``.

    Each has ``psnr`` (dB, RGB, mean over photos, at most 100), ``ab_error`` (Lab units) and ``colorfulness`` (Hasler &
    Suesstrunk, signed), ``ab_error_to_gray`` and ``colorfulness_to_truth`` (ratios of the means), and ``n``.

    Raises ValueError when there is no photograph, or none in colour.
    """
    rows = {"gray": Scores(), "ours": Scores(), "truth": Scores()}
    for ours, truth in pairs:
        for name, rgb in (("gray", gray(truth)), ("ours", ours), ("truth", truth)):
            rows[name].add(rgb, truth)
    if not rows["truth"].n:
        raise ValueError("no photographs to measure on")
    means = {name: scores.means() for name, scores in rows.items()}
    worst, best = means["gray"]["ab_error"], means["truth"]["colorfulness"]
    if worst < COLORLESS:
        raise ValueError(f"mean chroma {worst:.2g}: these photographs have no colour to measure against")
    return {
        name: {
            **found,
            "ab_error_to_gray": found["ab_error"] / worst,
            "colorfulness_to_truth": found["colorfulness"] / best,
            "n": rows[name].n,
        }
        for name, found in means.items()
    }


def table(rows: Mapping[str, Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| | PSNR dB | ab error | of gray's | colourfulness | of the truth's |", "|---|---|---|---|---|---|"]
    for name, row in rows.items():
        psnr_text = "-" if row["psnr"] >= 100 else f"{row['psnr']:.2f}"
        lines.append(
            f"| {name} | {psnr_text} | {row['ab_error']:.2f} | {row['ab_error_to_gray']:.3f} "
            f"| {row['colorfulness']:.1f} | {row['colorfulness_to_truth']:.3f} |"
        )
    return "\n".join(lines)
