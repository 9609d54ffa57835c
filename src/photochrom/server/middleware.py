"""Security checks in front of the web application, and headers for every response."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import Limits
from .uploads import client_of

DRAIN_SECONDS = 10  # longest time spent reading the rest of a request that is refused
TOKEN = r"[A-Za-z0-9_-]{1,200}"  # what addresses and cookies carry as it is
BURST_SECONDS = 20  # whose requests may come at once: a page asks for news of all its photos together
MAX_CLIENTS = 10_000  # whose rates are known
NO_TOKEN = "this server asks for a token: open the address that it printed, or send Authorization: Bearer TOKEN"
TOKEN_FORM = (
    "<!doctype html><html lang=en><meta name=viewport content=width=device-width><title>Photochrom</title>"
    "<form action=/><p><label>This server asks for a token, which is in the address that it printed: "
    "<input name=token></label></p><button>Open</button></form>"
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RateLimit:
    """Limits the requests of each client to ``rate`` a second, on average over `BURST_SECONDS`.

    Source: the generic cell rate algorithm (ITU-T I.371), a token bucket that stores one time for each client.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval, self.clock = 1 / rate, clock
        self.free: dict[str, float] = {}  # when a client has used up nothing any more

    def allows(self, client: str) -> bool:
        """Count a request of a client. Return whether it is within the limit; one that is not is not counted."""
        now = self.clock()
        free = max(now, self.free.get(client, now)) + self.interval
        if free - now > BURST_SECONDS:
            return False
        self.free[client] = free
        if len(self.free) > MAX_CLIENTS:
            self.free = {other: time for other, time in self.free.items() if time > now}
        return True


class SecurityMiddleware:
    """Refuses requests to other host names and from pages of other sites; adds security headers to all responses.

    With a ``token``, it refuses requests without it instead of those to other host names: the cookie that carries it
    belongs to one host name. ``rate``: requests a second of one client on another machine.
    """

    # Plain ASGI: Starlette's `BaseHTTPMiddleware` hides from the application that a client has disconnected.

    def __init__(self, app: ASGIApp, hosts: Sequence[str], token: str = "", rate: float = Limits.requests) -> None:
        self.app, self.hosts, self.token = app, hosts, token
        self.rate_limit = RateLimit(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope  # uvicorn leaves out the body
        request = Request(scope)
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
                MutableHeaders(scope=message).update(HEADERS | self._cookie(request))
                # Many clients read no response before they have sent the whole request: read it to its end.
                if message["status"] >= 400:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(DRAIN_SECONDS):
                            while body_pending:
                                await receive_body()
            await send(message)

        handler = self._refusal(request) or self.app
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

    def _tokens(self, request: Request) -> list[str]:
        """Return the tokens that a request carries, valid or not."""
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        tokens = [request.query_params.get("token", ""), request.cookies.get(_cookie_name(request), "")]
        return [*tokens, bearer] if kind.lower() == "bearer" else tokens

    def _cookie(self, request: Request) -> dict[str, str]:
        """Return the header that lets a browser keep the token of an address that was opened."""
        token = request.query_params.get("token", "")
        if not self.token or not secrets.compare_digest(token.encode(), self.token.encode()):
            return {}
        return {"Set-Cookie": f"{_cookie_name(request)}={token}; Path=/; HttpOnly; SameSite=Strict"}

    def _refusal(self, request: Request) -> Response | None:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        name = re.sub(r":\d*$", "", host).lower()
        client = client_of(request)
        if client and not self.rate_limit.allows(client):
            return JSONResponse({"detail": "too many requests: try again in a second"}, 429, {"Retry-After": "1"})
        if self.token:
            if not any(secrets.compare_digest(token.encode(), self.token.encode()) for token in self._tokens(request)):
                if "text/html" in request.headers.get("accept", ""):
                    return HTMLResponse(TOKEN_FORM, 401, {"WWW-Authenticate": "Bearer"})
                return JSONResponse({"detail": NO_TOKEN}, 401, {"WWW-Authenticate": "Bearer"})
        elif name not in self.hosts:
            reason = f"host {name!r} is not allowed: start the server with --allow {name or 'NAME'}"
            return JSONResponse({"detail": reason}, 400)
        if origin is not None and origin.partition("://")[2] != host:
            return JSONResponse({"detail": "the request comes from the page of another site"}, 403)
        return None


def _cookie_name(request: Request) -> str:
    """Return the name of the cookie with the token, which differs for two servers of one host."""
    return f"photochrom-{(request.scope.get('server') or ('', 0))[1]}"
