"""Start a server in the background and return once it answers; its process ends with the page (`page_session`).

``python start_server.py PORT PROGRAM ARGUMENTS...``; an empty PORT: a program that listens to none.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError

SECONDS = 600


def main(port: str, program: str, arguments: list[str]) -> None:
    folder = Path(os.environ["SERVERS"])
    if port:
        stop(folder / port)
    command = [sys.executable, "-m", program, *arguments]
    log = folder / f"{program}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    (folder / (port or f"none-{process.pid}")).write_text(str(process.pid))
    deadline = time.monotonic() + SECONDS
    while port and not answers(program, arguments[0], port):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{' '.join(command)}: no server at port {port}\n{log.read_text()}")
        time.sleep(0.1)
    sys.stdout.write(log.read_text())


def answers(program: str, command: str, port: str) -> bool:
    """Whether the server is there: the web page says so at /health, a survey by its page, Dask by a connection."""
    if program == "dask":
        with suppress(OSError), socket.create_connection(("localhost", int(port)), timeout=5):
            return True
        return False
    path = "/health" if command == "web" else "/"
    with suppress(URLError, OSError), urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=5) as response:
        return response.status == 200
    return False


def stop(record: Path) -> None:
    """Stop the server that has the port, if there is one."""
    if record.exists():
        with suppress(ProcessLookupError):
            os.killpg(int(record.read_text()), signal.SIGTERM)
        record.unlink()


main(sys.argv[1], sys.argv[2], sys.argv[3:])
