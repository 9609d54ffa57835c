"""How far a coloured photograph is from the truth, and a set of them from another: pure functions.

A photograph is sRGB (3, h, w) in [0, 1]; ``lab`` is its `core.color.rgb_to_lab`. What each figure tells, and when it
misleads, is in ``docs/metrics.md``.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.linalg import svdvals

RGB = Float[np.ndarray, "3 h w"]
Lab = Float[np.ndarray, "3 h w"]
Features = Float[np.ndarray, "n d"]

PSNR_LIMIT = 100.0  # dB given to equal pictures, where it is infinite, so that means stay finite
PEAK_AB = 255.0  # the range that 8-bit Lab gives to a and to b
FARTHEST = 150  # Lab units at which the curve of `auc` ends
SIGMA, RADIUS = 1.5, 5  # of the window of `ssim`
SMALLEST = 2 * RADIUS + 1  # pixels a side that hold one
BLOCK = 64  # columns whose windows are taken at once
BELL = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
SHIFTS = [np.eye(BLOCK + 2 * RADIUS, BLOCK, -k) for k in range(2 * RADIUS + 1)]
BAND = np.tensordot(BELL / BELL.sum(), SHIFTS, 1).astype(np.float32)  # column k holds the window of output k
ROWS = 1000  # of one set that `kernel` sets against all of the other at once
TINY = 1.17e-6  # the least that `mape` divides by
SPLITS = 10  # parts of a set whose Inception scores are averaged


def mse(rgb: RGB, truth: RGB) -> float:
    """Mean squared error over the three channels."""
    return float(np.mean(np.square(rgb - truth, dtype=np.float64)))


def _decibels(error: float) -> float:
    return PSNR_LIMIT if error <= 0 else min(PSNR_LIMIT, -10 * math.log10(error))


def psnr(rgb: RGB, truth: RGB) -> float:
    """Peak signal-to-noise ratio over the three channels, in decibels, at most `PSNR_LIMIT`."""
    return _decibels(mse(rgb, truth))


def psnr_ab(lab: Lab, truth: Lab) -> float:
    """Peak signal-to-noise ratio over a and b, whose peak is `PEAK_AB`, in decibels, at most `PSNR_LIMIT`."""
    return _decibels(mse(lab[1:], truth[1:]) / PEAK_AB**2)


def mape(rgb: RGB, truth: RGB) -> float:
    """Mean absolute error over the true value, as a ratio: dark pixels, divided by nearly nothing, decide it."""
    return float(np.mean(np.abs(rgb - truth) / np.maximum(np.abs(truth), TINY), dtype=np.float64))


def ssim(rgb: RGB, truth: RGB) -> float:
    """Structural similarity (Wang et al. 2004), Gaussian window of 11 and 1.5, mean over channels and whole windows.

    Raises ValueError for a side under 11 pixels, which holds no whole window.
    """
    if min(rgb.shape[1:]) < SMALLEST:
        raise ValueError(f"{rgb.shape[2]} x {rgb.shape[1]} pixels: SSIM needs {SMALLEST} a side")

    mean, true_mean, square, true_square, product = _windows(
        np.stack([rgb, truth, rgb * rgb, truth * truth, rgb * truth])
    )
    spread, true_spread, shared = square - mean**2, true_square - true_mean**2, product - mean * true_mean
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean * true_mean + c1) * (2 * shared + c2)
    return float(np.mean(top / ((mean**2 + true_mean**2 + c1) * (spread + true_spread + c2)), dtype=np.float64))


def _windows(x: Float[np.ndarray, "*b h w"]) -> Float[np.ndarray, "*b h-10 w-10"]:
    """Gaussian means of all whole windows, by banded matrices: three times as fast as a filter."""
    for _ in range(2):
        starts = range(0, x.shape[-1] - 2 * RADIUS, BLOCK)
        parts = (x[..., start : start + BLOCK + 2 * RADIUS] for start in starts)
        x = np.concatenate([part @ BAND[: part.shape[-1], : part.shape[-1] - 2 * RADIUS] for part in parts], -1)
        x = x.swapaxes(-1, -2)
    return x


def ab_distance(lab: Lab, truth: Lab) -> Float[np.ndarray, "h w"]:
    """Distance in the ab plane at each pixel, Lab units; of a gray picture it is the truth's chroma."""
    return np.hypot(*(lab - truth)[1:])


def auc(distance: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Each pixel's share in the area under the curve of errors (Zhang et al. 2016): 1 for none, 0 from `FARTHEST` on.

    The curve is the share of pixels no farther than 0, 1, ... `FARTHEST` Lab units from the truth, the area its mean.
    """
    return np.clip(FARTHEST + 1 - np.ceil(distance), 0, None) / (FARTHEST + 1)


def overlap(ours: Float[np.ndarray, "bins"], theirs: Float[np.ndarray, "bins"]) -> float:
    """Intersection of two histograms that each sum to 1: 1 for equal ones."""
    return float(np.minimum(ours, theirs).sum())


def frechet(ours: Features, theirs: Features) -> float:
    """Frechet distance between Gaussians fitted to two sets of features (Dowson & Landau 1982; Heusel et al. 2017).

    The trace of the root of the product of covariances is the sum of the singular values of R S', where R and S are the
    triangles of the centred sets: no root of a matrix is taken, and nothing turns complex. float64 throughout.
    """
    x, y = (np.asarray(f, np.float64) for f in (ours, theirs))
    apart = np.square(x.mean(0) - y.mean(0)).sum()
    r, s = (_triangle((f - f.mean(0)) / math.sqrt(len(f) - 1)) for f in (x, y))
    shared = svdvals(r @ s.T).sum()
    return float(max(0.0, apart + np.square(r).sum() + np.square(s).sum() - 2 * shared))


def _triangle(x: np.ndarray) -> np.ndarray:
    """R of x = Q R, as small as it can be."""
    r: np.ndarray = np.linalg.qr(x, mode="r")  # type: ignore[assignment]
    return r


def kernel(ours: Features, theirs: Features, paired: bool = False) -> float:
    """Kernel distance (Binkowski et al. 2018): squared MMD under (x.y / d + 1)^3, unbiased, over the whole sets.

    Of ``paired`` sets, where row k of one is made from row k of the other, those pairs are left out of what lies
    between the sets, as each row with itself is left out within them (Gretton et al. 2012, lemma 6).
    """
    x, y = (np.asarray(f, np.float64) for f in (ours, theirs))

    def total(a: np.ndarray, b: np.ndarray) -> float:  # in blocks: of 50,000 photographs the whole would be 20 GB
        return sum(float(_alike(a[i : i + ROWS] @ b.T, wide).sum()) for i in range(0, len(a), ROWS))

    def within(a: np.ndarray, b: np.ndarray) -> float:
        own = float(_alike((a * b).sum(1), wide).sum())
        return (total(a, b) - own) / (len(a) * (len(a) - 1))

    wide = x.shape[1]
    between = within(x, y) if paired else total(x, y) / (len(x) * len(y))
    return within(x, x) + within(y, y) - 2 * between


def _alike(products: np.ndarray, wide: int) -> np.ndarray:
    """The polynomial kernel of inner products."""
    made: np.ndarray = (products / wide + 1) ** 3
    return made


def inception_score(probabilities: Float[np.ndarray, "n classes"]) -> float:
    """exp of the mean divergence of each photograph's classes from those of all (Salimans et al. 2016).

    The mean over `SPLITS` parts of the set, shuffled by a fixed seed since neighbours in a folder are often of a kind,
    or over as many as it has photographs.
    """
    shuffled = np.random.default_rng(0).permutation(np.asarray(probabilities, np.float64).clip(1e-16, 1))
    parts = np.array_split(shuffled, min(SPLITS, len(probabilities)))
    divergence = ((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean() for p in parts)
    return float(np.mean([math.exp(d) for d in divergence]))
