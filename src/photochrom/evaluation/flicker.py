"""Measures of the colors of a film over time."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ..video.motion import Gray, MotionEstimator, warp

AB = Float[np.ndarray, "2 h w"]  # Lab units
RGB = Float[np.ndarray, "3 h w"]  # sRGB in [0, 1]
SAME = 0.04  # difference of gray up to which a pixel is one that moved
GAPS = (1, 2, 4)  # frames
BINS = 256  # of the histogram of a channel


def flicker(grays: Sequence[Gray], colors: Sequence[AB]) -> float:
    """Return the mean change of ab along the motion from one frame to the next, in Lab units.

    ``grays``: in [0, 1]. Only pixels that are found again count; with fewer than two frames the result is NaN.
    """
    motion, changes = MotionEstimator(), []
    for gray, before, ab, ab_before in zip(grays[1:], grays, colors[1:], colors, strict=False):
        flow = motion.flow(gray, before)
        found = np.abs(gray - warp(before[None], flow)[0]) < SAME
        change = np.hypot(*(ab - warp(ab_before, flow)))
        changes.append(float(change[found].mean()) if found.any() else np.nan)
    return float(np.nanmean(changes)) if changes else float("nan")


def color_distribution_consistency(frames: Sequence[RGB]) -> float:
    """Return the CDC index: the Jensen-Shannon divergence of the histograms of frames 1, 2 and 4 apart, in nats.

    Mean over channels, frames and gaps; 0 where all frames have the same colors. Source: Liu et al. 2021 (TCVC).
    """
    histograms = np.array([[_histogram(channel) for channel in frame] for frame in frames])
    gaps = [gap for gap in GAPS if gap < len(frames)]
    return float(np.mean([_divergence(histograms[gap:], histograms[:-gap]).mean() for gap in gaps]))


def _histogram(channel: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(channel, BINS, (0, 1))
    return counts / counts.sum()


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence of distributions along the last axis."""
    middle = (p + q) / 2

    def relative(one: np.ndarray) -> np.ndarray:
        return np.where(one > 0, one * np.log(np.maximum(one, 1e-12) / np.maximum(middle, 1e-12)), 0).sum(-1)

    return (relative(p) + relative(q)) / 2
