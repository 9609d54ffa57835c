"""Servers for tests: in a thread, reached over a socket."""

import socket
import threading
import time
from contextlib import contextmanager
from functools import partial

import httpx
import uvicorn
from fastapi.testclient import TestClient

from photochrom.server.app import create_app, load_models
from photochrom.server.limits import Limits

TIMEOUT = 300  # seconds; generous, since other processes may use all processors
get, post, delete = (partial(method, timeout=TIMEOUT) for method in (httpx.get, httpx.post, httpx.delete))


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def client_of(bundles, limits=Limits(), processes=1):  # noqa: B008 - frozen
    """A client of models, on this machine and without a socket."""
    app = create_app(load_models(bundles), limits, processes)
    with TestClient(app, base_url="http://localhost", client=("127.0.0.1", 5000)) as client:
        yield client


def serve_in_thread(bundles, limits=Limits(), processes=1):  # noqa: B008 - frozen
    """The URL of a server of models in a thread."""
    return serve_app_in_thread(create_app(load_models(bundles), limits, processes))


@contextmanager
def serve_app_in_thread(app, port=0):
    """The URL of a server of an application in a thread."""
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://localhost:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
