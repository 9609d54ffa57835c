"""Atomic writes: a file or folder appears whole or not at all, and replaces nothing unasked."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from photochrom.imaging import atomic
from photochrom.imaging.atomic import FileExists, atomic_path, atomic_write
from photochrom.imaging.errors import WriteError


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "out.bin"
    with atomic_write(path) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("create", ["file", "folder"])
def test_a_path_can_become_a_file_or_a_folder(tmp_path, create):
    path = tmp_path / "out.x"
    with atomic_path(path) as temporary:
        assert temporary.suffix == path.suffix
        if create == "folder":
            temporary.mkdir()
            (temporary / "inside").write_text("content")
        else:
            temporary.write_text("content")
        assert not path.exists()
    assert (path / "inside" if create == "folder" else path).read_text() == "content"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_the_block_leaves_nothing(tmp_path):
    def fill(temporary):
        temporary.mkdir()
        (temporary / "inside").write_text("content")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"), atomic_path(tmp_path / "out") as temporary:
        fill(temporary)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_path_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(FileExists, match=r"out.txt: exists already"), atomic_write(path):
        pytest.fail("the block ran")
    assert path.read_text() == "old"
    with atomic_write(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("create", [Path.touch, Path.mkdir], ids=["file", "folder"])
def test_a_path_that_appears_meanwhile_is_not_replaced(tmp_path, create):
    path = tmp_path / "out"

    def write_while_another_run_does():
        with atomic_path(path) as temporary:
            create(temporary)
            path.write_text("theirs")

    with pytest.raises(FileExists, match=r"out: exists already"):
        write_while_another_run_does()
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, pathlib, sys, time
from photochrom.imaging.atomic import atomic_write
with atomic_write(pathlib.Path(sys.argv[1])) as file:
    print(os.listdir(pathlib.Path(sys.argv[1]).parent)[0], flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="no locks on files")
def test_what_a_killed_process_has_left_is_removed_and_what_another_is_writing_stays(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "out.jpg")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        unfinished = tmp_path / process.stdout.readline().strip()
        for other, age in ((".old.photochrom-0123abcd.jpg", 1000), (".elsewhere.photochrom-0123abcd4567cdef.jpg", 10)):
            (tmp_path / other).touch()
            os.utime(tmp_path / other, (time.time() - age,) * 2)
        os.utime(unfinished, (time.time() - 10,) * 2)
        atomic._remove_stale.cache_clear()
        with atomic_write(tmp_path / "second.jpg"):
            assert unfinished.exists()
        process.kill()
    atomic._remove_stale.cache_clear()
    with atomic_write(tmp_path / "third.jpg"):
        pass
    # That of another machine, which may be writing it on the same disk, stays for some minutes.
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"second.jpg", "third.jpg", ".elsewhere.photochrom-0123abcd4567cdef.jpg"}


ENDING = """
import pathlib, sys
from photochrom.imaging.atomic import atomic_write, end_process, temporary_folder
with temporary_folder() as folder, atomic_write(pathlib.Path(sys.argv[1])) as file:
    (folder / "tiles").write_bytes(b"tiles")
    end_process(7)
"""


def test_a_process_that_ends_removes_what_it_is_writing(tmp_path):
    (tmp_path / "temporary").mkdir()
    command, env = [sys.executable, "-c", ENDING, str(tmp_path / "out.jpg")], {"TMPDIR": str(tmp_path / "temporary")}
    assert subprocess.run(command, check=False, env=os.environ | env).returncode == 7
    assert list(tmp_path.rglob("*")) == [tmp_path / "temporary"]


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    message = r"out.txt: cannot be written \(No such file"
    with pytest.raises(WriteError, match=message), atomic_write(tmp_path / "none" / "out.txt"):
        pytest.fail("the block ran")


@pytest.mark.skipif(os.name != "posix", reason="no locks on files")
def test_only_what_the_dead_process_was_writing_is_removed(tmp_path):
    name = "a long name of the album, the same in all photos "
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / f"{name}1.jpg")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline()
        process.kill()
    with atomic_write(tmp_path / f"{name}2.jpg") as file:
        atomic.remove_unfinished(tmp_path / f"{name}1.jpg")
        assert len(list(tmp_path.iterdir())) == 1
        file.write(b"whole")
    assert list(tmp_path.iterdir()) == [tmp_path / f"{name}2.jpg"]
