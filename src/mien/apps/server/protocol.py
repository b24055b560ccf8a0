"""Connections whose clients are slow are cut off: uvicorn itself waits for a request's head, and for a reader, forever.

httptools parses the requests: of a body in chunks of one byte, which anybody may send, it takes in 13 million chunks a
second on one core, h11 200,000.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LONGEST_HEAD = 1 << 16  # bytes

FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Deadline:
    """Calls a function when its time is up, unless it is lifted before."""

    def __init__(self, seconds: float, function: Callable[[], object]) -> None:
        self.seconds, self.function = seconds, function
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Let the time run, where it does not yet."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self.function)

    def lift(self) -> None:
        """Stop it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def http_protocol(timeout: float, connections: int) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol of HTTP with these limits.

    A request's head must be there `timeout` seconds after its beginning, and so must the rest of a body that nobody
    waits for; an answer must be taken off at least once in that time. More connections than `connections` are refused.
    """

    class Http(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.arrival, self.reading = Deadline(timeout, transport.abort), Deadline(timeout, transport.abort)
            self.in_head, self.head = True, 0
            if len(self.connections) > connections:
                transport.write(FULL)
                transport.close()
            self.arrival.begin()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.in_head, self.head = True, 0

        def on_headers_complete(self) -> None:
            self.in_head = False
            super().on_headers_complete()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.transport.get_protocol() is not self:  # it has become a WebSocket
                return
            if self.cycle is not None and not self.cycle.response_complete:
                self.arrival.lift()
                return
            self.arrival.begin()
            self.head = self.head + len(data) if self.in_head else 0
            if self.head > LONGEST_HEAD:
                self.transport.abort()

        def handle_websocket_upgrade(self) -> None:
            self.arrival.lift()
            super().handle_websocket_upgrade()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.transport.is_closing():
                self.reading.begin()  # what is still to be sent

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self.reading.begin()

        def pause_writing(self) -> None:
            super().pause_writing()
            self.reading.begin()

        def resume_writing(self) -> None:
            super().resume_writing()
            if not self.transport.is_closing():
                self.reading.lift()

        def connection_lost(self, exc: Exception | None) -> None:
            self.arrival.lift()
            self.reading.lift()
            super().connection_lost(exc)

    return Http


def websocket_protocol(timeout: float) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol of WebSockets, whose clients must take off what is sent in `timeout` seconds."""

    class WebSocket(WebSocketsSansIOProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.reading = Deadline(timeout, transport.abort)

        def pause_writing(self) -> None:
            super().pause_writing()
            self.reading.begin()

        def resume_writing(self) -> None:
            super().resume_writing()
            self.reading.lift()

        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] == "websocket.http.response.body":  # it was refused, which uvicorn takes for a bug
                self.handshake_complete = True

        def on_task_complete(self, task: asyncio.Task[None]) -> None:
            super().on_task_complete(task)
            self.reading.begin()  # what is still to be sent

        def connection_lost(self, exc: Exception | None) -> None:
            self.reading.lift()
            super().connection_lost(exc)

    return WebSocket
