"""The real server as a process on a loopback port; it may write no file at all."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

ROOT = Path(__file__).parents[3]
PICTURE = (ROOT / "assets" / "astronaut.jpg").read_bytes()
TOKEN = "a-token-that-nobody-guesses"


def write_nothing() -> None:
    """Let every byte that the process writes into a file be an error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


class Served:
    """A server, where it is and what it says."""

    def __init__(self, *options: object, command: tuple[str, ...] = ("-m", "mien")) -> None:
        line = [sys.executable, "-W", "error", *command, "serve", "--port", "0", *map(str, options)]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            line, cwd=ROOT, stderr=subprocess.PIPE, env=environment, preexec_fn=write_nothing, text=True
        )
        self.said: list[str] = []
        self._there = threading.Event()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    @property
    def url(self) -> str:
        """Its address."""
        assert self._there.wait(60), self.said
        found = next((re.search(r"serving at (http\S+)/", line) for line in self.said), None)
        assert found is not None, self.said
        return found[1]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    def connect(self, timeout: float = 10) -> socket.socket:
        """Open a connection to it."""
        return socket.create_connection(self.address, timeout)

    def metric(self, name: str, token: str = "") -> float:
        """A count of /metrics, by its name and labels."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        text = httpx.get(f"{self.url}/metrics", headers=headers).text
        [value] = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")] or ["0"]
        return float(value)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; the exit code, and the seconds until it was there."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._listener.join()
        return code, time.monotonic() - began

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.said.append(line.rstrip())
                self._there.set()
        self._there.set()


Serve = Callable[..., Any]


@contextmanager
def served(*options: object, command: tuple[str, ...] = ("-m", "mien")) -> Iterator[Served]:
    """A server that is ended behind the block, if it still is there, and has said nothing but where it is."""
    server = Served(*options, command=command)
    try:
        assert server.url
        yield server
        assert [line for line in server.said if "serving at" not in line] == []
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
        server._listener.join()


@pytest.fixture(scope="session")
def server() -> Iterator[Served]:
    """A server with the options that it has by default, but for its patience on a busy machine."""
    with served("--timeout", 60) as one:
        yield one


@pytest.fixture(scope="session")
def serving_with() -> Serve:
    """Serve with options in a `with` block."""
    return served


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server with options; it is ended with the test."""
    with ExitStack() as stack:
        yield lambda *options, **command: stack.enter_context(served(*options, **command))


@pytest.fixture(scope="session")
def client(server: Served) -> Iterator[httpx.Client]:
    """A client of the server."""
    with httpx.Client(base_url=server.url, timeout=60) as one:
        yield one


def eventually(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something comes to be true."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def soon() -> Callable[..., bool]:
    """Wait until something is true."""
    return eventually
