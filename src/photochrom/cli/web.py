"""The command that serves the web page."""

import re
import secrets
import webbrowser
from typing import Annotated

import typer

from ..server.limits import Limits
from .console import exit_on, fail, loading

MODEL = (
    "Model name or path of a bundle; repeatable, the first is the default. Installed models for photos are offered too."
)
TOKEN = "Token that requests have to carry; by default a random one, and none where --host is this machine."
KEEP = "Hours after the last request for a photo until it is deleted."


def web(  # noqa: PLR0913 - each is an option of the command
    model: Annotated[list[str] | None, typer.Option(help=MODEL)] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 = any free port.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 = all.")] = "127.0.0.1",
    allow: Annotated[list[str] | None, typer.Option(help="Further host name to respond to; repeatable.")] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Number of photos to colorize at once.")] = 1,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Largest size of an uploaded file.")] = Limits.upload_bytes
    >> 20,
    max_pixels: Annotated[int, typer.Option(min=1, help="Largest number of pixels of a photo.")] = Limits.pixels,
    max_seconds: Annotated[float, typer.Option(min=1, help="Longest time to work on one photo.")] = Limits.seconds,
    queue: Annotated[int, typer.Option(min=1, help="Largest number of waiting photos.")] = Limits.queued,
    keep: Annotated[float, typer.Option(min=0.01, help=KEEP)] = Limits.retention / 3600,
    token: Annotated[str | None, typer.Option(envvar="PHOTOCHROM_TOKEN", help=TOKEN)] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Ask for none: a proxy in front has a login.")] = False,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a web page that colorizes photos, and an HTTP interface (/openapi.json).

    Photos stay on this machine, in a private folder that is deleted when the server stops (Ctrl-C).
    """
    with loading("web"):
        from ..inference.bundle import DEFAULT, installed_for_photos
        from ..server.app import serve
        from ..server.middleware import TOKEN as TOKEN_PATTERN
        from ..server.run import LOCAL_ADDRESSES

    def on_start(url: str) -> None:
        typer.echo(f"{url}  (Ctrl-C stops the server and deletes all photos)")
        if browser:
            webbrowser.open(url)

    if token is not None and not re.fullmatch(TOKEN_PATTERN, token):
        fail(f"--token {token!r}: give 1 to 200 letters, digits, - and _", 2)
    if no_token or (token is None and host in LOCAL_ADDRESSES):
        token = ""
    limits = Limits(max_megabytes << 20, max_pixels, max_seconds, queue, retention=3600 * keep)
    with exit_on(ValueError, OSError):
        token = secrets.token_urlsafe(16) if token is None else token
        serve((model or [DEFAULT], installed_for_photos()), limits, (host, port), allow or (), jobs, on_start, token)
