"""Runs on a cluster: the same outputs as one process, the manifest, and recovery from killed processes."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
import pyvips

from photochrom import Colorizer
from photochrom.cluster import run
from photochrom.cluster.manifest import Entry, Manifest
from photochrom.cluster.remote import colorize_remote, plan_remote
from photochrom.cluster.run import Work
from photochrom.imaging.sources import Passed
from photochrom.inference.options import ColorOptions, Hint
from photochrom.inference.plan import Task, plan
from photochrom.inference.processing import BatchOptions, SkipReason

SLOW = ("--steps", "300")
COUNT = 24
TIMEOUT = 600  # seconds; generous, since other processes may use all processors
STOPPED = "photochrom: stopped; run the same command again to continue\n"


def photochrom(*arguments):
    command = [sys.executable, "-m", "photochrom", "colorize", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)


def read_entries(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_images(folder):
    files = [path for path in folder.rglob("*") if path.suffix in (".png", ".jpg", ".tif")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(COUNT):
        ramp = np.linspace(30, 200, 48 * 64).reshape(48, 64) + number
        pyvips.Image.new_from_array(ramp.astype(np.uint8)).write_to_file(str(folder / f"{number:02}.png"))
    return folder


@pytest.fixture(scope="module")
def address():
    """Address of a cluster that the tests of this module share."""
    with run.connect("local:1", print) as client:
        yield client.scheduler.address


@contextmanager
def start_process(*command):
    # In a session of its own, so that a kill takes the children too.
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        try:
            yield process
        finally:
            kill(process)


def kill(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def start_scheduler(tmp_path):
    file = tmp_path / "scheduler.json"
    file.unlink(missing_ok=True)
    options = ("--port", 0, "--no-dashboard", "--scheduler-file", file, "--host", "127.0.0.1")
    with start_process("distributed.cli.dask_scheduler", *options) as process:
        wait_until(lambda: file.exists() and file.read_text())
        yield process, json.loads(file.read_text())["address"]


def start_worker(address):
    options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--death-timeout", TIMEOUT)
    return start_process("distributed.cli.dask_worker", address, *options)


@contextmanager
def start_client(*arguments):
    """The command, after its first output."""
    command = [sys.executable, "-m", "photochrom", "colorize", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_cluster_writes_the_files_of_one_process_and_prints_the_same_lines(photos, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    single = photochrom("album", "-o", "single", "--model", bundle)
    cluster = photochrom("album", "-o", "cluster", "--model", bundle, "--cluster", "local:2")
    assert single.returncode == cluster.returncode == 1
    assert cluster.stdout.replace("cluster", "single") == single.stdout
    assert cluster.stderr == single.stderr
    assert single.stdout == "single/deeper/three.tif\nsingle/one.png\nsingle/two.jpg\n"
    assert read_images(tmp_path / "cluster") == read_images(tmp_path / "single")
    assert "bad.jpg: cannot be read" in cluster.stderr
    assert "1 of 4 photos failed" in cluster.stderr
    entries = read_entries(tmp_path / "cluster" / "photochrom.jsonl")
    by_name = {entry["source"].rpartition("/")[2]: entry for entry in entries}
    assert set(by_name) == {"one.png", "two.jpg", "three.tif", "bad.jpg"}
    assert by_name["one.png"]["source"] == str(photos / "one.png")
    assert by_name["one.png"]["outputs"] == [str(tmp_path / "cluster" / "one.png")]
    assert by_name["one.png"]["options"]["seed"] == 0
    assert len(by_name["one.png"]["sha256"]) == 64
    assert "cannot be read" in by_name["bad.jpg"]["error"]
    # Again: what the manifest has reads as what a run without one finds.
    (photos / "one.png").write_bytes((tmp_path / "single" / "one.png").read_bytes())  # which is colorized
    for out in (["-o", "single"], ["-o", "cluster", "--cluster", "local:2"]):
        (tmp_path / out[1] / "one.png").unlink()
        assert photochrom("album", *out, "--model", bundle, "--overwrite").returncode == 1
    single = photochrom("album", "-o", "single", "--model", bundle)
    cluster = photochrom("album", "-o", "cluster", "--model", bundle, "--cluster", "local:2")
    assert (cluster.stdout, cluster.stderr) == (single.stdout, single.stderr)
    assert "output already exists" in single.stderr
    (tmp_path / "cluster" / "two.jpg").unlink()
    cluster = photochrom("album", "-o", "cluster", "--model", bundle, "--cluster", "local:2")
    assert "1 photo skipped: already done according to the manifest" in cluster.stderr


def test_a_second_run_does_what_is_missing_or_overwritten(scans, bundle, tmp_path, address):
    command = (scans, "-o", tmp_path / "out", "--model", bundle, "--cluster", address)
    assert photochrom(*command).returncode == 0
    (tmp_path / "out" / "03.png").unlink()
    manifest = tmp_path / "out" / "photochrom.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if "03.png" not in line) + '{"source": "cut sho')
    second = photochrom(*command)
    assert (second.returncode, second.stdout) == (0, f"{tmp_path / 'out' / '03.png'}\n")
    assert f"{COUNT - 1} photos skipped: output already exists (use" in second.stderr
    assert len(read_entries(manifest)) == COUNT
    other = photochrom(*command, "--saturation", 1.5, "--overwrite")
    assert len(other.stdout.splitlines()) == COUNT


def test_workers_read_and_write_addresses(photos, bundle, tmp_path, address):
    manifest = tmp_path / "manifest.jsonl"
    out = (tmp_path / "out").as_uri()
    command = (photos.as_uri(), "-o", out, "--model", bundle, "--cluster", address, "--manifest", manifest)
    first = photochrom(*command)
    assert first.returncode == 1, first.stderr
    assert f"{photos.as_uri()}/bad.jpg: cannot be read" in first.stderr
    photochrom(photos, "-o", tmp_path / "single", "--model", bundle)
    assert read_images(tmp_path / "out") == read_images(tmp_path / "single")
    names = ("one.png", "two.jpg", "bad.jpg", "deeper/three.tif")
    assert {entry["source"] for entry in read_entries(manifest)} == {f"{photos.as_uri()}/{name}" for name in names}
    manifest.unlink()
    second = photochrom(*command)
    assert second.stdout == ""
    assert "3 photos skipped: output already exists" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cluster", "local:2", "--variants", 2), "two-colors is deterministic; --variants needs a stochastic model"),
        (("--cluster", "nowhere:abc"), "no scheduler with workers responds"),
        (("--cluster", "local:1", "--manifest", "MANIFEST"), "line 1: not a manifest of photochrom"),
        (("--cluster", "local", "--jobs", 2), "--jobs is for one process"),
        (("--cluster", "local:0"), "give local, local:2 for two workers"),
        (("--manifest", "MANIFEST"), "only with --cluster"),
        (("-o", "s3://bucket/out"), "only with --cluster"),
    ],
)
def test_wrong_calls(photos, bundle, tmp_path, arguments, message):
    (tmp_path / "other.jsonl").write_text("{}\n")
    arguments = [tmp_path / "other.jsonl" if argument == "MANIFEST" else argument for argument in arguments]
    process = photochrom(photos, "-o", tmp_path / "out", "--model", bundle, *arguments)
    assert process.returncode in (1, 2)
    assert message in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(("photos", "threads", "size"), [(0, 0, 8), (24, 2, 8), (2000, 2, 20), (10**7, 100, 64)])
def test_batch_size(photos, threads, size):
    assert run.batch_size(photos, threads) == size


def test_an_incomplete_line_of_a_manifest_is_dropped(tmp_path):
    path = tmp_path / "m.jsonl"
    with Manifest(path) as manifest:
        manifest.add([Entry("a", {"seed": 1})])
    with path.open("ab") as file:
        file.write(b'{"source": "b", "op')
    with Manifest(path) as manifest:
        manifest.add([Entry("c", {"seed": 1}, error="damaged"), Entry(os.fsdecode(b"\xfc"), {"seed": 1})])
    with Manifest(path) as manifest:
        assert [entry["source"] for entry in read_entries(path)] == ["a", "c", os.fsdecode(b"\xfc")]
        assert manifest.has("a", {"seed": 1})
        assert not manifest.has("a", {"seed": 2})
        assert not manifest.has("c", {"seed": 1})


@pytest.mark.parametrize("text", ["dear diary", '{"source": 1}\nand then', '{"sink', "[]\n", "1\n"])
def test_other_files_are_no_manifest_and_stay_unchanged(tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match="not a manifest of photochrom"):
        Manifest(path)
    assert path.read_text() == text


def test_one_run_at_a_time_writes_a_manifest(tmp_path):
    with Manifest(tmp_path / "m.jsonl"), pytest.raises(ValueError, match="another run writes it"):
        Manifest(tmp_path / "m.jsonl")
    with pytest.raises(ValueError, match="cannot be read or written"):
        Manifest(tmp_path)


def test_a_manifest_that_cannot_be_read_is_closed(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "_read", fail)
        with pytest.raises(ValueError, match="Input/output error") as failure:
            Manifest(tmp_path / "m.jsonl")
    assert "m.jsonl: cannot be read or written" in str(failure.value)
    with Manifest(tmp_path / "m.jsonl"):  # not locked by the first, which the traceback of `failure` keeps
        pass


def test_outputs_with_other_options_are_reported(scans, bundle, tmp_path, address):
    command = (scans, "-o", tmp_path / "out", "--model", bundle, "--cluster", address)
    assert photochrom(*command).returncode == 0
    for _ in range(2):
        process = photochrom(*command, "--strength", 0.2)
        reason = "output already exists, made with another model, seed or options"
        assert f"{COUNT} photos skipped: {reason}" in process.stderr
    entries = read_entries(tmp_path / "out" / "photochrom.jsonl")
    assert {entry["options"]["saturation"] for entry in entries} == {1.0}


def test_outputs_of_the_same_options_are_the_same_whatever_the_manifest_has(scans, bundle, tmp_path, address):
    """Where options differ that change nothing, what is written is compared."""
    command = (scans, "-o", tmp_path / "out", "--model", bundle, "--cluster", address)
    assert photochrom(*command).returncode == 0
    assert f"{COUNT} photos skipped: output already exists (" in photochrom(*command, "--page", 1).stderr
    assert f"{COUNT} photos skipped: output already exists (use" in photochrom(*command, "--page", 1).stderr
    assert f"{COUNT} photos failed" in photochrom(*command, "--page", 2).stderr


TASK = Task(Path("a.png"), Path("b.png"))


def test_a_model_is_known_by_its_weights(tmp_path):
    first, renamed, other = (Work(*model, BatchOptions()).settings(TASK) for model in ("aw", "bw", "av"))
    with Manifest(tmp_path / "m.jsonl") as manifest:
        manifest.add([Entry("a.png", first)])
    with Manifest(tmp_path / "m.jsonl") as manifest:
        assert manifest.has("a.png", renamed)
        assert not manifest.has("a.png", other)


CHANGES = {
    "saturation": 0.5,
    "size": 64,
    "seed": 1,
    "variants": 2,
    "hints": (Hint(1, 2, (10, 11, 12)),),
    "steps": 3,
    "solver": "ddim",
    "eta": 0.5,
    "temperature": 2.0,
    "warmth": 0.5,
    "near": 5,
    "distance": 0.2,
    "local_saturation": 1.5,
}


@pytest.mark.parametrize("name", ColorOptions.__dataclass_fields__)
def test_every_color_option_decides_whether_a_photo_is_done(tmp_path, name):
    changed = ColorOptions(**{name: CHANGES[name]})  # a new option needs a value here
    first, second = (Work("m", "w", BatchOptions(color)).settings(TASK) for color in (ColorOptions(), changed))
    with Manifest(tmp_path / "m.jsonl") as manifest:
        manifest.add([Entry("a.png", first), Entry("b.png", second)])
    with Manifest(tmp_path / "m.jsonl") as manifest:
        assert manifest.has("a.png", first)
        assert not manifest.has("a.png", second)
        assert manifest.has("b.png", second)
        assert not manifest.has("b.png", first)


@pytest.mark.parametrize("strength", ["strength", "saturation"])
def test_manifests_of_earlier_versions(tmp_path, strength):
    settings = {strength: 1.5, "size": None, "seeds": [7, 8], "about": ["sheet"], "hints": ["1,2,#0a0b0c"]}
    record = {"source": "a.png", "asked": {"model": "ddpm", "weights": "w", "steps": 3, "target": "b.png", **settings}}
    (tmp_path / "m.jsonl").write_text(json.dumps(record) + "\n")
    color = ColorOptions(saturation=1.5, seed=7, variants=2, hints=(Hint(1, 2, (10, 11, 12)),), steps=3)
    task = replace(TASK, seeds=(7, 8), extras=("sheet",))
    with Manifest(tmp_path / "m.jsonl") as manifest:
        assert manifest.has("a.png", Work("ddpm", "w", BatchOptions(color)).settings(task))
        other = replace(color, temperature=0.5)
        assert not manifest.has("a.png", Work("ddpm", "w", BatchOptions(other)).settings(task))
        assert not manifest.has("a.png", Work("ddpm", "v", BatchOptions(color)).settings(task))


class SchedulerWithoutWorkers:
    cluster = None

    def nthreads(self):
        return {}


class StoppedScheduler:
    def nthreads(self):
        raise OSError("the scheduler has stopped")


def test_the_end_of_the_last_worker_is_reported_once_and_the_end_of_the_scheduler_elsewhere():
    messages = []
    assert run._check_workers(StoppedScheduler(), True, messages.append)
    assert messages == []
    assert not run._check_workers(SchedulerWithoutWorkers(), True, messages.append)
    assert not run._check_workers(SchedulerWithoutWorkers(), False, messages.append)
    assert not run._check_workers(StoppedScheduler(), False, messages.append)
    assert messages == ["no worker is left: waiting for others (Ctrl-C stops; run the same command again to continue)"]


def test_only_the_loggers_of_dask_are_turned_off_and_only_for_the_run(caplog):
    names = ("distributed", "distributed.client", "distributed.later", "elsewhere")
    levels = [logging.getLogger(name).level for name in names]
    with run._quiet_dask():
        for name in names:
            logging.getLogger(name).critical("connection lost by %s", name)
    assert [record.message for record in caplog.records] == ["connection lost by elsewhere"]
    assert [logging.getLogger(name).level for name in names] == levels


FOREIGN = "exists and has no label of Photochrom, so it is never replaced; choose another -o"


class TestRemoteTasks:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("a scan.png", "b/ü.jpg", "b/notes.txt", "color/old.png"):
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return f"file://{tmp_path}/in"

    def test_names_and_folders_are_kept(self, folder):
        tasks = plan_remote(folder, "memory://out/", (1, 2), ("sheet",))
        assert [task.target for task in tasks][:2] == ["memory://out/a scan.png", "memory://out/b/ü.jpg"]
        assert tasks[0].source == f"{folder}/a scan.png"
        assert list(tasks[0].files.values()) == [
            f"memory://out/a scan-{end}" for end in ("1.png", "2.png", "1-2-sheet.jpg")
        ]

    def test_addresses_stay_text(self):
        fsspec.filesystem("memory").pipe_file("/bucket/a.png", b"")
        (task,) = plan_remote("memory://bucket", "memory://bucket/color", (0,), ())
        assert (task.source, task.target) == ("memory://bucket/a.png", "memory://bucket/color/a.png")
        assert run.default_manifest(["memory://bucket"], "memory://bucket/color") == Path("photochrom.jsonl")

    def test_images_are_found_and_named_as_in_folders(self, folder, tmp_path):
        for name, content in (("1931", b"\xff\xd8\xff\xe0"), ("x.heic", b""), (".thumbnails/a.jpg", b"")):
            (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "in" / name).write_bytes(content)
        passed = Passed()
        tasks = plan_remote(folder, "memory://out", (0,), (), passed=passed)
        targets = {task.target.removeprefix("memory://out/") for task in tasks}
        assert {"1931.jpg", "x.jpg"} < targets
        assert passed == {".txt file": 1, "hidden folder": 1}
        assert len(plan_remote(folder, "memory://out", (0,), (), hidden=True)) == len(tasks) + 1

    def test_outputs_inside_the_folder_are_left_out(self, folder):
        tasks = plan_remote(folder, f"{folder}/color", (0,), ())
        assert "color" not in str([task.source for task in tasks])

    def test_originals_are_never_overwritten(self, folder):
        with pytest.raises(ValueError, match="is an original, which is never overwritten"):
            plan_remote(folder, folder, (0,), ())

    def test_photos_of_one_name_are_kept_apart(self, folder, tmp_path):
        for name in ("x.heic", "x.jpg", "x.heic.jpg"):
            (tmp_path / "in" / name).write_bytes(b"")
        tasks = plan_remote(folder, "memory://out", (0,), ())
        targets = {task.source.rpartition("/")[2]: task.target for task in tasks}
        assert targets["x.heic"] == "memory://out/x.heic-2.jpg"
        assert targets["x.heic.jpg"] == "memory://out/x.heic.jpg"

    def test_a_file_is_refused(self, folder):
        with pytest.raises(ValueError, match=r"a scan\.png: is a file: name its folder"):
            plan_remote(f"{folder}/a scan.png", "memory://out", (0,), ())

    def test_a_folder_that_cannot_be_listed_is_named(self):
        with pytest.raises(ValueError, match="nothing://x: cannot be listed"):
            plan_remote("nothing://x", "memory://out", (0,), ())

    def test_a_photo_is_downloaded_colorized_and_uploaded(self, bundle, tmp_path):
        storage = fsspec.filesystem("memory")
        storage.pipe_file("/scans/a b.png", pyvips.Image.black(32, 32).write_to_buffer(".png"))
        (task,) = plan_remote("memory://scans", "memory://done", (0,), ())
        outcome = colorize_remote(Colorizer(bundle), task, BatchOptions(), tmp_path)
        assert (outcome.status, outcome.files) == ("written", ("memory://done/a b.png",))
        assert (outcome.task, len(outcome.original)) == (task, 64)
        assert storage.find("/done") == ["/done/a b.png"]
        (tmp_path / "again").mkdir()
        outcome = colorize_remote(Colorizer(bundle), task, BatchOptions(), tmp_path / "again")
        assert (outcome.status, outcome.reason) == ("skipped", SkipReason.EXISTS)

    def test_existing_outputs_are_not_written_again(self, stochastic_bundle, tmp_path):
        storage = fsspec.filesystem("memory")
        storage.pipe_file("/more/a.png", pyvips.Image.black(32, 32).write_to_buffer(".png"))
        colorizer = Colorizer(stochastic_bundle)
        storage.pipe_file("/some/a-0.png", colorizer(storage.cat_file("/more/a.png"), seed=0))
        (task,) = plan_remote("memory://more", "memory://some", (0, 1), ("sheet",))
        before = storage.created("/some/a-0.png")
        outcome = colorize_remote(colorizer, task, BatchOptions(), tmp_path)
        assert outcome.files == ("memory://some/a-1.png", "memory://some/a-0-1-sheet.jpg")
        assert storage.created("/some/a-0.png") == before

    @pytest.mark.parametrize(
        ("content", "options", "reason"),
        [
            (None, {}, SkipReason.EXISTS),
            (None, {"saturation": 0.5}, SkipReason.OTHER_OPTIONS),
            (b"mine", {}, f"memory://outputs/a.png: {FOREIGN}"),
            ("another photo", {}, SkipReason.OTHER_PHOTO),
        ],
    )
    def test_existing_outputs_are_compared_as_in_folders(self, bundle, tmp_path, content, options, reason):
        storage, colorizer = fsspec.filesystem("memory"), Colorizer(bundle)
        scans = [(pyvips.Image.black(32, 32) + shade).cast("uchar").write_to_buffer(".png") for shade in (60, 90)]
        storage.pipe_file("/compared/a.png", scans[0])
        if not isinstance(content, bytes):
            content = colorizer(scans[1] if content else scans[0])
        storage.pipe_file("/outputs/a.png", content)
        (task,) = plan_remote("memory://compared", "memory://outputs", (0,), ())
        outcome = colorize_remote(colorizer, task, BatchOptions(ColorOptions(**options)), tmp_path)
        assert outcome.reason == reason
        assert storage.cat_file("/outputs/a.png") == content

    def test_a_damaged_photo_is_named_by_its_address(self, bundle, tmp_path):
        fsspec.filesystem("memory").pipe_file("/damaged/a.png", b"no photo")
        (task,) = plan_remote("memory://damaged", "memory://damaged/out", (0,), ())
        outcome = colorize_remote(Colorizer(bundle), task, BatchOptions(), tmp_path)
        assert outcome.status == "failed"
        assert outcome.reason.startswith("memory://damaged/a.png: ")

    def test_a_failed_upload_leaves_no_part(self, bundle, tmp_path, monkeypatch):
        storage = fsspec.filesystem("memory")
        storage.pipe_file("/full/in/a.png", pyvips.Image.black(32, 32).write_to_buffer(".png"))

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(type(storage), "mv", full)
        (task,) = plan_remote("memory://full/in", "memory://full/out", (0,), ())
        outcome = colorize_remote(Colorizer(bundle), task, BatchOptions(), tmp_path)
        assert "a.png: cannot be downloaded or uploaded" in outcome.reason
        assert storage.find("/full/out") == []


def output_stats(tmp_path):
    return {path: path.stat() for path in (tmp_path / "out").glob("[!.]*.png")}


def check_complete(tmp_path, before=(), killed=False):
    """Check that each photo has its whole output and one line, and that earlier outputs are untouched.

    A worker `killed` in the middle of a write leaves a hidden file, which a later run removes once it is old enough.
    """
    stats = output_stats(tmp_path)
    assert len(stats) == COUNT
    for path in stats:
        assert pyvips.Image.new_from_file(str(path), fail_on="truncated").avg() > 0
    for path, stat in dict(before).items():
        assert (stats[path].st_ino, stats[path].st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    sources = [entry["source"] for entry in read_entries(tmp_path / "out" / "photochrom.jsonl")]
    assert len(sources) == len(set(sources)) == COUNT
    assert killed or not list((tmp_path / "out").glob(".*"))


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(scans, stochastic_bundle, tmp_path):
    with start_scheduler(tmp_path) as (_, address), start_worker(address) as worker, start_worker(address):
        with start_client(
            scans, "-o", tmp_path / "out", "--model", stochastic_bundle, *SLOW, "--cluster", address
        ) as client:
            kill(worker)
            _, errors = client.communicate(timeout=TIMEOUT)
        assert client.returncode == 0, errors
        check_complete(tmp_path, killed=True)


@pytest.mark.slow
def test_a_run_without_workers_waits_for_others(scans, stochastic_bundle, tmp_path):
    with start_scheduler(tmp_path) as (_, address), start_worker(address) as worker:
        with start_client(
            scans, "-o", tmp_path / "out", "--model", stochastic_bundle, *SLOW, "--cluster", address
        ) as client:
            kill(worker)
            assert any("no worker is left: waiting for others" in line for line in client.stderr)
            with start_worker(address):
                _, errors = client.communicate(timeout=TIMEOUT)
        assert client.returncode == 0
        # The killed worker may have written photos that it could not report.
        skipped = r"\d photos? skipped: output already exists \(use --overwrite to replace it\)\n"
        assert re.fullmatch(f"({skipped})?", errors)
        assert len(output_stats(tmp_path)) == COUNT


def test_a_local_cluster_has_the_requested_number_of_workers():
    with run.connect("local:3", print) as client:
        client.wait_for_workers(3, timeout=TIMEOUT)
        assert list(client.nthreads().values()) == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Dask about workers that end
def test_a_photo_that_crashes_workers_is_named_and_the_others_are_colorized(scans, bundle, tmp_path, monkeypatch):
    def crash(tasks, work):
        from photochrom.cluster.run import colorize_tasks

        if any("07" in task.source.name for task in tasks):
            os._exit(1)
        return colorize_tasks(tasks, work)

    monkeypatch.setattr(run, "colorize_tasks", crash)
    tasks = plan([scans], tmp_path / "out")
    work = Work(str(bundle), Colorizer(bundle).card.weights, BatchOptions())
    manifest = tmp_path / "out" / "photochrom.jsonl"
    outcomes = list(run.colorize_on_cluster(tasks, work, "local:2", manifest, print))
    (failed,) = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert failed.task.source.name == "07.png"
    assert "ended every worker that colorized it" in failed.reason
    assert len(output_stats(tmp_path)) == COUNT - 1


STARTING = """
import time
from photochrom.cluster import run

start = run._start_local

def start_and_wait(workers):
    cluster = start(workers)
    print("started", flush=True)
    time.sleep(600)

run._start_local = start_and_wait
from photochrom.__main__ import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interruption_while_a_local_cluster_starts_is_answered_at_once(scans, bundle, tmp_path, number):
    command = [sys.executable, "-c", STARTING, "colorize", scans, "-o", tmp_path / "out", "--model", bundle]
    with subprocess.Popen(
        [*map(str, command), "--cluster", "local:1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + number, STOPPED)


@pytest.mark.slow
def test_ctrl_c_ends_with_one_message(scans, stochastic_bundle, tmp_path):
    command = [
        sys.executable,
        "-m",
        "photochrom",
        "colorize",
        scans,
        "-o",
        tmp_path / "out",
        "--model",
        stochastic_bundle,
        *SLOW,
    ]
    process = subprocess.Popen(
        [*map(str, command), "--cluster", "local:2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert errors == STOPPED
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.slow
def test_a_killed_client_loses_and_repeats_nothing(scans, stochastic_bundle, tmp_path):
    with start_scheduler(tmp_path) as (_, address), start_worker(address), start_worker(address):
        command = (scans, "-o", tmp_path / "out", "--model", stochastic_bundle, *SLOW, "--cluster", address)
        with start_client(*command) as client:
            client.kill()
            client.wait()
        before = output_stats(tmp_path)
        assert 0 < len(before) < COUNT
        second = photochrom(*command)
        assert second.returncode == 0, second.stderr
        check_complete(tmp_path, before)


@pytest.mark.slow
def test_a_killed_scheduler_is_reported_and_the_next_run_continues(scans, stochastic_bundle, tmp_path):
    command = (scans, "-o", tmp_path / "out", "--model", stochastic_bundle, *SLOW, "--cluster")
    with start_scheduler(tmp_path) as (scheduler, address), start_worker(address):
        with start_client(*command, address) as client:
            kill(scheduler)
            _, errors = client.communicate(timeout=TIMEOUT)
        assert client.returncode == 1
        assert "the scheduler of the cluster does not respond any more" in errors
        assert "run the same command again to continue" in errors
        assert "Traceback" not in errors
    before = output_stats(tmp_path)
    assert 0 < len(before) < COUNT
    with start_scheduler(tmp_path) as (_, address), start_worker(address):
        second = photochrom(*command, address)
    assert second.returncode == 0, second.stderr
    check_complete(tmp_path, before, killed=True)
