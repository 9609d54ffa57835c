"""The queue and its worker processes: cancellation, time limits, crashes, stored bytes, and the cache of colors."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import pyvips
from fastapi import HTTPException

from photochrom.core.sampling.procedure import HintMap
from photochrom.inference.options import ColorOptions
from photochrom.server import worker
from photochrom.server.jobs import Jobs
from photochrom.server.limits import Limits
from photochrom.server.worker import UPLOAD, CachedColorizer, ColorizeRequest
from servers import TIMEOUT, wait_until

SLOW = ColorOptions(size=2048, steps=1000)


def encode(pixels, suffix=".png", orientation=1):
    image = pyvips.Image.new_from_array(pixels.astype(np.uint8)).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.write_to_buffer(suffix)


PHOTO = encode(np.linspace(20, 235, 300 * 400).reshape(300, 400))


@pytest.fixture
def jobs(stochastic_bundle):
    jobs = Jobs(str(stochastic_bundle), Limits(), 1)
    yield jobs
    jobs.close()
    assert not jobs.root.exists()


def submit(jobs, stochastic_bundle, photo=PHOTO, options=ColorOptions()):  # noqa: B008 - frozen
    with jobs.admission() as folder:
        (folder / UPLOAD).write_bytes(photo)
        return jobs.submit("one.png", ColorizeRequest(folder, str(stochastic_bundle), options))


def wait_for_start(job):
    wait_until(lambda: job.state != "queued")


def wait_for(*jobs):
    for job in jobs:
        job.finished.result(TIMEOUT)


def test_canceled_jobs_do_not_block_the_queue(jobs, stochastic_bundle):
    slow = submit(jobs, stochastic_bundle, options=SLOW)
    queued = submit(jobs, stochastic_bundle)
    canceled = submit(jobs, stochastic_bundle)
    wait_for_start(slow)
    assert jobs.waiting() == 2
    assert jobs.waiting(canceled) == 1
    jobs.remove(canceled)
    jobs.remove(slow)
    wait_for(queued, slow)
    assert queued.state == "done"
    assert (slow.state, canceled.seeds) == ("failed", [])
    assert list(jobs.folder.iterdir()) == [queued.request.folder]


def test_a_job_over_the_time_limit_is_ended(stochastic_bundle):
    jobs = Jobs(str(stochastic_bundle), Limits(seconds=6), 1)
    try:
        slow = submit(jobs, stochastic_bundle, options=SLOW)
        wait_for(slow)
        assert slow.failure.status == 504
        assert "took longer than 6 seconds" in slow.failure.reason
        jobs.limits = Limits()
        following = submit(jobs, stochastic_bundle)
        wait_for(following)
        assert following.state == "done"
    finally:
        jobs.close()


def test_a_crash_affects_one_job_only(jobs, stochastic_bundle):
    crashing, following = submit(jobs, stochastic_bundle, options=SLOW), submit(jobs, stochastic_bundle)
    wait_for_start(crashing)
    os.kill(jobs.workers[0].process.pid, signal.SIGSEGV)
    wait_for(crashing, following)
    assert (crashing.failure.status, following.state) == (500, "done")
    assert "crashed its worker process" in crashing.failure.reason


def test_a_killed_worker_leaves_no_temporary_files(jobs, stochastic_bundle):
    pixels = np.linspace(20, 235, 3000 * 4000).reshape(3000, 4000)
    before = set(Path(tempfile.gettempdir()).glob("photochrom-*"))
    photo = encode(pixels, ".jpg", orientation=6)
    # Each variant makes temporary files again, so that sooner or later there are some when this test looks for them.
    job = submit(jobs, stochastic_bundle, photo, ColorOptions(variants=100))
    scratch = jobs.workers[0].scratch
    wait_until(lambda: list(scratch.glob("photochrom-*/*")))
    jobs.remove(job)
    wait_for(job)
    assert not job.request.folder.exists()
    assert not list(scratch.glob("*"))
    assert set(Path(tempfile.gettempdir()).glob("photochrom-*")) <= before


def test_a_worker_that_cannot_start_does_not_stop_the_queue(jobs, stochastic_bundle, monkeypatch):
    def no_memory(_):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    crashing = submit(jobs, stochastic_bundle, options=SLOW)
    wait_for_start(crashing)
    with monkeypatch.context() as patched:
        patched.setattr(type(jobs.workers[0].process), "start", no_memory)
        os.kill(jobs.workers[0].process.pid, signal.SIGSEGV)
        wait_for(crashing)
        refused = submit(jobs, stochastic_bundle)
        wait_for(refused)
    assert "crashed its worker process" in crashing.failure.reason
    assert "no worker process could be started (" in refused.failure.reason
    last = submit(jobs, stochastic_bundle)
    wait_for(last)
    assert last.state == "done"


def test_a_worker_that_ended_while_idle_is_started_again(jobs, stochastic_bundle):
    for _ in range(2):
        job = submit(jobs, stochastic_bundle)
        wait_for(job)
        assert job.state == "done"
        process = jobs.workers[0].process  # which may be another one as soon as this has ended
        process.kill()
        process.join()


def test_a_job_is_canceled_while_its_worker_starts(jobs, stochastic_bundle):
    job = submit(jobs, stochastic_bundle)
    wait_for_start(job)
    jobs.remove(job)
    wait_for(job)
    assert not job.request.folder.exists()
    last = submit(jobs, stochastic_bundle)
    wait_for(last)
    assert last.state == "done"


def test_a_worker_that_starts_too_slowly_is_ended(jobs, stochastic_bundle, monkeypatch):
    monkeypatch.setattr("photochrom.server.jobs.START_SECONDS", 0)
    job = submit(jobs, stochastic_bundle)
    wait_for(job)
    assert "no worker process was ready after 0 seconds" in job.failure.reason


def stored_bytes(folder):
    files = [file.stat() for file in folder.rglob("*") if file.is_file()]
    return sum({file.st_ino: file.st_size for file in files}.values())  # links share their bytes


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_reserved_bytes_are_enough_and_end_as_the_bytes_of_the_files(jobs, stochastic_bundle, monkeypatch, suffix):
    noise = encode(np.random.default_rng(0).integers(0, 256, (300, 400)), suffix)
    reserved = []
    reserve = jobs.reserve

    def record(job, size):
        enough = reserve(job, size)
        reserved.append(jobs.occupied())
        return enough

    monkeypatch.setattr(jobs, "reserve", record)
    job = submit(jobs, stochastic_bundle, noise, ColorOptions(variants=3))
    wait_for(job)
    assert job.state == "done"
    assert jobs.occupied() == stored_bytes(jobs.folder)
    assert len(reserved) == 4  # after the previews and after each output
    assert max(reserved[:3]) > jobs.occupied() == reserved[3]
    with jobs.admission(1000):
        assert jobs.occupied() == stored_bytes(jobs.folder) + 1000
    again = jobs.resubmit(job, "", job.request)
    wait_for(again)
    assert again.name == "one.png"
    assert jobs.occupied() == stored_bytes(jobs.folder)
    jobs.remove(job)
    assert jobs.occupied() == stored_bytes(jobs.folder)
    jobs.remove(again)
    assert jobs.occupied() == stored_bytes(jobs.folder) == 0


def test_a_full_disk_is_reported(stochastic_bundle, tmp_path, monkeypatch):
    (tmp_path / UPLOAD).write_bytes(PHOTO)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker, "preview", full)
    request = ColorizeRequest(tmp_path, str(stochastic_bundle), ColorOptions())
    (event,) = worker._colorize({}, request, 1, 10**8)
    assert (event.status, event.reason) == (507, "photo: cannot be stored (No space left on device)")
    monkeypatch.setattr("photochrom.imaging.atomic._publish", full)
    request = ColorizeRequest(tmp_path, str(stochastic_bundle), ColorOptions(), preview=0)
    *_, event = worker._colorize({}, request, 1, 10**8)
    assert (event.status, event.reason) == (507, "0.png: cannot be written (No space left on device)")


def test_errors_do_not_tell_where_the_server_keeps_files(stochastic_bundle, tmp_path):
    (tmp_path / UPLOAD).write_bytes(PHOTO)
    (tmp_path / "0.png").write_bytes(b"")
    request = ColorizeRequest(tmp_path, str(stochastic_bundle), ColorOptions(), preview=0)
    *_, event = worker._colorize({}, request, 1, 10**8)
    assert event.reason.startswith("0.png: exists already")


def test_an_unknown_job_is_refused(jobs):
    with pytest.raises(HTTPException, match="no such photo"):
        jobs.get("x")


class FullHint:
    """A hint of full weight at every pixel."""

    def at(self, height, width):
        weight = np.ones((1, 1, height, width), np.float32)
        return HintMap(weight[:, [0, 0]] * np.float32(0.5), weight)


class TestCachedColorizer:
    @pytest.fixture
    def colorizer(self, stochastic_bundle, monkeypatch):
        """A colorizer, and the list of seeds that its model has predicted."""
        seeds_predicted = []
        predict = worker.Colorizer.predict

        def record(self, grays, seeds=0, *hints):
            seeds_predicted.extend(seeds)
            return predict(self, grays, seeds, *hints)

        monkeypatch.setattr(worker.Colorizer, "predict", record)
        return CachedColorizer(str(stochastic_bundle), 1), seeds_predicted

    def test_equal_requests_are_predicted_once(self, colorizer):
        colorizer, seeds_predicted = colorizer
        grays = [np.full((1, 32, 32), value, np.float32) for value in (-0.5, 0.5)]
        first = colorizer.predict(grays, [3, 4])
        second = colorizer.predict(grays[::-1], [4, 3])
        assert seeds_predicted == [3, 4]
        np.testing.assert_array_equal(first, second[::-1])

    @pytest.mark.parametrize("change", [{"seed": 4}, {"value": 0.25}, {"steps": 2}, {"hints": FullHint()}])
    def test_other_requests_are_predicted(self, colorizer, change):
        colorizer, seeds_predicted = colorizer
        gray = np.full((1, 32, 32), 0.5, np.float32)
        colorizer.predict([gray], [3])
        other = colorizer.with_sampler(steps=change["steps"]) if "steps" in change else colorizer
        gray = np.full((1, 32, 32), change.get("value", 0.5), np.float32)
        other.predict([gray], [change.get("seed", 3)], change.get("hints"))
        assert len(seeds_predicted) == 2

    def test_the_cache_is_limited(self, colorizer, monkeypatch):
        colorizer, seeds_predicted = colorizer
        gray = np.full((1, 32, 32), 0.5, np.float32)
        monkeypatch.setattr(worker, "CACHE_BYTES", 3 * 2 * 32 * 32 * 4)
        for seed in (1, 2, 3, 4):
            colorizer.predict([gray], [seed])
        assert len(colorizer.cache) == 3
        colorizer.predict([gray], [4])
        colorizer.predict([gray], [1])
        assert seeds_predicted == [1, 2, 3, 4, 1]


def test_the_folders_of_dead_servers_are_removed(stochastic_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, unknown = (Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("photochrom-web-", "other-"))
    for folder in (dead, unknown):
        (folder / "server").touch()
    first = Jobs(str(stochastic_bundle), Limits(), 1)
    assert not dead.exists()
    assert unknown.exists()
    second = Jobs(str(stochastic_bundle), Limits(), 1)
    assert first.root.exists()
    for jobs in (first, second):
        jobs.close()
    assert list(tmp_path.iterdir()) == [unknown]


def test_workers_reach_only_the_loaders_of_supported_formats():
    code = """
import numpy as np, pyvips
from photochrom import Colorizer
from photochrom.imaging import formats
formats.block_other_loaders()
svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
for load in (pyvips.Image.svgload_buffer, lambda data: pyvips.Image.new_from_buffer(data, "")):
    try:
        load(svg)
        print("loaded")
    except pyvips.Error:
        pass
photo = pyvips.Image.new_from_array(np.arange(4800).reshape(60, 80).astype(np.uint8)).copy()
photo.set_type(pyvips.GValue.gint_type, "orientation", 6)
for suffix in (".jpg", ".png", ".tif", ".webp", ".avif", ".gif"):
    Colorizer()(photo.write_to_buffer(suffix))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
