"""The first signal is noted, the second one is the system's again, and afterwards all is as it was."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from mien.apps.stopping import Stop

NUMBERS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handlers of the test, whichever way it was started."""
    before = {number: signal.signal(number, noted) for number in NUMBERS}
    seen.clear()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


seen: list[object] = []


def noted(number: int, _: object) -> None:
    seen.append(number)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_is_noted_and_the_second_one_is_not_ours(number: signal.Signals) -> None:
    with Stop() as stop:
        assert (stop(), stop.code) == (False, 0)
        os.kill(os.getpid(), number)
        assert (stop(), stop.code, seen) == (True, 128 + number, [])
        os.kill(os.getpid(), number)
        assert seen == [number]
    assert [signal.getsignal(number) for number in NUMBERS] == [noted] * len(NUMBERS)


def test_after_an_error_the_handlers_are_as_before() -> None:
    with pytest.raises(ZeroDivisionError), Stop():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in NUMBERS] == [noted] * len(NUMBERS)


def test_in_another_thread_nothing_changes() -> None:
    codes = []

    def work() -> None:
        with Stop() as stop:
            codes.append(stop.code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [0]
    assert signal.getsignal(signal.SIGTERM) is noted
