"""Colors that stay: what a model predicts for some frames of a shot, averaged along the motion of its things.

The color of a pixel is a weighted mean of the predictions for the same place of the scene in frames before and after.
The weight falls with the number of frames between, and wherever the motion cannot be trusted. Both halves of the mean
are recursive filters: one runs forward through the shot, one backward from some frames ahead. So the memory is that of
these frames, however long the shot is; a wrong color of one frame is outweighed by its neighbors; and colors cannot
drift, since each prediction begins anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float32

from .motion import Flow, Gray, MotionEstimator, trust, warp

AB = Float32[np.ndarray, "2 h w"]
Sums = Float32[np.ndarray, "3 h w"]  # of a and b, each times its weight, and of the weights
T = TypeVar("T")

STEP = 4  # frames from one that is predicted to the next
LOST = 0.5  # mean trust under which a frame is predicted out of turn
DECAY = np.float32(0.97)  # of weights from one frame to the next
AHEAD = 24  # frames, at least, that a frame waits for
LEAST = np.float32(1e-3)  # weight of the last prediction where nothing else is known


@dataclass(eq=False)
class _Moment(Generic[T]):
    """A frame of a shot, and the colors that are known of it."""

    frame: T
    gray: Gray
    flow: Flow | None  # from the pixels of the frame before to those of this one
    predicted: Sums | None
    before: Sums  # from this frame and those before


def coherent_colors(
    frames: Iterator[tuple[T, Gray]], predict: Callable[[T, Gray], AB], motion: MotionEstimator
) -> Iterator[tuple[T, AB]]:
    """Yields the frames of a shot with their colors.

    ``frames``: each with its gray in [0, 1], at the size of the colors that `predict` returns.
    """
    window: list[_Moment[T]] = []
    previous: _Moment[T] | None = None
    latest: Sums | None = None
    for index, (frame, gray) in enumerate(frames):
        if len(window) == 2 * AHEAD:
            yield from _settle(window, AHEAD)
        backward = carried = predicted = None
        is_lost = False
        if previous is not None:
            forward, backward = motion.flow(gray, previous.gray), motion.flow(previous.gray, gray)
            trusted = trust(gray, previous.gray, forward)
            is_lost = bool(trusted.mean() < LOST)
            carried = _carry(previous.before, forward, trusted)
        if index % STEP == 0 or is_lost or latest is None:
            ab = predict(frame, gray)
            latest = predicted = np.concatenate([ab, np.ones_like(ab[:1])])
        before = sum((part for part in (carried, predicted) if part is not None), LEAST * latest)
        previous = _Moment(frame, gray, backward, predicted, before)
        window.append(previous)
    yield from _settle(window, len(window))


def _carry(sums: Sums, flow: Flow, trusted: Gray) -> Sums:
    return warp(sums, flow) * (trusted * DECAY)


def _settle(window: list[_Moment[T]], number: int) -> Iterator[tuple[T, AB]]:
    """Takes a number of frames out of the window and yields them with their colors."""
    after: list[Sums | None] = [None] * len(window)  # from the frames after each
    for index in range(len(window) - 2, -1, -1):
        moment, following = window[index], window[index + 1]
        known = after[index + 1]
        if following.predicted is not None:
            known = following.predicted if known is None else known + following.predicted
        if known is not None and following.flow is not None:
            after[index] = _carry(known, following.flow, trust(moment.gray, following.gray, following.flow))
    for moment, later in zip(window[:number], after, strict=False):
        sums = moment.before if later is None else moment.before + later
        yield moment.frame, sums[:2] / sums[2]
    del window[:number]
