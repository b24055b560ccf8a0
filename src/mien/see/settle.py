"""Who a face belongs to may show later: frames of a file wait for that, those of a live stream cannot."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from mien.see.face import Frame, Reading
from mien.see.track import Track, Tracker

Result = tuple[Frame, list[Reading]]

SECONDS, FRAMES = 1.0, 30  # for which a frame waits at most, whichever is longer
PIXELS = 1 << 25  # of all frames that wait, at most: 16 frames of full HD, which are 50 MB as they are decoded


class AtOnce:
    """Gives every frame out as it comes; `unconfirmed` counts readings that belong to nobody yet."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.unconfirmed = 0

    def __call__(self, results: Iterable[Result]) -> Iterator[Result]:
        """The frames, each with its readings, which have a person or None."""
        for frame, readings in results:
            tracked = self.tracker(frame, readings)
            self.unconfirmed += sum(reading.person is None for reading in tracked)
            yield frame, tracked


class Settled:
    """Keeps frames back until it is known whose each face is, or that it is nobody's.

    Faces that are nobody's after `SECONDS` and `FRAMES`, or when the frames that wait have more than `PIXELS`, are
    left out: nearly all of them are none. `unconfirmed` counts them.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.unconfirmed = 0
        self._waiting: deque[tuple[Frame, list[Reading], list[Track]]] = deque()
        self._pixels = 0

    def __call__(self, results: Iterable[Result]) -> Iterator[Result]:
        """The frames in their order, each with the readings of people."""
        try:
            for frame, readings in results:
                self._waiting.append((frame, readings, self.tracker.follow(frame, [r.face for r in readings])))
                self._pixels += _pixels(frame)
                while self._waiting and self._is_due(frame):
                    yield self._next()
        except Exception:
            yield from self._rest()
            raise
        yield from self._rest()

    def _is_due(self, newest: Frame) -> bool:
        """Is the first frame that waits to be given out?"""
        frame, _, tracks = self._waiting[0]
        late = not 0 <= newest.time - frame.time < SECONDS and len(self._waiting) > FRAMES
        return late or self._pixels > PIXELS or all(track.number is not None for track in tracks)

    def _rest(self) -> Iterator[Result]:
        self.tracker.end()
        while self._waiting:
            yield self._next()

    def _next(self) -> Result:
        frame, readings, tracks = self._waiting.popleft()
        self._pixels -= _pixels(frame)
        people = [
            replace(reading, person=track.number)
            for reading, track in zip(readings, tracks, strict=True)
            if track.number is not None
        ]
        self.unconfirmed += len(readings) - len(people)
        return frame, people


def _pixels(frame: Frame) -> int:
    height, width = frame.picture.size
    return height * width
