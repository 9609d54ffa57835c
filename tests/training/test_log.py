import json
from pathlib import Path

import pytest
import torch

from photochrom.training.log import Journal, rows


def test_rows_hold_means(tmp_path):
    journal = Journal(tmp_path / "log.jsonl", steps=10, batch=4)
    journal.start(0, 0.0)
    for value in (1.0, 2.0, 6.0):
        journal.note({"net/total": torch.tensor(value)})
    journal.row(3, journal.means(3), 0.5)
    row = rows(journal.path)[0]
    assert row["net/total"] == 3
    assert row["photos_per_second"] > 0
    assert journal.means(3) == {}


def test_a_bad_loss_is_named_with_its_step(tmp_path):
    journal = Journal(tmp_path / "log.jsonl", steps=10, batch=4)
    for value in (1.0, float("inf"), float("nan")):
        journal.note({"net/total": torch.tensor(value)})
    with pytest.raises(FloatingPointError, match="step 6: net/total is inf"):
        journal.means(7)


def test_rows_that_will_come_again_are_cut(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (0, 5, 10, 15)) + '{"step": 2')
    Journal(path, steps=20, batch=4).start(10, 60.0)
    assert [row["step"] for row in rows(path)] == [0, 5, 10]
    Journal(path, steps=20, batch=4).start(0, 0.0)
    assert rows(path) == []


def test_a_log_is_never_half_there(tmp_path, monkeypatch):
    def full(path, text):
        path.write_bytes(text[:5].encode())
        raise OSError("no space left")

    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n')
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space left"):
        Journal(path, steps=20, batch=4).start(1, 60.0)
    assert [row["step"] for row in rows(path)] == [1, 2]


def test_seconds_go_on(tmp_path):
    journal = Journal(tmp_path / "log.jsonl", steps=20, batch=4)
    journal.start(10, 60.0)
    assert 60 <= journal.seconds < 70
