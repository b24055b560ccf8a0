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
    """So many threads; who comes when all of them are at work waits in a line."""

    def __init__(self, count: int, metrics: Metrics) -> None:
        self.count, self.metrics = count, metrics
        self._pool = ThreadPoolExecutor(count, "mien works")
        self._free = asyncio.Semaphore(count)

    async def run(
        self,
        function: Callable[[*Arguments], Answer],
        *arguments: *Arguments,
        patience: float | None = None,
    ) -> Answer:
        """Return what a function makes of its arguments in a thread. Raises Busy after `patience` seconds of waiting.

        Who is cancelled while it waits leaves the line at once; what is begun is ended first.
        """
        began = perf_counter()
        try:
            async with asyncio.timeout(patience):
                await self._free.acquire()
        except TimeoutError:
            raise Busy from None
        try:
            self.metrics.step("wait", perf_counter() - began)
            future = asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
            return await _ended(future)
        finally:
            self._free.release()

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


async def _ended(future: asyncio.Future[Answer]) -> Answer:
    """Await what a thread does; a cancellation counts when it has ended: until then it uses what it was given."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()  # nobody asks for it any more
        raise cancelled
    return future.result()
