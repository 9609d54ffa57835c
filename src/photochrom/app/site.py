"""The page, served: an address to listen at, and how it is told and left."""

import os
import signal
import socket
import webbrowser
from collections.abc import Sequence

import typer
import uvicorn

from ..engine.stream import processors
from .jobs import Limits
from .web import LOCAL, choices, create

ANYWHERE = ("0.0.0.0", "::")


def serve(
    models: Sequence[str], limits: Limits, address: tuple[str, int], allowed: Sequence[str], jobs: int, browser: bool
) -> None:
    """Serve until Ctrl-C, or a request to end. Raises ValueError for a model that will not do, or no such address."""
    found = choices(models)
    host, port = address
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server(address, family=family)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error
        raise ValueError(f"{host}:{port}: cannot be listened at ({why}): choose another --port") from None
    names = (*LOCAL, *allowed) if host in ANYWHERE else (*LOCAL, host, *allowed)
    app = create(found, limits, jobs, max(1, processors() // jobs), names)
    shown = "localhost" if host in ("127.0.0.1", "::1", *ANYWHERE) else host
    typer.echo(f"http://{shown}:{listening.getsockname()[1]}  (Ctrl-C stops it, and forgets all photographs)")
    if browser:
        webbrowser.open(f"http://{shown}:{listening.getsockname()[1]}")
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    try:
        uvicorn.Server(config).run([listening])
    except KeyboardInterrupt:  # which uvicorn passes on once it has ended
        signal.signal(signal.SIGINT, signal.SIG_IGN)
