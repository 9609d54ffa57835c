"""Which pictures a participant sees, in which order and on which side."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

CHECK_INTERVAL = 10  # one in so many trials is an attention check
TRUTH, TINTED = "ground truth", "tinted"  # sources of pictures beside the models


@dataclass(frozen=True)
class Trial:
    """Two pictures of a photo, by their sources. ``kind``: practice, trial or check (of attention)."""

    photo: str
    left: str
    right: str
    kind: str


def source_pairs(models: Sequence[str], truth: bool, rank: bool) -> list[tuple[str, str]]:
    """Return which sources are compared: each model with the ground truth; for a ranking, each with each."""
    if not rank:
        return [(TRUTH, model) for model in models]
    return list(combinations([TRUTH, *models] if truth else models, 2))


def plan_trials(
    photos: Sequence[str], pairs: Sequence[tuple[str, str]], number: int, participant: int, seed: int
) -> list[Trial]:
    """Return the trials of a participant, the practice first.

    The participants of a survey together walk through all photos in one random order, again and again, with the next
    pair of sources in each round: after as many rounds as there are pairs, every photo was shown with every pair. So
    photos and pairs are balanced over participants, and nobody sees a photo twice.

    Args:
        photos: Names of the photos, more than ``number``.
        pairs: Sources to compare, such as (ground truth, model).
        number: Number of trials with attention checks, without the practice.
        participant: Index of the participant, from 0.
        seed: Of the order of photos, trials and sides.
    """
    order = np.random.default_rng(seed).permutation(len(photos))
    rng = np.random.default_rng((seed, participant))
    checks = -(-number // CHECK_INTERVAL)
    comparisons = number - checks
    first = participant * comparisons
    trials = []
    for step in range(number + 1):
        turn, place = divmod(first + step, len(photos))
        pair, kind = pairs[(place + turn) % len(pairs)], "trial"
        if step >= comparisons:  # the photos that come next, so that none is seen twice
            pair, kind = (pair[0], TINTED), "check" if step < number else "practice"
        trials.append((photos[order[place]], pair, kind))
    shuffled = [number, *rng.permutation(number)]
    sides = rng.permutation(np.arange(number + 1) % 2)
    result = []
    for index, side in zip(shuffled, sides, strict=True):
        photo, pair, kind = trials[index]
        result.append(Trial(photo, pair[side], pair[1 - side], kind))
    return result
