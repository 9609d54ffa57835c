"""The progress of a run, as its checkpoints record it."""

from dataclasses import dataclass

from .recipe import Trainer


@dataclass
class TrainingState:
    """The progress of a run, as its checkpoints record it."""

    step: int = 0
    seconds: float = 0.0
    validation: dict[str, float] | None = None  # the latest metrics on held-out images
    first: dict[str, float] | None = None  # the metrics before the first step
    best: float | None = None  # the metric of the best checkpoint
    stale: int = 0  # validations since then
    points: int = 0  # number of `Trainer.points` whose weights are kept
    fresh: bool = True  # began with random weights
    seconds_to_finish: float = 0.0  # what the latest validation, samples and checkpoint took

    def progress(self, settings: Trainer) -> float:
        """Return the share of the run that is done: of the steps, or of the minutes less the last validation's.

        A run that is out of patience is done.
        """
        if settings.patience and self.stale >= settings.patience:
            return 1.0
        if not settings.minutes:
            return self.step / settings.steps
        return self.seconds / max(60 * settings.minutes - self.seconds_to_finish, 1.0)

    def describe(self, settings: Trainer) -> str:
        """Return how far a run is, in words."""
        if settings.patience and self.stale >= settings.patience:
            return f"at step {self.step}, after {self.stale} validations without a better one"
        if settings.minutes:
            return f"at step {self.step}, after {self.seconds / 60:.1f} of {settings.minutes:g} minutes"
        return f"at step {self.step} of {settings.steps}"
