"""The log of a run: one JSON object a line, a line to the logging module, and a bar on a terminal."""

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

log = logging.getLogger("photochrom.training")


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a log, as far as they were written whole; none where there is no log."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:  # the power went while it was written
            break
    return found


def rewrite(path: Path, text: str) -> None:
    """Give a file other content, written beside its place first, then renamed: never half of it."""
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


class Journal:
    """Means of the losses between two rows, written to ``path``; losses stay on their device until a row is due."""

    def __init__(self, path: Path, steps: int, batch: int) -> None:
        self.path, self.steps, self.batch = path, steps, batch
        self.window: list[dict[str, Tensor]] = []
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[line]}"),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self.restart()

    def start(self, step: int, seconds: float) -> None:
        """Go on from a step reached after so many seconds: later rows, which will come again, are cut off."""
        kept = [json.dumps(row) + "\n" for row in rows(self.path) if step and row["step"] <= step]
        rewrite(self.path, "".join(kept))
        self.begun = time.monotonic() - seconds
        self.bar.start()
        self.task = self.bar.add_task("training", total=self.steps, completed=step, line="")
        self.restart()

    @property
    def seconds(self) -> float:
        """Since the run began, pauses between resumptions left out."""
        return time.monotonic() - self.begun

    def restart(self) -> None:
        """Measure the speed from here on."""
        self.clock, self.counted = time.monotonic(), 0

    def note(self, figures: dict[str, Tensor]) -> None:
        """Remember one step's losses, as tensors without gradient."""
        self.window.append(figures)
        self.counted += 1

    def means(self, step: int) -> dict[str, float]:
        """The means since the last call, up to ``step``. Raises FloatingPointError naming the step of a bad loss."""
        window, self.window = self.window, []
        columns = {
            key: torch.stack([row[key] for row in window]).float().cpu() for key in (window[0] if window else ())
        }
        for key, values in columns.items():
            if not values.isfinite().all():
                at = step - len(window) + 1 + int((~values.isfinite()).int().argmax())
                raise FloatingPointError(
                    f"step {at}: {key} is {values[at - step - 1].item()}: lower optimizer.lr or optimizer.clip; "
                    "the last checkpoint is from before it"
                )
        return {key: values.mean().item() for key, values in columns.items()}

    def row(self, step: int, means: dict[str, float], lr: float) -> None:
        """Write the means, the learning rate, and the photos per second since the last row."""
        rate = self.counted * self.batch / max(time.monotonic() - self.clock, 1e-9)
        self.write({"step": step, **means, "lr": lr, "photos_per_second": rate, "seconds": self.seconds})
        self.bar.update(self.task, completed=step, line=f"{rate:.1f} photos/s")

    def write(self, row: dict[str, Any]) -> None:
        """Append one row."""
        short = {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in row.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(short) + "\n")
        log.info("%s", "  ".join(f"{key} {value}" for key, value in short.items()))

    def close(self) -> None:
        """Take the bar away."""
        self.bar.stop()
