"""Compare speed with the ratios in `ratios.toml`: how many times as fast as something else on the same machine.

    python benchmarks/ratios.py [--only NAME ...] [--update]

Both sides run alternately on one thread, and the best round of each counts, so the speed of the machine and other work
on it hardly matter. The exit code is 1 if a ratio is lower than the stored one by more than its tolerance. `--update`
stores what is measured. It takes 45 s of one core.
"""

import argparse
import datetime
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
STORE = Path(__file__).with_suffix(".toml")
THREADS = 1

Pair = tuple[Callable[[], float], Callable[[], float]]  # seconds of ours, and of what it is compared with


@contextmanager
def network() -> Iterator[Pair]:
    """Yield the default model, and the network of Zhang et al. 2016 in torch: one photo of 256 px."""
    import numpy as np
    import torch
    from networks import forward_pass, timed
    from peers import eccv16

    from photochrom import Colorizer

    torch.set_num_threads(THREADS)
    colorizer = Colorizer(threads=THREADS)
    gray = np.random.default_rng(0).uniform(-1, 1, (1, 256, 256)).astype(np.float32)
    yield lambda: timed(lambda: colorizer.predict([gray])), forward_pass(eccv16(), torch.channels_last)


@contextmanager
def merge() -> Iterator[Pair]:
    """Yield the merge of colors into a photo of 6 megapixels, and libvips' way to Lab and back: processor time."""
    from photo import OURS, THEIRS, measure, write_scan

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "scan.jpg"), Path(folder, "out.jpg")
        write_scan(source, 6, 1, 1)
        yield lambda: measure(OURS, source, target)[1], lambda: measure(THEIRS, source, target)[1]


@contextmanager
def folder() -> Iterator[Pair]:
    """Yield a folder of photos of 1.1 megapixels by the command, and by a loop as in rembg: processor time."""
    from folder import LOOP, OUT, PHOTOS, measure, write_photos

    command = [sys.executable, "-m", "photochrom", "colorize", PHOTOS, "-o", OUT, "--jobs", "1"]
    loop = [sys.executable, "-c", LOOP, PHOTOS, OUT]
    with tempfile.TemporaryDirectory() as place:
        many, one = Path(place, "many"), Path(place, "one")
        write_photos(many, 1.1, 11)
        write_photos(one, 1.1, 1)

        def seconds(command: list[str]) -> float:
            return measure(command, many)[1] - measure(command, one)[1]  # without the start of the process

        yield lambda: seconds(command), lambda: seconds(loop)


@contextmanager
def solver() -> Iterator[Pair]:
    """Yield 10 steps of dpm-solver, and 100 steps of ancestral sampling, with the same diffusion model."""
    import numpy as np
    from timing import timed

    from photochrom import Colorizer

    colorizer = Colorizer(ROOT / "photochrom-models" / "src" / "photochrom_models" / "ddpm.zip", threads=THREADS)
    fast, slow = (colorizer.with_sampler(solver=name, steps=n) for name, n in (("dpm-solver", 10), ("ancestral", 100)))
    gray = np.random.default_rng(0).uniform(-1, 1, (1, 96, 96)).astype(np.float32)
    yield lambda: timed(lambda: fast.predict([gray])), lambda: timed(lambda: slow.predict([gray]))


@contextmanager
def ssim() -> Iterator[Pair]:
    """Yield the structural similarity of two images of 256 x 340 pixels, and that of torchmetrics."""
    import torch
    from metrics import OURS, TRUTH, torch_ssim
    from timing import timed

    from photochrom.evaluation import metrics

    torch.set_num_threads(THREADS)
    yield lambda: timed(lambda: metrics.ssim(OURS, TRUTH)), lambda: timed(torch_ssim)


MEASURES: dict[str, tuple[Callable[[], object], int]] = {  # and the rounds
    "network": (network, 5),
    "merge": (merge, 4),
    "folder": (folder, 2),
    "solver": (solver, 3),
    "ssim": (ssim, 9),
}


def measure_ratio(pair: Pair, rounds: int) -> float:
    """Return their seconds divided by ours, of the best rounds, after one that does not count."""
    ours, theirs = zip(*[(pair[0](), pair[1]()) for _ in range(rounds + 1)], strict=True)
    return min(theirs[1:]) / min(ours[1:])


def read_stored() -> dict[str, dict[str, object]]:
    """Return the stored ratios by name."""
    return tomllib.loads(STORE.read_text(encoding="utf-8"))


def is_regression(ratio: float, stored: dict[str, object]) -> bool:
    """Tell whether a ratio is lower than the stored one by more than its tolerance, a factor."""
    return ratio * float(stored["tolerance"]) < float(stored["ratio"])


def store(name: str, ratio: float) -> None:
    """Write a ratio and the date into the file, and leave the rest of it as it is."""
    text = STORE.read_text(encoding="utf-8")
    head, table, rest = re.split(rf"(?<=\n)(\[{name}\]\n(?:.+\n)+)", text)
    table = re.sub(r"ratio = .*", f"ratio = {ratio:.3g}", table, count=1)
    table = re.sub(r"measured = .*", f"measured = {datetime.datetime.now(datetime.UTC).date()}", table)
    STORE.write_text(head + table + rest, encoding="utf-8")


def main() -> int:
    """Print the ratios as a table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(MEASURES), choices=list(MEASURES))
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(THREADS)  # of the processes that are started
    stored = read_stored()
    regressions = 0
    print("| name | what is compared | times as fast | stored | lowest that passes | |\n|---|---|---|---|---|---|")
    for name in options.only:
        build, rounds = MEASURES[name]
        with build() as pair:
            ratio = measure_ratio(pair, rounds)
        if options.update:
            store(name, ratio)
        entry = stored[name]
        lowest = entry["ratio"] / entry["tolerance"]
        failed = is_regression(ratio, entry)
        regressions += failed
        verdict = "slower" if failed else "ok"
        what = f"{entry['ours']} / {entry['theirs']}"
        print(f"| {name} | {what} | {ratio:.3g} | {entry['ratio']} | {lowest:.3g} | {verdict} |", flush=True)
    return 1 if regressions and not options.update else 0


if __name__ == "__main__":
    sys.exit(main())
