"""Sampling from ColTran's core: what remembering saves, and how its cost grows with the picture.

    python benchmarks/autoregression.py [--recipe recipes/coltran-64.toml] [--sides 16 32 64] [--repeats 3]
        [--threads N] [--public FOLDER --python PYTHON] [--json FILE]

Times are of one picture of SIDE x SIDE coarse colours, of networks that are not trained, each way in turn. Three ways
draw the same colours from the same networks: ours, as exported and in torch; one pass of both decoders over the whole
picture for each pixel; and the order of the authors' code, which runs the outer decoder over the whole picture once a
row, and the inner one over a whole row once a pixel. Of the last two one pass of each kind is timed, and multiplied.

``--public`` names a folder that holds the authors' package ``coltran`` (google-research), ``--python`` an interpreter
that has tensorflow, tf-keras and ml-collections: they are given our weights, their logits compared, and their sampling
timed.
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
from timing import in_turn
from torch import Tensor

from photochrom.core.sampling.autoregressive import Autoregressive
from photochrom.inference.onnx import OnnxNet, SeededNoise
from photochrom.models.coltran import Model
from photochrom.models.coltran.core import Core, shift
from photochrom.training.graph import network_bytes
from photochrom.training.recipe import read
from photochrom.training.validation import torch_nets, torch_noise

ALONE = "one pass a pixel"
AUTHORS = "the authors' order"


def ways(core: Core, procedure: Autoregressive, side: int) -> dict[str, tuple[Callable[[], object], float]]:
    """Ways of drawing one picture: what to time, and how often that is needed for a picture."""
    gray = torch.rand(1, 1, side, side) * 2 - 1
    coarse = torch.rand(1, side, side, 3) * 2 - 1
    model = Model(Model.Config(core.config, sampling=procedure))
    model.core = core
    nets = torch_nets(model)
    exported = {name: OnnxNet(network_bytes(net), torch.get_num_threads()) for name, net in model.networks().items()}
    context, norms, _, _ = core.eval().encoder(gray)

    @torch.no_grad()
    def outer() -> Tensor:
        return shift(core.outer.rows(coarse, context, norms)[0], 1)

    @torch.no_grad()
    def inner(rows: int) -> Tensor:
        condition, _ = core.row(context[:, :rows].flatten(1, 2), outer_context[:, :rows].flatten(1, 2))
        has_color = shift(torch.ones(1, rows, side, 1), 2)
        return core.pixel.rows(shift(coarse[:, :rows], 2), has_color, condition.unflatten(1, (rows, side)), norms)[0]

    outer_context = outer()
    return {
        "ours, exported": (lambda: procedure.sample_coarse(exported, gray.numpy(), SeededNoise([0])), 1),
        "ours, torch": (lambda: procedure.sample_coarse(nets, gray, torch_noise(0)), 1),
        f"{AUTHORS}: outer decoder": (outer, side),
        f"{AUTHORS}: inner decoder": (lambda: inner(1), side**2),
        ALONE: (lambda: (outer(), inner(side)), side**2),
    }


def seconds(core: Core, procedure: Autoregressive, side: int, repeats: int) -> dict[str, float]:
    """Of one picture, by way."""
    made = ways(core, procedure, side)
    found = in_turn(repeats, {name: way for name, (way, _) in made.items()})
    taken = {name: found[name] * times for name, (_, times) in made.items()}
    taken[AUTHORS] = sum(taken.pop(f"{AUTHORS}: {half} decoder") for half in ("outer", "inner"))
    return taken


def public(folder: Path, python: str, core: Core, side: int) -> tuple[float, float]:
    """The authors' code with our weights: the largest difference of its logits, and its seconds for one picture."""
    shape, config = core.config.shape, core.config
    rng = np.random.default_rng(0)
    gray, rgb = rng.integers(0, 256, (1, side, side, 1)), rng.integers(0, 256, (1, side, side, 3))
    with torch.no_grad():
        core.pixel.embed.weight.copy_(core.outer.embed.weight)  # theirs have one
        planes = (torch.from_numpy((codes + 0.5) / 128 - 1).float() for codes in (gray, rgb))
        logits = core.logits(next(planes).movedim(-1, 1), next(planes))[1]
    asked = [shape.width, shape.heads, shape.hidden or shape.width, torch.get_num_threads()]
    asked += [config.encoder, config.outer, config.inner]
    with tempfile.TemporaryDirectory() as beside:
        given = Path(beside) / "given.npz"
        weights = {name: p.detach().numpy() for name, p in core.named_parameters()}
        np.savez(given, gray=gray, rgb=rgb, logits=logits.numpy(), **weights)
        command = [python, Path(__file__).with_name("autoregression_public.py"), given, json.dumps(asked)]
        environment = {**os.environ, "PYTHONPATH": str(folder.resolve())}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"{python} cannot run {folder}: {getattr(error, 'stderr', error)}") from None
    apart, time = done.stdout.split()[-2:]
    return float(apart), float(time)


def power(taken: dict[int, float]) -> float:
    """b of the law seconds = a x pixels^b, fitted to the logarithms."""
    pixels, times = (np.log(np.array(list(values), float)) for values in ([s**2 for s in taken], taken.values()))
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
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    config: Any = read(asked.recipe).model.core
    procedure = Autoregressive(("core",), factor=1)
    found: dict[str, dict[int, float]] = {}
    for side in asked.sides:
        torch.manual_seed(0)
        core = Core(replace(config, shape=replace(config.shape, side=side)), procedure).eval()
        taken = seconds(core, procedure, side, asked.repeats)
        if asked.public:
            apart, taken["the authors' code"] = public(asked.public, asked.python, core, side)
            print(f"{side} x {side}: the authors' logits, with our weights, differ by {apart:.1e} at most")
        for name, time in taken.items():
            found.setdefault(name, {})[side] = time
    print(f"{sum(p.numel() for p in core.parameters()) / 1e6:.1f} M parameters, {asked.threads} threads; one picture")
    columns = [f"{side} x {side}" for side in asked.sides]
    print(f"| way | {' | '.join(columns)} | times ours, exported | times ours, torch | power of the pixels |")
    print("|---" * (len(columns) + 4) + "|")
    largest = asked.sides[-1]
    for name, by_side in found.items():
        cells = [f"{time:.3g} s" for time in by_side.values()]
        cells += [f"{by_side[largest] / found[f'ours, {way}'][largest]:.3g}" for way in ("exported", "torch")]
        print(f"| {name} | {' | '.join(cells)} | {power(by_side) if len(by_side) > 1 else np.nan:.2f} |")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
