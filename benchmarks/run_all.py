"""Run all benchmarks that need nothing but this repository, and write their tables to the documentation.

    python benchmarks/run_all.py [--photos PATH] [--only NAME ...] [--quick] [--note TEXT]

Writes `benchmarks/results.json` and, from it, `docs/reference/benchmarks.md`, with date, machine and versions; results
of benchmarks that are not run again stay. `--photos` is a folder or zip of color photos, for the benchmarks that need
some; without it they are left out. `--note` says what else the machine was doing. With `--quick` all of them only show
that they run, and nothing is written. It takes about 20 minutes.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
PHOTOS = "PHOTOS"  # stands for --photos in a command
VERSIONS = ("numpy", "onnxruntime", "pyvips", "torch", "diffusers", "torchmetrics")
TINY = "recipes/tiny"


@dataclass(frozen=True)
class Benchmark:
    """A script of this folder, what it shows, and its arguments; ``quick``: those that make it short.

    ``one_thread``: libraries that start threads of their own get one.
    """

    title: str
    about: str
    script: str
    arguments: Sequence[str] = ()
    quick: Sequence[str] = ()
    one_thread: bool = False

    @property
    def needs_photos(self) -> bool:
        """Whether it measures on photos that are not in the repository."""
        return PHOTOS in self.arguments


BENCHMARKS = {
    "ratios": Benchmark(
        "Ratios that every change must keep",
        "How many times as fast as something else, on one thread. A ratio under the lowest one fails the test.",
        "ratios.py",
        quick=["--only", "ssim"],
    ),
    "speed": Benchmark(
        "Speed and memory",
        "Start, one large JPEG, a folder, the networks. [What the rows are](../../benchmarks/README.md#speedpy).",
        "speed.py",
        quick=["--quick", "--recipe", f"{TINY}/unet.toml"],
    ),
    "photo": Benchmark(
        "Merge of colors into a photo",
        "From the opened photo and its colors to the written file, as a ratio to libvips' way to Lab and back.",
        "photo.py",
        quick=["--megapixels", "0.1", "--rounds", "1"],
    ),
    "folder": Benchmark(
        "Folders",
        "Grayscale JPEGs of three sizes: one core, one process, worker processes, and a loop as in rembg.",
        "folder.py",
        ["--rounds", "2"],
        ["--quick", "--only", "0.065"],
    ),
    "cluster": Benchmark(
        "Cluster",
        "Photos a second with a cluster on this machine and without, not counting the start of the processes.",
        "cluster.py",
        ["--photos", "150"],
        ["--photos", "5", "--side", "64", "--workers", "1", "--repeats", "1"],
    ),
    "web": Benchmark(
        "Web server under load",
        "200 photos from 16 clients at once; every response is checked against its own photo.",
        "web.py",
        quick=["--photos", "8", "--clients", "4", "--side", "200"],
    ),
    "metrics": Benchmark(
        "Metrics",
        "The metrics of `photochrom evaluate` compared with other libraries, and the time of each step.",
        "metrics.py",
        quick=["--photos", "2", "--repeats", "1"],
        one_thread=True,
    ),
    "diffusion": Benchmark(
        "Diffusion",
        "The denoiser of `ddpm` and its sampling, compared with diffusers at the same size and steps.",
        "diffusion.py",
        ["--threads", "1"],
        ["--threads", "1", "--recipe", f"{TINY}/palette.toml", "--steps", "2", "--repeats", "1", "--batch", "1"],
    ),
    "pix2pix": Benchmark(
        "Training pix2pix",
        "A training step compared with a plain one in torch: the same network, losses and sizes.",
        "pix2pix.py",
        ["--threads", "1", "--repeats", "5"],
        ["--threads", "1", "--recipe", f"{TINY}/pix2pix.toml", "--repeats", "1"],
    ),
    "autoregression": Benchmark(
        "Sampling from ColTran's core",
        "Seconds for one image of untrained networks: with the cache, in the order of the authors' code, and without.",
        "autoregression.py",
        ["--sides", "16", "32"],
        ["--recipe", f"{TINY}/coltran.toml", "--sides", "4", "--repeats", "1"],
    ),
    "training": Benchmark(
        "Training loop",
        "Photos a second of the loop with its data, of the data alone, and of a bare loop on one batch of noise.",
        "training.py",
        ["recipes/unet-lite2.toml", "--data", PHOTOS, "--steps", "2", "--set", "trainer.batch=16"],
        [f"{TINY}/unet.toml", "--data", PHOTOS, "--steps", "1", "--repeats", "1"],
    ),
    "chroma-merge": Benchmark(
        "Ways to enlarge small chroma",
        "True ab, reduced four times and enlarged again: error over all pixels, and where the edges are.",
        "chroma_merge.py",
        [PHOTOS, "--limit", "60"],
        [PHOTOS, "--limit", "1"],
    ),
    "page": Benchmark(
        "The web page in a browser",
        "Seconds from the choice of a file to its colors, from a hint to new ones, and from a click to likely colors.",
        "page.py",
        ["docs/pictures/expedition-1897.jpg", "--suggest", "classify"],
        ["docs/pictures/old.jpg", "--scales", "1", "--hints", "1"],
    ),
    "video": Benchmark(
        "Films",
        "Clips that move over photos: flicker, error and chroma frame by frame, as a film, and of the true colors.",
        "video.py",
        ["--photos", PHOTOS],
        ["--photos", PHOTOS, "--limit", "1"],
    ),
    "curve": Benchmark(
        "Error over colorfulness",
        "The ab error of models at several saturations, so that they are compared at the same colorfulness.",
        "curve.py",
        [PHOTOS, "--model", "unet", "--model", "classify", "--model", "pix2pix", "--limit", "200"],
        [PHOTOS, "--model", "unet", "--limit", "1"],
    ),
    "ambiguity": Benchmark(
        "What a guess is worth",
        "How well a single color, and the lightness of a pixel alone, predict color.",
        "ambiguity.py",
        [PHOTOS],
    ),
    "tint": Benchmark(
        "Tints of a diffusion model",
        "How far the mean of the first noise decides the mean color of the result.",
        "tint.py",
        ["--seeds", "40"],
        ["--seeds", "3"],
    ),
}
# Scripts that train models or need trained ones, and where their tables are.
OTHERS = {
    "`study.py`": ("color photos, hours", "[losses](../explanation/losses.md)"),
    "`cold.py`": ("a trained model", "[latent cold diffusion](../explanation/cold.md)"),
    "`latents.py`": ("a trained autoencoder", "[VQ-VAE](../explanation/vqvae.md)"),
}


def run(benchmark: Benchmark, photos: Path | None, quick: bool) -> dict[str, object]:
    """Run a benchmark, and return its command, output, seconds and date. Raises SystemExit if it fails."""
    arguments = benchmark.quick if quick and benchmark.quick else benchmark.arguments
    command = [benchmark.script, *(str(photos) if part == PHOTOS else part for part in arguments)]
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(command[0])), *command[1:]],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"} if benchmark.one_thread else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise SystemExit(f"{benchmark.script} failed:\n{process.stdout}{process.stderr}")
    shown = [photos.name if photos and part == str(photos) else part for part in command]
    return {
        "command": f"{'OMP_NUM_THREADS=1 ' * benchmark.one_thread}python benchmarks/{' '.join(shown)}",
        "output": process.stdout.strip(),
        "seconds": round(time.perf_counter() - start),
        "date": str(datetime.datetime.now(datetime.UTC).date()),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def describe_machine() -> dict[str, str]:
    """Return the processor, the number of cores, the system and the versions that decide speed."""
    threads = os.environ.get("OMP_NUM_THREADS", "one for each processor")
    packages = [f"{name} {importlib.metadata.version(name)}" for name in VERSIONS]
    return {
        "processor": f"{processor_name()}, {os.cpu_count()} processors",
        "threads of networks": threads,
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        "versions": f"Photochrom {importlib.metadata.version('photochrom')}, Python {platform.python_version()}, "
        + ", ".join(packages),
    }


def processor_name() -> str:
    """Return the name of the processor, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def render(results: Mapping[str, object]) -> str:
    """Return the page that shows results."""
    machine = "\n".join(f"| {key} | {value} |" for key, value in results["machine"].items())
    parts = [HEAD.format(machine=machine, note=results["note"])]
    for name, benchmark in BENCHMARKS.items():
        entry = results["benchmarks"].get(name)
        if entry:
            parts.append(render_section(benchmark, entry))
    rows = "\n".join(f"| {script} | {needs} | {place} |" for script, (needs, place) in OTHERS.items())
    parts.append(f"{OTHERS_HEAD}{rows}\n")
    return "\n".join(parts)


HEAD = """<!-- Written by benchmarks/run_all.py from benchmarks/results.json: change those. -->

# Benchmarks

`python benchmarks/run_all.py` (`just benchmarks`) runs the benchmarks of this page and writes it. They compare
Photochrom with something else on the same machine, alternately, so that other work on it affects both: read the ratios,
not the seconds.

| | |
|---|---|
{machine}

{note}

How each benchmark works is [beside the scripts](../../benchmarks/README.md); measurements of quality are in
[Measurements](measurements.md).
"""

OTHERS_HEAD = """## Others

The command does not run these scripts: they train models, or need trained ones.

| script | needs | tables |
|---|---|---|
"""


def render_section(benchmark: Benchmark, entry: Mapping[str, object]) -> str:
    """Return the section of one benchmark: its tables as tables, other lines as they are printed."""
    load = f", load {entry['load']}" if entry["load"] is not None else ""
    command = f"`{entry['command']}` ({entry['date']}, {entry['seconds']} s{load})"
    blocks = []
    for block in split_tables(str(entry["output"])):
        if not block[0].startswith("|"):
            block = ["```text", *block, "```"]
        elif not set(block[1]) <= set("|-: "):  # rows without a head
            cells = block[0].count("|") - 1
            block = ["| " * cells + "|", "|---" * cells + "|", *block]
        blocks.append("\n".join(block))
    return "\n\n".join([f"## {benchmark.title}", benchmark.about, command, *blocks]) + "\n"


def split_tables(output: str) -> list[list[str]]:
    """Return the lines of an output in blocks that are either a table or something else; empty lines end a block."""
    blocks: list[list[str]] = [[]]
    for line in output.splitlines():
        if not line.strip() or (blocks[-1] and blocks[-1][0].startswith("|") != line.startswith("|")):
            blocks.append([])
        if line.strip():
            blocks[-1].append(line)
    return [block for block in blocks if block]


def results_for(results: Mapping[str, Any], machine: Mapping[str, str], names: Sequence[str]) -> dict[str, Any]:
    """Return the results to add to; raise SystemExit if some would be shown as those of another machine or version."""
    kept = set(results["benchmarks"]) - set(names)
    if kept and results["machine"] != machine:
        raise SystemExit(f"{RESULTS.name} is of another machine or other versions: leave out --only")
    return {**results, "machine": machine}


def main() -> None:
    """Run the benchmarks one after the other, and write results and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--only", nargs="+", default=list(BENCHMARKS), choices=list(BENCHMARKS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--note", default="The machine was otherwise idle.")
    options = parser.parse_args()
    photos = options.photos and options.photos.resolve()
    results: dict[str, Any] = {"benchmarks": {}}
    if not options.quick:
        stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else results
        results = results_for(stored, describe_machine(), options.only) | {"note": options.note}
    for name in options.only:
        benchmark = BENCHMARKS[name]
        if benchmark.needs_photos and photos is None:
            print(f"{name}: left out, it needs --photos", flush=True)
            continue
        entry = run(benchmark, photos, options.quick)
        print(f"{name}: {entry['seconds']} s\n{entry['output']}\n", flush=True)
        results["benchmarks"][name] = entry
        if not options.quick:  # after each, so that an interruption loses one
            RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            PAGE.write_text(render(results), encoding="utf-8")


if __name__ == "__main__":
    main()
