"""Time and memory to merge colors into a photo, compared with libvips converting it to Lab and back.

    python benchmarks/photo.py [--megapixels 12] [--rounds 5] [--orientation 1]

Both read the same JPEG and write one of the same quality, alternately, each in a process of its own; the ratio is that
of the best runs. "Merge" counts from the opened photo and its colors to the written file. "All" counts from opening the
photo on, with the pass over it that reads the gray for a model, which libvips' conversion does not need. Memory is the
peak of the process. No model is run.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

IMPORTS = """
import resource, sys, time, numpy as np, pyvips
from photochrom.imaging.photo import Colorized, Provenance, open_photo

def clock():
    return np.array([time.perf_counter(), time.process_time()])
"""
OURS = f"""{IMPORTS}
y, x = np.mgrid[-1:1:256j, -1:1:352j].astype(np.float32)
start = clock()
photo = open_photo(sys.argv[1])
gray = photo.gray(256)
merge = clock()
Colorized(photo, np.stack([x, y]) * np.float32(0.3), Provenance("none", "0", 0)).save(sys.argv[2])
"""
THEIRS = f"""{IMPORTS}
start = merge = clock()
image = pyvips.Image.new_from_file(sys.argv[1], access="sequential")
image.colourspace("lab").colourspace("srgb").jpegsave(sys.argv[2], Q=95, subsample_mode="off")
"""
END = """
end = clock()
print(*end - merge, *end - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(code: str, source: Path, target: Path) -> list[float]:
    """Return wall and processor seconds of the merge and of all, and the peak MiB, of a process."""
    target.unlink(missing_ok=True)
    command = [sys.executable, "-c", code + END, str(source), str(target)]
    return list(map(float, subprocess.run(command, check=True, capture_output=True).stdout.split()))


def write_scan(path: Path, megapixels: float, bands: int, orientation: int) -> None:
    """Write a JPEG of noise, aspect ratio 4:3."""
    import pyvips

    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    noise = pyvips.Image.perlin(width, width * 3 // 4, cell_size=200, seed=1).linear(90, 128)
    image = (noise + pyvips.Image.gaussnoise(width, width * 3 // 4, sigma=3, seed=2)).cast("uchar")
    image = image if bands == 1 else image.bandjoin([image.gaussblur(2), image.linear(0.8, 10).cast("uchar")])
    image = image.copy(interpretation="b-w" if bands == 1 else "srgb")
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.jpegsave(str(path), Q=92)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--orientation", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "scan.jpg", Path(folder) / "out.jpg"
        for bands, name in ((1, "gray"), (3, "color")):
            write_scan(source, options.megapixels, bands, options.orientation)
            runs = {code: [] for code in (OURS, THEIRS)}
            for _ in range(options.rounds):
                for code, rows in runs.items():
                    rows.append(measure(code, source, target))
            ours, theirs = np.min(list(runs.values()), axis=1)  # the best round of each
            wall, cpu, all_wall, all_cpu, _ = ours / theirs
            print(
                f"{name} {options.megapixels:g} MP: merge {wall:.2f} of libvips' wall time, {cpu:.2f} of its CPU time; "
                f"all {all_wall:.2f} and {all_cpu:.2f}; {ours[0]:.2f} s and {ours[2]:.2f} s; "
                f"peak {ours[4]:.0f} MiB and {theirs[4]:.0f}"
            )


if __name__ == "__main__":
    main()
