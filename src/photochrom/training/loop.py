"""The training loop: each trainable part of a model, of any family, takes a step on each batch."""

import copy
import json
import logging
import math
import signal
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .. import models
from ..imaging.atomic import atomic_write
from ..imaging.sources import SourceImage
from ..models.family import Family
from . import checkpoint, validation
from .dataset import Library, TrainingPairs, ValidationPairs, gather
from .log import TrainingLog
from .pretrained import initialize
from .processes import create_fabric, handle_signals, ignore_interrupts, is_main_process, launched
from .recipe import Optimizer, Recipe, resolved

log = logging.getLogger(__name__)

SAMPLES = 8  # images in a strip of samples
PATIENCE = 50  # least number of steps before a run is said not to learn


class Stopped(KeyboardInterrupt):
    """Training was asked to stop and did so, with its checkpoint written."""


@dataclass
class TrainingState:
    """The progress of a run, as its checkpoints record it."""

    step: int = 0
    seconds: float = 0.0
    validation: dict[str, float] | None = None  # the latest metrics on held-out images
    first: dict[str, float] | None = None  # the metrics before the first step
    best: float | None = None  # the metric of the best checkpoint
    fresh: bool = True  # began with random weights


def train(recipe: Recipe, run: Path, resume: bool = False, init: Path | None = None) -> Path:
    """Train the model of a recipe; return the run folder.

    Args:
        recipe: as `recipe.read` returns it.
        run: folder for the checkpoints, the log, samples, and the recipe; must not hold a run unless ``resume``.
        resume: continue from ``last.safetensors``, with the result of a run that was never stopped.
        init: a run, a checkpoint, a bundle or a ``.safetensors`` file from elsewhere whose weights to start from.

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
    _prepare_folder(run, resume)
    library = gather(recipe.data, run / "photos.json")
    state, sections = TrainingState(fresh=init is None), None
    steps = recipe.trainer.steps
    if resume:
        state, sections = _read_progress(run, recipe, library)
        if state.step >= steps:
            log.warning("%s: at step %d of %d: nothing to resume", run, state.step, steps)
            return run

    with launched(fabric):
        loop = TrainingLoop(model, recipe, library, run, fabric, state)
        if sections:
            loop.restore(sections)
        if is_main_process():
            with atomic_write(run / "recipe.json", overwrite=True) as file:
                file.write(json.dumps(resolved(recipe), indent=2).encode())
        loop.run_steps()
    if state.step < steps:
        raise Stopped(f"stopped at step {state.step} of {steps}; continue with --resume")
    return run


class TrainingLoop:
    """One run. The randomness of a step comes from (seed, step, rank), so a resumed run equals an unstopped one."""

    def __init__(
        self, model: Family, recipe: Recipe, library: Library, run: Path, fabric: Fabric, state: TrainingState
    ) -> None:
        self.model: Family = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = fabric.to_device(copy.deepcopy(self.model).requires_grad_(False).eval())
        self.part_loss: nn.Module = fabric.setup(PartLoss(self.model.train()))
        self.recipe, self.settings, self.library, self.run, self.fabric = recipe, recipe.trainer, library, run, fabric
        self.log = TrainingLog(run / "log.jsonl", self.settings.steps, self.settings.batch)
        self.state, self.stop_requested = state, False
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
                    self._validate()
                    self._write_samples()
                    self._save("last")  # so that an early crash can be resumed, and a full disk is noticed at once
            for batch in self._batches():
                self._take_step(batch)
                if self._finish_step():
                    break

    def _batches(self) -> DataLoader[Any]:
        world, rank, batch = self.fabric.world_size, self.fabric.global_rank, self.settings.batch
        if batch % world:
            raise ValueError(f"trainer.batch = {batch}: must divide by the {world} devices")
        share = batch // world
        starts = range(self.state.step * batch + rank * share, self.settings.steps * batch, batch)
        numbers: list[Any] = [range(start, start + share) for start in starts]
        data, target = self.recipe.data, self.model.procedure.target
        return DataLoader(
            TrainingPairs(self.library.training, data, target, self.settings.seed),
            batch_sampler=numbers,
            num_workers=data.workers,
            prefetch_factor=4 if data.workers else None,
            worker_init_fn=ignore_interrupts,
            pin_memory=self.fabric.device.type == "cuda",
        )

    def _take_step(self, batch: tuple[Tensor, Tensor]) -> None:
        gray, color = (x.contiguous(memory_format=torch.channels_last) for x in self.fabric.to_device(batch))
        torch.manual_seed((self.settings.seed * 1_000_003 + self.state.step) * 1024 + self.fabric.global_rank)
        lr = learning_rate(self.state.step, self.settings.steps, self.recipe.optimizer)
        losses: dict[str, Tensor] = {}
        for part, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * lr
            for other, parameters in self.parameters.items():
                for parameter in parameters.values():
                    parameter.requires_grad_(other == part)
            losses |= self._train_part(part, gray, color)
        self.state.step += 1
        self._update_average()
        self.log.add(losses)

    def _train_part(self, part: str, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.part_loss(part, gray, color)
        self.optimizers[part].zero_grad()
        self.fabric.backward(losses["total"])
        norm = nn.utils.clip_grad_norm_(self.parameters[part].values(), self.recipe.optimizer.clip)
        self.optimizers[part].step()
        return {f"{part}/{name}": value.detach() for name, value in {**losses, "norm": norm}.items()}

    @torch.no_grad()
    def _update_average(self) -> None:
        # Faster at first, so that the untrained weights are soon forgotten.
        decay = min(self.recipe.optimizer.ema, (1 + self.state.step) / (10 + self.state.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def _finish_step(self) -> bool:
        """Write what is due after a step; return whether to stop."""
        stop = self._agree_to_stop()
        validates = not stop and self._is_due(self.settings.validate_every)
        samples = not stop and self._is_due(self.settings.sample_every)
        saves = stop or self._is_due(self.settings.checkpoint_every)
        if not (validates or samples or saves or self._is_due(self.settings.log_every)):
            return stop

        means = self.log.means(self.state.step)
        if self.fabric.is_global_zero:
            lr = learning_rate(self.state.step - 1, self.settings.steps, self.recipe.optimizer)
            self.log.write_losses(self.state.step, means, lr)
            if validates:
                self._validate()
                for message in self.model.diagnostics(means):
                    log.warning("step %d: %s", self.state.step, message)
            if samples:
                self._write_samples()
            if saves:
                self._save("last")
        self.log.restart_clock()
        return stop

    def _is_due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.settings.steps

    def _request_stop(self, number: int, frame: Any) -> None:
        """Stop after the present step; a second signal interrupts at once."""
        self.stop_requested = True
        signal.signal(number, signal.default_int_handler)

    def _agree_to_stop(self) -> bool:
        if self.fabric.world_size == 1:
            return self.stop_requested
        if not self._is_due(self.settings.log_every):  # asking all processes takes time
            return False
        return bool(self.fabric.all_reduce(torch.tensor(float(self.stop_requested)), reduce_op="max"))

    def _validate(self) -> None:
        images = self.library.validation[: self.settings.validate_photos]
        if not images:
            return
        state = self.state
        metrics = validation.metrics(self._averaged_model(), self._validation_batches(images), self.settings.seed)
        self.log.write({"step": state.step, **{f"validation/{name}": value for name, value in metrics.items()}})
        state.validation = metrics
        state.first = state.first or metrics
        latest = self.settings.best == "last"
        metric = metrics["loss" if latest else self.settings.best]
        if state.step and (latest or state.best is None or metric < state.best):
            state.best = metric
            self._save("best")
        # The loss of adversaries tells nothing: a family with several parts has diagnostics of its own.
        late = state.step >= max(PATIENCE, min(1000, self.settings.steps // 2))
        stuck = metrics["loss"] > 0.95 * state.first["loss"] and metrics["ab_error"] >= 0.99 * metrics["gray_error"]
        if stuck and late and state.fresh and len(self.model.trainable) == 1:
            log.warning(
                "step %d: the model does not learn: the loss was %.4g and is %.4g, the ab error %.3g is no better than "
                "that of the grayscale baseline; try another optimizer.lr (now %g), and look at %s",
                *(state.step, state.first["loss"], metrics["loss"], metrics["ab_error"]),
                *(self.recipe.optimizer.lr, self.run / "samples"),
            )

    def _write_samples(self) -> None:
        images = (self.library.validation or self.library.training)[:SAMPLES]
        path = self.run / "samples" / f"{self.state.step:07d}.png"
        batch = next(iter(self._validation_batches(images)))
        validation.write_samples(self._averaged_model(), batch, path, self.settings.seed)

    def _averaged_model(self) -> Family:
        # Buffers, such as the statistics of batch norm, are not averaged: they are the model's present ones.
        for ours, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            ours.copy_(theirs)
        return self.average.eval()

    def _validation_batches(self, images: tuple[SourceImage, ...]) -> DataLoader[Any]:
        pairs = ValidationPairs(images, self.recipe.data, self.model.procedure.target)
        return DataLoader(pairs, batch_size=max(self.settings.batch, SAMPLES))

    def _save(self, name: str) -> None:
        """Write the whole state as ``last``, or the averaged weights as ``best``."""
        sections = {"ema": self._averaged_model().state_dict()}
        if name == "last":
            sections |= {"model": self.model.state_dict(), "optimizer": {}}
            for part, optimizer in self.optimizers.items():
                sections["optimizer"] |= checkpoint.optimizer_state(optimizer, self.parameters[part])
        self.state.seconds = self.log.seconds
        record = {**asdict(self.state), "photographs": self.library.record(), "recipe": resolved(self.recipe)}
        if name == "best" and self.state.best is None:
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


def parameter_groups(model: Family, part: str, settings: Optimizer) -> list[dict[str, Any]]:
    """Return a part's parameters, grouped by relative learning rate and weight decay (none for biases and norms)."""
    rates = model.learning_rates(part)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.get_submodule(part).named_parameters():
        if parameter.requires_grad:
            rate = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), 1.0)
            decays = parameter.ndim > 1 and "bias" not in name.split(".")  # the weights of norms have one axis
            decay = settings.weight_decay * decays
            group = groups.setdefault((rate, decay), {"params": [], "rate": rate, "weight_decay": decay})
            group["params"].append(parameter)
    return list(groups.values())


def learning_rate(step: int, steps: int, settings: Optimizer) -> float:
    """Return the learning rate after ``step`` of ``steps``: linear warm-up times a cosine decay to zero."""
    warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    return settings.lr * warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


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


def _prepare_folder(run: Path, resume: bool) -> None:
    if not is_main_process():
        return
    started = (run / "last.safetensors").exists()
    if started and not resume:
        raise ValueError(f"{run}: holds a run already: resume it, or name another folder")
    if resume and not started:
        raise ValueError(f"{run}: holds no last.safetensors to resume from; start without --resume")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{run}: cannot be a folder for a run ({error.strerror}): name another") from None


def _read_progress(run: Path, recipe: Recipe, library: Library) -> tuple[TrainingState, dict[str, dict[str, Tensor]]]:
    """Return the progress of a run and the sections of its last checkpoint; ValueError for one of another model."""
    sections, record = checkpoint.read(run / "last.safetensors")
    config, other = resolved(recipe)["model"], record["recipe"]["model"]
    if other != config:
        raise ValueError(f"the checkpoint's [model] is {other}, the recipe's {config}")
    if record["photographs"]["digest"] != library.digest:
        log.warning("the photos are not those the run began with: the result will differ from an unstopped run")
    return TypeAdapter(TrainingState).validate_python(record), sections
