"""What the server counts, in the format of Prometheus: no names, no pictures, no addresses of clients."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from mien.see.face import Reading

Answer = TypeVar("Answer")

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each count began: a second line for every line

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The counts of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        here = self.registry
        self._requests = Counter("mien_requests", "Requests that were answered.", ("path", "status"), registry=here)
        self._steps = Histogram("mien_step_seconds", "Seconds of each step.", ("step",), buckets=SECONDS, registry=here)
        self._faces = Counter("mien_faces", "Faces that were read.", ("emotion",), registry=here)
        self._refused = Counter("mien_refused", "Requests that were refused.", ("status",), registry=here)
        self._frames = Counter(
            "mien_stream_frames", "Frames of streams, by what became of them.", ("what",), registry=here
        )
        self._streams = Gauge("mien_streams", "WebSockets that are open.", registry=here)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a number that is asked for when somebody looks."""
        Gauge(f"mien_{name}", meaning, registry=self.registry).set_function(value)

    def answered(self, path: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(path, status).inc()
        if status >= 400:
            self._refused.labels(status).inc()

    def step(self, name: str, seconds: float) -> None:
        """Count what a step took."""
        self._steps.labels(name).observe(seconds)

    @contextmanager
    def timed(self, name: str) -> Generator[None]:
        """Count what a block takes as a step."""
        began = perf_counter()
        try:
            yield
        finally:
            self.step(name, perf_counter() - began)

    def faces(self, readings: Sequence[Reading]) -> None:
        """Count the faces of a picture or a frame."""
        for reading in readings:
            self._faces.labels(reading.emotion).inc()

    def frame(self, what: str) -> None:
        """Count a frame of a stream: read, dropped or broken."""
        self._frames.labels(what).inc()

    @contextmanager
    def stream(self) -> Generator[None]:
        """Count a WebSocket as open."""
        with self._streams.track_inprogress():
            yield

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
