"""What a stream came to: who was seen, for how long, with which emotions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from mien.see.face import Frame, Reading


@dataclass
class Presence:
    """One person's time in view; `emotions` counts frames."""

    seconds: float = 0.0
    emotions: Counter[str] = field(default_factory=Counter)

    def shares(self) -> dict[str, float]:
        """Return the share of each emotion that was seen, the largest first; they sum to 1."""
        return {emotion: count / self.emotions.total() for emotion, count in self.emotions.most_common()}


class Steps:
    """Tells the usual time between two frames from a gap: a stream that was lost, a hole in a file."""

    USUAL = 1.0  # seconds that are no gap at any rate
    LONGER = 3.0  # times the shortest step so far from which on a longer one is a gap

    def __init__(self) -> None:
        self._shortest = float("inf")
        self._time: float | None = None

    def __call__(self, time: float) -> float:
        """Return the seconds since the frame before, 0 for the first frame and across a gap."""
        step, self._time = 0.0 if self._time is None else time - self._time, time
        if step > 0:
            self._shortest = min(self._shortest, step)
        return step if step <= max(self.USUAL, self.LONGER * self._shortest) else 0.0


class Summary:
    """Adds up how long each person was in view and what the network said of the face.

    A person was in view from one frame to the next when it is in both and there is no gap between them. Faces of nobody
    in particular, where there was no tracking, are person None.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.people: dict[int | None, Presence] = {}
        self._before: set[int | None] = set()
        self._steps = Steps()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: a sum is there as soon as it is asked for."""

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Take in the readings of one frame."""
        self.frames += 1
        for reading in readings:
            presence = self.people.setdefault(reading.person, Presence())
            presence.emotions[reading.emotion] += 1
        here, step = {reading.person for reading in readings}, self._steps(frame.time)
        for person in here & self._before:
            self.people[person].seconds += step
        self._before = here
