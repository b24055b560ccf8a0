"""A thread fetches what comes next, never more, and leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from mien.sources.prefetch import ahead


def test_items_come_in_order_from_another_thread_which_is_one_ahead() -> None:
    fetched, threads = [], set()

    def items() -> Iterator[int]:
        for number in range(1, 6):
            fetched.append(number)
            threads.add(threading.current_thread())
            yield number

    for number in ahead(items()):
        assert len(fetched) <= number + 1
    assert fetched == [1, 2, 3, 4, 5]
    assert threading.current_thread() not in threads
    assert len(threads) == 1


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("broke off")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(ValueError, match="broke off"):
        next(items)


def test_closing_waits_for_the_thread_so_that_the_items_can_be_closed() -> None:
    going, before = threading.Event(), threading.active_count()

    def slow() -> Iterator[int]:
        yield 1
        going.wait(5)
        yield 2

    source = slow()
    with closing(source), closing(ahead(source)) as items:  # type: ignore[type-var]
        assert next(items) == 1
        going.set()
    assert threading.active_count() == before
