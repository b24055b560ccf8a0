"""Who may ask: hosts, origins and the token are checked before anything is read; what browsers are told not to do."""

from __future__ import annotations

import asyncio
import hmac
import socket
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.apps.server.metrics import Metrics
from mien.apps.server.problems import Bug, Problem, Stopping
from mien.apps.server.settings import Settings
from mien.sources.names import short

PROTOCOL = "mien"
"""The WebSocket's protocol; a browser, which can send no header, gives the token as a second one, `bearer.TOKEN`."""

GUARDED = ("/v1/read", "/v1/video", "/v1/watch", "/metrics")
"""What needs the token; the page, its documents and /v1/health say nothing that is not public."""

NAMED = (*GUARDED, "/v1/health", "/openapi.json", "/docs", "/")
"""The paths that are counted by their names."""

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""What is said with every answer that does not say otherwise."""


class Guard:
    """Stands before the application."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self.names = {"localhost", socket.gethostname().lower(), *map(str.lower, settings.names)}
        self.token = None if settings.token is None else _digest(settings.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused, and hand on all others."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        try:
            self.check(scope)
            await self.app(scope, receive, answer)
        except Problem as problem:
            await problem.response()(scope, receive, answer)
        except asyncio.CancelledError:  # the time that open requests have at the end is up
            if not answer.status:
                await Stopping().response()(scope, receive, answer)
        except Exception:
            if not answer.status:
                await Bug().response()(scope, receive, answer)
            raise  # for the log
        finally:
            path = scope["path"] if scope["path"] in NAMED else "other"
            self.metrics.answered(path, answer.status or 499)  # as nginx counts clients that went away

    def check(self, scope: Scope) -> None:
        """Raise Problem for a request that is none of ours."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known(_name(host)):
            raise Problem(403, f"this server is not called {short(host)}: use its address, or start it with --name")
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host.lower():
            raise Problem(403, "a page of another site may not use this server: open the one that it serves itself")
        if self.token is not None and scope["path"] in GUARDED and not self._token_of(headers):
            raise Problem(
                401, "send the token of this server, as Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"}
            )

    def _known(self, name: str) -> bool:
        """Is this an address, or one of our names? Another one is how a foreign page would reach us (DNS rebinding)."""
        try:
            ip_address(name)
        except ValueError:
            return name in self.names
        return True

    def _token_of(self, headers: Headers) -> bool:
        """Whether the token is among the headers; a wrong one takes as long to compare as the right one."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        offered = headers.get("sec-websocket-protocol", "").split(",")
        tokens = [given.strip()] if kind.lower() == "bearer" else []
        tokens += [name.strip().removeprefix("bearer.") for name in offered if name.strip().startswith("bearer.")]
        return any(hmac.compare_digest(_digest(token), self.token or b"") for token in tokens)


class _Answer:
    """Sends an answer with our headers, and keeps its status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self.send, self.status = scope, send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        elif message["type"] == "websocket.accept":
            self.status = 101
        await self.send(message)


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _name(host: str) -> str:
    """A Host header without its port; empty where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
