"""A stream of pictures over a WebSocket: each is answered with its rows, unless a newer one has come before."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.apps.server.guard import PROTOCOL
from mien.apps.server.metrics import Metrics
from mien.apps.server.problems import unreadable
from mien.apps.server.read import source_warnings, timed
from mien.apps.server.settings import Settings
from mien.apps.server.work import Places, Threads
from mien.errors import MienError
from mien.reader import Reader
from mien.see.pipeline import Pipeline
from mien.sinks.rows import rows
from mien.sources.pictures import open_picture

IDLE = 60.0  # seconds without a picture after which a stream is ended
SMOOTH = 0.25  # seconds, the time constant of the labels that are shown, as in `mien watch`
UNREADABLE, AWAY = 1003, 1001  # how a WebSocket is closed (RFC 6455)

EXAMPLE = '{"time": SECONDS, "source": NAME}'


class NotUnderstood(Exception):  # noqa: N818
    """A text message that says nothing about a picture."""


@dataclass(frozen=True)
class Arrived:
    """A picture of the stream, what number it has, when it was taken and what the stream is called."""

    index: int
    data: bytes = field(repr=False)
    time: float
    source: str


class LatestFrame:
    """Takes in what a client sends, and keeps the newest picture alone."""

    def __init__(self, socket: WebSocket, metrics: Metrics) -> None:
        self.socket, self.metrics = socket, metrics
        self.dropped = 0  # pictures that a newer one has replaced
        self._count, self._began, self._time = 0, 0.0, 0.0
        self._picture: Arrived | None = None
        self._there = asyncio.Event()

    async def take(self) -> Arrived:
        """Wait for a picture that was not taken yet."""
        await self._there.wait()
        self._there.clear()
        picture, self._picture = self._picture, None
        assert picture is not None
        return picture

    async def fill(self) -> None:
        """Take in messages until the client leaves: WebSocketDisconnect."""
        told: dict[str, Any] = {}
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect
            if (text := message.get("text")) is not None:
                told = _told(text)
            elif data := message.get("bytes"):
                self._put(data, told)
                told = {}

    def _put(self, data: bytes, told: dict[str, Any]) -> None:
        now = asyncio.get_running_loop().time()
        self._began = self._began or now
        self._time = max(self._time, told.get("time", now - self._began))  # a stream never runs backwards
        if self._picture is not None:
            self.dropped += 1
            self.metrics.frame("dropped")
        self._picture = Arrived(self._count, data, self._time, told.get("source", ""))
        self._count += 1
        self._there.set()


class Watch:
    """The endpoint; each connection has a follower, a tracker and a smoother of its own."""

    def __init__(self, reader: Reader, settings: Settings, threads: Threads, metrics: Metrics) -> None:
        self.reader, self.settings, self.threads, self.metrics = reader, settings, threads, metrics
        self.places = Places(settings.queue)

    async def answer(self, socket: WebSocket) -> None:
        """Answer its pictures until the client leaves, or sends nothing for a while."""
        with self.places.place(), self.metrics.stream():
            await socket.accept(PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None)
            newest = LatestFrame(socket, self.metrics)
            tasks = {asyncio.ensure_future(newest.fill()), asyncio.ensure_future(self._read_newest(socket, newest))}
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except TimeoutError:
                await socket.close(AWAY, f"no picture came for {IDLE:g} seconds")
            except NotUnderstood:
                await socket.close(UNREADABLE, f"send pictures, or before one {EXAMPLE}")
            except (WebSocketDisconnect, OSError):
                pass
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_newest(self, socket: WebSocket, newest: LatestFrame) -> None:
        pipeline = timed(self.reader.pipeline(live=True, smooth=SMOOTH), self.metrics)
        while True:
            async with asyncio.timeout(IDLE):
                picture = await newest.take()
            said = {"frame": picture.index, "time": picture.time, "dropped": newest.dropped}
            said |= await self.threads.run(self._read, pipeline, picture)
            await socket.send_text(json.dumps(said))

    def _read(self, pipeline: Pipeline, picture: Arrived) -> dict[str, Any]:
        """The picture's size and rows, or what is wrong with it."""
        try:
            with self.metrics.timed("decode"), source_warnings():
                frame = open_picture(picture.data, megapixels=self.settings.megapixels)
            frame.name, frame.index, frame.time = picture.source, picture.index, picture.time
            [(frame, readings)] = pipeline([frame])
        except MienError as error:
            self.metrics.frame("broken")
            return {"problem": unreadable(error).content}
        self.metrics.frame("read")
        self.metrics.faces(readings)
        height, width = frame.picture.size
        return {"width": width, "height": height, "rows": rows(frame, readings)}


def _told(text: str) -> dict[str, Any]:
    """What a client says of its next picture. Raises NotUnderstood."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise NotUnderstood from None
    if not isinstance(told, dict) or not told.keys() <= {"time", "source"}:
        raise NotUnderstood
    time, source = told.get("time", 0.0), told.get("source", "")
    if isinstance(time, bool) or not isinstance(time, int | float) or not isinstance(source, str):
        raise NotUnderstood
    if not math.isfinite(time) or not 0 <= time < 1e9:
        raise NotUnderstood
    return told | {"source": source[:200]}
