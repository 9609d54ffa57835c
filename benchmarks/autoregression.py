"""Sampling from ColTran's core: what the cache saves, and how the cost grows with the size of the image.

    python benchmarks/autoregression.py [--recipe recipes/coltran-64.toml] [--sides 16 32 64] [--repeats 3]
        [--threads N] [--public FOLDER --python PYTHON] [--json FILE]

Times are for one image of SIDE x SIDE coarse colors with untrained networks, measured alternately. Three methods sample
the same colors from the same networks: ours, exported and in torch; one pass of both decoders over the whole image for
each pixel; and the order of the authors' code, which runs the outer decoder over the whole image for each row, and the
inner one over a whole row for each pixel. For the last two, one pass of each kind is timed and multiplied.

``--public`` is a folder with the authors' package ``coltran`` (google-research), ``--python`` an interpreter with
tensorflow, tf-keras and ml-collections. Their code gets our weights; its logits are compared and its sampling is timed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import alternate
from torch import Tensor
from torch.nn import functional as F

from photochrom.core.sampling.autoregressive import START_OF_ROW, Autoregressive
from photochrom.inference.onnx import OnnxNet, SeededNoise
from photochrom.models.coltran import Model
from photochrom.models.coltran.core import Core
from photochrom.training.graph import export_network
from photochrom.training.recipe import read
from photochrom.training.validation import torch_nets, torch_noise

PER_PIXEL = "one pass per pixel"
AUTHORS = "the authors' order"


def methods(core: Core, procedure: Autoregressive, side: int) -> dict[str, tuple[Callable[[], object], float]]:
    """Return what to time, and how often an image needs it, by method."""
    gray = torch.rand(1, 1, side, side) * 2 - 1
    coarse = torch.rand(1, side, side, 3) * 2 - 1
    model = Model(Model.Config(core.config, sampling=procedure))
    model.core = core
    nets = torch_nets(model)
    exported = {
        name: OnnxNet(export_network(net)[0], torch.get_num_threads()) for name, net in model.networks().items()
    }
    context, norms, _, _ = core.eval().encoder(gray)

    @torch.no_grad()
    def outer() -> Tensor:
        below = core.outer.rows(coarse, context, norms)[0]
        return F.pad(below[:, :-1], (0, 0, 0, 0, 1, 0))  # moved down by a row

    @torch.no_grad()
    def inner(rows: int) -> Tensor:
        condition, _ = core.row(context[:, :rows], outer_context[:, :rows])
        before = F.pad(coarse[:, :rows, :-1], (0, 0, 1, 0), value=START_OF_ROW)  # moved right by a pixel
        return core.pixel.rows(before, condition, norms, None)[0]

    outer_context = outer()
    return {
        "ours, exported": (lambda: procedure.sample_coarse(exported, gray.numpy(), SeededNoise([0])), 1),
        "ours, torch": (lambda: procedure.sample_coarse(nets, gray, torch_noise(0)), 1),
        f"{AUTHORS}: outer decoder": (outer, side),
        f"{AUTHORS}: inner decoder": (lambda: inner(1), side**2),
        PER_PIXEL: (lambda: (outer(), inner(side)), side**2),
    }


def seconds(core: Core, procedure: Autoregressive, side: int, repeats: int) -> dict[str, float]:
    """Return the seconds for one image, by method."""
    calls = methods(core, procedure, side)
    times = alternate(repeats, {name: call for name, (call, _) in calls.items()})
    totals = {name: times[name] * count for name, (_, count) in calls.items()}
    outer, inner = totals.pop(f"{AUTHORS}: outer decoder"), totals.pop(f"{AUTHORS}: inner decoder")
    return {**totals, AUTHORS: outer + inner}


def public(folder: Path, python: str, core: Core, side: int) -> tuple[float, float]:
    """Return the largest difference of the authors' logits with our weights, and their seconds for one image."""
    shape, config = core.config.shape, core.config
    rng = np.random.default_rng(0)
    gray, rgb = rng.integers(0, 256, (1, side, side, 1)), rng.integers(0, 256, (1, side, side, 3))
    with torch.no_grad():
        core.pixel.embed.weight.copy_(core.outer.embed.weight)  # theirs share one embedding
        planes = (torch.from_numpy((codes + 0.5) / 128 - 1).float() for codes in (gray, rgb))
        logits = core.logits(next(planes).movedim(-1, 1), next(planes))[1]
    sizes = [shape.width, shape.heads, shape.hidden or shape.width, torch.get_num_threads()]
    sizes += [config.encoder, config.outer, config.inner]
    with tempfile.TemporaryDirectory() as folder_name:
        inputs = Path(folder_name) / "inputs.npz"
        weights = {name: p.detach().numpy() for name, p in core.named_parameters()}
        np.savez(inputs, gray=gray, rgb=rgb, logits=logits.numpy(), **weights)
        command = [python, Path(__file__).with_name("autoregression_public.py"), inputs, json.dumps(sizes)]
        environment = {**os.environ, "PYTHONPATH": str(folder.resolve())}
        try:
            process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"{python} cannot run {folder}: {getattr(error, 'stderr', error)}") from None
    difference, duration = process.stdout.split()[-2:]
    return float(difference), float(duration)


def exponent(seconds_by_side: dict[int, float]) -> float:
    """Return b of the fit seconds = a x pixels^b."""
    pixels = np.log([side**2 for side in seconds_by_side])
    times = np.log(list(seconds_by_side.values()))
    return float(np.polyfit(pixels, times, 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", type=Path, default=Path("recipes/coltran-64.toml"))
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--public", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config: Any = read(options.recipe).model.core
    procedure = Autoregressive(("core",), factor=1)
    results: dict[str, dict[int, float]] = {}
    for side in options.sides:
        torch.manual_seed(0)
        core = Core(replace(config, shape=replace(config.shape, side=side)), procedure).eval()
        times = seconds(core, procedure, side, options.repeats)
        if options.public:
            difference, times["the authors' code"] = public(options.public, options.python, core, side)
            print(f"{side} x {side}: the authors' logits, with our weights, differ by at most {difference:.1e}")
        for name, duration in times.items():
            results.setdefault(name, {})[side] = duration
    print(f"{sum(p.numel() for p in core.parameters()) / 1e6:.1f} M parameters, {options.threads} threads; one image")
    columns = [f"{side} x {side}" for side in options.sides]
    print(f"| method | {' | '.join(columns)} | relative to ours, exported | relative to ours, torch | exponent |")
    print("|---" * (len(columns) + 4) + "|")
    largest = options.sides[-1]
    for name, by_side in results.items():
        cells = [f"{duration:.3g} s" for duration in by_side.values()]
        for runtime in ("exported", "torch"):
            cells.append(f"{by_side[largest] / results[f'ours, {runtime}'][largest]:.3g}")
        print(f"| {name} | {' | '.join(cells)} | {exponent(by_side) if len(by_side) > 1 else np.nan:.2f} |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
