"""Throughput for a folder of scans: one core, one process, worker processes, and a loop as in rembg.

    python benchmarks/folder.py [--jobs 2] [--rounds 3] [--only MEGAPIXELS ...]

Each command colorizes a folder of grayscale JPEGs and then a fifth of it, whose cost is subtracted: this removes the
start of the processes. Commands run alternately; the table has the medians of wall time and of processor time, in
photos per second and per second of a core. "One core" is one process that may use a single processor; without that
limit, one process runs the network and the merge in a thread for each. The loop has the same network: it opens a
photo with Pillow, runs ONNX Runtime with a thread for each processor, merges the colors in numpy by way of Lab, and
saves with Pillow, one photo after another.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from photo import write_scan

from photochrom._processes import available_processors

COUNTS = {0.065: 200, 1.1: 60, 12: 15}  # photos by their megapixels; 0.065 are about 256 px
PHOTOS, OUT = "PHOTOS", "OUT"  # the folders, in a command
ONE_CORE = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.execv(sys.argv[1], sys.argv[1:])
"""
LOOP = """
import sys
from pathlib import Path
import numpy as np
import onnxruntime
from PIL import Image
from photochrom.core import color
from photochrom.inference import bundle

model = bundle.load("default")
session = onnxruntime.InferenceSession(model.networks["colors"])
(name,) = [graph_input.name for graph_input in session.get_inputs()]

def to_lab(image):
    return color.rgb_to_lab(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)

for path in Path(sys.argv[1]).iterdir():
    image = Image.open(path).convert("RGB")
    scale = model.card.size / min(image.size)
    width, height = (round(side * scale / 32) * 32 for side in image.size)
    gray = to_lab(image.resize((width, height)))[:1] / 50 - 1
    (ab,) = session.run(None, {name: gray[None]})[0] * (110 * model.procedure.chroma)
    planes = [Image.fromarray(plane).resize(image.size, Image.Resampling.BICUBIC) for plane in ab]
    lab = np.stack([to_lab(image)[0], *map(np.asarray, planes)])
    pixels = np.rint(color.lab_to_rgb(lab).transpose(1, 2, 0) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(Path(sys.argv[2]) / path.name, quality=98, subsampling=0)
"""


def measure(command: list[str], photos: Path) -> tuple[float, float]:
    """Return wall seconds and processor seconds of a command that colorizes a folder into an empty one."""
    with tempfile.TemporaryDirectory() as out:
        before = os.times()
        paths = {PHOTOS: str(photos), OUT: out}
        subprocess.run([paths.get(part, part) for part in command], check=True, capture_output=True)
        after = os.times()
        assert len(list(Path(out).iterdir())) == len(list(photos.iterdir()))
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return after.elapsed - before.elapsed, cpu


def write_photos(folder: Path, megapixels: float, count: int) -> None:
    folder.mkdir()
    write_scan(folder / "0.jpg", megapixels, 1, 1)
    for number in range(1, count):
        shutil.copy(folder / "0.jpg", folder / f"{number}.jpg")


def rows(megapixels: float, count: int, commands: dict[str, list[str]], rounds: int) -> Iterable[str]:
    """Yield a row of the table for each command."""
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    few = max(1, count // 5)
    with tempfile.TemporaryDirectory() as folder:
        many_photos, few_photos = Path(folder) / "many", Path(folder) / "few"
        write_photos(many_photos, megapixels, count)
        write_photos(few_photos, megapixels, few)
        for _ in range(rounds):
            for name, command in commands.items():
                (wall, cpu), (few_wall, few_cpu) = measure(command, many_photos), measure(command, few_photos)
                costs[name].append((wall - few_wall, cpu - few_cpu))
    rates = {}
    for name, pairs in costs.items():
        wall, cpu = (median(column) for column in zip(*pairs, strict=True))
        rates[name] = (count - few) / wall, (count - few) / cpu
    first = next(iter(rates.values()))[0]
    for name, (rate, core_rate) in rates.items():
        yield f"| {megapixels:g} | {name} | {rate:.3g} | {core_rate:.3g} | {rate / first:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=available_processors())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=float, nargs="+", default=list(COUNTS), choices=list(COUNTS))
    parser.add_argument("--quick", action="store_true", help="few photos: the figures mean nothing")
    options = parser.parse_args()
    colorize = [sys.executable, "-m", "photochrom", "colorize", PHOTOS, "-o", OUT, "--jobs"]
    commands = {
        "one core": [sys.executable, "-c", ONE_CORE, *colorize, "1"],
        "one process": [*colorize, "1"],
        f"{options.jobs} workers": [*colorize, str(options.jobs)],
        "loop as in rembg": [sys.executable, "-c", LOOP, PHOTOS, OUT],
    }
    print(f"{available_processors()} processors\n")
    print("| megapixels | command | photos/s | photos per core and second | relative to one core |")
    print("| --- | --- | --- | --- | --- |")
    for megapixels in options.only:
        count = 5 if options.quick else COUNTS[megapixels]
        for row in rows(megapixels, count, commands, 1 if options.quick else options.rounds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
