"""A video that is read for a client: its rows as JSON lines, as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Sequence
from functools import partial

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from mien.apps.server.intake import Intake, Upload
from mien.apps.server.metrics import Metrics
from mien.apps.server.problems import Gone, Problem, Stopping, unreadable
from mien.apps.server.read import timed
from mien.apps.server.work import Places, Threads, while_there
from mien.errors import MienError
from mien.reader import Reader
from mien.see.face import Frame, Reading
from mien.see.pipeline import BURST
from mien.sinks.rows import rows
from mien.sinks.tables import json_lines
from mien.sources.video import VideoBytes

Burst = Sequence[tuple[Frame, Sequence[Reading]]]

JSON_LINES = b"application/x-ndjson"


class Video:
    """The endpoint: a burst of frames at a time is work for a thread, so that many videos share the threads fairly."""

    def __init__(
        self, reader: Reader, intake: Intake, threads: Threads, metrics: Metrics, stopping: asyncio.Event
    ) -> None:
        self.reader, self.intake, self.threads, self.metrics, self.stopping = reader, intake, threads, metrics, stopping
        self.places = Places(max(1, intake.settings.queue // 4))  # a video takes long: pictures keep most of the room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /v1/video."""
        request = Request(scope, receive)
        self.places.check()
        with self.intake.request(request) as incoming:
            uploads = await incoming.uploads()
            if len(uploads) != 1:
                raise Problem(400, f"there are {len(uploads)} files in the body: send one video")
            with self.places.place():
                try:
                    await while_there(receive, self._stream(uploads[0], send))
                except Gone:
                    return

    async def _stream(self, upload: Upload, send: Send) -> None:
        """Send the rows. What goes wrong before the first frame is raised; later it is the last line."""
        run = partial(self.threads.run, patience=self.intake.settings.timeout)
        bursts = await run(self._bursts, upload)
        try:
            burst: Burst | None = await run(next, bursts, None)
            head = [(b"content-type", JSON_LINES)]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            while burst:
                lines = "".join(json_lines(rows(frame, readings)) for frame, readings in burst)
                await send({"type": "http.response.body", "body": lines.encode(), "more_body": True})
                burst = await self._next(bursts)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except _Broken as broken:
            last = json.dumps({"problem": broken.problem.content}) + "\n"
            await send({"type": "http.response.body", "body": last.encode(), "more_body": False})
        finally:
            bursts.close()

    async def _next(self, bursts: Generator[Burst]) -> Burst | None:
        if self.stopping.is_set():
            raise _Broken(Stopping())
        try:
            return await self.threads.run(next, bursts, None)
        except MienError as error:
            raise _Broken(unreadable(error)) from error

    def _bursts(self, upload: Upload) -> Generator[Burst]:
        """The video's frames with their readings. Raises SourceError."""
        video = VideoBytes(upload.data, megapixels=self.intake.settings.megapixels)
        video.name = upload.name
        pipeline = timed(self.reader.pipeline(live=False), self.metrics)
        for burst in pipeline.bursts(iter(video), BURST):
            for _, readings in burst:
                self.metrics.faces(readings)
            yield burst


class _Broken(Exception):  # noqa: N818
    """The rows end before the video does."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
