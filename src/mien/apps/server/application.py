"""The application: its routes, and what all of them share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from mien import __version__
from mien.apps.server import documents, page
from mien.apps.server.guard import Guard
from mien.apps.server.intake import Intake
from mien.apps.server.metrics import Metrics
from mien.apps.server.problems import HANDLERS, Problem
from mien.apps.server.read import FORMATS, Pictures
from mien.apps.server.settings import Settings
from mien.apps.server.video import Video
from mien.apps.server.watch import Watch
from mien.apps.server.work import Places, Threads, while_there
from mien.reader import Reader


class Service:
    """One reader for all, the threads it is used by, and what answers each path."""

    def __init__(self, reader: Reader, settings: Settings) -> None:
        self.reader, self.settings, self.metrics = reader, settings, Metrics()
        self.stopping = asyncio.Event()
        self.threads = Threads(settings.workers, self.metrics)
        self.places = Places(settings.queue + settings.workers)
        self.intake = Intake(settings)
        self.pictures = Pictures(reader, self.metrics, settings.megapixels)
        self.video = Video(reader, self.intake, self.threads, self.metrics, self.stopping)
        self.watch = Watch(reader, settings, self.threads, self.metrics)
        self.metrics.watch("places_taken", "Requests for pictures at work or waiting.", lambda: self.places.taken)
        self.metrics.watch("videos", "Videos that are read now.", lambda: self.video.places.taken)
        self.metrics.watch("bodies_bytes", "Bytes of requests that are held.", lambda: self.intake.held)

    async def read(self, request: Request) -> Response:
        """POST /v1/read: the rows of pictures, or one picture with its faces drawn."""
        faces, drawn = (_flag(request, name) for name in ("faces", "annotate"))
        self.places.check()  # before anything is sent that would be refused
        with self.intake.request(request) as incoming:
            uploads = await incoming.uploads()
            if drawn and len(uploads) > 1:
                raise Problem(400, f"annotate gives one picture, not {len(uploads)}: send one at a time")
            run = partial(self.threads.run, patience=self.settings.timeout)

            async def one_after_the_other() -> Response:
                if drawn:
                    kind = _wanted(request)
                    return Response(await run(self.pictures.drawn, uploads[0], faces, kind), media_type=kind)
                answer = self.pictures.described if len(uploads) == 1 else self.pictures.answer
                return JSONResponse({"pictures": [await run(answer, upload, faces) for upload in uploads]})

            with self.places.place():
                return await while_there(request.receive, one_after_the_other())

    async def health(self, _: Request) -> Response:
        """GET /v1/health: whether it works, and what reads."""
        return JSONResponse({"status": "ok", "version": __version__, "model": Path(self.reader.model).name})

    async def counts(self, _: Request) -> Response:
        """GET /metrics."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    @property
    def application(self) -> Starlette:
        """The ASGI application."""
        document = documents.openapi(self.settings)
        routes: list[BaseRoute] = [
            Route("/v1/read", self.read, methods=["POST"]),
            Route("/v1/video", self.video, methods=["POST"]),
            WebSocketRoute("/v1/watch", self.watch.answer),
            Route("/v1/health", self.health),
            Route("/metrics", self.counts),
            Route("/openapi.json", partial(_json, document)),
            Route("/docs", partial(_html, documents.page(document))),
            *page.routes(),
        ]
        guard = Middleware(Guard, settings=self.settings, metrics=self.metrics)
        return Starlette(routes=routes, middleware=[guard], exception_handlers=HANDLERS, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncGenerator[None]:
        await self.threads.run(self.pictures.warm_up)
        yield
        self.threads.close()


async def _json(document: dict[str, Any], _: Request) -> Response:
    return JSONResponse(document)


async def _html(text: str, _: Request) -> Response:
    return HTMLResponse(text, headers={"content-security-policy": documents.POLICY})


def _flag(request: Request, name: str) -> bool:
    """An option of the query: 1 or 0. Raises Problem."""
    unknown = request.query_params.keys() - {"faces", "annotate", "name"}
    if unknown:
        raise Problem(400, f"there is no option {sorted(unknown)[0][:40]!r}: /docs lists those that there are")
    value = request.query_params.get(name, "0").lower()
    if value not in ("0", "1", "false", "true"):
        raise Problem(400, f"{name} is {value[:40]!r}: give 1 or 0")
    return value in ("1", "true")


def _wanted(request: Request) -> str:
    """The media type in which a client wants its picture."""
    accepted = request.headers.get("accept", "")
    return next((kind for kind in FORMATS if kind in accepted), next(iter(FORMATS)))
