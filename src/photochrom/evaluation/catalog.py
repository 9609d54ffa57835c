"""The metrics that a report can show: one record each, with its direction."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric; a ``name`` that ends in ``*`` stands for one metric for each network."""

    name: str  # key in JSON and CSV
    better: Literal["higher", "lower", "truth"]  # truth: closer to the value of the ground truth
    label: str


METRICS = (
    Metric("mse", "lower", "mean squared error of sRGB"),
    Metric("psnr", "higher", "peak signal-to-noise ratio of sRGB, dB"),
    Metric("psnr-ab", "higher", "peak signal-to-noise ratio of a and b, dB"),
    Metric("ssim", "higher", "structural similarity"),
    Metric("mape", "lower", "mean absolute error relative to the true value"),
    Metric("ab-error", "lower", "mean distance in the ab plane, Lab units"),
    Metric("ab-error-to-gray", "lower", "ab error relative to the grayscale baseline (ab error / baseline)"),
    Metric("ciede2000", "lower", "CIEDE2000 color difference"),
    Metric("chroma", "truth", "mean chroma, Lab units"),
    Metric("colorfulness", "truth", "colorfulness (Hasler and Suesstrunk 2003)"),
    Metric("colorfulness-to-truth", "truth", "colorfulness, ratio to ground truth"),
    Metric("colorfulness-absolute", "truth", "colorfulness of absolute opponent planes"),
    Metric(
        "colorfulness-absolute-to-truth", "truth", "colorfulness of absolute opponent planes, ratio to ground truth"
    ),
    Metric("delta-colorfulness", "lower", "difference of mean colorfulness to ground truth"),
    Metric("delta-colorfulness-absolute", "lower", "difference of mean absolute colorfulness to ground truth"),
    Metric("auc", "higher", "area under the curve of ab errors"),
    Metric("auc-rebalanced", "higher", "area under the curve of ab errors, color bins weighted equally"),
    Metric("ab-overlap", "higher", "overlap of the color histograms of both sets"),
    Metric("lpips-*", "lower", "learned perceptual distance to ground truth"),
    Metric("class-agreement-*", "higher", "share of photos that get the class of the ground truth"),
    Metric("pd-*", "lower", "distance of features to those of the ground truth"),
    Metric("fid", "lower", "Frechet distance of Inception features between sets"),
    Metric("fd-*", "lower", "Frechet distance of features between sets"),
    Metric("kid", "lower", "kernel distance of Inception features between sets"),
    Metric("kd-*", "lower", "kernel distance of features between sets"),
    Metric("is", "higher", "Inception score"),
    Metric("is-*", "higher", "Inception score by another classifier"),
    Metric("bits-per-dim", "lower", "negative log-likelihood of the true coarse colors, bits per dimension"),
    Metric("diversity-*", "higher", "mean distance between the samples of a photo"),
    Metric("oracle-*", "lower", "lowest value among the samples of a photo, chosen by ground truth"),
)


def find_metric(name: str) -> Metric:
    """Return the record of a metric by its key, such as ``fd-vgg16``. Raises ValueError for an unknown key."""
    for metric in METRICS:
        prefix = metric.name.removesuffix("*")
        if name == metric.name or (prefix != metric.name and name.startswith(prefix)):
            return metric
    raise ValueError(f"unknown metric {name!r}: add a record with its direction to evaluation.catalog")
