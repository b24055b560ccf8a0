"""Who watches from Python gets frames with readings, is told what was missed, and holds nothing afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import numpy as np
import pytest

from mien.errors import SourceError
from mien.reader import Watch
from mien.see.face import Frame
from mien.see.picture import Image
from mien.see.pipeline import Pipeline
from mien.sources.live import Live
from mien.sources.source import PendingFrame, SourceStats


def blind() -> Pipeline:
    return Pipeline(lambda _: [], lambda _, faces: [[] for _ in faces])


def black() -> Image:
    return np.zeros((48, 64, 3), np.uint8)


def shaky(_: SourceStats) -> Generator[PendingFrame]:
    """A camera that is lost after ten pictures."""
    for number in range(10):
        time.sleep(0.01)
        yield PendingFrame(number / 100, black)


def test_a_slow_reader_is_told_what_was_dropped_and_when_the_source_was_lost() -> None:
    stream = Watch(Live("shaky", shaky, pauses=(0.05, 0.05)), blind())
    for result in stream:
        time.sleep(0.03)
        if result.frame.index > 12:
            break
    stream.close()
    assert stream.stats.dropped > 3
    assert stream.stats.reconnects == len(stream.stats.gaps) >= 1
    lost, back = stream.stats.gaps[0]
    assert back - lost > 0.05


class Film:
    """A source of ours that says whether it is walked through."""

    name, live = "film", False
    stats = SourceStats()
    duration: float | None = 1.0
    sound: str | None = None
    open = False

    def notice(self) -> str:
        return ""

    def frames(self, stop: Callable[[], bool]) -> Generator[Frame]:
        yield from iter(self)

    def __iter__(self) -> Generator[Frame]:
        self.open = True
        try:
            for index in range(20):
                yield Frame(black(), self.name, index)
            raise SourceError("the stream broke off")
        finally:
            self.open = False


def test_closing_or_forgetting_it_frees_the_source() -> None:
    film = Film()
    with pytest.raises(StopIteration):
        stream = Watch(film, blind())
        assert next(stream).frame.index == 0
        assert film.open
        stream.close()
        assert not film.open
        next(stream)
    stream = Watch(film, blind())
    next(stream)
    del stream
    assert not film.open


def test_an_error_of_the_source_comes_after_the_frames_before_it() -> None:
    seen = []
    with pytest.raises(SourceError):
        for result in Watch(Film(), blind()):
            seen.append(result.frame.index)
    assert seen == list(range(20))
