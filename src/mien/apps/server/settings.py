"""What the server is told: where it listens, who may use it, how much it takes on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address

from mien.errors import MienError
from mien.sources.prefetch import cores

TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,}")
"""Letters that may stand in a header, an address and the name of a WebSocket's protocol."""


@dataclass(frozen=True)
class Settings:
    """What `mien serve` is told; raises MienError for what makes no sense or is not safe."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any that is free
    workers: int = field(default_factory=cores)  # threads that read
    queue: int = 64  # requests that wait while the workers are busy, at most
    max_body: int = 64 * 10**6  # bytes of a request, or of a message of a WebSocket
    megapixels: float = 50.0  # of a picture or a frame
    timeout: float = 10.0  # seconds that a client may be slow, that one waits, and that open requests have at the end
    token: str | None = None  # what clients must know
    open_to_all: bool = False  # whether no token is needed on an address that other computers reach
    names: tuple[str, ...] = ()  # further names under which browsers reach this server

    def __post_init__(self) -> None:
        if self.token is not None and not TOKEN.fullmatch(self.token):
            raise MienError("the token must be 16 or more letters, digits or any of . _ ~ -, for nobody to guess it")
        if not self.local and self.token is None and not self.open_to_all:
            raise MienError(
                f"{self.host} is an address that other computers reach: give a --token that clients must know, "
                "or --no-token to let in everybody"
            )

    @property
    def local(self) -> bool:
        """Whether nobody but this computer reaches the address."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def connections(self) -> int:
        """Connections that are held at a time: those at work, those that wait, as many again for streams and idlers."""
        return 2 * (self.queue + self.workers) + 100

    @property
    def memory(self) -> int:
        """Bytes of requests that are held at a time."""
        return 4 * self.max_body
