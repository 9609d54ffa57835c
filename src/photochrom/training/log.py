"""The log of a run: one JSON object a line, a line to the logging module, and a progress bar on a terminal."""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ..imaging.atomic import atomic_write
from .recipe import Trainer

log = logging.getLogger("photochrom.training")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the complete rows of a log; none where there is no log."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:  # cut short by a crash
            break
    return rows


class TrainingLog:
    """Means of the losses between two rows of ``path``; losses stay on their device until a row is due."""

    def __init__(self, path: Path, settings: Trainer) -> None:
        self.path, self.settings = path, settings
        self.recent: list[dict[str, Tensor]] = []
        self.speed = ""  # as the bar shows it
        self.bar = Progress(
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(TimeRemainingColumn(elapsed_when_finished=True), TextColumn("{task.fields[speed]}")),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self.restart_clock()

    def start(self, step: int, seconds: float) -> None:
        """Continue from a step reached after so many seconds; rows of later steps, which will come again, are cut."""
        with atomic_write(self.path, overwrite=True) as file:
            for row in read_rows(self.path):
                if step and row["step"] <= step:
                    file.write(f"{json.dumps(row)}\n".encode())
        self.start_time = time.monotonic() - seconds
        self.bar.start()
        minutes = self.settings.minutes
        total = round(60 * minutes) if minutes else self.settings.steps
        self.task = self.bar.add_task("seconds" if minutes else "training", total=total, speed=self.speed)
        self.move_bar(step)
        self.restart_clock()

    @property
    def seconds(self) -> float:
        """Time since the run began, without the pauses before it was resumed."""
        return time.monotonic() - self.start_time

    def restart_clock(self) -> None:
        """Measure the speed from here on."""
        self.clock, self.steps_since = time.monotonic(), 0

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add the losses of one step, tensors without gradient."""
        self.recent.append(losses)
        self.steps_since += 1

    def means(self, step: int) -> dict[str, float]:
        """Return the mean losses since the last call, up to ``step``; FloatingPointError names one not finite."""
        recent, self.recent = self.recent, []
        means = {}
        for name in recent[0] if recent else ():
            values = torch.stack([losses[name] for losses in recent]).float().cpu()
            bad = (~values.isfinite()).nonzero()
            if len(bad):
                index = int(bad[0])
                raise FloatingPointError(
                    f"step {step - len(recent) + 1 + index}: {name} is {values[index].item()}: lower optimizer.lr or "
                    "optimizer.clip; the last checkpoint is from before it"
                )
            means[name] = values.mean().item()
        return means

    def write_losses(self, step: int, means: dict[str, float], lr: float) -> None:
        """Append a row of mean losses, the learning rate, and images a second since the last row."""
        speed = self.steps_since * self.settings.batch / max(time.monotonic() - self.clock, 1e-9)
        self.write({"step": step, **means, "lr": lr, "photos_per_second": speed, "seconds": self.seconds})
        self.speed = f"{speed:.1f} photos/s"
        self.move_bar(step)

    def move_bar(self, step: int) -> None:
        """Show how far the run is, on a terminal."""
        if not self.bar.disable:
            completed = int(self.seconds) if self.settings.minutes else step
            self.bar.update(self.task, completed=completed, speed=self.speed)

    def write(self, row: dict[str, Any]) -> None:
        """Append one row, and print it; of losses, a terminal shows the speed alone."""
        short = {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in row.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(short) + "\n")
        if self.bar.disable or "photos_per_second" not in row:
            log.info("%s", "  ".join(f"{key} {value}" for key, value in short.items()))

    def close(self) -> None:
        """Remove the progress bar."""
        self.bar.stop()
