"""Plot seconds per image over coarse pixels, with fitted power laws, from `benchmarks/autoregression.py`.

python benchmarks/autoregression.py --json times.json ...
python docs/pictures/autoregression.py times.json
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "photochrom"  # for reproducible files
import numpy as np  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402


def main(source: Path, target: Path) -> None:
    """Write the plot of the results of the benchmark."""
    figure, panel = plt.subplots(figsize=(6.4, 4), layout="constrained")
    results = json.loads(source.read_text())
    for name, by_side in results.items():
        pixels = np.array([int(side) ** 2 for side in by_side])
        seconds = np.array(list(by_side.values()))
        power, shift = np.polyfit(np.log(pixels), np.log(seconds), 1)
        (line,) = panel.plot(pixels, seconds, "o", ms=4)
        panel.plot(pixels, np.exp(shift) * pixels**power, color=line.get_color(), lw=1, label=f"{name}: {power:.2f}")
    panel.set(xscale="log", yscale="log", xlabel="coarse pixels", ylabel="seconds per image")
    sides = [int(side) for side in next(iter(results.values()))]
    panel.set_xticks([side**2 for side in sides], [f"{side} x {side}" for side in sides])
    panel.minorticks_off()
    panel.legend(title="exponent of the pixels", fontsize=8, title_fontsize=8)
    panel.grid(alpha=0.2)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_suffix(".svg"))
