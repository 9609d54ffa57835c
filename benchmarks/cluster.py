"""Throughput of `photochrom colorize --cluster local:N` compared with `--jobs N`, and the cost of a task.

    python benchmarks/cluster.py [--photos 320] [--side 1200] [--workers 1 2] [--repeats 3] [--json FILE]

Every command colorizes the same folder of JPEGs into an empty one, alternately, and then a fifth of it, whose time is
subtracted: this removes the start of the processes, each with its model. The result is the median of the repeats. At
the end, empty tasks are sent through the scheduler.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from distributed import Client, LocalCluster
from timing import alternate
from web import synthetic_photo


def colorize(photos: Path, *options: str) -> None:
    """Colorize a folder into an empty one."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "photochrom", "colorize", str(photos), "-o", out, *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def seconds_per_task(tasks: int) -> float:
    """Return the seconds that the scheduler and two idle workers need for an empty task."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.gather(client.map(abs, range(100)))
        start = time.perf_counter()
        client.gather(client.map(abs, range(1000, 1000 + tasks)))
        return (time.perf_counter() - start) / tasks


def write_photos(folder: Path, count: int, few: int, side: int) -> None:
    """Write `count` JPEGs to folder/many, and the first `few` of them to folder/few."""
    (folder / "many").mkdir()
    (folder / "few").mkdir()
    for number in range(count):
        (folder / "many" / f"{number}.jpg").write_bytes(synthetic_photo(number, side))
    for number in range(few):
        shutil.copy(folder / "many" / f"{number}.jpg", folder / "few")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=int, default=320)
    parser.add_argument("--side", type=int, default=1200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    commands: dict[str, tuple[str, ...]] = {"--jobs 1": ("--jobs", "1"), "--jobs 2": ("--jobs", "2")}
    for count in options.workers:
        commands[f"--cluster local:{count}"] = ("--cluster", f"local:{count}")
    few = options.photos // 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder, options.photos, few, options.side)
        runs = {}
        for label, arguments in commands.items():
            for part in ("many", "few"):
                runs[f"{label}: {part}"] = partial(colorize, folder / part, *arguments)
        seconds = alternate(options.repeats, runs)
    report = {}
    for label in commands:
        report[label] = (options.photos - few) / (seconds[f"{label}: many"] - seconds[f"{label}: few"])
    print(f"{options.photos} JPEGs of {options.side**2 * 0.75e-6:.1f} megapixels")
    print("| options | photos per second | relative to the first |\n|---|---|---|")
    for label, rate in report.items():
        print(f"| `{label}` | {rate:.3g} | {rate / report['--jobs 1']:.3g} |")
    report["seconds per task"] = seconds_per_task(2000)
    print(f"an empty task: {report['seconds per task'] * 1000:.2f} ms")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
