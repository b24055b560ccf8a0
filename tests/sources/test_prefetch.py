"""Threads fetch what comes next, never more than was asked for, in order, and leave nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from mien.sources.prefetch import READER, cores, hangs, map_ahead, never, prefetch


def counting(fetched: list[int], threads: set[str]) -> Iterator[int]:
    for number in range(1, 8):
        fetched.append(number)
        threads.add(threading.current_thread().name)
        yield number


@pytest.mark.parametrize("depth", [1, 3])
def test_items_come_in_order_from_another_thread_which_is_so_far_ahead(depth: int) -> None:
    fetched, threads = list[int](), set[str]()
    for number in prefetch(lambda _: counting(fetched, threads), never, depth=depth):
        assert len(fetched) <= number + depth
    assert fetched == [1, 2, 3, 4, 5, 6, 7]
    assert threads == {READER}


def test_the_next_item_is_fetched_while_one_is_looked_at() -> None:
    fetched = list[int]()
    with closing(prefetch(lambda _: counting(fetched, set()), never, depth=2)) as items:
        assert next(items) == 1
        until(lambda: len(fetched) == 3)


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("broke off")

    for depth in (1, 5):
        items = prefetch(lambda _: broken(), never, depth=depth)
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
    with closing(source), closing(prefetch(lambda _: source, never, leave=None)) as items:  # type: ignore[type-var]
        assert next(items) == 1
        going.set()
    assert threading.active_count() == before


def test_stop_ends_the_wait_for_an_item_that_does_not_come_and_the_thread_is_told() -> None:
    told, began = threading.Event(), time.monotonic()

    def waiting(stop: Callable[[], bool]) -> Iterator[int]:
        yield 1
        while not stop():
            time.sleep(0.01)
        told.set()

    assert list(prefetch(waiting, lambda: time.monotonic() > began + 0.2)) == [1]
    assert 0.2 <= time.monotonic() - began < 2
    assert told.wait(2)
    until(lambda: not hangs())


def test_nothing_begins_where_an_end_is_wanted_already() -> None:
    fetched = list[int]()
    assert list(prefetch(lambda _: counting(fetched, set()), lambda: True)) == []
    assert fetched == []


def test_a_thread_that_hangs_is_left_and_known() -> None:
    release = threading.Event()

    def hanging() -> Iterator[int]:
        yield 1
        release.wait(10)

    with closing(prefetch(lambda _: hanging(), never, leave=0.05)) as items:
        assert next(items) == 1
    assert hangs()
    release.set()
    until(lambda: not hangs())


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_answers_come_in_the_order_of_the_items_whoever_is_done_first(workers: int) -> None:
    def slow_for_the_first(number: int) -> int:
        time.sleep(0.05 if number % 3 == 0 else 0)
        return number * number

    assert list(map_ahead(slow_for_the_first, range(12), workers)) == [number * number for number in range(12)]


def test_so_many_threads_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=5)
    assert list(map_ahead(lambda _: together.wait() is not None, range(3), 3)) == [True] * 3


def test_no_more_is_begun_than_workers_beyond_the_answer_that_was_taken() -> None:
    begun = list[int]()
    with closing(map_ahead(lambda number: begun.append(number) or number, iter(range(100)), 2)) as answers:  # type: ignore[func-returns-value]
        for taken in range(5):
            assert next(answers) == taken
            time.sleep(0.02)
            assert len(begun) <= taken + 1 + 2
    assert len(begun) <= 7  # what was not begun when it was closed never is


def test_an_error_of_one_item_comes_in_its_place() -> None:
    def odd_only(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    for workers in (1, 3):
        answers, seen = map_ahead(odd_only, range(6), workers), list[int]()
        with pytest.raises(ValueError, match="two"):
            for answer in answers:
                seen.append(answer)
        assert seen == [0, 1]


def test_an_error_of_the_items_themselves_is_raised() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("list")

    for workers in (1, 2):
        with pytest.raises(KeyError):
            list(map_ahead(abs, broken(), workers))


def test_closing_early_leaves_no_thread() -> None:
    before = threading.active_count()
    with closing(map_ahead(abs, iter(range(1000)), 3)) as answers:
        assert next(answers) == 0
    assert threading.active_count() == before


def test_there_is_a_core() -> None:
    assert cores() >= 1


def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for a condition to hold."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
