"""What went wrong, as clients hear of it: problem+json (RFC 9457) with a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mien.errors import MienError

RETRY_AFTER = {"retry-after": "1"}  # seconds


class Problem(Exception):  # noqa: N818 - the name of what it is in RFC 9457
    """A request that is not answered as it was meant to be."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    @property
    def content(self) -> dict[str, Any]:
        """The members of problem+json."""
        title = "Client Closed Request" if self.status == 499 else HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}

    def response(self) -> Response:
        """The answer that says so."""
        return JSONResponse(self.content, self.status, self.headers, "application/problem+json")


class Busy(Problem):
    """There is no room for another request now."""

    def __init__(self) -> None:
        super().__init__(503, "the server is busy: try again in a second", RETRY_AFTER)


class Stopping(Problem):
    """The server ends before this is done."""

    def __init__(self) -> None:
        super().__init__(503, "the server is stopping: try again when it is back", RETRY_AFTER)


class Bug(Problem):
    """Something that should not have happened."""

    def __init__(self) -> None:
        super().__init__(500, "this is a bug in the server, whose log says more: report it")


class Gone(Exception):  # noqa: N818 - no error: nobody is left to hear of one
    """The client has closed its connection."""


def unreadable(error: MienError) -> Problem:
    """What was sent cannot be read; the library's own sentence says why."""
    return Problem(422, str(error))


HANDLERS: dict[Any, Any] = {}
"""For Starlette: which answer an exception becomes."""


def _answers(kind: type[Exception], problem: Any) -> None:
    async def handle(_: Request, error: Exception) -> Response:
        return problem(error).response()  # type: ignore[no-any-return]

    HANDLERS[kind] = handle


def _of_routing(error: HTTPException) -> Problem:
    details = {
        404: "there is nothing here: /docs lists what there is",
        405: "this is not answered by that method: /docs lists those that are",
    }
    return Problem(error.status_code, details.get(error.status_code, str(error.detail)), error.headers)


_answers(Problem, lambda error: error)
_answers(MienError, unreadable)
_answers(HTTPException, _of_routing)
_answers(Gone, lambda _: Problem(499, "nobody hears this"))
