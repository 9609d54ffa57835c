"""What stands before the page: which requests it hears, and what its answers tell a browser."""

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import suppress

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE = 10  # seconds to hear out a request that is refused
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
HEADERS = {
    "Content-Security-Policy": f"{POLICY}base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """No other site may have the application do anything, nor pass for it; answers say what a browser may do with them.

    As plain ASGI: behind Starlette's own kind of middleware, nobody is told that a client has left.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, coming = False, True

        async def heard() -> Message:
            nonlocal coming
            message = await receive()
            coming = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def hear_out() -> None:
            """Many clients hear no refusal until they have said all."""
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while coming:
                        await heard()

        async def headed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(HEADERS)
                if message["status"] >= 400:
                    await hear_out()
            await send(message)

        answer = self._refused(Request(scope)) or self.app
        try:
            await answer(scope, heard, headed)
        except Exception:  # what nobody foresaw is a fault of ours, and told in the log
            if begun:
                raise
            logging.getLogger("uvicorn.error").exception("%s %s", scope["method"], scope["path"])
            unforeseen = JSONResponse({"detail": "something went wrong here (please report this)"}, 500)
            await unforeseen(scope, heard, headed)

    def _refused(self, request: Request) -> JSONResponse | None:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        name = re.sub(r":\d*$", "", host).lower()
        if name not in self.hosts:
            return JSONResponse({"detail": f"not {name!r}: photochrom web --allow names other hosts"}, 400)
        if origin is not None and origin.partition("://")[2] != host:
            return JSONResponse({"detail": "asked for by the page of another site"}, 403)
        return None
