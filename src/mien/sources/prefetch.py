"""Reading ahead: the one place in which a thread fetches frames before they are asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

READER = "mien reads"  # the thread's name
Item = TypeVar("Item")
Ask = Callable[[], bool]

POLL = 0.05
"""Seconds after which one who waits looks up: whether to stop, whether a key was pressed."""

LEAVE = 0.2
"""Seconds for a thread that is left to free what it holds; one that hangs does so when FFmpeg's time limit is up."""


def interruptible(items: Callable[[Ask], Generator[Item]], stop: Ask) -> Generator[Item]:
    """Yield the items that a thread fetches, one ahead; ends when `stop` says so, however long an item takes.

    `items` is given what it may ask for the same in its thread; `stop` itself is asked where the items are taken.
    """
    if stop():
        return
    asked, found = SimpleQueue[bool](), SimpleQueue[Item | BaseException | None]()
    left = Event()
    thread = Thread(target=_fetch, args=(items(left.is_set), asked, found), name=READER, daemon=True)
    thread.start()
    try:
        asked.put(True)
        while (item := _awaited(found, stop)) is not None:
            if isinstance(item, BaseException):
                raise item
            asked.put(True)
            yield item
    finally:
        left.set()
        asked.put(False)
        thread.join(LEAVE)


def hangs() -> bool:
    """Whether a thread that was left still waits within FFmpeg, which crashes when Python is taken down below it."""
    return any(thread.name == READER for thread in threading.enumerate())


def _fetch(items: Generator[Item], asked: SimpleQueue[bool], found: SimpleQueue[Item | BaseException | None]) -> None:
    """Put an item there each time one is asked for, None at the end, or what was raised."""
    with closing(items):
        while asked.get():
            try:
                found.put(next(items, None))
            except BaseException as error:
                found.put(error)


def _awaited(found: SimpleQueue[Item | BaseException | None], stop: Ask) -> Item | BaseException | None:
    """Wait for the next item; None when there is none, or `stop` says so."""
    while not stop():
        try:
            return found.get(timeout=POLL)
        except Empty:
            continue
    return None


def ahead(items: Iterator[Item]) -> Generator[Item]:
    """Yield items, none of them None, while a thread fetches the next one; closing waits until it has."""
    with ThreadPoolExecutor(1, "mien ahead") as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
