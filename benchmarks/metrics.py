"""Our metrics compared with those of other libraries (values and times), and the time of each step of an evaluation.

    python benchmarks/metrics.py [PHOTOS] [--photos 32] [--repeats 5]

Prints two markdown tables. The first uses two images of 256 x 340 pixels, or sets of 600 features: both sides run
alternately on one thread, and the medians are compared. The second runs the steps of `photochrom evaluate` on the
photos of a folder or zip (by default, on photos of scikit-image), one by one on one thread, and prints their shares.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from scipy import stats
from scipy.linalg import sqrtm
from skimage import color as skcolor
from skimage import data
from skimage import metrics as skmetrics
from torchmetrics import functional as tm
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import maximum_mean_discrepancy

from photochrom.core.color import rgb_to_lab
from photochrom.evaluation import measure, metrics, protocols, statistics
from photochrom.evaluation.dataset_colors import bin_indices
from photochrom.evaluation.features import FeatureNetworks
from photochrom.imaging.sources import find_images
from photochrom.inference.colorizer import Colorizer

RNG = np.random.default_rng(0)
TRUTH = RNG.random((3, 256, 340)).astype(np.float32)
OURS = (TRUTH * 0.8 + RNG.random(TRUTH.shape) * 0.2).astype(np.float32)
LAST = [np.ascontiguousarray(np.moveaxis(x, 0, -1)) for x in (OURS, TRUTH)]
TENSORS = [torch.from_numpy(x)[None] for x in (OURS, TRUTH)]
FEATURES = [RNG.normal(shift, 1, (600, 512)) for shift in (0.0, 0.1)]
CLASSES = RNG.dirichlet(np.ones(1000), 600)
SKIMAGE = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "channel_axis": 0}


def frechet_by_root(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x.T), np.cov(y.T)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real))


def moments() -> list[torch.Tensor]:
    return [torch.from_numpy(m) for f in FEATURES for m in (f.mean(0), np.cov(f.T))]


def mmd() -> torch.Tensor:
    x, y = (torch.from_numpy(f) for f in FEATURES)
    return maximum_mean_discrepancy(*((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))))


def torch_ssim() -> torch.Tensor:
    full = tm.image.structural_similarity_index_measure(*TENSORS, data_range=1.0, return_full_image=True)[1]
    return full[..., 5:-5, 5:-5].mean()


def score() -> torch.Tensor:
    parts = torch.from_numpy(CLASSES).chunk(10)
    return torch.stack([(p * (p.log() - p.mean(0).log())).sum(1).mean().exp() for p in parts]).mean()


SAMPLE = RNG.gamma(2.0, size=600)
Call = Callable[[], object]
PAIRS: tuple[tuple[str, Call, str, Call], ...] = (
    ("mse", lambda: metrics.mse(OURS, TRUTH), "torchmetrics", lambda: tm.mean_squared_error(*TENSORS)),
    ("mape", lambda: metrics.mape(OURS, TRUTH), "torchmetrics", lambda: tm.mean_absolute_percentage_error(*TENSORS)),
    (
        "psnr",
        lambda: metrics.psnr(OURS, TRUTH),
        "torchmetrics",
        lambda: tm.image.peak_signal_noise_ratio(*TENSORS, data_range=1.0),
    ),
    ("ssim", lambda: metrics.ssim(OURS, TRUTH), "torchmetrics", torch_ssim),
    (
        "ssim",
        lambda: metrics.ssim(OURS, TRUTH),
        "scikit-image",
        lambda: skmetrics.structural_similarity(OURS, TRUTH, **SKIMAGE),
    ),
    (
        "ab-error",
        lambda: metrics.ab_distance(rgb_to_lab(OURS), rgb_to_lab(TRUTH)).mean(),
        "scikit-image",
        lambda: np.linalg.norm((skcolor.rgb2lab(LAST[0]) - skcolor.rgb2lab(LAST[1]))[..., 1:], axis=-1).mean(),
    ),
    (
        "ciede2000",
        lambda: metrics.ciede2000(rgb_to_lab(OURS), rgb_to_lab(TRUTH)).mean(),
        "scikit-image",
        lambda: skcolor.deltaE_ciede2000(*(skcolor.rgb2lab(x) for x in LAST)).mean(),
    ),
    ("fd", lambda: metrics.frechet_distance(*FEATURES), "torchmetrics", lambda: _compute_fid(*moments())),
    ("fd", lambda: metrics.frechet_distance(*FEATURES), "scipy sqrtm", lambda: frechet_by_root(*FEATURES)),
    ("kd", lambda: metrics.kernel_distance(*FEATURES), "torchmetrics", mmd),
    ("is", lambda: metrics.inception_score(CLASSES), "the formula in torch", score),
    (
        "interval, lower end",
        lambda: statistics.ratio_of_means(SAMPLE, np.ones(600)).low,
        "scipy bootstrap",
        lambda: (
            stats.bootstrap((SAMPLE,), np.mean, n_resamples=1000, method="percentile", rng=0).confidence_interval.low
        ),
    ),
)


def timed(call: Call) -> tuple[float, float]:
    """Return the seconds and the value of a call."""
    start = time.perf_counter()
    value = float(call())  # type: ignore[arg-type]
    return time.perf_counter() - start, value


def compare(repeats: int) -> None:
    print("| metric | ours | theirs | difference | library | our time | time relative to theirs |")
    print("|---|---|---|---|---|---|---|")
    for name, ours, library, theirs in PAIRS:
        runs = [(timed(ours), timed(theirs)) for _ in range(repeats)]
        (_, value), (_, other) = runs[-1]
        mine, other_time = (median(run[side][0] for run in runs) for side in (0, 1))
        print(
            f"| {name} | {value:.6g} | {other:.6g} | {abs(value - other):.1g} | {library} | {mine * 1000:.2f} ms "
            f"| {mine / other_time:.2f} |"
        )


def read_photos(source: Path | None, count: int) -> list[np.ndarray]:
    if source is None:
        photos = [data.astronaut()[:256, :340], data.coffee()[:256, :340], data.chelsea()[:256, :340]]
        return [np.ascontiguousarray(photos[i % 3]) for i in range(count)]
    return [measure.read_pixels(image) for image in find_images(source)[:count]]


def time_steps(source: Path | None, count: int) -> None:
    """Print the time of each step for the photos, with the rows baseline, mean color, ground truth and one model."""
    truths = read_photos(source, count)
    colorizer, networks = Colorizer(threads=1), FeatureNetworks(protocols.find_protocol("native").lpips_side)
    times: dict[str, float] = {}

    def step(name: str, call: Call) -> object:
        start = time.perf_counter()
        result = call()
        times[name] = times.get(name, 0.0) + time.perf_counter() - start
        return result

    prior = np.ones(262)
    for truth in truths:
        output = step("the model", lambda: colorizer(truth))  # noqa: B023
        images = [truth, truth, truth, output]
        rgb = torch.stack([torch.from_numpy(np.ascontiguousarray(image)) for image in images]).permute(0, 3, 1, 2) / 255
        for name, net in networks.classifiers.items():
            step(name, lambda: net(rgb))  # noqa: B023
        for name, net in networks.perceptual.items():
            step(name, lambda: net(torch.nn.functional.interpolate(rgb, scale_factor=0.25, mode="area")))  # noqa: B023
        planes = measure.to_float(truth)
        lab = rgb_to_lab(planes)
        rarity = 1 / prior[bin_indices(lab)]
        for _ in range(4):
            step("pixel metrics", lambda: measure.pixel_metrics(planes * 0.9, planes, lab, rarity))  # noqa: B023
    total = sum(times.values())
    print(f"\n| step, {count} photos, 4 rows | ms per photo | share |\n|---|---|---|")
    for name, seconds in sorted(times.items(), key=lambda item: -item[1]):
        print(f"| {name} | {seconds / count * 1000:.0f} | {seconds / total:.0%} |")
    print(f"| all, on one thread | {total / count * 1000:.0f} | {count / total:.1f} photos/s |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?")
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        compare(options.repeats)
        time_steps(options.source, options.photos)


if __name__ == "__main__":
    main()
