"""How fast Photochrom is and how little memory it takes, each time beside something else on the same machine.

    python benchmarks/speed.py [--model NAME|PATH] [--recipe PATH] [--quick]

Prints a markdown table; `benchmarks/README.md` says what each row means. The two sides of a row are measured in turn
(A, B, A, B, ...) and their medians compared, so that what else the machine does touches both. Threads are those of
the machine, or OMP_NUM_THREADS. `--quick` only shows that the benchmark runs: small sizes, few repeats.
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
from pathlib import Path
from statistics import median
from typing import TypeVar

RECIPE = Path(__file__).parent.parent / "recipes" / "unet.toml"
T = TypeVar("T")
HEAD = ("measured", "Photochrom", "beside it", "ratio", "aim")

# Starts a command from a process smaller than any it measures: Linux counts what a child inherits as its own peak.
LAUNCH = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(child.pid, 0)
peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)
print(json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - start, peak]))
"""
# The straightforward way: decode, to Lab and back, encode as Photochrom does.
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
# The first pass of a fresh process, which is the one that a command for one photograph pays.
PASS = """
import sys, time
from photochrom.inference.colorizer import Colorizer
from photochrom.imaging.photo import open_photo
colorizer = Colorizer(sys.argv[1])
gray = colorizer.prepare(open_photo(sys.argv[2])).gray
start = time.perf_counter()
colorizer.predict([gray])
print(time.perf_counter() - start)
"""
PHOTOGRAPH = """
import sys, pyvips, skimage
from pathlib import Path
width, height, scale = map(int, sys.argv[2:5])
picture = pyvips.Image.new_from_file(str(Path(skimage.__file__).parent / "data" / "astronaut.png"))[:3]
picture = picture.resize(scale, kernel="cubic")
across, down = -(-width // picture.width), -(-height // picture.height)
picture.replicate(across, down).crop(0, 0, width, height).jpegsave(sys.argv[1], Q=92)
"""
ALBUM = """
import sys, pyvips, skimage
from pathlib import Path
folder, count = Path(sys.argv[1]), int(sys.argv[2])
places = [Path(skimage.__file__).parent / "data" / name for name in ("astronaut.png", "chelsea.png", "coffee.png")]
pictures = [pyvips.Image.new_from_file(str(place))[:3] for place in places]
for i in range(count):
    picture = pictures[i % 3]
    left, top = i * 37 % (picture.width - 256), i * 23 % (picture.height - 256)
    picture.crop(left, top, 256, 256).jpegsave(str(folder / f"{i:04d}.jpg"), Q=92)
"""


@dataclass(frozen=True)
class Plan:
    """How much is measured: sizes (width, height) in pixels, and how often (files, networks)."""

    sizes: Mapping[str, tuple[int, int]]
    repeats: Mapping[str, int]
    album: int
    networks: int


FULL = Plan({"12": (4000, 3000), "100": (11548, 8660)}, {"12": 7, "100": 3}, album=200, networks=9)
QUICK = Plan({"0.5": (816, 612)}, {"0.5": 1}, album=8, networks=1)


@dataclass(frozen=True)
class Cost:
    """Of a whole process: seconds of wall time, and the peak of resident memory in MB."""

    seconds: float
    memory: float


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def photochrom(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "photochrom", *map(str, arguments)]


def cost(command: list[str]) -> Cost:
    launched = [sys.executable, "-I", "-S", "-c", LAUNCH, *command]
    done = subprocess.run(launched, capture_output=True, text=True, check=True)
    code, seconds, memory = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{' '.join(command[:4])} ... failed:\n{done.stderr}")
    return Cost(seconds, memory)


def in_turn(repeats: int, ways: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """What each way gave, the ways taken in turn."""
    found: dict[str, list[T]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            found[name].append(way())
    return found


def commands(repeats: int, ways: Mapping[str, list[str]]) -> dict[str, Cost]:
    """Of commands run in turn: the median time and the largest memory of each."""
    found = in_turn(repeats, {name: lambda c=command: cost(c) for name, command in ways.items()})
    return {name: Cost(median(c.seconds for c in costs), max(c.memory for c in costs)) for name, costs in found.items()}


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def start_rows(model: str, repeats: int) -> None:
    """What a command costs before it sees a photograph."""
    ways = {"bare": python("pass"), "version": photochrom("--version"), "session": python(SESSION, model)}
    found = commands(repeats, ways | {"vips": python("import pyvips")})
    bare, version_s = found["bare"].seconds, found["version"].seconds
    more = f"+{version_s - bare:.2f} s"
    row("start: `--version`", f"{version_s:.2f} s", f"bare Python {bare:.2f} s", more, "at most +0.3 s")
    session, vips = found["session"], found["vips"]
    ratio = f"{session.seconds / vips.seconds:.1f} x"
    row("start: engine and session", wall(session), f"`import pyvips` {wall(vips)}", ratio, "")


def wall(cost: Cost) -> str:
    return f"{cost.seconds:.2f} s, {cost.memory:.0f} MB"


def photo_rows(model: str, plan: Plan, megapixels: str, folder: Path) -> None:
    """One large JPEG, from the start of the process to the written file."""
    from photochrom.imaging.formats import SAVERS

    photo, out = folder / f"{megapixels}.jpg", folder / "out"
    width, height = plan.sizes[megapixels]
    cost(python(PHOTOGRAPH, photo, width, height, 4))
    saver = SAVERS[".jpg"]
    ways = {
        "ours": [*photochrom("colorize", photo, "--model", model), "-o", str(out), "--overwrite"],
        "vips": python(LAB, photo, folder / "lab.jpg", saver["Q"], saver["subsample_mode"]),
        "session": python(SESSION, model),
        "import": python("import pyvips"),
    }
    found = commands(plan.repeats[megapixels], ways)
    first = median(first_pass(model, photo) for _ in range(min(3, plan.repeats[megapixels])))
    ours, vips = found["ours"], found["vips"]
    name, limit = f"{megapixels} MP JPEG", {"12": "under 250 MB", "100": "under 350 MB"}.get(megapixels, "")
    row(f"{name}: the model's first pass", f"{first:.3f} s", "", "", "")
    row(f"{name}: start to file", f"{ours.seconds:.2f} s", f"{vips.seconds:.2f} s", times(ours, vips), "")
    work = Cost(ours.seconds - found["session"].seconds - first, 0)
    peer = Cost(vips.seconds - found["import"].seconds, 0)
    row(
        f"{name}: the same, less start and pass", f"{work.seconds:.2f} s", f"{peer.seconds:.2f} s", times(work, peer),
        "at most 1.0 x",
    )  # fmt: skip
    ratio = f"{ours.memory / vips.memory:.1f} x"
    row(f"{name}: peak memory", f"{ours.memory:.0f} MB", f"{vips.memory:.0f} MB", ratio, limit)


def first_pass(model: str, photo: Path) -> float:
    done = subprocess.run(python(PASS, model, photo), stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def times(ours: Cost, other: Cost) -> str:
    return f"{ours.seconds / other.seconds:.2f} x"


def album_row(model: str, plan: Plan, folder: Path) -> None:
    """A folder of 256 px photographs, start of the process left out."""
    album = folder / "album"
    album.mkdir()
    cost(python(ALBUM, album, plan.album))
    call = photochrom("colorize", album, "--model", model, "--overwrite", "--jobs")
    found = commands(1 if plan is QUICK else 3, {"1": [*call, "1"], "2": [*call, "2"], "0": python(SESSION, model)})
    one, two = (plan.album / (found[jobs].seconds - found["0"].seconds) for jobs in ("1", "2"))
    name = f"folder of {plan.album} photos of 256 px"
    row(name, f"{two:.1f} photos/s with 2 jobs", f"{one:.1f} photos/s with 1 job", f"{two / one:.2f} x", "")


def main() -> None:
    from photochrom._processes import available_processors

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default", help="an installed bundle, or the path of one")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="whose model is trained")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats: the figures mean nothing")
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL
    threads = int(os.environ.get("OMP_NUM_THREADS", 0)) or available_processors()
    print(f"{platform.machine()}, {os.cpu_count()} processors, {threads} threads for networks, Python", end=" ")
    print(f"{platform.python_version()}{'; --quick: the figures mean nothing' if given.quick else ''}\n")
    row(*HEAD)
    row(*["---"] * len(HEAD))
    with tempfile.TemporaryDirectory(prefix="photochrom-speed-") as folder:
        start_rows(given.model, 1 if given.quick else 7)
        for megapixels in plan.sizes:
            photo_rows(given.model, plan, megapixels, Path(folder))
        album_row(given.model, plan, Path(folder))
    from networks import latency_rows, training_row  # only now, since torch leaves threads behind

    latency_rows(given.model, threads, plan.networks, in_turn, row)
    training_row(given.recipe, threads, plan.networks, in_turn, row)


if __name__ == "__main__":
    main()
