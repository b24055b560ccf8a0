"""Scores averaged over time, for pictures in which labels must not flicker; what the network said stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.labels import EMOTIONS
from mien.see.face import Frame, Reading, Shown
from mien.see.picture import Floats

TIME_CONSTANT = 0.25  # seconds
MARGIN = 0.08  # by which another emotion must lead before it is shown
FORGET = 4.0  # seconds unseen after which a person's average begins anew


@dataclass(slots=True)
class _Average:
    """The scores of one person so far, when they were last seen, and the emotion that is shown."""

    scores: Floats
    seen: float
    held: int


class Smoother:
    """Gives each reading `shown`: the exponential average of its person's scores, and an emotion that holds on.

    `time_constant` is in seconds, whatever the frame rate: after that time a sudden change has come through by 63 %.
    Another emotion is shown once it leads by `margin`. A cut begins anew. Readings without a person stay as they are.
    Raises ValueError for a time constant that is not above 0.
    """

    def __init__(self, time_constant: float = TIME_CONSTANT, margin: float = MARGIN) -> None:
        if not time_constant > 0:
            raise ValueError(
                f"time_constant is {time_constant}: it is in seconds and above 0; leave smoothing out for 0"
            )
        self.time_constant, self.margin = time_constant, margin
        self._people: dict[int, _Average] = {}
        self._shot = 0

    def __call__(self, frame: Frame, readings: Sequence[Reading]) -> list[Reading]:
        """The readings of the next frame, each with `shown`, in their order."""
        cut, self._shot = frame.shot != self._shot, frame.shot
        self._people = {
            who: past for who, past in self._people.items() if not cut and 0 <= frame.time - past.seen <= FORGET
        }
        return [
            reading if reading.person is None else replace(reading, shown=self._shown(reading.person, reading, frame))
            for reading in readings
        ]

    def _shown(self, person: int, reading: Reading, frame: Frame) -> Shown:
        past = self._people.get(person)
        if past is None:
            past = self._people[person] = _Average(reading.scores, frame.time, int(reading.scores.argmax()))
        weight = np.float32(1 - np.exp(-max(frame.time - past.seen, 0.0) / self.time_constant))
        past.scores, past.seen = past.scores + (reading.scores - past.scores) * weight, frame.time
        leader = int(past.scores.argmax())
        if past.scores[leader] - past.scores[past.held] >= self.margin:
            past.held = leader
        return Shown(past.scores, EMOTIONS[past.held])
