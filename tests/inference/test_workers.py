"""Worker processes: the same bytes as one process; what a crash, an interrupt or a kill leaves."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyvips

from photochrom import _processes
from photochrom.inference import workers
from photochrom.inference.batch import colorize_batch
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.options import ColorOptions
from photochrom.inference.plan import Task, plan
from photochrom.inference.processing import BatchOptions
from waiting import wait_until

# A worker that in the middle of writing a photo does what its name says: stops for ever, is killed, or crashes.
PATCHED = """
import os, signal, threading
from photochrom.imaging.atomic import atomic_write
from photochrom.imaging.photo import Colorized
from photochrom.inference.workers import main
ENDS = {
    "stops": threading.Event().wait,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crashes": lambda: os.kill(os.getpid(), signal.SIGSEGV),
}
save = Colorized.save
def save_or(self, path, overwrite=False):
    ends = [name for name in ENDS if name in os.path.basename(self.photo.name)]
    if not ends:
        return save(self, path, overwrite)
    with atomic_write(path, overwrite) as file:
        file.write(b"half")
        file.flush()
        ENDS[ends[0]]()
Colorized.save = save_or
main()
"""
COMMAND = ("-P", "-c", PATCHED)


def add(folder, *names):
    for name in names:
        (folder / name).write_bytes((folder / "one.png").read_bytes())


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_workers_write_the_bytes_of_one_process_in_the_same_order(photos, stochastic_bundle, tmp_path):
    turned = pyvips.Image.new_from_file(str(photos / "two.jpg")).copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    turned.write_to_file(str(photos / "turned.jpg"))
    wide = np.linspace(0, 65535, 300 * 200).reshape(200, 300).astype(np.uint16)
    pyvips.Image.new_from_array(wide).write_to_file(str(photos / "wide.tif"))
    colorizer, outputs, orders = Colorizer(stochastic_bundle, steps=2), [], []
    options = BatchOptions(ColorOptions(steps=4, variants=2, saturation=1.2))
    for jobs in (1, 2):
        tasks = plan([photos], tmp_path / str(jobs), options.color.seeds, ["sheet"])
        outcomes = list(colorize_batch(colorizer, tasks, options, jobs))
        assert [outcome.task for outcome in outcomes] == tasks
        orders.append([(outcome.status, outcome.reason) for outcome in outcomes])
        outputs.append(files(tmp_path / str(jobs)))
    assert len(outputs[0]) == 3 * 5
    assert outputs[0] == outputs[1]
    assert orders[0] == orders[1]


def test_a_worker_that_dies_fails_its_photo_alone(photos, bundle, monkeypatch):
    monkeypatch.setattr(workers, "COMMAND", COMMAND)
    add(photos, "killed.png", "crashes.png")
    outcomes = list(colorize_batch(Colorizer(bundle), plan([photos]), BatchOptions(), 2))
    reasons = {outcome.task.source.name: outcome.reason for outcome in outcomes if outcome.status == "failed"}
    assert set(reasons) == {"bad.jpg", "killed.png", "crashes.png"}
    killed, crashed = reasons["killed.png"], reasons["crashes.png"]
    assert killed.startswith(f"{photos / 'killed.png'}: its process was killed, perhaps for want of memory; try")
    assert crashed.startswith(f"{photos / 'crashes.png'}: its process crashed (SIGSEGV); the file may be damaged")
    assert sorted(path.name for path in files(photos.parent / "album-color")) == ["one.png", "three.tif", "two.jpg"]


def test_closing_stops_workers_in_the_middle_of_a_photo(photos, bundle, monkeypatch):
    monkeypatch.setattr(workers, "COMMAND", COMMAND)
    started, start = [], workers.Worker._start

    def start_and_keep(self):
        started.append(start(self))
        return started[-1]

    monkeypatch.setattr(workers.Worker, "_start", start_and_keep)
    add(photos, "zz-stops.png")
    outcomes = colorize_batch(Colorizer(bundle), plan([photos]), BatchOptions(), 2)
    assert next(outcomes).status == "failed"
    out = photos.parent / "album-color"
    wait_until(lambda: list(out.glob(".*photochrom*")))
    outcomes.close()
    assert [process.returncode for process in started] == [0, 0]  # by themselves, and at once
    assert not list(out.rglob(".*"))


def test_a_killed_run_leaves_no_process_and_no_part_of_a_file(photos, bundle, tmp_path):
    add(photos, "stops.png")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = f"""
import sys
from pathlib import Path
from photochrom.inference import workers
from photochrom.inference.batch import colorize_batch
from photochrom.inference.processing import BatchOptions
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.plan import plan
workers.COMMAND = {COMMAND}
start = workers.Worker._start
def start_and_tell(self):
    process = start(self)
    print(process.pid, flush=True)
    return process
workers.Worker._start = start_and_tell
list(colorize_batch(Colorizer({str(bundle)!r}), plan([Path({str(photos)!r})]), BatchOptions(), 2))
"""
    environment = os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as run:
        pids = [int(run.stdout.readline()) for _ in range(2)]
        out = photos.parent / "album-color"
        wait_until(lambda: list(out.glob(".*photochrom*")))
        assert all(map(is_alive, pids))
        run.kill()
    wait_until(lambda: not any(map(is_alive, pids)))
    assert not list(out.rglob(".*"))
    assert not list(scratch.iterdir())


def test_workers_are_for_many_photos_that_are_due(photos, bundle, monkeypatch):
    monkeypatch.setattr(workers, "available_processors", lambda: 4)
    monkeypatch.setattr(workers, "available_memory", lambda: 1e12)
    colorizer = Colorizer(bundle)
    few = plan([photos])
    many = [Task(photos / "one.png", photos / f"{number}.png") for number in range(100)]
    assert workers.suggest_jobs(colorizer, few, BatchOptions()) == 1
    assert workers.suggest_jobs(colorizer, many, BatchOptions()) == 4
    monkeypatch.setattr(workers, "available_memory", lambda: 2.5 * workers.WORKER_MEMORY)
    assert workers.suggest_jobs(colorizer, many, BatchOptions()) == 2
    monkeypatch.setattr(workers, "find_provider", lambda device: "CUDAExecutionProvider")
    assert workers.suggest_jobs(colorizer, many, BatchOptions()) == 1
    monkeypatch.undo()
    for task in many:
        task.target.touch()
    assert workers.suggest_jobs(colorizer, many, BatchOptions()) == 1


def test_a_large_photo_counts_as_several(photos, bundle, monkeypatch):
    monkeypatch.setattr(workers, "available_processors", lambda: 4)
    with (photos / "scan.tif").open("wb") as file:
        file.truncate(100_000_000)
    assert workers.suggest_jobs(Colorizer(bundle), plan([photos]), BatchOptions()) == 4


def test_available_memory_is_known():
    assert _processes.available_memory() > 1 << 20


def test_memory_in_use_is_not_available(tmp_path, monkeypatch):
    monkeypatch.setattr(_processes, "CGROUP", tmp_path)
    for name, text in (("max", "5000"), ("current", "4000"), ("stat", "anon 3300\ninactive_file 700\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert _processes.available_memory() == 1700
    (tmp_path / "memory.max").write_text("max")
    assert _processes.available_memory() > 1 << 20
