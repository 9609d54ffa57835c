"""Photographs a second of `photochrom colorize --cluster local:N`, against one process, and what a batch costs.

    python benchmarks/cluster.py [--photos 320] [--side 1200] [--workers 1 2] [--repeats 3] [--json FILE]

Every way colours the same folder of JPEGs into an empty one, in turn, and then a fifth of it, which is taken off: so
the start of processes, each with its model, is left out. The median of the repeats. Last, empty tasks are sent through
the scheduler.
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
from timing import in_turn
from web import photograph


def colored(photos: Path, *options: str) -> None:
    """Colour a folder into an empty one."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "photochrom", "colorize", str(photos), "-o", out, *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def scheduling(tasks: int) -> float:
    """Seconds that the scheduler and two idle workers take for a task that does nothing."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.gather(client.map(abs, range(100)))
        begun = time.perf_counter()
        client.gather(client.map(abs, range(1000, 1000 + tasks)))
        return (time.perf_counter() - begun) / tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=int, default=320)
    parser.add_argument("--side", type=int, default=1200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "many").mkdir()
        (folder / "few").mkdir()
        for number in range(asked.photos):
            (folder / "many" / f"{number}.jpg").write_bytes(photograph(number, asked.side))
        few = asked.photos // 5
        for number in range(few):
            shutil.copy(folder / "many" / f"{number}.jpg", folder / "few")
        ways: dict[str, tuple[str, ...]] = {"one process": (), "one process, two jobs": ("--jobs", "2")}
        ways |= {f"{count} workers": ("--cluster", f"local:{count}") for count in asked.workers}
        runs = {
            f"{name}: {part}": partial(colored, folder / part, *options)
            for name, options in ways.items()
            for part in ("many", "few")
        }
        taken = in_turn(asked.repeats, runs)
    finally:
        shutil.rmtree(folder)
    found = {name: (asked.photos - few) / (taken[f"{name}: many"] - taken[f"{name}: few"]) for name in ways}
    print(f"{asked.photos} JPEGs of {asked.side**2 * 0.75e-6:.1f} megapixels")
    print("| way | photographs a second | times one process |\n|---|---|---|")
    for name, rate in found.items():
        print(f"| {name} | {rate:.3g} | {rate / found['one process']:.3g} |")
    found["seconds of a task"] = scheduling(2000)
    print(f"an empty task: {found['seconds of a task'] * 1000:.2f} ms")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
