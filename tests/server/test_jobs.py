"""Photographs on their way through workers that are slow, crash, or are killed; and colours that are remembered."""

import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import pyvips

from photochrom.core.sampling.procedure import HintMap
from photochrom.server import worker
from photochrom.server.jobs import Job, Jobs, Limits, Refused
from photochrom.server.worker import UPLOAD, Order, Remembering

SLOW = {"steps": 1000}


@pytest.fixture(scope="module")
def photo():
    ramp = np.linspace(20, 235, 300 * 400).reshape(300, 400)
    return pyvips.Image.new_from_array(ramp.astype(np.uint8)).write_to_buffer(".png")


@pytest.fixture
def studio(drawing):
    made = Jobs([str(drawing)], Limits(), 1)
    yield made
    made.close()
    assert not made.root.exists()


def submitted(jobs, photo, **wishes):
    folder = jobs.folder()
    (folder / UPLOAD).write_bytes(photo)
    return jobs.submit("one.png", Order(folder, jobs.workers[0].asked[1][0], **wishes))


def working(job):
    until = time.monotonic() + 60
    while job.state == "queued":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_one_that_is_cancelled_does_not_hold_up_the_next(studio, photo):
    slow = submitted(studio, photo, size=2048, sampling=SLOW)
    queued = submitted(studio, photo)
    dropped = submitted(studio, photo)
    working(slow)
    assert studio.waiting() == 2
    assert studio.waiting(dropped) == 1
    studio.remove(dropped)
    studio.remove(slow)
    queued.finished.result(60)
    assert queued.state == "done"
    assert (slow.state, dropped.painted) == ("failed", [])
    slow.finished.result(60)
    assert sorted(studio.root.iterdir()) == [queued.order.folder]


def test_one_that_is_too_slow_is_ended(drawing, photo):
    jobs = Jobs([str(drawing)], Limits(seconds=6), 1)
    try:
        slow, next_one = submitted(jobs, photo, size=2048, sampling=SLOW), submitted(jobs, photo)
        slow.finished.result(60)
        next_one.finished.result(60)
        assert (slow.failure.status, next_one.state) == (504, "done")
        assert "took longer than 6 seconds" in slow.failure.reason
    finally:
        jobs.close()


def test_a_crash_takes_one_photograph_and_no_other(studio, photo):
    crashing, next_one = submitted(studio, photo, size=2048, sampling=SLOW), submitted(studio, photo)
    working(crashing)
    os.kill(studio.workers[0].process.pid, signal.SIGSEGV)
    crashing.finished.result(60)
    next_one.finished.result(60)
    assert (crashing.failure.status, next_one.state) == (500, "done")
    assert "brought its worker down" in crashing.failure.reason


def test_a_turned_photograph_leaves_nothing_when_its_worker_is_ended(studio, tmp_path):
    ramp = np.linspace(20, 235, 3000 * 4000).reshape(3000, 4000)
    image = pyvips.Image.new_from_array(ramp.astype(np.uint8)).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    before = set(Path(tempfile.gettempdir()).iterdir())
    job = submitted(studio, image.write_to_buffer(".jpg"))
    until = time.monotonic() + 60
    while not list(job.order.folder.glob("photochrom-*/turned.tif")):
        assert time.monotonic() < until
        time.sleep(0.005)
    studio.remove(job)
    job.finished.result(60)
    assert not job.order.folder.exists()
    assert set(Path(tempfile.gettempdir()).glob("photochrom-*")) <= before


def test_a_worker_that_cannot_begin_again_does_not_stop_the_queue(studio, photo, monkeypatch):
    def no_memory(_):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    crashing = submitted(studio, photo, size=2048, sampling=SLOW)
    working(crashing)
    with monkeypatch.context() as patched:
        patched.setattr(type(studio.workers[0].process), "start", no_memory)
        os.kill(studio.workers[0].process.pid, signal.SIGSEGV)
        crashing.finished.result(60)
        refused = submitted(studio, photo)
        refused.finished.result(60)
    assert "brought its worker down" in crashing.failure.reason
    assert "no worker could begin (" in refused.failure.reason
    last = submitted(studio, photo)
    last.finished.result(60)
    assert last.state == "done"


def test_a_worker_that_ended_while_nothing_was_to_do_is_begun_anew(studio, photo):
    for _ in range(2):
        job = submitted(studio, photo)
        job.finished.result(60)
        assert job.state == "done"
        studio.workers[0].process.kill()
        studio.workers[0].process.join()


def test_one_that_is_cancelled_while_a_worker_begins(studio, photo):
    job = submitted(studio, photo)
    working(job)
    studio.remove(job)
    job.finished.result(60)
    assert not job.order.folder.exists()
    last = submitted(studio, photo)
    last.finished.result(60)
    assert last.state == "done"


def test_one_that_is_too_long_in_beginning_is_ended(studio, photo, monkeypatch):
    monkeypatch.setattr("photochrom.server.jobs.READY", 0)
    job = submitted(studio, photo)
    job.finished.result(60)
    assert "no worker was ready after 0 seconds" in job.failure.reason


def test_what_is_held_is_told_to_the_byte(studio, photo):
    job = submitted(studio, photo)
    job.finished.result(60)
    again = studio.again(job, job.order)
    again.finished.result(60)
    files = {file.stat().st_ino: file.stat().st_size for file in studio.root.rglob("*") if file.is_file()}
    assert studio.held() == sum(files.values())
    with studio.place(1000):
        assert studio.held() == sum(files.values()) + 1000
    studio.remove(job)
    assert studio.held() == sum(file.stat().st_size for file in again.order.folder.iterdir())
    studio.remove(again)
    assert studio.held() == 0


def test_files_that_come_and_go_while_they_are_weighed(studio):
    job = Job("one", Order(studio.folder(), ""))
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            folder = job.order.folder / "within"
            folder.mkdir()
            (folder / "file").write_bytes(b"x" * 100)
            shutil.rmtree(folder)

    churning = threading.Thread(target=churn)
    churning.start()
    assert not any(studio.crowded(job) for _ in range(300))
    stop.set()
    churning.join()


def test_a_disc_that_is_full_is_named(drawing, tmp_path, monkeypatch, photo):
    monkeypatch.chdir(tmp_path)
    UPLOAD.write_bytes(photo)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker, "preview", full)
    (said,) = worker._said({}, Order(tmp_path, str(drawing)), 1, 10**8)
    assert (said.status, said.reason) == (507, "photograph: cannot be kept (No space left on device)")
    monkeypatch.setattr("photochrom.imaging.atomic._publish", full)
    *_, said = worker._said({}, Order(tmp_path, str(drawing), shown=False), 1, 10**8)
    assert (said.status, said.reason) == (507, "0.png: cannot be written (No space left on device)")


def test_a_name_that_nobody_has_is_refused(studio):
    with pytest.raises(Refused, match="no such photograph here"):
        studio.get("x")


class OneHint:
    """A hint of full weight at every pixel."""

    def at(self, height, width):
        one = np.ones((1, 1, height, width), np.float32)
        return HintMap(one[:, [0, 0]] * np.float32(0.5), one)


class TestRemembering:
    @pytest.fixture
    def counted(self, drawing, monkeypatch):
        calls = []
        predict = worker.Colorizer.predict
        monkeypatch.setattr(
            worker.Colorizer,
            "predict",
            lambda self, grays, seeds=0, *hints: calls.append(len(grays)) or predict(self, grays, seeds, *hints),
        )
        return Remembering(drawing, 1), calls

    def test_the_same_question_is_answered_once(self, counted):
        colorizer, calls = counted
        grays = [np.full((1, 32, 32), shade, np.float32) for shade in (-0.5, 0.5)]
        first = colorizer.predict(grays, [3, 4])
        again = colorizer.predict(grays[::-1], [4, 3])
        assert calls == [2, 0]
        np.testing.assert_array_equal(first, again[::-1])

    @pytest.mark.parametrize("other", [{"seed": 4}, {"shade": 0.25}, {"steps": 2}, {"hints": OneHint()}])
    def test_another_question_is_asked(self, counted, other):
        colorizer, calls = counted
        gray = np.full((1, 32, 32), 0.5, np.float32)
        colorizer.predict([gray], 3)
        told = colorizer.with_sampler(steps=other["steps"]) if "steps" in other else colorizer
        told.predict([gray * 0 + other.get("shade", 0.5)], other.get("seed", 3), other.get("hints"))
        assert calls == [1, 1]

    def test_it_does_not_grow_without_bound(self, counted, monkeypatch):
        colorizer, calls = counted
        gray = np.full((1, 32, 32), 0.5, np.float32)
        monkeypatch.setattr(worker, "REMEMBERED", 3 * 2 * 32 * 32 * 4)
        for seed in (1, 2, 3, 4):
            colorizer.predict([gray], seed)
        assert len(colorizer.known) == 3
        colorizer.predict([gray], 4)
        colorizer.predict([gray], 1)
        assert calls == [1, 1, 1, 1, 0, 1]
