"""The command that serves the page."""

from typing import Annotated

import typer

from .console import fail, loading, needs_extra


def web(  # noqa: PLR0913 - each is an option of the command
    model: Annotated[
        list[str] | None, typer.Option(help="A name, or the path of a bundle; repeatable, the first is chosen.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    allow: Annotated[list[str] | None, typer.Option(help="Name by which it may be asked; repeatable.")] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Photographs worked on at once.")] = 1,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Larger files are refused.")] = 200,
    max_pixels: Annotated[int, typer.Option(min=1, help="Larger photographs are refused.")] = 250_000_000,
    max_seconds: Annotated[float, typer.Option(min=1, help="Of work on one photograph.")] = 600,
    queue: Annotated[int, typer.Option(min=1, help="Photographs that may wait.")] = 64,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page on which photographs are dropped and coloured, and an HTTP interface (/openapi.json).

    Photographs stay on this machine, in a private folder that is gone when it stops (Ctrl-C).
    """
    needs_extra("web")
    with loading():
        from ..server.app import serve
        from ..server.jobs import Limits

    limits = Limits(max_megabytes << 20, max_pixels, queue, max_seconds)
    try:
        serve(model or ["default"], limits, (host, port), allow or (), jobs, browser)
    except (ValueError, OSError) as error:
        fail(str(error), 2)
