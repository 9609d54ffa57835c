"""Run a web application on an address of this machine until Ctrl-C or SIGTERM."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
LOCAL_ADDRESSES = ("127.0.0.1", "::1", "localhost")  # shown as localhost
ALL_ADDRESSES = ("0.0.0.0", "::")
REQUEST_SECONDS = 20  # longest wait for a request on a connection
MAX_CONNECTIONS = 500  # a process may have about 1,000 open files

Address = tuple[str, int]  # host and port


def listen(address: Address) -> socket.socket:
    """Return a socket that listens on an address. Raises ValueError for one that is not available."""
    host, port = address
    try:
        return socket.create_server(address, family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror  # errors of name resolution are negative
        raise ValueError(f"{host}:{port}: not available ({reason}): choose another --port or --host") from None


def host_name(address: Address) -> str:
    """Return what the host of an address is called in a URL: that of this machine in its network for all addresses."""
    host, _ = address
    if host in LOCAL_ADDRESSES:
        return "localhost"
    if host in ALL_ADDRESSES:
        host = _network_address(socket.AF_INET6 if ":" in host else socket.AF_INET)
    return f"[{host}]" if ":" in host else host


def _network_address(family: socket.AddressFamily) -> str:
    """Return the address by which other machines reach this one; localhost if there is no network."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1", 9))  # sends nothing
        return str(probe.getsockname()[0])
    return "localhost"


def allowed_hosts(*names: str) -> list[str]:
    """Return the names of hosts to respond to: those of this machine, and these."""
    return [name.lower() for name in (*LOCAL_HOSTS, *names)]


class _Protocol(H11Protocol):
    """Closes connections on which no whole request arrives, which uvicorn does only where nothing arrives."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.last_cycle: object = None
        self.loop.call_later(REQUEST_SECONDS, self._check)

    def _check(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is self.last_cycle and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
            return
        self.last_cycle = self.cycle
        self.loop.call_later(REQUEST_SECONDS, self._check)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_shutdown: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_shutdown = on_shutdown

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what clients wait for first, so that they get a response."""
        await asyncio.to_thread(self.on_shutdown)
        await super().shutdown(sockets)


def run(app: FastAPI, listener: socket.socket, on_shutdown: Callable[[], None] = lambda: None) -> None:
    """Run the application until Ctrl-C or SIGTERM; ``on_shutdown`` runs before connections are closed."""
    config = uvicorn.Config(app, http=_Protocol, log_level="error", access_log=False, server_header=False)
    config.limit_concurrency, config.timeout_graceful_shutdown = MAX_CONNECTIONS, 1
    try:
        _Server(config, on_shutdown).run([listener])
    except KeyboardInterrupt:  # uvicorn raises it again after the shutdown
        signal.signal(signal.SIGINT, signal.SIG_IGN)
