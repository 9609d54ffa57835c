"""Security checks in front of the web application, and headers for every response."""

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import suppress

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAIN_SECONDS = 10  # longest time spent reading the rest of a request that is refused
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
HEADERS = {
    "Content-Security-Policy": f"{POLICY}base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class SecurityMiddleware:
    """Refuses requests to other host names and from pages of other sites; adds security headers to all responses."""

    # Plain ASGI: Starlette's `BaseHTTPMiddleware` hides from the application that a client has disconnected.

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response_started, body_pending = False, True

        async def receive_body() -> Message:
            nonlocal body_pending
            message = await receive()
            body_pending = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal response_started
            if message["type"] == "http.response.start":
                response_started = True
                MutableHeaders(scope=message).update(HEADERS)
                # Many clients read no response before they have sent the whole request: read it to its end.
                if message["status"] >= 400:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(DRAIN_SECONDS):
                            while body_pending:
                                await receive_body()
            await send(message)

        handler = self._refusal(Request(scope)) or self.app
        try:
            await handler(scope, receive_body, send_with_headers)
        except ClientDisconnect:  # nobody waits for a response
            return
        except Exception:
            if response_started:
                raise
            logging.getLogger("uvicorn.error").exception("%s %s", scope["method"], scope["path"])
            response = JSONResponse({"detail": "internal server error (please report this)"}, 500)
            await response(scope, receive_body, send_with_headers)

    def _refusal(self, request: Request) -> JSONResponse | None:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        name = re.sub(r":\d*$", "", host).lower()
        if name not in self.hosts:
            reason = f"host {name!r} is not allowed: start the server with --allow {name or 'NAME'}"
            return JSONResponse({"detail": reason}, 400)
        if origin is not None and origin.partition("://")[2] != host:
            return JSONResponse({"detail": "the request comes from the page of another site"}, 403)
        return None
