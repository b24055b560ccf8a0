"""The server as a process: where it listens, what it says when it starts, how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

import cv2
import uvicorn

from mien.apps.server.application import Service
from mien.apps.server.protocol import http_protocol, websocket_protocol
from mien.apps.server.read import keep_warnings
from mien.apps.server.settings import Settings
from mien.apps.terminal import say
from mien.errors import MienError
from mien.reader import Reader

IDLE = 5  # seconds for which a connection is kept that asks nothing more
LAST = 0.8  # the share of the time at the end that requests have; the rest is for ending what goes on nevertheless


def run_server(settings: Settings, open_reader: Callable[[], Reader], *, browse: bool = False) -> int:
    """Serve until Ctrl+C or SIGTERM; return the exit code, 0. Raises MienError where the address cannot be used."""
    listener = listen(settings.host, settings.port)
    with listener:
        cv2.setNumThreads(1)  # there is a thread for each core already
        keep_warnings()
        logging.basicConfig(level=logging.ERROR, format="mien: %(message)s")
        reader = open_reader()
        with asyncio.Runner() as runner:
            runner.run(_serve(settings, reader, listener, browse))
    return 0


async def _serve(settings: Settings, reader: Reader, listener: socket.socket, browse: bool) -> None:
    service = Service(reader, settings)
    config = uvicorn.Config(
        service.application,
        http=http_protocol(settings.timeout, settings.connections),
        ws=websocket_protocol(settings.timeout),
        ws_max_size=settings.max_body,
        ws_per_message_deflate=False,  # pictures are small already, and a message of zeros would not stay small
        ws_ping_interval=settings.timeout,
        ws_ping_timeout=settings.timeout,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=settings.timeout * LAST,  # type: ignore[arg-type]
        proxy_headers=False,  # nobody may say who he is
        server_header=False,
        access_log=False,  # names of files, and who asks, are nobody's business
        log_config=None,
        lifespan="on",
    )
    server = Server(config, service, lambda: announce(settings, listener, browse))
    await server.serve([listener])


class Server(uvicorn.Server):
    """uvicorn's, which tells that it has started, and ends with exit code 0 and in time when it is told to."""

    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[], None]) -> None:
        super().__init__(config)
        self.service, self.tell = service, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let videos end at their next frame, then all others."""
        self.service.stopping.set()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take signals for an end, as uvicorn does, without raising them again: they have done their work."""
        signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; when the time is up nothing is waited for any more, and a second signal ends at once."""
        if self.should_exit:
            os._exit(128 + sig)
        timer = threading.Timer(self.service.settings.timeout, os._exit, (0,))
        timer.daemon = True
        timer.start()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address. Raises MienError."""
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise MienError(f"{host} is no address of this computer ({_reason(error)}): give another --host") from None
    try:
        if os.name == "posix":  # elsewhere it would let two servers have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)  # uvicorn, which is to accept, does so later: the port is ours from now on
    except OSError as error:
        listener.close()
        raise MienError(f"cannot listen on {host}:{port} ({_reason(error)}): give another --port or --host") from None
    return listener


def announce(settings: Settings, listener: socket.socket, browse: bool) -> None:
    """Say where the server is, and whom it lets in."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"
    say(f"serving at {url} (Ctrl+C ends it)")
    if not settings.local and settings.token is None:
        say(f"no token is asked for: everybody who reaches {host}:{port} may use this server")
    if browse:
        webbrowser.open(url)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
