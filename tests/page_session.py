"""Pages are carried out: their blocks run from top to bottom in one shell, in a folder that has what they name."""

import configparser
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from contextlib import suppress
from pathlib import Path

from pages import Block, blocks_of
from walkthroughs import apply_diff

TOOLS = Path(__file__).parent / "docs"
SECONDS = 1200  # until a block that hangs is stopped; generous, since other processes may use all processors
END = "-- end of block"
PORTS = {"PORT": 8000, "DASK_PORT": 8786}  # pages name the usual ports; tests that run beside each other need others


class PageSession:
    """A shell in which the blocks of a page run one after the other, as a reader types them.

    Args:
        folder: where the reader is, made by `workplaces.create_workplace`.
        template: a folder like it, for `git clone`.
    """

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in PORTS}
        self.servers = folder.with_name("servers")
        self.servers.mkdir()
        variables = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(folder / "src"),  # pages may change the code
            "PYTHONUNBUFFERED": "1",
            "TOOLS": str(TOOLS),
            "TEMPLATE": str(template),
            "SERVERS": str(self.servers),
            "COLUMNS": "120",
            **{name: str(port) for name, port in self.ports.items()},
        }
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.run((TOOLS / "commands.sh").read_text(encoding="utf-8"))

    def __enter__(self) -> "PageSession":
        return self

    def __exit__(self, *error: object) -> None:
        for record in self.servers.iterdir():
            if record.suffix != ".log":
                with suppress(ProcessLookupError):
                    os.killpg(int(record.read_text()), signal.SIGTERM)
        self._kill()
        self.shell.communicate()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.shell.pid, signal.SIGKILL)

    def write_script(self, name: str, code: str) -> Path:
        """Write code to a file beside the folder, with the ports of this session, and return its path."""
        for variable, port in PORTS.items():
            code = code.replace(f":{port}", f":{self.ports[variable]}")
        script = self.folder.with_name(name)
        script.write_text(code, encoding="utf-8")
        return script

    def run(self, code: str) -> tuple[str, int]:
        """Run shell code; return what it prints and its exit code (that of the shell, where it ended)."""
        script = self.write_script("block.sh", code)
        watch = threading.Timer(SECONDS, self._kill)
        watch.start()
        try:
            return self._run_script(script)
        finally:
            watch.cancel()

    def _run_script(self, script: Path) -> tuple[str, int]:
        with suppress(BrokenPipeError):
            self.shell.stdin.write(f"source '{script}' </dev/null\nprintf '\\n{END} %s\\n' $?\n")
            self.shell.stdin.flush()
        lines = []
        for line in self.shell.stdout:
            if line.startswith(END):
                return "".join(lines).removesuffix("\n"), int(line.split()[-1])
            lines.append(line)
        return "".join(lines), self.shell.wait()


def run_page(page: str, folder: Path, template: Path) -> None:
    """Carry out a page; AssertionError names the first block that fails, with what it printed."""
    with PageSession(folder, template) as session:
        for block in blocks_of(page):
            if block.can_run:
                run_block(session, block)


def run_block(session: PageSession, block: Block) -> None:
    """Run a block, or write the file that it shows."""
    if block.title:
        write_file(session.folder, block)
    elif block.language == "sh":
        run_commands(session, block)
    elif block.language == "console":
        for command, output in steps_of_session(block.code):
            printed, exit_code = session.run(command)
            place = f"{block.place}: $ {command}"
            require_equal(output, printed, place, block.mark == "figures vary")
            assert exit_code == 0 or "photochrom: " in output, (
                f"{place}: exit code {exit_code}, and the page shows no error"
            )
    elif block.language == "python":
        run_commands(session, block, f"python '{session.write_script('block.py', block.code)}'")
    check_syntax(block)


def run_commands(session: PageSession, block: Block, code: str = "") -> None:
    """Run commands, of which none may fail."""
    commands = (code or block.code).replace(" && ", "\n")  # bash goes on after a list whose first command failed
    printed, exit_code = session.run(f"set -eo pipefail\n{commands}\nset +eo pipefail\n")
    assert exit_code == 0, f"{block.place}: exit code {exit_code}\n{block.code}\n{printed}"


def check_syntax(block: Block) -> None:
    """Raise an error for a file of settings that cannot be read."""
    if block.language == "toml":
        tomllib.loads(block.code)
    elif block.language == "json":
        for value in re.split(r"\n(?=\{)", block.code):
            json.loads(value)
    elif block.language == "ini":
        configparser.ConfigParser(strict=False, interpolation=None).read_string(block.code)


def write_file(folder: Path, block: Block) -> None:
    """Write the file that a block shows, or change it by the lines of a diff."""
    path = (folder / block.title).resolve()
    assert path.is_relative_to(folder.resolve()), f"{block.place}: {block.title} is outside of the folder"
    text = block.code
    if block.language == "diff":
        text = apply_diff(path.read_text(encoding="utf-8"), text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def steps_of_session(code: str) -> list[tuple[str, str]]:
    """Return pairs of a command and its output in a console block; a line that ends in a backslash goes on."""
    parts = re.split(r"^\$ ((?:.*\\\n)*.*)\n?", code, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def require_equal(expected: str, printed: str, place: str, figures_vary: bool = False) -> None:
    """Compare what a page shows with what a command printed.

    ``...`` stands for any text within a line, and alone in a line for any lines. Where figures vary, numbers and the
    spaces that align them may differ.
    """
    if figures_vary:
        expected, printed = without_figures(expected), without_figures(printed)
    pattern = ""
    for line in expected.strip("\n").splitlines():
        pattern += r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(re.escape("..."), ".*") + r"\n"
    lines = [f"{line}\n" for line in printed.strip("\n").splitlines()]
    if not re.fullmatch(pattern, "".join(lines)):
        raise AssertionError(f"{place}\nthe page shows:\n{expected}\nthe command prints:\n{printed}")


def without_figures(text: str) -> str:
    """Replace numbers by 0, and shorten spaces and lines of tables that depend on their widths."""
    text = re.sub(r"\d+(?:\.\d+)?(?:e-?\d+)?", "0", text)
    return re.sub(r"[ ─━-]{2,}", " ", text)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
