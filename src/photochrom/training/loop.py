"""The one training loop: every player of any family takes its step on each batch."""

import copy
import json
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .. import models
from ..models.family import Family
from . import checkpoint, validation
from .dataset import HeldOut, Library, Pairs, Photo, gather
from .log import Journal, rewrite
from .process import ignore_interrupts, own_signals, quiet
from .rates import groups, learning_rate
from .recipe import Recipe, resolved

log = logging.getLogger(__name__)

STRIP = 8  # photographs in a strip of samples
FEW = 50  # steps in which nothing can be said of what is learnt


class Stopped(KeyboardInterrupt):
    """A training that was asked to stop and did, with its checkpoint written."""


def train(recipe: Recipe, run: Path, resume: bool = False, init: Path | None = None) -> Path:
    """Train the model of a recipe; returns the run folder.

    Args:
        recipe: as `recipe.read` gives it.
        run: folder for ``recipe.json``, ``photos.json``, ``log.jsonl``, ``samples/``, ``last.safetensors`` and
            ``best.safetensors``; must not hold a run yet, unless ``resume``.
        resume: go on from ``last.safetensors``, as if never stopped.
        init: a run, a checkpoint or a bundle whose weights to start from.

    Ctrl-C and SIGTERM write a checkpoint and raise `Stopped`. Raises ValueError for a recipe, photographs or a folder
    that will not do, which leaves the folder's run as it was, and FloatingPointError when a loss is not a number.
    """
    run = Path(run)
    trainer = _trainer(recipe)
    torch.manual_seed(recipe.trainer.seed)
    model = models.load_family(recipe.family)(recipe.model)
    _fits(recipe, model)
    if not resume:
        checkpoint.start(model, init)
    _open(run, resume)
    loop = Loop(model, recipe, gather(recipe.data, run / "photos.json"), run)
    loop.record["fresh"] = init is None
    if resume:
        loop.take_up(*checkpoint.read(run / "last.safetensors"))
        if loop.step >= recipe.trainer.steps:
            log.warning("%s: at step %d of %d: nothing to go on with", run, loop.step, recipe.trainer.steps)
            return run
    rank_zero_only(rewrite)(run / "recipe.json", json.dumps(resolved(recipe), indent=2))
    with quiet(), own_signals():
        try:
            trainer.fit(loop)
        except SystemExit:  # what Lightning makes of a second Ctrl-C
            raise KeyboardInterrupt from None
        finally:
            loop.journal.close()
    if loop.step < recipe.trainer.steps and not rank_zero_only.rank:  # type: ignore[attr-defined]
        raise Stopped(f"stopped at step {loop.step} of {recipe.trainer.steps}; go on with --resume")
    return run


@rank_zero_only
def _open(run: Path, resume: bool) -> None:
    begun = (run / "last.safetensors").exists()
    if begun and not resume:
        raise ValueError(f"{run}: holds a run already: resume it, or name another folder")
    if resume and not begun:
        raise ValueError(f"{run}: holds no last.safetensors to resume from; start without --resume")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{run}: cannot be a folder for a run ({error.strerror}): name another") from None


def _fits(recipe: Recipe, model: Family) -> None:
    size, multiple, side = recipe.data.size, model.size_multiple, model.image_size
    if side and size != side:
        raise ValueError(f"data.size = {size}: this model sees {side} pixels and nothing else: choose {side}")
    if size % multiple:
        near = max(1, round(size / multiple)) * multiple
        raise ValueError(f"data.size = {size}: must divide by {multiple} for this model: choose {near}, for instance")
    if size < (least := model.minimum_size):
        raise ValueError(
            f"data.size = {size}: this model needs {least} pixels: choose as many or more, or change the model"
        )
    wanted = model.gray_convention or recipe.data.gray
    if recipe.data.gray != wanted:
        raise ValueError(f"data.gray = {recipe.data.gray!r}: this family works on {wanted!r}: choose that")


def _trainer(recipe: Recipe) -> lightning.Trainer:
    """Lightning's loop, devices and precision, with everything else of it turned off. Raises ValueError."""
    settings = recipe.trainer
    alone = settings.devices == 1 and settings.nodes == 1
    try:
        with quiet():
            return lightning.Trainer(
                accelerator=settings.accelerator,
                devices=settings.devices,
                num_nodes=settings.nodes,
                strategy="auto" if alone else "ddp_find_unused_parameters_true",  # a GAN's players take turns
                precision=settings.precision,
                max_epochs=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
    except MisconfigurationException as error:
        asked = f"trainer.accelerator = {settings.accelerator!r}, devices = {settings.devices!r}"
        raise ValueError(f"{asked}: not on this machine ({' '.join(str(error).split())})") from None


class Loop(lightning.LightningModule):
    """One run: the model, its average, and the step reached.

    Whatever is random in a step is drawn from (seed, step, rank), so a resumed run is the run that was not stopped.
    """

    def __init__(self, model: Family, recipe: Recipe, library: Library, run: Path) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model: Family = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.recipe, self.library, self.run = recipe, library, run
        self.settings = recipe.trainer
        self.journal = Journal(run / "log.jsonl", self.settings.steps, self.settings.batch)
        self.record: dict[str, Any] = dict.fromkeys(("best", "first", "validation"), None)
        self.record |= {"step": 0, "seconds": 0.0, "fresh": True}
        self.memory: dict[str, Tensor] = {}
        self.stopping = False

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return int(self.record["step"])

    def take_up(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Go on from what a checkpoint holds. Raises ValueError when it is of another model."""
        tables = resolved(self.recipe)
        if record["recipe"]["model"] != tables["model"]:
            raise ValueError(f"the checkpoint's [model] is {record['recipe']['model']}, the recipe's {tables['model']}")
        if record["photographs"]["digest"] != self.library.digest:
            log.warning("the photographs are not those the run began with: what follows will differ")
        self.model.load_state_dict(checkpoint.part(tensors, "model"))
        self.average.load_state_dict(checkpoint.part(tensors, "ema"))
        self.memory = checkpoint.part(tensors, "optimizer")
        self.record |= {key: record[key] for key in self.record if key in record}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One AdamW for each player."""
        settings = self.recipe.optimizer
        each = [groups(self.model, player, settings) for player in self.model.trainable]
        return [torch.optim.AdamW(g, settings.lr, settings.betas, fused=True) for g in each]

    def train_dataloader(self) -> DataLoader[Any]:
        """The batches from the present step to the last; each rank takes its share of every batch."""
        world, rank, batch = self.trainer.world_size, self.trainer.global_rank, self.settings.batch
        if batch % world:
            raise ValueError(f"trainer.batch = {batch}: must divide by the {world} devices")
        share = batch // world
        starts = (step * batch + rank * share for step in range(self.step, self.settings.steps))
        batches: list[Any] = [range(start, start + share) for start in starts]
        return DataLoader(
            Pairs(self.library.training, self.recipe.data, self.model.procedure.target, self.settings.seed),
            batch_sampler=batches,
            num_workers=self.recipe.data.workers,
            prefetch_factor=4 if self.recipe.data.workers else None,
            worker_init_fn=ignore_interrupts,
            pin_memory=self.device.type == "cuda",
        )

    def on_train_start(self) -> None:
        """Give the optimisers their memory back, open the log, and look at the untrained model."""
        for player, optimizer in zip(self.model.trainable, self._optimizers(), strict=True):
            checkpoint.restore_optimizer(optimizer, self._names(player), checkpoint.part(self.memory, player))
        self.memory = {}
        self.model.train()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._stop)
        if self.trainer.is_global_zero:
            self.journal.start(self.step, self.record["seconds"])
            if not self.step:
                self._validate()
                self._sample()
                self._save("last")  # so that a run killed early can be resumed, and a full disk is known at once

    def training_step(self, pair: tuple[Tensor, Tensor], index: int) -> None:
        """Every player's step on one batch, then the average's."""
        torch.manual_seed((self.settings.seed * 1_000_003 + self.step) * 1024 + self.trainer.global_rank)
        gray, color = (x.contiguous(memory_format=torch.channels_last) for x in pair)
        figures: dict[str, Tensor] = {}
        for player, optimizer in zip(self.model.trainable, self._optimizers(), strict=True):
            with _alone(self.model, player):
                figures |= self._play(player, optimizer, gray, color)
        self.record["step"] += 1
        self._follow()
        self.journal.note(figures)

    def _play(self, player: str, optimizer: torch.optim.Optimizer, gray: Tensor, color: Tensor) -> dict[str, Tensor]:
        losses = self.model.loss(player, gray, color)
        optimizer.zero_grad()
        self.manual_backward(losses["total"])
        norm = nn.utils.clip_grad_norm_(self.model.get_submodule(player).parameters(), self.recipe.optimizer.clip)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * learning_rate(self.step, self.settings.steps, self.recipe.optimizer)
        optimizer.step()
        return {f"{player}/{name}": value.detach() for name, value in {**losses, "norm": norm}.items()}

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the model; at first faster, so that it forgets the untrained weights."""
        decay = min(self.recipe.optimizer.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """Whatever is due after this step; a stop asked for is obeyed here."""
        self.trainer.should_stop = stop = self._stops()
        writes, validates, samples = (
            self._due(f"{what}_every") or stop for what in ("checkpoint", "validate", "sample")
        )
        if not (self._due("log_every") or writes or validates or samples):
            return
        means = self.journal.means(self.step)
        if self.trainer.is_global_zero:
            rate = learning_rate(self.step - 1, self.settings.steps, self.recipe.optimizer)
            self.journal.row(self.step, means, rate)
            if validates and not stop:
                self._validate()
                self._doubt(means)
            if samples and not stop:
                self._sample()
            if writes:
                self._save("last")
        self.journal.restart()

    def _due(self, every: str) -> bool:
        return self.step % int(getattr(self.settings, every)) == 0 or self.step == self.settings.steps

    def _stop(self, number: int, frame: Any) -> None:
        """Stop after the present step; asked twice, at once."""
        self.stopping = True
        signal.signal(number, signal.default_int_handler)

    def _stops(self) -> bool:
        """Whether to stop: devices must agree, which they are asked only now and then."""
        if self.trainer.world_size == 1:
            return self.stopping
        return self._due("log_every") and self.trainer.strategy.reduce_boolean_decision(self.stopping, all=False)

    def _validate(self) -> None:
        """Log the figures of the averaged model; keep it as the best if it is."""
        photos = self.library.validation[: self.settings.validate_photos]
        if not photos:
            return
        found = validation.figures(self._averaged(), self._held_out(photos), self.settings.seed)
        self.journal.write({"step": self.step, **{f"validation/{name}": value for name, value in found.items()}})
        self.record["validation"] = found
        self.record["first"] = self.record["first"] or found
        latest = self.settings.best == "last"
        figure, best = found["loss" if latest else self.settings.best], self.record["best"]
        if self.step and (latest or best is None or figure < best):
            self.record["best"] = figure
            self._save("best")
        self._judge(found, self.record["first"])

    def _judge(self, now: dict[str, float], first: dict[str, float]) -> None:
        """Warn of a model that colours no better than gray while its loss has hardly fallen.

        Where two players push a loss in opposite ways it tells nothing: such a family has `_doubt`.
        """
        alone = len(self.model.trainable) == 1
        stuck = alone and now["loss"] > 0.95 * first["loss"] and now["ab_error"] >= 0.99 * now["gray_error"]
        if self.record["fresh"] and stuck and self.step >= max(FEW, min(1000, self.settings.steps // 2)):
            log.warning(
                "step %d: nothing is learnt: the loss was %.4g and is %.4g, the ab error %.3g is no better than that "
                "of a gray picture; try another optimizer.lr (now %g), and look at %s",
                *(
                    self.step,
                    first["loss"],
                    now["loss"],
                    now["ab_error"],
                    self.recipe.optimizer.lr,
                    self.run / "samples",
                ),
            )

    def _doubt(self, means: dict[str, float]) -> None:
        """Warn of what the family itself finds wrong with the losses of late."""
        for sentence in self.model.diagnostics(means):
            log.warning("step %d: %s", self.step, sentence)

    def _sample(self) -> None:
        photos = (self.library.validation or self.library.training)[:STRIP]
        path = self.run / "samples" / f"{self.step:07d}.png"
        validation.strip(self._averaged(), next(iter(self._held_out(photos))), path, self.settings.seed)

    def _averaged(self) -> Family:
        """The model with averaged weights, and the present buffers: statistics are not averaged."""
        for ours, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            ours.copy_(theirs)
        return self.average.eval()

    def _held_out(self, photos: tuple[Photo, ...]) -> DataLoader[Any]:
        pairs = HeldOut(photos, self.recipe.data, self.model.procedure.target, self.settings.seed)
        return DataLoader(pairs, batch_size=max(self.settings.batch, STRIP))

    def _save(self, which: str) -> None:
        """Write the whole state as ``last``, or the averaged weights as ``best``."""
        tensors = checkpoint.prefixed("ema", self._averaged().state_dict())
        if which == "last":
            tensors |= checkpoint.prefixed("model", self.model.state_dict())
            for player, optimizer in zip(self.model.trainable, self._optimizers(), strict=True):
                state = checkpoint.optimizer_state(optimizer, self._names(player))
                tensors |= checkpoint.prefixed(f"optimizer.{player}", state)
        papers = {
            "photographs": self.library.record(),
            "recipe": resolved(self.recipe),
            "seconds": self.journal.seconds,
        }
        if which == "best" and self.record["best"] is None:
            papers["validation"] = None  # these weights were not looked at
        checkpoint.write(self.run / f"{which}.safetensors", tensors, {"format": 1, **self.record, **papers})
        if which == "last" and self.step and self.record["best"] is None:
            self._save("best")

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        made = self.optimizers(use_pl_optimizer=False)
        return made if isinstance(made, list) else [made]

    def _names(self, player: str) -> dict[Tensor, str]:
        return {p: name for name, p in self.model.get_submodule(player).named_parameters()}


@contextmanager
def _alone(model: Family, player: str) -> Iterator[None]:
    """While one player steps, the others want no gradient."""
    others = [p for other in model.trainable if other != player for p in model.get_submodule(other).parameters()]
    frozen = [p.requires_grad_(False) for p in others if p.requires_grad]
    try:
        yield
    finally:
        for p in frozen:
            p.requires_grad_(True)
