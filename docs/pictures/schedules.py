"""Plot noise schedules of diffusion, and what remains of the image at the end of a shortened one.

python docs/pictures/schedules.py
"""

from pathlib import Path

import numpy as np
from losses import plt

from photochrom.core.sampling.diffusion import cosine_schedule, linear_schedule

PALETTE = (1e-4, 0.09)  # betas of its inference
SCHEDULES = {
    "linear, 1,000 levels (Ho et al. 2020)": linear_schedule(1000, 1e-4, 0.02),
    "cosine, 1,000 levels (Nichol and Dhariwal 2021)": cosine_schedule(1000),
    "Palette, training, 2,000 levels": linear_schedule(2000, 1e-6, 0.01),
    "Palette, inference, 1,000 levels": linear_schedule(1000, *PALETTE),
}
STEPS = (10, 20, 50, 100, 200, 500, 1000)


def main(target: Path) -> None:
    """Write the plot."""
    figure, (levels, ends) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for name, schedule in SCHEDULES.items():
        levels.plot(np.linspace(0, 1, len(schedule)), np.sqrt(schedule), label=name)
    levels.set(xlabel="t / T", title="share of the image, square root of gamma")
    levels.legend(fontsize=7)
    shortened = [linear_schedule(steps, *PALETTE)[-1] ** 0.5 for steps in STEPS]
    respaced = [linear_schedule(1000, *PALETTE)[-1] ** 0.5] * len(STEPS)
    ends.plot(STEPS, shortened, "o-", ms=4, label="the same betas in fewer steps")
    ends.plot(STEPS, respaced, "o-", ms=4, label="the same gammas, fewer of them")
    ends.set(xlabel="steps", xscale="log", yscale="log", title="the same at the end, Palette's inference")
    ends.legend(fontsize=7)
    for panel in (levels, ends):
        panel.grid(alpha=0.2)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".svg"))
