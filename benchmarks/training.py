"""Measure the photos a second of the training loop, of its data alone, and of a bare loop on one batch of noise.

python benchmarks/training.py RECIPE --data ZIP... [--set table.key=value] [--steps 10] [--repeats 3]
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from timing import alternate

from photochrom import models
from photochrom.training.augment import training_pair
from photochrom.training.dataset import gather
from photochrom.training.loop import TrainingLoop, TrainingState
from photochrom.training.processes import create_fabric
from photochrom.training.recipe import read


def synchronized(call: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return a call that ends when the device has finished its work."""

    def run() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def measure(loop: TrainingLoop, steps: int, repeats: int) -> dict[str, float]:
    """Return the photos a second of each way."""
    batch, size, device = loop.settings.batch, loop.recipe.data.size, loop.fabric.device
    target = loop.model.procedure.target
    batches = loop.reader.batches(range(start, start + batch) for start in range(0, 10**9, batch))
    noise = torch.rand(batch, 3, size, size, device=device)
    gray, color = (
        x.contiguous(memory_format=torch.channels_last) for x in training_pair(noise, loop.recipe.data, target)
    )

    def read_and_augment() -> None:
        for _ in range(steps):
            training_pair(next(batches), loop.recipe.data, target)

    def train() -> None:
        for _ in range(steps):
            loop._take_step(next(batches))

    def bare() -> None:
        for _ in range(steps):
            for part, optimizer in loop.optimizers.items():
                optimizer.zero_grad()
                loop.fabric.backward(loop.part_loss(part, gray, color)["total"])
                optimizer.step()

    calls = {"data and augmentation alone": read_and_augment, "training": train, "bare loop": bare}
    seconds = alternate(repeats, {name: synchronized(call, device) for name, call in calls.items()})
    return {name: batch * steps / value for name, value in seconds.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    recipe = read(options.recipe, options.set, options.data)
    fabric = create_fabric(recipe.trainer)
    model = models.load_family(recipe.family)(recipe.model)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        library = gather(recipe.data)
        loop = TrainingLoop(model, recipe, library, run, fabric, TrainingState())
        rates = measure(loop, options.steps, options.repeats)
    precision = fabric._precision.precision
    print(f"{recipe.family}, {recipe.data.size} px, batch {recipe.trainer.batch}, {fabric.device}, {precision}")
    for name, rate in rates.items():
        print(f"{name}: {rate:.1f} photos a second, {rate / rates['bare loop']:.2f} of the bare loop")


if __name__ == "__main__":
    main()
