"""Small stand-ins: a network that loads nothing, and pictures."""

from itertools import combinations

import numpy as np


class FewNetworks:
    """As `Networks`, with means of the picture for features, so that nothing is loaded."""

    key, missing = "few", ()
    classifiers = ("few",)
    perceptual = ("lpips-few",)
    calls = 0

    def __call__(self, pictures):
        FewNetworks.calls += 1
        truth = pictures[0].astype(float)
        return [
            {
                "features/few": p.mean((0, 1)) / 255,
                "classes/few": (p.mean((0, 1)) + 1) / (p.mean((0, 1)) + 1).sum(),
                "lpips-few": np.abs(p - truth).mean() / 255,
            }
            for p in pictures
        ]

    def spread(self, pictures):
        apart = [np.abs(a.astype(float) - b).mean() / 255 for a, b in combinations(pictures, 2)]
        return {"lpips-few": np.mean(apart)}


def picture(seed, shape=(24, 32)):
    """Smooth, colourful, different for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    waves = [np.sin(2 * np.pi * (rng.random() + x * rng.normal() + y * rng.normal())) for _ in range(3)]
    return ((np.stack(waves, -1) * 0.4 + 0.5) * 255).astype(np.uint8)
