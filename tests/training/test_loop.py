import json
import os
import signal
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
import pyvips
import torch
import toy

from photochrom.training import log as training_log
from photochrom.training import processes, validation
from photochrom.training.checkpoint import load, read, write
from photochrom.training.log import read_rows
from photochrom.training.loop import Stopped, TrainingLoop, train
from photochrom.training.recipe import parse, resolved

EVERY = {"log_every": 1, "validate_every": 10, "checkpoint_every": 10, "sample_every": 10}


@pytest.fixture
def recipe(archive, pytestconfig):
    """A recipe of a toy family or a tiny real one, with other settings as `table__key`."""

    def make(family="toy", **settings):
        tiny = pytestconfig.rootpath / "recipes" / "tiny" / f"{family}.toml"
        tables = {
            "model": tomllib.loads(tiny.read_text())["model"] if tiny.exists() else {"family": family},
            "data": {"photos": [str(archive)], "size": 16, "workers": 0, "validation": 0.25},
            "optimizer": {"lr": 0.01, "warmup_steps": 2, "ema": 0.9},
            "trainer": {"steps": 20, "batch": 4, "accelerator": "cpu", **EVERY},
        }
        for name, value in settings.items():
            table, key = name.split("__")
            tables[table][key] = value
        return parse(tables)

    return make


def rows(run, key="lr"):
    return [row for row in read_rows(run / "log.jsonl") if key in row]


def assert_same(run, other):
    sections, others = (read(r / "last.safetensors")[0] for r in (run, other))
    assert sections.keys() == others.keys() == {"model", "ema", "optimizer"}
    for section, ours in sections.items():
        theirs = others[section]
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    clock = {"photos_per_second", "seconds"}
    ours, theirs = ([{k: v for k, v in row.items() if k not in clock} for row in rows(r)] for r in (run, other))
    assert ours == theirs
    assert [r["step"] for r in theirs] == list(range(1, 21))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_writes_all_its_files(recipe, tmp_path, capfd):
    settings = recipe()
    run = train(settings, tmp_path / "run")
    assert capfd.readouterr() == ("", "")
    assert sorted(p.name for p in run.iterdir()) == [
        "best.safetensors", "last.safetensors", "log.jsonl", "recipe.json", "samples"
    ]  # fmt: skip
    assert parse(json.loads((run / "recipe.json").read_text())) == settings
    first = rows(run)[0]
    assert first.keys() == {
        "step", "colors/total", "colors/twice", "colors/norm", "lr", "photos_per_second", "seconds"
    }  # fmt: skip
    assert [r["step"] for r in rows(run, "validation/loss")] == [0, 10, 20]
    strip = pyvips.Image.new_from_file(str(run / "samples" / "0000020.png"))
    assert (strip.width, strip.height, strip.bands) == (8 * 16, 3 * 16, 3)
    model, stored, record = load(run)
    assert stored == settings
    assert not model.training
    assert record["photographs"]["training"] > 20
    assert record["validation"] == min((record["validation"], record["first"]), key=lambda v: v["loss"])


def test_the_loss_falls(recipe, tmp_path):
    run = train(recipe(trainer__steps=60, trainer__validate_every=60, trainer__sample_every=60), tmp_path / "run")
    losses = [r["colors/total"] for r in rows(run)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    first, last = rows(run, "validation/loss")
    assert last["validation/loss"] < first["validation/loss"]


def before_call(number, action):
    """Return `TrainingLoop._train_part` with an action before its number-th call."""
    calls, train_part = [], TrainingLoop._train_part

    def wrapper(*arguments):
        calls.append(1)
        if len(calls) == number:
            action()
        return train_part(*arguments)

    return wrapper


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def cut_power():
    raise RuntimeError("power cut")


@pytest.mark.parametrize(("family", "parts"), [("toy", 1), ("adversarial", 2), ("classify", 1)])
def test_a_killed_run_resumes_as_if_never_stopped(family, parts, recipe, tmp_path, monkeypatch):
    settings = recipe(family)
    unstopped = train(settings, tmp_path / "unstopped")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_train_part", before_call(14 * parts, cut_power))
        with pytest.raises(RuntimeError, match="power cut"):
            train(settings, tmp_path / "killed")
    assert read(tmp_path / "killed" / "last.safetensors")[1]["step"] == 10
    assert len(rows(tmp_path / "killed")) == 13
    train(settings, tmp_path / "killed", resume=True)
    assert_same(unstopped, tmp_path / "killed")
    assert read(unstopped / "best.safetensors")[1]["best"] == read(tmp_path / "killed" / "best.safetensors")[1]["best"]


def test_an_interrupt_writes_a_checkpoint(recipe, tmp_path, monkeypatch, capfd):
    settings = recipe()
    unstopped = train(settings, tmp_path / "unstopped")
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_train_part", before_call(7, interrupt))
        with pytest.raises(Stopped, match="stopped at step 7 of 20; continue with --resume"):
            train(settings, run := tmp_path / "stopped")
    assert capfd.readouterr().err.count("photochrom: stopping soon, with a checkpoint") == 1
    assert signal.getsignal(signal.SIGINT) is before
    assert read(run / "last.safetensors")[1]["step"] == 7
    assert load(run)[2]["step"] == 7
    assert load(run)[2]["validation"] is None
    train(settings, run, resume=True)
    assert_same(unstopped, run)


def test_a_second_interrupt_stops_at_once(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingLoop, "_train_part", before_call(14, lambda: (interrupt(), interrupt())))
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), tmp_path / "run")
    assert read(tmp_path / "run" / "last.safetensors")[1]["step"] == 10


def test_data_workers_change_nothing(recipe, tmp_path):
    without = train(recipe(), tmp_path / "without")
    assert_same(without, train(recipe(data__workers=2), tmp_path / "with"))


def test_the_average_leaves_buffers_alone(recipe, tmp_path):
    sections, _ = read(train(recipe(), tmp_path / "run") / "last.safetensors")
    model, average = sections["model"], sections["ema"]
    assert model["seen"] == average["seen"] == 80
    same = {name for name in model if torch.equal(model[name], average[name])}
    assert same == {name for name in model if "running" in name or "num_batches" in name or name == "seen"}
    sections, _ = read(train(recipe(optimizer__ema=0.0), tmp_path / "plain") / "last.safetensors")
    model, average = sections["model"], sections["ema"]
    assert all(torch.equal(model[name], average[name]) for name in model)


def test_every_part_is_trained(recipe, tmp_path):
    run = train(recipe("adversarial"), tmp_path / "run")
    assert {"critic/total", "critic/norm", "colors/total", "colors/l1"} <= rows(run)[0].keys()
    sections, _ = read(run / "last.safetensors")
    for part in ("critic", "colors"):
        memory = [name for name in sections["optimizer"] if name.startswith(part) and name.endswith("exp_avg_sq")]
        assert memory
        assert all(sections["optimizer"][name].abs().sum() > 0 for name in memory)
    model, *_ = load(run, "last")
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(("best", "step"), [("loss", 10), ("ab_error", 10), ("last", 20)])
def test_the_best_checkpoint_is_the_least_or_the_latest(recipe, tmp_path, monkeypatch, best, step):
    metrics = iter({"loss": n, "ab_error": n, "gray_error": 9, "chroma_ratio": 1} for n in range(9))
    monkeypatch.setattr(validation, "metrics", lambda *_: next(metrics))
    run = train(recipe(trainer__best=best), tmp_path / "run")
    assert read(run / "best.safetensors")[1]["step"] == step


def fake_validation(monkeypatch, losses):
    """Let validations return these losses in turn."""
    rest = iter(losses)
    monkeypatch.setattr(
        validation, "metrics", lambda *_: {"loss": next(rest), "ab_error": 1.0, "gray_error": 9.0, "chroma_ratio": 1.0}
    )


def test_a_run_out_of_patience_ends_with_its_best_weights(recipe, tmp_path, monkeypatch, caplog):
    fake_validation(monkeypatch, [9, 5, 6, 4, 5, 4.5, 4.1, 1])
    settings = recipe(
        trainer__patience=3,
        trainer__validate_every=2,
        trainer__steps=40,
        trainer__sample_every=40,
        trainer__points=[1.0],
    )
    run = train(settings, tmp_path / "run")
    assert load(run, "at-1")[2]["step"] == 12
    last, best = (read(run / f"{name}.safetensors")[1] for name in ("last", "best"))
    assert (best["step"], last["step"], last["stale"]) == (6, 12, 3)
    assert (run / "samples" / "0000012.png").exists()
    train(settings, run, resume=True)
    assert "at step 12, after 3 validations without a better one: nothing to resume" in caplog.text


def test_patience_is_remembered_when_a_run_is_resumed(recipe, tmp_path, monkeypatch):
    settings = recipe(trainer__patience=3, trainer__validate_every=2, trainer__steps=40)
    fake_validation(monkeypatch, [9, 5, 6, 7, 8])
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_train_part", before_call(7, interrupt))
        with pytest.raises(Stopped):
            train(settings, tmp_path / "run")
    assert read(tmp_path / "run" / "last.safetensors")[1]["step"] == 7
    train(settings, tmp_path / "run", resume=True)
    assert read(tmp_path / "run" / "last.safetensors")[1]["step"] == 8


def test_weights_are_kept_at_points_of_a_run(recipe, tmp_path):
    run = train(recipe(trainer__points=[0.12, 0.5, 1.0]), tmp_path / "run")
    assert sorted(path.name for path in run.glob("at-*")) == [
        "at-0.12.safetensors",
        "at-0.5.safetensors",
        "at-1.safetensors",
    ]
    records = [load(run, f"at-{point}")[2] for point in ("0.12", "0.5", "1")]
    assert [record["step"] for record in records] == [3, 10, 20]
    assert [record["validation"] for record in records] == [None] * 3
    with pytest.raises(ValueError, match=r"no checkpoint 'at-0.3'; choose one of at-0.12, at-0.5, at-1, best, last"):
        load(run, "at-0.3")


def test_a_resumed_run_keeps_the_same_points(recipe, tmp_path, monkeypatch):
    settings = recipe(trainer__points=[0.25, 0.5, 0.75], trainer__checkpoint_every=7)
    unstopped = train(settings, tmp_path / "unstopped")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_train_part", before_call(12, cut_power))
        with pytest.raises(RuntimeError, match="power cut"):
            train(settings, tmp_path / "run")
    run = train(settings, tmp_path / "run", resume=True)
    for point in ("at-0.25", "at-0.5", "at-0.75"):
        ours, theirs = (read(r / f"{point}.safetensors")[0]["ema"] for r in (run, unstopped))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_gradients_need_not_be_clipped(recipe, tmp_path):
    short = {"trainer__steps": 3, "optimizer__lr": 1.0}
    runs = [train(recipe(optimizer__clip=clip, **short), tmp_path / str(clip)) for clip in (0.0, 1e9, 1e-3)]
    free, unlimited, limited = ([row["colors/norm"] for row in rows(run)] for run in runs)
    assert free == unlimited != limited


def test_diagnostics_of_a_family_are_logged(recipe, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(
        toy.Adversarial, "diagnostics", lambda self, means: [f"l1 is {means['colors/l1']:.3f}"], raising=False
    )
    run = train(recipe("adversarial"), tmp_path / "run")
    messages = [r.message for r in caplog.records if "l1 is" in r.message]
    logged = {row["step"]: row["colors/l1"] for row in rows(run)}
    assert messages == [f"step {step}: l1 is {logged[step]:.3f}" for step in (10, 20)]  # where it is validated


def test_a_loss_that_is_not_finite_stops_the_run(recipe, tmp_path):
    settings = recipe("exploding", trainer__checkpoint_every=3, trainer__log_every=5)
    with pytest.raises(FloatingPointError, match=r"step 4: colors/total is nan: lower optimizer\.lr"):
        train(settings, tmp_path / "run")
    assert read(tmp_path / "run" / "last.safetensors")[1]["step"] == 3


def test_a_run_that_does_not_learn_is_reported(recipe, tmp_path, caplog):
    train(recipe("hopeless"), tmp_path / "short")
    assert not [r.message for r in caplog.records if "the model does not learn" in r.message]  # too early to tell
    slow = {"trainer__steps": 50, "trainer__validate_every": 50, "optimizer__lr": 1e-9}
    train(recipe("adversarial", **slow), tmp_path / "players")
    assert not [
        r.message for r in caplog.records if "the model does not learn" in r.message
    ]  # their losses tell nothing
    train(recipe("hopeless", **slow), tmp_path / "run")
    assert [r.message for r in caplog.records if "the model does not learn" in r.message]
    caplog.clear()
    train(recipe(), tmp_path / "other", init=tmp_path / "run")
    assert not [r.message for r in caplog.records if "the model does not learn" in r.message]


def test_init_takes_the_weights_of_another_run(recipe, tmp_path):
    first = train(recipe(), tmp_path / "first")
    second = train(recipe(optimizer__lr=1e-9), tmp_path / "second", init=first)
    ours, theirs = (read(run / "best.safetensors")[0]["ema"] for run in (first, second))
    assert torch.allclose(ours["colors.head.1.weight"], theirs["colors.head.1.weight"], atol=1e-6)


def test_without_a_validation_set_the_last_is_the_best(recipe, tmp_path):
    run = train(recipe(data__validation=0.0), tmp_path / "run")
    assert rows(run, "validation/loss") == []
    assert load(run)[2]["step"] == 20
    assert (run / "samples" / "0000020.png").exists()


def test_a_run_may_do_without_validation_and_samples(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "metrics", None)
    monkeypatch.setattr(validation, "write_samples", None)
    run = train(recipe(trainer__validate_every=0, trainer__sample_every=0), tmp_path / "run")
    assert rows(run, "validation/loss") == []
    assert load(run)[2]["step"] == 20
    assert not (run / "samples").exists()


def test_wrong_folders(recipe, tmp_path):
    run = train(recipe(trainer__steps=2), tmp_path / "run")
    before = content(run)
    with pytest.raises(ValueError, match="holds a run already"):
        train(recipe(), run)
    with pytest.raises(ValueError, match=r"holds no last\.safetensors"):
        train(recipe(), tmp_path / "none", resume=True)
    with pytest.raises(ValueError, match=r"the checkpoint's \[model\] is .*'width': 8.*'width': 4"):
        train(recipe(model__width=4), run, resume=True)
    assert content(run) == before
    with pytest.raises(ValueError, match=r"recipe\.json: cannot be a folder for a run \(File exists\)"):
        train(recipe(), run / "recipe.json")
    with pytest.raises(ValueError, match=r"deeper: cannot be a folder for a run \(Not a directory\)"):
        train(recipe(), run / "recipe.json" / "deeper")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"data__photos": ["mistyped"]}, "there is no such folder or zip"),
        ({"data__min_colorfulness": 1000.0}, "no photo to train on"),
        ({"family": "classify", "data__size": 50}, "data.size = 50: must divide by 4 for this model: choose 48"),
        ({"trainer__devices": 3000, "trainer__accelerator": "gpu"}, "trainer.accelerator = 'gpu', devices = 3000: not"),
    ],
)
def test_a_refused_call_leaves_no_run(wrong, message, recipe, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(recipe(**wrong), tmp_path / "run")
    assert not content(tmp_path)
    train(recipe(trainer__steps=2), tmp_path / "run")


def test_a_size_below_the_minimum_is_refused_at_once(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(toy.Model, "minimum_size", 96, raising=False)
    with pytest.raises(ValueError, match=r"data.size = \d+: this model needs 96 pixels: choose as many or more"):
        train(recipe(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_restored_is_left_as_it_was(recipe, tmp_path):
    run = train(recipe(trainer__steps=2), tmp_path / "run")
    sections, record = read(run / "last.safetensors")
    write(run / "last.safetensors", {**sections, "model": {}}, record)
    before = content(run)
    with pytest.raises(RuntimeError, match="Missing key"):
        train(recipe(trainer__steps=4), run, resume=True)
    assert content(run) == before


def test_a_finished_run_has_nothing_to_resume(recipe, tmp_path, caplog):
    run = train(recipe(trainer__steps=2), tmp_path / "run")
    names = ("log.jsonl", "last.safetensors", "recipe.json")
    before = [(run / name).read_bytes() for name in names]
    train(recipe(trainer__steps=1), run, resume=True)
    assert before == [(run / name).read_bytes() for name in names]
    assert "at step 2 of 1: nothing to resume" in caplog.text


def test_resuming_with_another_optimizer_is_reported(recipe, tmp_path, caplog):
    caplog.set_level("INFO")
    run = train(recipe(trainer__steps=2), tmp_path / "run")
    train(recipe(trainer__steps=4, optimizer__lr=0.5), run, resume=True)
    assert f"{run}: resuming at step 2 of 4" in caplog.messages
    changes = [message for message in caplog.messages if "will differ from an unstopped run" in message]
    assert [message.split(", and was")[0] for message in changes] == ["optimizer.lr = 0.5"]


def test_resuming_with_other_photos_is_reported(recipe, archive, tmp_path, caplog):
    run = train(recipe(trainer__steps=2), tmp_path / "run")
    train(recipe(trainer__steps=4, data__min_colorfulness=100.0), run, resume=True)
    assert "the photos are not those the run began with" in caplog.text
    assert [r["step"] for r in rows(run)] == [1, 2, 3, 4]


TWO_PROCESSES = """
import sys
sys.path[:0] = [{here!r}]
import json, os, signal, torch, toy
torch.set_num_threads(1)
from pathlib import Path
from photochrom import models
models.load_family = toy.FAMILIES.get
from photochrom.training.recipe import parse
from photochrom.training.loop import train

calls = []
def interrupt():
    calls.append(1)
    if len(calls) == {stop} and os.environ.get("LOCAL_RANK") == "1":
        os.kill(os.getpid(), signal.SIGINT)
toy.Model.before_loss = staticmethod(interrupt)

if __name__ == "__main__":
    train(parse(json.loads({tables!r})), Path({run!r}))
"""


@pytest.fixture
def in_two_processes(tmp_path):
    """Train a recipe on two processes of this machine; with ``stop``, the second is interrupted at that step."""

    def run(settings, stop=0):
        tables = resolved(settings)
        tables["trainer"]["devices"] = 2
        folder, script = tmp_path / "two", tmp_path / "script.py"
        here = str(Path(__file__).parent)
        script.write_text(TWO_PROCESSES.format(here=here, tables=json.dumps(tables), run=str(folder), stop=stop))
        result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
        assert bool(result.returncode) == bool(stop), result.stderr
        assert result.stderr.count("Stopped: stopped at step") == bool(stop)
        return folder

    return run


@pytest.mark.slow
@pytest.mark.parametrize("family", ["toy", "adversarial"])
def test_two_processes_equal_one(family, recipe, tmp_path, in_two_processes):
    settings = recipe(family, model__plain=True, model__dropout=0.0, data__workers=1)
    alone, two = train(settings, tmp_path / "alone"), in_two_processes(settings)
    ours, theirs = (read(run / "last.safetensors")[0]["model"] for run in (alone, two))
    floats = [name for name, value in ours.items() if value.is_floating_point()]
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in floats)
    assert [r["step"] for r in rows(two)] == list(range(1, 21))


@pytest.mark.slow
def test_two_processes_stop_together(recipe, in_two_processes):
    run = in_two_processes(recipe(), stop=7)
    assert read(run / "last.safetensors")[1]["step"] == 7


def test_a_run_from_before_a_setting_was_added_is_resumed(recipe, tmp_path):
    settings = recipe("classify", trainer__steps=4)
    run = train(settings, tmp_path / "run")
    sections, record = read(run / "last.safetensors")
    del record["recipe"]["model"]["noise"]
    write(run / "last.safetensors", sections, record)
    longer = recipe("classify", trainer__steps=6)
    train(longer, run, resume=True)
    assert read(run / "last.safetensors")[1]["step"] == 6


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_precision_is_bf16_where_a_gpu_has_it(recipe, monkeypatch, native, expected):
    made = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    monkeypatch.setattr(processes, "Fabric", lambda **options: made.append(options["precision"]))
    processes.create_fabric(recipe(trainer__accelerator="auto").trainer)
    processes.create_fabric(recipe(trainer__accelerator="cpu").trainer)
    assert made == [expected, "32-true"]


@pytest.mark.slow
def test_two_processes_end_by_the_clock_together(recipe, in_two_processes):
    run = in_two_processes(recipe(trainer__minutes=0.1))
    record = read(run / "last.safetensors")[1]
    assert record["seconds"] >= 6
    assert record["step"] > 1


@pytest.mark.parametrize("family", ["toy", "adversarial"])
def test_accumulated_gradients_equal_those_of_the_batch(family, recipe, tmp_path):
    settings = {"model__plain": True, "model__dropout": 0.0}
    whole, parts = (
        train(recipe(family, trainer__accumulate=count, **settings), tmp_path / str(count)) for count in (1, 2)
    )
    ours, theirs = (read(run / "last.safetensors")[0]["model"] for run in (whole, parts))
    floats = [name for name, value in ours.items() if value.is_floating_point()]
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in floats)
    for our_row, their_row in zip(rows(whole), rows(parts), strict=True):
        assert our_row["colors/total"] == pytest.approx(their_row["colors/total"], rel=1e-3)


@pytest.mark.parametrize("accumulate", [3, 8])
def test_a_batch_that_does_not_divide_is_refused(recipe, tmp_path, accumulate):
    with pytest.raises(ValueError, match=rf"trainer.batch = 4: must divide by .*accumulate = {accumulate}"):
        train(recipe(trainer__accumulate=accumulate), tmp_path / "run")


class Clock:
    """Time as a log measures it: each reading is ``step`` seconds later."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def monotonic(self):
        self.now += self.step
        return self.now


def test_a_run_with_minutes_ends_by_the_clock(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(training_log, "time", Clock(0.5))
    run = train(recipe(trainer__minutes=1.0, trainer__steps=1, trainer__validate_every=1000), tmp_path / "run")
    record = read(run / "last.safetensors")[1]
    assert 55 < record["seconds"] <= 65
    assert record["validation"]
    logged = rows(run)
    assert len(logged) == record["step"] > 10
    rates = [row["lr"] for row in logged[5:]]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.02 * rates[0]
    assert [row["step"] for row in rows(run, "validation/loss")] == [0, record["step"]]
    assert (run / "best.safetensors").exists()


def test_a_run_with_minutes_is_saved_every_minute_and_resumed(recipe, tmp_path, monkeypatch, caplog):
    settings = recipe(trainer__minutes=5.0, trainer__checkpoint_every=10**6, trainer__validate_every=10**6)
    monkeypatch.setattr(training_log, "time", Clock(0.5))
    saved, save = [], TrainingLoop._save

    def record(loop, name):
        save(loop, name)
        saved.append(loop.state.seconds)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_save", record)
        patch.setattr(TrainingLoop, "_train_part", before_call(80, interrupt))
        with pytest.raises(Stopped, match=r"stopped at step 80, after .* of 5 minutes; continue with --resume"):
            train(settings, tmp_path / "run")
    assert 60 < saved[-1] < 300
    assert all(later - earlier < 70 for earlier, later in pairwise(saved))
    train(settings, tmp_path / "run", resume=True)
    assert read(tmp_path / "run" / "last.safetensors")[1]["seconds"] == pytest.approx(300, abs=5)
    train(settings, tmp_path / "run", resume=True)
    assert " of 5 minutes: nothing to resume" in caplog.text


@pytest.mark.gpu
def test_on_a_gpu(recipe, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    for precision in ("32-true", "bf16-mixed"):
        settings = recipe(trainer__accelerator="auto", trainer__precision=precision)
        with_gpu = train(settings, tmp_path / precision)
        assert load(with_gpu)[2]["step"] > 0
