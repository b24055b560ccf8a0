"""What clients send: bodies within their limits, and the files in them, in memory only."""

from __future__ import annotations

import base64
import binascii
import json
from asyncio import get_running_loop, timeout
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mien.apps.server.problems import Busy, Gone, Problem
from mien.apps.server.settings import Settings

SLOWEST = 1 << 16  # bytes a second, from which on a client is too slow once the timeout is over
MOST = 100  # pictures in a request
LONGEST_NAME = 200  # letters

FORMS = "send a picture as the body, several as multipart/form-data, or JSON as /docs describes it"


@dataclass(frozen=True)
class Upload:
    """A file that was sent, and what its sender calls it."""

    name: str
    data: bytes = field(repr=False)


class Intake:
    """Takes in the bodies of requests."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.held = settings, 0  # bytes of all requests at work

    @contextmanager
    def request(self, request: Request) -> Generator[Incoming]:
        """Hold what a request sends until it is answered. Raises Problem for one that is known to be too large."""
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.settings.max_body:
            raise self.too_large()
        incoming = Incoming(self, request)
        try:
            yield incoming
        finally:
            self.held -= incoming.received

    def too_large(self) -> Problem:
        """What is said of a body that is."""
        return Problem(413, f"the body has more than {self.settings.max_body:,} bytes: send less at a time")


class Incoming:
    """The body of one request."""

    def __init__(self, intake: Intake, request: Request) -> None:
        self.intake, self.http, self.received = intake, request, 0

    async def uploads(self) -> list[Upload]:
        """Return the files in the body. Raises Problem where there is none, Gone when the client goes away."""
        kind = self.http.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            found = await self._of_form()
        elif kind == "application/json" or kind.endswith("+json"):
            found = _of_json(await self._whole())
        elif kind.startswith("text/"):
            raise Problem(415, f"{kind} is text: {FORMS}")
        else:  # `curl --data-binary` calls everything a form
            found = [Upload(self.http.query_params.get("name", "")[:LONGEST_NAME], await self._whole())]
        if not any(upload.data for upload in found):
            raise Problem(400, f"there is no file in the body: {FORMS}")
        return found

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it comes. Raises Problem where it is too large or too slow, Busy where memory is short."""
        settings, began = self.intake.settings, get_running_loop().time()
        more = True
        while more:
            try:
                async with timeout(began + settings.timeout + self.received / SLOWEST - get_running_loop().time()):
                    message = await self.http.receive()
            except TimeoutError:
                raise Problem(408, "the body comes too slowly: send it in one go") from None
            if message["type"] == "http.disconnect":
                raise Gone
            chunk, more = message.get("body", b""), message.get("more_body", False)
            self.received += len(chunk)
            self.intake.held += len(chunk)
            if self.received > settings.max_body:
                raise self.intake.too_large()
            if self.intake.held > settings.memory:
                raise Busy
            yield chunk

    async def _whole(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def _of_form(self) -> list[Upload]:
        parser = MultiPartParser(self.http.headers, self.chunks(), max_files=MOST, max_fields=MOST)
        parser.spool_max_size = self.intake.settings.max_body + 1  # of which none is ever written to a file
        try:
            form = await parser.parse()
        except (MultiPartException, ValueError) as error:
            raise Problem(400, f"the form cannot be read ({error}): send each picture as a file of it") from None
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        try:
            return [Upload((file.filename or "")[:LONGEST_NAME], await file.read()) for file in files]
        finally:
            await form.close()


def _of_json(body: bytes) -> list[Upload]:
    """The pictures of {"pictures": [BASE64 or {"name": NAME, "data": BASE64}, ...]}."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "the body is no JSON: check that it is whole") from None
    pictures = document.get("pictures") if isinstance(document, dict) else None
    if not isinstance(pictures, list) or not pictures:
        raise Problem(400, 'the JSON has no pictures: send {"pictures": [BASE64, ...]}')
    if len(pictures) > MOST:
        raise Problem(413, f"{len(pictures)} pictures are too many: send {MOST} at a time")
    return [_decoded(number, picture) for number, picture in enumerate(pictures)]


def _decoded(number: int, picture: Any) -> Upload:
    name, data = (picture.get("name", ""), picture.get("data")) if isinstance(picture, dict) else ("", picture)
    if not isinstance(data, str) or not isinstance(name, str):
        raise Problem(400, f"picture {number} is no text in base64: send one, or an object with name and data")
    if data.startswith("data:"):
        data = data.partition(",")[2]
    try:
        return Upload(name[:LONGEST_NAME], base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        said = f"picture {number} is not base64: send the picture itself; names and addresses are never opened"
        raise Problem(400, said) from None
