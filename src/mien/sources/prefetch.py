"""Reading ahead: the one place in which threads fetch or read what is asked for next."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

READER = "mien reads"  # the thread's name
Item = TypeVar("Item")
Answer = TypeVar("Answer")
Ask = Callable[[], bool]

POLL = 0.05
"""Seconds after which one who waits looks up: whether to stop, whether a key was pressed."""

LEAVE = 0.2
"""Seconds for a thread that hangs to free what it holds; later it does so when FFmpeg's time limit is up."""


def never() -> bool:
    """Say that no end is wanted."""
    return False


def prefetch(
    items: Callable[[Ask], Iterator[Item]], stop: Ask, *, depth: int = 1, leave: float | None = LEAVE
) -> Generator[Item]:
    """Yield the items, none of them None, that a thread fetches, `depth` of them ahead.

    It ends when `stop` says so, however long an item takes: within FFmpeg the main thread would hear of no signal.
    `items` is given what it may ask for the same in its thread; `stop` itself is asked where the items are taken.
    Closing waits `leave` seconds for the thread, None: until it has ended.
    """
    if stop():
        return
    asked, found = SimpleQueue[bool](), SimpleQueue[Item | BaseException | None]()
    left = Event()
    thread = Thread(target=_fetch, args=(items(left.is_set), asked, found), name=READER, daemon=True)
    thread.start()
    try:
        for _ in range(depth):
            asked.put(True)
        while (item := _awaited(found, stop)) is not None:
            if isinstance(item, BaseException):
                raise item
            asked.put(True)
            yield item
    finally:
        left.set()
        asked.put(False)
        thread.join(leave)


def map_ahead(function: Callable[[Item], Answer], items: Iterable[Item], workers: int) -> Generator[Answer]:
    """Yield what a function makes of each item, in order, with so many threads at work.

    At most `workers` items are under way beyond the one that is yielded. What the function raises comes in its place.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers, READER) as threads:
        waiting = deque[Future[Answer]]()
        try:
            for item in items:
                waiting.append(threads.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hangs() -> bool:
    """Whether a thread that was left still waits within FFmpeg, which crashes when Python is taken down below it."""
    return any(thread.name == READER for thread in threading.enumerate())


def _fetch(items: Iterator[Item], asked: SimpleQueue[bool], found: SimpleQueue[Item | BaseException | None]) -> None:
    """Put an item there each time one is asked for, None at the end, or what was raised."""
    with closing(items):  # type: ignore[type-var]
        while asked.get():
            try:
                item = next(items, None)
            except BaseException as error:
                found.put(error)
                return
            found.put(item)
            if item is None:
                return


def _awaited(found: SimpleQueue[Item | BaseException | None], stop: Ask) -> Item | BaseException | None:
    """Wait for the next item; None when there is none, or `stop` says so."""
    while not stop():
        try:
            return found.get(timeout=POLL)
        except Empty:
            continue
    return None
