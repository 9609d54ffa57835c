import os
import signal
import sys
import threading

import pytest

from photochrom.study.jobs import Device, Job, find_devices, run_jobs
from waiting import wait_until

CPU = tuple(sorted(os.sched_getaffinity(0)))


@pytest.fixture
def devices():
    return [Device(CPU[:1], {"PLACE": str(place)}) for place in range(2)]


@pytest.fixture
def job(tmp_path):
    """A job that runs Python code, in which `out` is the path of its output; by default it writes it."""

    def make(name, code="out.touch()", needs=(), **options):
        file = tmp_path / "out" / name
        script = f"import os, sys, time; from pathlib import Path; out = Path({str(file)!r}); {code}"
        return Job(name, file, lambda: [sys.executable, "-c", script], tuple(needs), **options)

    return make


def run(jobs, devices):
    states = []
    failures = run_jobs(jobs, devices, lambda job, state: states.append((job.name, state)))
    return {job.name: reason for job, reason in failures.items()}, states


def test_jobs_run_after_those_that_they_need(job, devices):
    first = job("first")
    second = job("second", "assert Path(out.parent / 'first').exists(); out.touch()", [first])
    failures, states = run([second, first], devices)
    assert failures == {}
    assert states == [("first", "started"), ("first", "done"), ("second", "started"), ("second", "done")]
    assert run([second, first], devices) == ({}, [])


def test_what_only_done_jobs_need_is_not_run_again(job, devices):
    first = job("first")
    second = job("second", needs=[first])
    assert run([first, second], devices)[0] == {}
    first.file.unlink()
    assert run([first, second], devices) == ({}, [])
    third = job("third", needs=[first])
    assert [state for state in run([first, second, third], devices)[1] if state[1] == "done"] == [
        ("first", "done"),
        ("third", "done"),
    ]


def test_a_failure_reaches_the_jobs_that_need_it_and_no_others(job, devices):
    broken = job("broken", "sys.exit('the data is missing')")
    dependent = job("dependent", needs=[broken])
    last = job("last", needs=[dependent])
    silent = job("silent", "sys.exit(3)")
    unwritten = job("unwritten", "print('all is well')")
    other = job("other")
    failures, _ = run([broken, dependent, last, silent, unwritten, other], devices)
    assert failures == {
        "broken": "the data is missing",
        "dependent": "needs broken, which failed",
        "last": "needs dependent, which failed",
        "silent": "ended with exit code 3",
        "unwritten": "all is well",
    }
    assert other.is_done


def test_two_devices_run_two_jobs_and_each_has_its_own_variables(job, devices):
    meet = "out.write_text(os.environ['PLACE']); list(iter(out.with_name({!r}).exists, True))"  # waits for the other
    jobs = [job("a", meet.format("b")), job("b", meet.format("a"))]
    assert run(jobs, devices)[0] == {}
    assert {one.file.read_text() for one in jobs} == {"0", "1"}


def test_nothing_runs_beside_a_job_that_runs_alone(job, devices):
    code = "busy = out.parent / 'busy'; busy.mkdir(); time.sleep(0.3); busy.rmdir(); out.touch()"
    jobs = [job("a", code, alone=True), job("b", code, alone=True)]
    assert run(jobs, devices)[0] == {}


def test_a_job_has_the_processors_of_its_device(job):
    device = Device(CPU[-1:], {})
    one = job("one", "out.write_text(str(sorted(os.sched_getaffinity(0))))")
    before = os.sched_getaffinity(0)
    assert run([one], [device])[0] == {}
    assert one.file.read_text() == str([CPU[-1]])
    assert os.sched_getaffinity(0) == before


STOPPED = """
import signal
def stop(*_):
    (out.parent / 'stopped').touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
(out.parent / 'ready').touch()
time.sleep(60)
"""


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["heeded", "ignored"])
def test_an_interrupt_lets_the_processes_stop(ctrl_c, job, devices, tmp_path):
    ready, stopped = tmp_path / "out" / "ready", tmp_path / "out" / "stopped"
    long = job("long", f"exec({STOPPED!r})")
    before = signal.signal(signal.SIGINT, ctrl_c), signal.signal(signal.SIGTERM, signal.default_int_handler)

    def interrupt():
        wait_until(ready.exists)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            run([long, job("after", needs=[long])], devices)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert stopped.exists()
    assert not long.is_done


def test_devices_share_the_processors():
    one = find_devices(1)
    assert [device.processors for device in one] == [CPU]
    every = find_devices(len(CPU))
    assert sorted(processor for device in every for processor in device.processors) == list(CPU)
    assert {device.variables["OMP_NUM_THREADS"] for device in every} == {"1"}
    with pytest.raises(ValueError, match=rf"--jobs 999: there are only {len(CPU)} processors"):
        find_devices(999)
