"""The page, served: an address to listen at, and how it is told and left."""

import asyncio
import os
import signal
import socket
import webbrowser
from collections.abc import Sequence

import typer
import uvicorn

from .._processes import available_processors
from .jobs import Limits
from .routes import LOCAL, choices, create

ANYWHERE = ("0.0.0.0", "::")
CONNECTIONS = 500  # at once, and what comes beyond is answered 503: a process may have some 1,000 files open


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Who waits for a photograph is told at once that it will not come."""
        await asyncio.to_thread(self.config.app.state.jobs.close)  # type: ignore[union-attr]
        await super().shutdown(sockets)


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
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else error.strerror
        raise ValueError(f"{host}:{port}: cannot be listened at ({why}): choose another --port or --host") from None
    named = f"[{host}]" if ":" in host else host
    names = [name.lower() for name in (*LOCAL, *allowed, *(() if host in ANYWHERE else (named,)))]
    app = create(found, limits, jobs, max(1, available_processors() // jobs), names)
    shown = "localhost" if host in ("127.0.0.1", "::1", *ANYWHERE) else named
    typer.echo(f"http://{shown}:{listening.getsockname()[1]}  (Ctrl-C stops it, and forgets all photographs)")
    if browser:
        webbrowser.open(f"http://{shown}:{listening.getsockname()[1]}")
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    try:
        _Server(config).run([listening])
    except KeyboardInterrupt:  # which uvicorn passes on once it has ended
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    finally:
        if hasattr(app.state, "jobs"):
            app.state.jobs.close()
