"""A time limit for training, for machines that are there for minutes only."""

from __future__ import annotations

import math
import time

SPARE = 1.3  # what the next epoch may take, in epochs as long as the last: the speed of a shared machine varies


class TimeLimit:
    """So many minutes from now; without a number there is no limit.

    `over` becomes true once too little time was left, `longest` has the seconds of the longest epoch so far.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self.began = time.perf_counter()
        self.seconds = math.inf if minutes is None else 60 * minutes
        self.over = False
        self.longest = 0.0

    def allows(self, seconds: float) -> bool:
        """Whether something that took `seconds` the last time may begin."""
        self.over = time.perf_counter() - self.began + SPARE * seconds > self.seconds
        return not self.over

    @property
    def left(self) -> float | None:
        """The share of the time that is left, None where there is no limit."""
        if math.isinf(self.seconds):
            return None
        return max(0.0, 1 - (time.perf_counter() - self.began) / self.seconds)
