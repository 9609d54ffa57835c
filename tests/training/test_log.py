import json
from contextlib import closing, contextmanager

import pytest
import torch

from photochrom.imaging.atomic import atomic_write
from photochrom.imaging.errors import WriteError
from photochrom.training import log as training_log
from photochrom.training.log import TrainingLog, read_rows
from photochrom.training.recipe import Trainer


def test_rows_hold_means(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl", Trainer(steps=10, batch=4))
    log.start(0, 0.0)
    for value in (1.0, 2.0, 6.0):
        log.add({"net/total": torch.tensor(value)})
    log.write_losses(3, log.means(3), 0.5)
    row = read_rows(log.path)[0]
    assert row["net/total"] == 3
    assert row["photos_per_second"] > 0
    assert log.means(3) == {}


def test_a_loss_that_is_not_finite_is_named_with_its_step(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl", Trainer(steps=10, batch=4))
    for value in (1.0, float("inf"), float("nan")):
        log.add({"net/total": torch.tensor(value)})
    with pytest.raises(FloatingPointError, match="step 6: net/total is inf"):
        log.means(7)


def test_rows_of_steps_that_will_come_again_are_cut(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (0, 5, 10, 15)) + '{"step": 2')
    TrainingLog(path, Trainer(steps=20, batch=4)).start(10, 60.0)
    assert [row["step"] for row in read_rows(path)] == [0, 5, 10]
    TrainingLog(path, Trainer(steps=20, batch=4)).start(0, 0.0)
    assert read_rows(path) == []


def test_a_log_is_never_half_written(tmp_path, monkeypatch):
    @contextmanager
    def fill_disk(path, overwrite):
        with atomic_write(path, overwrite) as file:
            file.write(b"half")
            raise OSError(28, "No space left on device")
            yield file

    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n')
    log = TrainingLog(path, Trainer(steps=20, batch=4))
    monkeypatch.setattr(training_log, "atomic_write", fill_disk)
    with pytest.raises(WriteError, match="No space left on device"):
        log.start(1, 60.0)
    assert [row["step"] for row in read_rows(path)] == [1, 2]


def test_seconds_continue(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl", Trainer(steps=20, batch=4))
    log.start(10, 60.0)
    assert log.seconds >= 60


def test_the_bar_moves_with_each_step(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl", Trainer(steps=20, batch=4))
    log.bar.disable = False
    with closing(log):
        log.start(3, 60.0)
        log.move_bar(4)
    assert [(task.completed, task.total) for task in log.bar.tasks] == [(4, 20)]


def test_a_terminal_shows_validations_above_the_bar_and_losses_not_at_all(tmp_path, caplog):
    caplog.set_level("INFO")
    log = TrainingLog(tmp_path / "log.jsonl", Trainer(steps=20, batch=4))
    log.bar.disable = False
    losses, validation = {"step": 1, "net/total": 0.5, "photos_per_second": 9.0}, {"step": 1, "validation/loss": 0.25}
    log.write(losses)
    log.write(validation)
    assert caplog.messages == ["step 1  validation/loss 0.25"]
    assert read_rows(log.path) == [losses, validation]
