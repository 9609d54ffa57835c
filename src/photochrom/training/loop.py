"""The training loop: each trainable part of a model, of any family, takes a step on each batch."""

import copy
import json
import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from pydantic import TypeAdapter
from torch import Tensor, nn

from .. import models
from .._signals import announce, interrupt, note_signal
from ..imaging.atomic import atomic_write
from ..models.family import Family
from . import checkpoint, validation
from .augment import pair, training_pair
from .crops import CropReader, middle_squares
from .dataset import Library, gather
from .log import TrainingLog
from .optimization import learning_rate, parameter_groups
from .pretrained import initialize
from .processes import create_fabric, describe_device, handle_signals, is_main_process, launched
from .recipe import Recipe, parse, resolved
from .state import TrainingState

log = logging.getLogger(__name__)

SAMPLES = 8  # images in a strip of samples
PATIENCE = 50  # least number of steps before a run is said not to learn
SAVE_SECONDS = 60  # between checkpoints of a run whose end is set by the clock
AGREE_EVERY = 8  # steps after which several processes agree on the clock


class Stopped(KeyboardInterrupt):
    """Training was asked to stop and did so, with its checkpoint written."""


def train(recipe: Recipe, run: Path, resume: bool = False, init: str | Path | None = None) -> Path:
    """Train the model of a recipe; return the run folder.

    Args:
        recipe: as `recipe.read` returns it.
        run: folder for the checkpoints, the log, samples, and the recipe; must not hold a run unless ``resume``.
        resume: continue from ``last.safetensors``, with the result of a run that was never stopped
            (with ``trainer.minutes`` the speed of the machine decides, so results differ).
        init: a run, checkpoint, bundle, address of the hub or ``.safetensors`` file whose weights to start from.

    Raises Stopped after Ctrl-C or SIGTERM, when the checkpoint is written; ValueError when recipe, images or folder
    do not fit, which leaves a run in the folder as it was; FloatingPointError when a loss is not finite.
    """
    run = Path(run)
    fabric = create_fabric(recipe.trainer)
    torch.manual_seed(recipe.trainer.seed)
    model: Family = models.load_family(recipe.family)(recipe.model)
    _check_data_settings(recipe, model)
    if not resume:
        initialize(model, init)
    state, sections = TrainingState(fresh=init is None), None
    with checkpoint.run_folder(run, resume), ExitStack() as processes:
        library = gather(recipe.data)
        if resume:
            state, sections = _read_progress(run, recipe, library)
            if state.progress(recipe.trainer) >= 1:
                log.warning("%s: %s: nothing to resume", run, state.describe(recipe.trainer))
                return run
            log.info("%s: resuming %s", run, state.describe(recipe.trainer))
        processes.enter_context(launched(fabric))
        loop = TrainingLoop(model, recipe, library, run, fabric, state)
        if sections:
            loop.restore(sections)
        if is_main_process():
            with atomic_write(run / "recipe.json", overwrite=True) as file:
                file.write(json.dumps(resolved(recipe), indent=2).encode())
        loop.run_steps()
    if state.progress(recipe.trainer) < 1:
        raise Stopped(f"stopped {state.describe(recipe.trainer)}; continue with --resume")
    return run


class TrainingLoop:
    """One run. The randomness of a step comes from (seed, step, rank), so a resumed run equals an unstopped one.

    Not so with ``trainer.minutes``, or where the photos fit into memory at one start and not at the other.
    """

    def __init__(
        self, model: Family, recipe: Recipe, library: Library, run: Path, fabric: Fabric, state: TrainingState
    ) -> None:
        self.model: Family = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = fabric.to_device(copy.deepcopy(self.model).requires_grad_(False).eval())
        self.part_loss = fabric.setup(PartLoss(self.model.train()))
        self.recipe, self.settings, self.library, self.run, self.fabric = recipe, recipe.trainer, library, run, fabric
        share = self.settings.batch // self.fabric.world_size // self.settings.accumulate
        if share * self.fabric.world_size * self.settings.accumulate != self.settings.batch:
            parts = f"{self.fabric.world_size} devices times trainer.accumulate = {self.settings.accumulate}"
            raise ValueError(f"trainer.batch = {self.settings.batch}: must divide by {parts}")
        self.reader = CropReader(library.training, recipe.data, self.settings.seed, fabric.device)
        self.log = TrainingLog(run / "log.jsonl", self.settings)
        self.state, self.stop_requested = state, False
        self.lr = 0.0
        self.device = describe_device(fabric)
        self.seconds_to_finish = state.seconds_to_finish  # as this process measures it
        self.seconds_when_saved = state.seconds
        # Fabric need not know the optimizers: it would only scale gradients, which neither precision asks for.
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.parameters: dict[str, dict[str, nn.Parameter]] = {}
        settings = recipe.optimizer
        for part in self.model.trainable:
            groups = parameter_groups(self.model, part, settings)
            self.optimizers[part] = torch.optim.AdamW(groups, settings.lr, settings.betas, fused=True)
            named = self.model.get_submodule(part).named_parameters(prefix=part)
            self.parameters[part] = {name: parameter for name, parameter in named if parameter.requires_grad}

    def restore(self, sections: Mapping[str, dict[str, Tensor]]) -> None:
        """Continue from the sections of a checkpoint of this model."""
        self.model.load_state_dict(sections["model"])
        self.average.load_state_dict(sections["ema"])
        for part, optimizer in self.optimizers.items():
            checkpoint.restore_optimizer(optimizer, self.parameters[part], sections["optimizer"])

    def run_steps(self) -> None:
        """Take all steps that are left, or those until a stop is requested."""
        with handle_signals(self._request_stop), closing(self.log):
            if self.fabric.is_global_zero:
                self.log.start(self.state.step, self.state.seconds)
                if not self.state.step:
                    if self.settings.validate_every:
                        self._validate()
                    if self.settings.sample_every:
                        self._write_samples()
                    self._save("last")  # so that an early crash can be resumed, and a full disk is noticed at once
                    self.seconds_to_finish = self.log.seconds
            for rgb in self.reader.batches(self._numbers()):
                self._take_step(rgb)
                if self._finish_step():
                    break

    def _numbers(self) -> Iterator[range]:
        """Yield the numbers of the crops of each batch of this process, until the run ends."""
        batch, rank = self.settings.batch, self.fabric.global_rank
        share = batch // self.fabric.world_size
        steps = count(self.state.step) if self.settings.minutes else range(self.state.step, self.settings.steps)
        for step in steps:
            start = step * batch + rank * share
            yield range(start, start + share)

    def _take_step(self, rgb: Tensor) -> None:
        torch.manual_seed((self.settings.seed * 1_000_003 + self.state.step) * 1024 + self.fabric.global_rank)
        gray, color = (
            tensor.contiguous(memory_format=torch.channels_last)
            for tensor in training_pair(rgb, self.recipe.data, self.model.procedure.target)
        )
        parts = list(zip(gray.chunk(self.settings.accumulate), color.chunk(self.settings.accumulate), strict=True))
        progress = self.state.progress(self.settings)
        self.lr = learning_rate(self.state.step, progress, self.recipe.optimizer)
        losses: dict[str, Tensor] = {}
        for part, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * self.lr
            for other, parameters in self.parameters.items():
                for parameter in parameters.values():
                    parameter.requires_grad_(other == part)
            losses |= self._train_part(part, parts)
        self.state.step += 1
        self._update_average()
        self.log.add(losses)
        if self.fabric.is_global_zero:
            self.log.move_bar(self.state.step)

    def _train_part(self, part: str, batches: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Take a step on the mean gradient of equal parts of a batch; return the mean losses."""
        self.optimizers[part].zero_grad()
        sums: dict[str, Tensor] = {}
        for place, (gray, color) in enumerate(batches, 1):
            with self.fabric.no_backward_sync(self.part_loss, enabled=place < len(batches)):
                losses: dict[str, Tensor] = self.part_loss(part, gray, color)
                self.fabric.backward(losses["total"] / len(batches))
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(batches)
        norm = nn.utils.clip_grad_norm_(self.parameters[part].values(), self.recipe.optimizer.clip or torch.inf)
        self.optimizers[part].step()
        return {f"{part}/{name}": value for name, value in {**sums, "norm": norm.detach()}.items()}

    @torch.no_grad()
    def _update_average(self) -> None:
        # Faster at first, so that the untrained weights are soon forgotten.
        decay = min(self.recipe.optimizer.ema, (1 + self.state.step) / (10 + self.state.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def _finish_step(self) -> bool:
        """Write what is due after a step; return whether to end."""
        self._read_clock()
        stop = self._agree_to_stop()
        validates = not stop and self._is_due(self.settings.validate_every)
        samples = not stop and self._is_due(self.settings.sample_every)
        saves = stop or self._is_due(self.settings.checkpoint_every)
        self._keep_points()
        if self.settings.minutes and self.state.seconds - self.seconds_when_saved > SAVE_SECONDS:
            saves = True
        if saves:
            self.seconds_when_saved = self.state.seconds
        if not (validates or samples or saves or self._is_due(self.settings.log_every)):
            return False

        means = self.log.means(self.state.step)
        if self.fabric.is_global_zero:
            self.log.write_losses(self.state.step, means, self.lr)
            begin = self.log.seconds
            if validates:
                self._validate(means)
            # A validation may have ended the run.
            ended = validates and self._is_finished()
            everything = self._write_files(samples or ended, saves or ended) and validates
            seconds = self.log.seconds - begin
            self.seconds_to_finish = seconds if everything else max(seconds, self.seconds_to_finish)
        if validates and self.settings.patience and self.fabric.world_size > 1:
            stale = cast(Tensor, self.fabric.all_reduce(torch.tensor(float(self.state.stale)), reduce_op="max"))
            self.state.stale = int(stale)
        if self._is_finished():  # perhaps by that validation
            self._keep_points()
        self.log.restart_clock()
        return stop or self._is_finished()

    def _write_files(self, samples: bool, saves: bool) -> bool:
        """Write samples and checkpoint as far as they are due; return whether both are."""
        if samples:
            self._write_samples()
        if saves:
            self._save("last")
        return samples and saves

    def _keep_points(self) -> None:
        """Keep the averaged weights of each point of the run that has been reached."""
        progress = self.state.progress(self.settings)
        for point in self.settings.points[self.state.points :]:
            if progress < point:
                break
            self.state.points += 1
            if self.fabric.is_global_zero:
                self._save(checkpoint.point_name(point))

    def _read_clock(self) -> None:
        """Bring the seconds of a run whose end is set by the clock up to date, equal on all processes."""
        if not self.settings.minutes:
            return
        if self.fabric.world_size == 1:
            self.state.seconds, self.state.seconds_to_finish = self.log.seconds, self.seconds_to_finish
        elif self.state.step % AGREE_EVERY == 0:  # it takes time
            clock = [self.log.seconds if self.fabric.is_global_zero else 0.0, self.seconds_to_finish]
            agreed = cast(Tensor, self.fabric.all_reduce(torch.tensor(clock), reduce_op="max"))
            self.state.seconds, self.state.seconds_to_finish = agreed.tolist()

    def _is_finished(self) -> bool:
        return self.state.progress(self.settings) >= 1

    def _is_due(self, every: int) -> bool:
        return every > 0 and (self.state.step % every == 0 or self._is_finished())

    def _request_stop(self, number: int, frame: Any) -> None:
        """Stop after the present step; a second signal interrupts at once."""
        self.stop_requested = True
        note_signal(number)
        signal.signal(number, interrupt)
        if is_main_process():
            announce("stopping soon, with a checkpoint; press Ctrl-C again to stop at once, without one")

    def _agree_to_stop(self) -> bool:
        if self.fabric.world_size == 1:
            return self.stop_requested
        if not self._is_due(self.settings.log_every):  # asking all processes takes time
            return False
        return bool(self.fabric.all_reduce(torch.tensor(float(self.stop_requested)), reduce_op="max"))

    def _validate(self, means: Mapping[str, float] | None = None) -> None:
        """Measure on held-out images, and keep the weights if they are the best; ``means``: the recent losses."""
        for message in self.model.diagnostics(means) if means else ():
            log.warning("step %d: %s", self.state.step, message)
        if not self.library.validation:
            return
        state = self.state
        metrics = validation.metrics(self._averaged_model(), self._validation_batches(), self.settings.seed)
        self.log.write({"step": state.step, **{f"validation/{name}": value for name, value in metrics.items()}})
        state.validation = metrics
        state.first = state.first or metrics
        latest = self.settings.best == "last"
        metric = metrics["loss" if latest else self.settings.best]
        if state.step and (latest or state.best is None or metric < state.best):
            state.best, state.stale = metric, 0
            self._save("best")
        elif state.step:
            state.stale += 1
        # The loss of adversaries tells nothing: a family with several parts has diagnostics of its own.
        late = state.step >= PATIENCE and (state.step >= 1000 or state.progress(self.settings) >= 0.5)
        stuck = metrics["loss"] > 0.95 * state.first["loss"] and metrics["ab_error"] >= 0.99 * metrics["gray_error"]
        if stuck and late and state.fresh and len(self.model.trainable) == 1:
            log.warning(
                "step %d: the model does not learn: the loss was %.4g and is %.4g, the ab error %.3g is no better than "
                "that of the grayscale baseline; try another optimizer.lr (now %g), and look at %s",
                *(state.step, state.first["loss"], metrics["loss"], metrics["ab_error"]),
                *(self.recipe.optimizer.lr, self.run / "samples"),
            )

    def _write_samples(self) -> None:
        path = self.run / "samples" / f"{self.state.step:07d}.png"
        gray, color, rgb = next(self._validation_batches())
        batch = (gray[:SAMPLES], color[:SAMPLES], rgb[:SAMPLES])
        validation.write_samples(self._averaged_model(), batch, path, self.settings.seed)

    def _averaged_model(self) -> Family:
        # Buffers, such as the statistics of batch norm, are not averaged: they are the model's present ones.
        for ours, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            ours.copy_(theirs)
        return self.average.eval()

    @cached_property
    def _validation_squares(self) -> Tensor:
        """The middle of the images to validate on, or of some training images: sRGB codes (n, 3, size, size)."""
        images = self.library.validation[: self.settings.validate_photos] or self.library.training[:SAMPLES]
        settings = self.recipe.data
        return middle_squares(images, settings.size, settings.resampling).to(self.fabric.device)

    def _validation_batches(self) -> Iterator[validation.Batch]:
        for codes in self._validation_squares.split(max(self.settings.batch // self.settings.accumulate, SAMPLES)):
            rgb = codes.float() / 255
            gray, color = pair(rgb, self.recipe.data.gray, self.model.procedure.target)
            yield gray, color, rgb

    def _save(self, name: str) -> None:
        """Write the whole state as ``last``, or the averaged weights as ``best`` or those of a point."""
        sections = {"ema": self._averaged_model().state_dict()}
        if name == "last":
            sections |= {"model": self.model.state_dict(), "optimizer": {}}
            for part, optimizer in self.optimizers.items():
                sections["optimizer"] |= checkpoint.optimizer_state(optimizer, self.parameters[part])
        # The state itself stays as all processes agreed on it.
        record = {**asdict(self.state), "seconds": self.log.seconds}
        record |= {"photographs": self.library.record(), "recipe": resolved(self.recipe), "device": self.device}
        if name not in checkpoint.CHECKPOINTS or (name == "best" and self.state.best is None):
            record["validation"] = None  # these weights were not validated
        checkpoint.write(self.run / f"{name}.safetensors", sections, {"format": 1, **record})
        if name == "last" and self.state.step and self.state.best is None:
            self._save("best")


class PartLoss(nn.Module):
    """A model's losses as a forward pass, where Fabric applies precision and averages gradients over processes."""

    def __init__(self, model: Family) -> None:
        super().__init__()
        self.model = model

    def forward(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        """Return the losses of a part; only ``total`` has a gradient."""
        losses = self.model.loss(part, gray, color)
        return {name: value if name == "total" else value.detach() for name, value in losses.items()}


def _check_data_settings(recipe: Recipe, model: Family) -> None:
    size, multiple = recipe.data.size, model.size_multiple
    if model.image_size and size != model.image_size:
        raise ValueError(f"data.size = {size}: this model works only with {model.image_size} pixels: choose that")
    if size % multiple:
        near = max(1, round(size / multiple)) * multiple
        raise ValueError(f"data.size = {size}: must divide by {multiple} for this model: choose {near}, for example")
    if size < model.minimum_size:
        least = f"this model needs {model.minimum_size} pixels"
        raise ValueError(f"data.size = {size}: {least}: choose as many or more, or change the model")
    if model.gray_convention not in (None, recipe.data.gray):
        only = f"this family works on {model.gray_convention!r}"
        raise ValueError(f"data.gray = {recipe.data.gray!r}: {only}: choose that")


def _read_progress(run: Path, recipe: Recipe, library: Library) -> tuple[TrainingState, dict[str, dict[str, Tensor]]]:
    """Return the progress of a run and the sections of its last checkpoint; ValueError for one of another model."""
    sections, record = checkpoint.read(run / "last.safetensors")
    # Parsed again, since a family may have got settings since then.
    tables, others = resolved(recipe), resolved(parse(record["recipe"]))
    config, other = tables["model"], others["model"]
    if other != config:
        raise ValueError(f"the checkpoint's [model] is {other}, the recipe's {config}")
    for key, value in tables["optimizer"].items():
        before = others["optimizer"][key]
        if value != before:
            log.warning(
                "optimizer.%s = %r, and was %r: the result will differ from an unstopped run", key, value, before
            )
    if record["photographs"]["digest"] != library.digest:
        log.warning("the photos are not those the run began with: the result will differ from an unstopped run")
    return TypeAdapter(TrainingState).validate_python(record), sections
