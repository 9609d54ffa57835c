"""A folder spread over a cluster: the same copies, a manifest of them, and nothing lost when somebody is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
import numpy as np
import pytest
import pyvips

from photochrom import Colorizer
from photochrom.cluster import run as cluster
from photochrom.cluster.manifest import Entry, Manifest
from photochrom.cluster.remote import carried, parcels
from photochrom.inference.batch import BatchOptions, plan
from photochrom.inference.options import ColorOptions, Hint

SLOW = ("--steps", "300")
COUNT = 24


def photochrom(*arguments, **settings):
    command = [sys.executable, "-m", "photochrom", "colorize", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def entries(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def tree(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.suffix in (".png", ".jpg", ".tif")
    }


@pytest.fixture
def scans(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(COUNT):
        ramp = np.linspace(30, 200, 48 * 64).reshape(48, 64) + number
        pyvips.Image.new_from_array(ramp.astype(np.uint8)).write_to_file(str(folder / f"{number:02}.png"))
    return folder


@contextmanager
def process(*command):
    # in a session of its own, so that a kill takes the nanny's worker too
    with subprocess.Popen(
        [sys.executable, "-m", *map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as begun:
        try:
            yield begun
        finally:
            killed(begun)


def killed(begun):
    with suppress(ProcessLookupError):
        os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()


@contextmanager
def scheduler(tmp_path, port=0):
    told = tmp_path / "scheduler.json"
    told.unlink(missing_ok=True)
    options = ("--port", port, "--no-dashboard", "--scheduler-file", told, "--host", "127.0.0.1")
    with process("distributed.cli.dask_scheduler", *options) as begun:
        until = time.monotonic() + 60
        while not told.exists() or not told.read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        yield begun, json.loads(told.read_text())["address"]


@contextmanager
def worker(address):
    options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--death-timeout", 60)
    with process("distributed.cli.dask_worker", address, *options) as begun:
        yield begun


@contextmanager
def running(*arguments):
    """The command, and a way to wait until some photographs are done."""
    command = [sys.executable, "-m", "photochrom", "colorize", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as begun:
        try:
            yield begun, lambda count: [begun.stdout.readline() for _ in range(count)]
        finally:
            begun.kill()


def test_a_cluster_gives_the_copies_that_one_process_gives(photos, bundle, tmp_path):
    alone = photochrom(photos, "-o", tmp_path / "alone", "--model", bundle)
    spread = photochrom(photos, "-o", tmp_path / "spread", "--model", bundle, "--cluster", "local:2")
    assert alone.returncode == spread.returncode == 1
    assert tree(tmp_path / "spread") == tree(tmp_path / "alone")
    assert "bad.jpg: cannot be read" in spread.stderr
    assert "1 of 4 photos failed" in spread.stderr
    said = {entry["source"].rpartition("/")[2]: entry for entry in entries(tmp_path / "spread" / "photochrom.jsonl")}
    assert set(said) == {"one.png", "two.jpg", "three.tif", "bad.jpg"}
    assert said["one.png"]["outputs"] == [str(tmp_path / "spread" / "one.png")]
    assert said["one.png"]["asked"]["seeds"] == [0]
    assert len(said["one.png"]["sha256"]) == 64
    assert "cannot be read" in said["bad.jpg"]["error"]


def test_a_second_run_does_what_is_missing_or_asked_anew(scans, bundle, tmp_path):
    asked = (scans, "-o", tmp_path / "out", "--model", bundle, "--cluster", "local:1")
    assert photochrom(*asked).returncode == 0
    (tmp_path / "out" / "03.png").unlink()
    manifest = tmp_path / "out" / "photochrom.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if "03.png" not in line) + '{"source": "cut sho')
    again = photochrom(*asked)
    assert (again.returncode, again.stdout) == (0, f"{tmp_path / 'out' / '03.png'}\n")
    assert f"{COUNT - 1} photos skipped: already done according to the manifest" in again.stderr
    assert len(entries(manifest)) == COUNT
    stronger = photochrom(*asked, "--strength", 1.5, "--overwrite")
    assert len(stronger.stdout.splitlines()) == COUNT


def test_addresses_are_read_and_written_by_workers(photos, bundle, tmp_path):
    where = tmp_path / "manifest.jsonl"
    out = (tmp_path / "out").as_uri()
    done = photochrom(photos.as_uri(), "-o", out, "--model", bundle, "--cluster", "local:1", "--manifest", where)
    assert done.returncode == 1, done.stderr
    assert f"{photos.as_uri()}/bad.jpg: cannot be read" in done.stderr
    photochrom(photos, "-o", tmp_path / "alone", "--model", bundle)
    assert tree(tmp_path / "out") == tree(tmp_path / "alone")
    assert {entry["source"] for entry in entries(where)} == {f"{photos.as_uri()}/{name}" for name in _names(photos)}
    where.unlink()
    again = photochrom(photos.as_uri(), "-o", out, "--model", bundle, "--cluster", "local:1", "--manifest", where)
    assert again.stdout == ""
    assert "3 photos skipped: output already exists" in again.stderr


def _names(photos):
    return ("one.png", "two.jpg", "bad.jpg", "deeper/three.tif")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cluster", "local:2", "--variants", 2), "two-colors is deterministic; --variants needs a stochastic model"),
        (("--cluster", "nowhere:abc"), "no scheduler with workers answers"),
        (("--cluster", "local:1", "--manifest", "MANIFEST"), "line 1: is no manifest of photochrom"),
        (("--cluster", "local", "--jobs", 2), "--jobs is for one process; --cluster local:2 starts 2 workers"),
        (("--cluster", "local:0"), "give local, local:2 for two workers"),
        (("--manifest", "MANIFEST"), "only with --cluster, for example local"),
        (("-o", "s3://bucket/out"), "only with --cluster, for example local"),
    ],
)
def test_mistakes_end_in_a_sentence(photos, bundle, tmp_path, arguments, said):
    (tmp_path / "other.jsonl").write_text("{}\n")
    named = [tmp_path / "other.jsonl" if part == "MANIFEST" else part for part in arguments]
    done = photochrom(photos, "-o", tmp_path / "out", "--model", bundle, *named)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("photographs", "threads", "batch"), [(0, 0, 8), (24, 2, 8), (2000, 2, 20), (10**7, 100, 64)])
def test_batches_are_small_until_there_are_many(photographs, threads, batch):
    assert cluster.batch_of(photographs, threads) == batch


def test_the_manifest_survives_a_cut_line(tmp_path):
    path = tmp_path / "m.jsonl"
    with Manifest(path) as manifest:
        manifest.add([Entry("a", {"seed": 1})])
    with path.open("ab") as file:
        file.write(b'{"source": "b", "as')
    with Manifest(path) as manifest:
        manifest.add([Entry("c", {"seed": 1}, error="torn"), Entry(os.fsdecode(b"\xfc"), {"seed": 1})])
    with Manifest(path) as again:
        assert [entry["source"] for entry in entries(path)] == ["a", "c", os.fsdecode(b"\xfc")]
        assert again.has("a", {"seed": 1})
        assert again.differs("a", {"seed": 2})
        assert not again.has("c", {"seed": 1})
        assert not again.differs("c", {"seed": 2})


@pytest.mark.parametrize("text", ["dear diary", '{"source": 1}\nand then', '{"sink'])
def test_a_file_that_is_no_manifest_stays_as_it_is(tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no manifest of photochrom"):
        Manifest(path)
    assert path.read_text() == text


def test_one_run_writes_a_manifest(tmp_path):
    with Manifest(tmp_path / "m.jsonl"), pytest.raises(ValueError, match="another run is writing it"):
        Manifest(tmp_path / "m.jsonl")
    with pytest.raises(ValueError, match="cannot be written"):
        Manifest(tmp_path)


def test_a_copy_made_otherwise_is_not_what_is_asked_for(scans, bundle, tmp_path):
    asked = (scans, "-o", tmp_path / "out", "--model", bundle, "--cluster", "local:1")
    assert photochrom(*asked).returncode == 0
    for _ in range(2):
        paler = photochrom(*asked, "--strength", 0.2)
        assert f"{COUNT} photos skipped: output already exists, made with other options" in paler.stderr
    assert {entry["asked"]["saturation"] for entry in entries(tmp_path / "out" / "photochrom.jsonl")} == {1.0}


def test_a_model_is_known_by_its_weights(tmp_path):
    task = cluster.Task(Path("a.png"), Path("b.png"))
    one, renamed, other = (cluster.Work(*model, {}, BatchOptions()).asked(task) for model in ("aw", "bw", "av"))
    with Manifest(tmp_path / "m.jsonl") as manifest:
        manifest.add([Entry("a.png", one)])
    with Manifest(tmp_path / "m.jsonl") as manifest:
        assert manifest.has("a.png", renamed)
        assert manifest.differs("a.png", other)


def test_a_scheduler_that_goes_is_no_matter_for_who_looks_for_workers(monkeypatch, capfd):
    class Gone:
        def nthreads(self):
            raise OSError("the scheduler is gone")

    monkeypatch.setattr(cluster, "LOOK", 0.01)
    with cluster._watched(Gone()):
        time.sleep(0.1)
    assert capfd.readouterr() == ("", "")


def test_what_decides_the_colours_is_asked():
    hinted = cluster.Work("m", "w", {"steps": 3}, BatchOptions(ColorOptions(hints=(Hint.parse("1,2,#0a0b0c"),))))
    task = cluster.Task(Path("a.png"), Path("b.png"), (1,))
    assert hinted.asked(task)["hints"] == ["1,2,#0a0b0c"]
    assert hinted.asked(task)["steps"] == 3


class TestParcels:
    @pytest.fixture
    def store(self, tmp_path):
        for name in ("a scan.png", "b/ü.jpg", "b/notes.txt", "color/old.png"):
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return f"file://{tmp_path}/in"

    def test_names_and_folders_are_kept(self, store):
        found = parcels(store, "memory://out/", (1, 2), ("sheet",))
        assert [parcel.target for parcel in found][:2] == ["memory://out/a scan.png", "memory://out/b/ü.jpg"]
        assert found[0].source == f"{store}/a scan.png"
        assert found[0].files == [f"memory://out/a scan-{end}" for end in ("1.png", "2.png", "1-2-sheet.jpg")]

    def test_copies_inside_are_no_originals(self, store):
        assert "color" not in str([parcel.source for parcel in parcels(store, f"{store}/color", (0,), ())])

    def test_originals_are_never_written_over(self, store):
        with pytest.raises(ValueError, match="is an original, which is never overwritten"):
            parcels(store, store, (0,), ())

    def test_two_cannot_become_one(self, store, tmp_path):
        for name in ("x.heic", "x.heic.jpg"):
            (tmp_path / "in" / name).write_bytes(b"")
        with pytest.raises(ValueError, match=r"would both become memory://out/x\.heic\.jpg"):
            parcels(store, "memory://out", (0,), ())

    def test_one_file_is_no_folder(self, store):
        with pytest.raises(ValueError, match=r"a scan\.png: is one file: name the folder it lies in"):
            parcels(f"{store}/a scan.png", "memory://out", (0,), ())

    def test_what_cannot_be_listed_is_named(self):
        with pytest.raises(ValueError, match="nothing://x: cannot be listed"):
            parcels("nothing://x", "memory://out", (0,), ())

    def test_no_original_and_no_part_stays_in_memory(self, bundle, tmp_path):
        files = fsspec.filesystem("memory")
        files.pipe_file("/scans/a b.png", pyvips.Image.black(32, 32).write_to_buffer(".png"))
        (parcel,) = parcels("memory://scans", "memory://done", (0,), ())
        outcome, digest = carried(Colorizer(bundle), parcel, BatchOptions(), tmp_path)
        assert (outcome.status, outcome.files, len(digest)) == ("written", ("memory://done/a b.png",), 64)
        assert files.find("/done") == ["/done/a b.png"]
        (tmp_path / "again").mkdir()
        outcome, _ = carried(Colorizer(bundle), parcel, BatchOptions(), tmp_path / "again")
        assert (outcome.status, outcome.reason) == ("skipped", "output already exists")

    def test_a_copy_that_is_there_is_not_made_again(self, stochastic_bundle, tmp_path):
        files = fsspec.filesystem("memory")
        files.pipe_file("/more/a.png", pyvips.Image.black(32, 32).write_to_buffer(".png"))
        files.pipe_file("/some/a-0.png", b"mine")
        (parcel,) = parcels("memory://more", "memory://some", (0, 1), ("sheet",))
        outcome, _ = carried(Colorizer(stochastic_bundle), parcel, BatchOptions(), tmp_path)
        assert outcome.files == ("memory://some/a-1.png", "memory://some/a-0-1-sheet.jpg")
        assert files.cat_file("/some/a-0.png") == b"mine"

    def test_what_cannot_be_brought_leaves_no_part(self, bundle, tmp_path, monkeypatch):
        files = fsspec.filesystem("memory")
        files.pipe_file("/full/in/a.png", pyvips.Image.black(32, 32).write_to_buffer(".png"))

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(type(files), "mv", full)
        (parcel,) = parcels("memory://full/in", "memory://full/out", (0,), ())
        outcome, _ = carried(Colorizer(bundle), parcel, BatchOptions(), tmp_path)
        assert "a.png: cannot be fetched or brought back" in outcome.reason
        assert files.find("/full/out") == []


def finished(tmp_path):
    return {path: path.stat() for path in (tmp_path / "out").glob("[!.]*.png")}


def complete(tmp_path, before=()):
    """Every photograph has its copy, one line that says so, and nothing that was there has been touched."""
    now = finished(tmp_path)
    assert len(now) == COUNT
    for path, stat in dict(before).items():
        assert (now[path].st_ino, now[path].st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    said = [entry["source"] for entry in entries(tmp_path / "out" / "photochrom.jsonl")]
    assert sorted(said) == sorted(set(said))
    assert len(said) == COUNT
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(scans, stochastic_bundle, tmp_path):
    with scheduler(tmp_path) as (_, address), worker(address) as one, worker(address):
        asked = (scans, "-o", tmp_path / "out", "--model", stochastic_bundle, *SLOW, "--cluster", address)
        with running(*asked) as (client, until):
            until(1)
            killed(one)
            _, errors = client.communicate(timeout=300)
        assert client.returncode == 0, errors
        assert len(finished(tmp_path)) == COUNT
        complete(tmp_path)


@pytest.mark.slow
def test_a_run_without_workers_says_so_and_waits_for_others(scans, stochastic_bundle, tmp_path):
    with scheduler(tmp_path) as (_, address), worker(address) as only:
        asked = (scans, "-o", tmp_path / "out", "--model", stochastic_bundle, *SLOW, "--cluster", address)
        with running(*asked) as (client, until):
            until(1)
            killed(only)
            assert any("no worker is left: waiting for others" in line for line in client.stderr)
            with worker(address):
                _, errors = client.communicate(timeout=300)
        assert (client.returncode, errors) == (0, "")
        assert len(finished(tmp_path)) == COUNT


def test_a_local_cluster_has_as_many_workers_as_asked_for():
    with cluster.connected("local:3") as client:
        client.wait_for_workers(3, timeout=60)
        assert list(client.nthreads().values()) == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what Dask says of the workers that end
def test_a_photograph_that_kills_is_named_and_the_others_go_on(scans, bundle, tmp_path, monkeypatch):
    def deadly(tasks, work):
        from photochrom.cluster.run import painted

        if any("07" in task.source.name for task in tasks):
            os._exit(1)
        return painted(tasks, work)

    monkeypatch.setattr(cluster, "painted", deadly)
    tasks = plan([scans], tmp_path / "out")
    work = cluster.Work(str(bundle), Colorizer(bundle).card.weights, {}, BatchOptions())
    with cluster.connected("local:2") as client, Manifest(tmp_path / "out" / "photochrom.jsonl") as manifest:
        outcomes = list(cluster.spread(client, tasks, work, manifest))
    (failed,) = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert failed.task.source.name == "07.png"
    assert "brought every worker down that was given it" in failed.reason
    assert len(finished(tmp_path)) == COUNT - 1


@pytest.mark.slow
def test_ctrl_c_ends_in_a_sentence(scans, stochastic_bundle, tmp_path):
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
    with subprocess.Popen(
        [*map(str, command), "--cluster", "local:2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as begun:
        begun.stdout.readline()
        os.killpg(begun.pid, signal.SIGINT)  # as a terminal does
        _, errors = begun.communicate(timeout=60)
    assert begun.returncode == 130
    assert errors == "photochrom: stopped; the same command goes on with what is missing\n"


@pytest.mark.slow
def test_a_killed_client_loses_and_repeats_nothing(scans, stochastic_bundle, tmp_path):
    with scheduler(tmp_path) as (_, address), worker(address), worker(address):
        asked = (scans, "-o", tmp_path / "out", "--model", stochastic_bundle, *SLOW, "--cluster", address)
        with running(*asked) as (client, until):
            until(1)
            client.kill()
            client.wait()
        before = finished(tmp_path)
        assert 0 < len(before) < COUNT
        done = photochrom(*asked, timeout=300)
        assert done.returncode == 0, done.stderr
        complete(tmp_path, before)


@pytest.mark.slow
def test_a_killed_scheduler_is_named_and_the_next_run_goes_on(scans, stochastic_bundle, tmp_path):
    with scheduler(tmp_path) as (begun, address), worker(address):
        asked = (scans, "-o", tmp_path / "out", "--model", stochastic_bundle, *SLOW, "--cluster")
        with running(*asked, address) as (client, until):
            until(1)
            killed(begun)
            _, errors = client.communicate(timeout=120)
        assert client.returncode == 1
        assert "the cluster is gone" in errors
        assert "the same command goes on with what is missing" in errors
        assert "Traceback" not in errors
    before = finished(tmp_path)
    assert 0 < len(before) < COUNT
    with scheduler(tmp_path) as (_, address), worker(address):
        done = photochrom(*asked, address, timeout=300)
    assert done.returncode == 0, done.stderr
    complete(tmp_path, before)
