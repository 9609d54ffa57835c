"""Stand-ins for tests: feature networks that load no weights, and small images."""

from itertools import combinations

import numpy as np


class FakeNetworks:
    """Has the interface of `FeatureNetworks`; its features are the means of the image."""

    key, missing = "fake", ()
    classifiers = ("fake",)
    perceptual = ("lpips-fake",)
    calls = 0

    def __call__(self, images):
        FakeNetworks.calls += 1
        batch = np.stack(images).astype(float)
        means = batch.mean((1, 2))
        return {
            "features/fake": means / 255,
            "classes/fake": (means + 1) / (means + 1).sum(1, keepdims=True),
            "lpips-fake": np.abs(batch - batch[0]).mean((1, 2, 3)) / 255,
        }

    def diversity(self, images):
        distances = [np.abs(a.astype(float) - b).mean() / 255 for a, b in combinations(images, 2)]
        return {"lpips-fake": np.mean(distances)}


def sample_image(seed, shape=(24, 32)):
    """Smooth and colorful 8-bit image (h, w, 3), different for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    waves = [np.sin(2 * np.pi * (rng.random() + x * rng.normal() + y * rng.normal())) for _ in range(3)]
    return ((np.stack(waves, -1) * 0.4 + 0.5) * 255).astype(np.uint8)
