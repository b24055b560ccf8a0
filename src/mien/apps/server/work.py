"""Who is served when: threads that do the work, and the places of those that wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar, TypeVarTuple

from starlette.types import Receive

from mien.apps.server.metrics import Metrics
from mien.apps.server.problems import Busy, Gone

Arguments = TypeVarTuple("Arguments")
Answer = TypeVar("Answer")


class Threads:
    """So many threads; who comes when all of them are at work waits in a line.

    The line is the threads' own: one that is done takes the next without waiting for the event loop.
    """

    def __init__(self, count: int, metrics: Metrics) -> None:
        self.metrics = metrics
        self._pool = ThreadPoolExecutor(count, "mien works")

    async def run(
        self,
        function: Callable[[*Arguments], Answer],
        *arguments: *Arguments,
        patience: float | None = None,
    ) -> Answer:
        """Return what a function makes of its arguments in a thread. Raises Busy after `patience` seconds of waiting.

        Who is cancelled while it waits leaves the line at once; what is begun is ended first, for until then it uses
        what it was given.
        """
        asked = perf_counter()

        def work_on_it() -> Answer:
            self.metrics.step("wait", perf_counter() - asked)
            return function(*arguments)

        work = self._pool.submit(work_on_it)
        answer = asyncio.wrap_future(work)
        cancelled: asyncio.CancelledError | None = None
        while not answer.done():
            try:
                await asyncio.wait({answer}, timeout=patience)
            except asyncio.CancelledError as error:
                cancelled = error
            if (cancelled or patience is not None) and work.cancel():  # it was not begun
                raise cancelled or Busy()
            patience = None
        if cancelled:
            answer.exception()  # nobody asks for it any more
            raise cancelled
        return answer.result()

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Places:
    """The requests of one kind that are taken on at a time."""

    def __init__(self, count: int) -> None:
        self.count, self.taken = count, 0

    @contextmanager
    def place(self) -> Generator[None]:
        """Hold a place. Raises Busy where all are taken."""
        self.check()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    def check(self) -> None:
        """Raise Busy where all are taken."""
        if self.taken >= self.count:
            raise Busy


async def while_there(receive: Receive, work: Awaitable[Answer]) -> Answer:
    """Return what work gives, which is cancelled when the client closes its connection: Gone."""
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
        return task.result()
    finally:
        leaving.cancel()
        task.cancel()
        await asyncio.wait({task})  # what it holds is free then
        if not task.cancelled():
            task.exception()  # is raised above, or nobody is there to hear of it


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
