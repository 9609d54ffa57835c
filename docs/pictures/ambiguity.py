"""Plot the colors that the model classify holds likely at one pixel of three photos of scikit-image.

python docs/pictures/ambiguity.py
"""

from pathlib import Path

import numpy as np
import skimage.data
from losses import plt
from make import to_grayscale

from photochrom import Colorizer
from photochrom.core.color import ab_bins, lab_to_rgb, rgb_to_lab
from photochrom.imaging.photo import open_photo

BINS = np.array(ab_bins())
PLACES = {  # name of the photo, row and column of the pixel as shares of its sides
    "evening sky behind a rocket": ("rocket", 0.46, 0.04),
    "red table": ("coffee", 0.56, 0.18),
    "orange space suit": ("astronaut", 0.84, 0.26),
}
TEMPERATURE = 0.38
AROUND = 4  # pixels on each side of a place whose mean is its true color
LEAST = 0.004  # probability of a bin that is plotted


def likelihoods(colorizer: Colorizer, gray: np.ndarray, row: float, column: float) -> np.ndarray:
    """Return the logits of all bins at one place of a photo."""
    prepared = colorizer.prepare(open_photo(gray))
    (logits,) = colorizer.nets["logits"](gray=prepared.gray[None])
    _, height, width = logits.shape
    return logits[:, int(row * height), int(column * width)]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def main(target: Path) -> None:
    """Write the plot."""
    colorizer = Colorizer("classify")
    figure, panels = plt.subplots(1, len(PLACES), figsize=(10, 3.7), layout="constrained", sharex=True, sharey=True)
    for panel, (title, (name, row, column)) in zip(panels, PLACES.items(), strict=True):
        photo = getattr(skimage.data, name)()
        height, width, _ = photo.shape
        logits = likelihoods(colorizer, to_grayscale(photo), row, column)
        shares = softmax(logits)
        y, x = int(row * height), int(column * width)
        square = photo[y - AROUND : y + AROUND + 1, x - AROUND : x + AROUND + 1] / 255
        truth = rgb_to_lab(np.moveaxis(square, -1, 0))[1:].mean((1, 2))
        shown = BINS[shares > LEAST].T
        colors = lab_to_rgb(np.stack([np.full(shown.shape[1], 65.0), *shown])[:, None])[:, 0].T
        panel.scatter(*shown, s=1500 * shares[shares > LEAST], c=colors, edgecolors="#888", linewidths=0.3)
        marks = {
            "mean": (shares @ BINS, "X", "black"),
            f"annealed mean, T = {TEMPERATURE}": (softmax(logits / TEMPERATURE) @ BINS, "^", "black"),
            "ground truth": (truth, "*", "white"),
            "gray": (np.zeros(2), "+", "black"),
        }
        for label, ((a, b), marker, face) in marks.items():
            panel.scatter(a, b, marker=marker, s=90, c=face, edgecolors="black" if marker != "+" else None, label=label)
        panel.set(title=title, xlabel="a (green to red)", xlim=(-50, 75), ylim=(-70, 70))
        panel.grid(alpha=0.2)
    panels[0].set_ylabel("b (blue to yellow)")
    panels[-1].legend(fontsize=7, loc="lower right")
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
