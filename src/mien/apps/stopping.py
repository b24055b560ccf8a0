"""Ctrl+C, SIGTERM and SIGHUP as the end of a run: what was read until then is kept whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Stop:
    """Asked after each frame: true once the user, or the system, wants an end.

    The first signal is only noted, so that nothing is left half done; the second one ends the process as if this were
    not here. Signals reach the main thread alone: in others nothing changes.
    """

    SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def __call__(self) -> bool:
        """Is an end wanted?"""
        return self.signal is not None

    @property
    def code(self) -> int:
        """The exit code, as shells count it: 128 and the signal's number; 0 without one."""
        return 128 + self.signal if self.signal else 0

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)
