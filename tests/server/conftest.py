"""The page, served to a browser and to clients that come over a socket."""

import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn

from photochrom.server.jobs import Limits
from photochrom.server.routes import choices, create


@contextmanager
def _listening(bundles, limits=Limits(), count=1):  # noqa: B008 - frozen
    """The address of a server in a thread."""
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create(choices(bundles), limits, count), log_level="warning"))
    thread = threading.Thread(target=server.run, args=([sock],))
    thread.start()
    try:
        yield f"http://localhost:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def listening():
    """A server with bundles and limits, as a context that gives its address."""
    return _listening


@pytest.fixture(scope="module")
def address(bundle, drawing):
    """Of a server with a model that paints and one that draws."""
    with _listening([bundle, drawing]) as found:
        yield found
