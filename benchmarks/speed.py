"""Speed and memory of Photochrom, compared with other software on the same machine.

    python benchmarks/speed.py [--model NAME|PATH] [--recipe PATH] [--quick]

Prints a markdown table; `benchmarks/README.md` explains its rows. The two sides of a row are measured alternately
(A, B, A, B, ...) and their medians compared, so that other load on the machine affects both. Networks use all
processors, or OMP_NUM_THREADS threads. `--quick` only shows that the benchmark runs: small sizes, few repeats.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

RECIPE = Path(__file__).parent.parent / "recipes" / "unet.toml"
T = TypeVar("T")
HEAD = ("measured", "Photochrom", "compared with", "ratio", "goal")

# Starts a command from a process smaller than any it measures: Linux counts what a child inherits as its own peak.
LAUNCH = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(child.pid, 0)
peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)
print(json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - start, peak]))
"""
# Direct use of libvips: decode, convert to Lab and back, encode as Photochrom does.
LAB = """
import sys, pyvips
image = pyvips.Image.new_from_file(sys.argv[1], access="sequential").colourspace("lab").colourspace("srgb")
image.write_to_file(sys.argv[2], Q=int(sys.argv[3]), subsample_mode=sys.argv[4])
"""
SESSION = """
import sys
from photochrom.inference.colorizer import Colorizer
Colorizer(sys.argv[1])
"""
# The first inference of a new process, which is slower than the next ones: a command for one photo has no other.
FIRST_INFERENCE = """
import sys, time
from photochrom.inference.colorizer import Colorizer
from photochrom.imaging.photo import open_photo
colorizer = Colorizer(sys.argv[1])
gray = colorizer.prepare(open_photo(sys.argv[2])).gray
start = time.perf_counter()
colorizer.predict([gray])
print(time.perf_counter() - start)
"""
LARGE_PHOTO = """
import sys, pyvips, skimage
from pathlib import Path
width, height, scale = map(int, sys.argv[2:5])
image = pyvips.Image.new_from_file(str(Path(skimage.__file__).parent / "data" / "astronaut.png"))[:3]
image = image.resize(scale, kernel="cubic")
across, down = -(-width // image.width), -(-height // image.height)
image.replicate(across, down).crop(0, 0, width, height).jpegsave(sys.argv[1], Q=92)
"""
FOLDER = """
import sys, pyvips, skimage
from pathlib import Path
folder, count = Path(sys.argv[1]), int(sys.argv[2])
paths = [Path(skimage.__file__).parent / "data" / name for name in ("astronaut.png", "chelsea.png", "coffee.png")]
images = [pyvips.Image.new_from_file(str(path))[:3] for path in paths]
for i in range(count):
    image = images[i % 3]
    left, top = i * 37 % (image.width - 256), i * 23 % (image.height - 256)
    image.crop(left, top, 256, 256).jpegsave(str(folder / f"{i:04d}.jpg"), Q=92)
"""


@dataclass(frozen=True)
class Plan:
    """What is measured: sizes (width, height) in pixels, and the repeats for files and networks."""

    sizes: Mapping[str, tuple[int, int]]
    repeats: Mapping[str, int]
    folder: int
    networks: int


FULL = Plan({"12": (4000, 3000), "100": (11548, 8660)}, {"12": 7, "100": 3}, folder=200, networks=9)
QUICK = Plan({"0.5": (816, 612)}, {"0.5": 1}, folder=8, networks=1)


@dataclass(frozen=True)
class Cost:
    """Wall seconds and peak resident memory in MB of a process."""

    seconds: float
    memory: float


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def photochrom(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "photochrom", *map(str, arguments)]


def cost(command: list[str]) -> Cost:
    launched = [sys.executable, "-I", "-S", "-c", LAUNCH, *command]
    process = subprocess.run(launched, capture_output=True, text=True, check=True)
    code, seconds, memory = json.loads(process.stdout)
    if code:
        raise SystemExit(f"{' '.join(command[:4])} ... failed:\n{process.stderr}")
    return Cost(seconds, memory)


def alternate(repeats: int, calls: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Return the results of each call, called alternately."""
    results: dict[str, list[T]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            results[name].append(call())
    return results


def costs_of(repeats: int, commands: Mapping[str, list[str]]) -> dict[str, Cost]:
    """Return the median time and the largest memory of each command, run alternately."""
    results = alternate(repeats, {name: partial(cost, command) for name, command in commands.items()})
    summary = {}
    for name, costs in results.items():
        seconds = median(one.seconds for one in costs)
        summary[name] = Cost(seconds, max(one.memory for one in costs))
    return summary


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def start_rows(model: str, repeats: int) -> None:
    """Print the cost of a command before it opens a photo."""
    commands = {"bare": python("pass"), "version": photochrom("--version"), "session": python(SESSION, model)}
    costs = costs_of(repeats, commands | {"vips": python("import pyvips")})
    bare, version = costs["bare"].seconds, costs["version"].seconds
    difference = f"+{version - bare:.2f} s"
    row("start: `--version`", f"{version:.2f} s", f"bare Python {bare:.2f} s", difference, "at most +0.3 s")
    session, vips = costs["session"], costs["vips"]
    ratio = f"{session.seconds / vips.seconds:.1f} x"
    row("start: package and model", wall(session), f"`import pyvips` {wall(vips)}", ratio, "")


def wall(cost: Cost) -> str:
    return f"{cost.seconds:.2f} s, {cost.memory:.0f} MB"


def photo_rows(model: str, plan: Plan, megapixels: str, folder: Path) -> None:
    """Print the cost of one large JPEG, from the start of the process to the written file."""
    from photochrom.imaging.formats import WRITABLE

    photo, out = folder / f"{megapixels}.jpg", folder / "out"
    width, height = plan.sizes[megapixels]
    cost(python(LARGE_PHOTO, photo, width, height, 4))
    saver = WRITABLE[".jpg"].saver
    commands = {
        "ours": [*photochrom("colorize", photo, "--model", model), "-o", str(out), "--overwrite"],
        "vips": python(LAB, photo, folder / "lab.jpg", saver["Q"], saver["subsample_mode"]),
        "session": python(SESSION, model),
        "import": python("import pyvips"),
    }
    costs = costs_of(plan.repeats[megapixels], commands)
    first = median(first_inference(model, photo) for _ in range(min(3, plan.repeats[megapixels])))
    ours, vips = costs["ours"], costs["vips"]
    name, limit = f"{megapixels} MP JPEG", {"12": "under 250 MB", "100": "under 350 MB"}.get(megapixels, "")
    row(f"{name}: first inference", f"{first:.3f} s", "", "", "")
    row(f"{name}: start to file", f"{ours.seconds:.2f} s", f"{vips.seconds:.2f} s", times(ours, vips), "")
    work = Cost(ours.seconds - costs["session"].seconds - first, 0)
    peer = Cost(vips.seconds - costs["import"].seconds, 0)
    label = f"{name}: the same, without start and inference"
    row(label, f"{work.seconds:.2f} s", f"{peer.seconds:.2f} s", times(work, peer), "at most 1.0 x")
    ratio = f"{ours.memory / vips.memory:.1f} x"
    row(f"{name}: peak memory", f"{ours.memory:.0f} MB", f"{vips.memory:.0f} MB", ratio, limit)


def first_inference(model: str, photo: Path) -> float:
    process = subprocess.run(python(FIRST_INFERENCE, model, photo), stdout=subprocess.PIPE, text=True, check=True)
    return float(process.stdout)


def times(ours: Cost, other: Cost) -> str:
    return f"{ours.seconds / other.seconds:.2f} x"


def folder_row(model: str, plan: Plan, folder: Path) -> None:
    """Print the throughput for a folder of 256 px photos, without the start of the process."""
    photos = folder / "photos"
    photos.mkdir()
    cost(python(FOLDER, photos, plan.folder))
    call = photochrom("colorize", photos, "--model", model, "--overwrite", "--jobs")
    costs = costs_of(1 if plan is QUICK else 3, {"1": [*call, "1"], "2": [*call, "2"], "0": python(SESSION, model)})
    one, two = (plan.folder / (costs[jobs].seconds - costs["0"].seconds) for jobs in ("1", "2"))
    name = f"folder of {plan.folder} photos of 256 px"
    row(name, f"{two:.1f} photos/s with 2 jobs", f"{one:.1f} photos/s with 1 job", f"{two / one:.2f} x", "")


def main() -> None:
    from photochrom._processes import available_processors

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default", help="name of an installed bundle, or its path")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="recipe of the model that is trained")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats: the figures mean nothing")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    threads = int(os.environ.get("OMP_NUM_THREADS", 0)) or available_processors()
    print(f"{platform.machine()}, {os.cpu_count()} processors, {threads} threads for networks, Python", end=" ")
    print(f"{platform.python_version()}{'; --quick: the figures mean nothing' if options.quick else ''}\n")
    row(*HEAD)
    row(*["---"] * len(HEAD))
    with tempfile.TemporaryDirectory(prefix="photochrom-speed-") as folder:
        start_rows(options.model, 1 if options.quick else 7)
        for megapixels in plan.sizes:
            photo_rows(options.model, plan, megapixels, Path(folder))
        folder_row(options.model, plan, Path(folder))
    from networks import latency_rows, training_row  # imported last, because torch keeps threads

    latency_rows(options.model, threads, plan.networks, alternate, row)
    training_row(options.recipe, threads, plan.networks, alternate, row)


if __name__ == "__main__":
    main()
