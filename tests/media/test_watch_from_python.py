"""Who watches from Python gets frames with readings, is told what was missed, and holds nothing afterwards."""

from __future__ import annotations

import time
from collections.abc import Generator

import numpy as np
import pytest

from mien.errors import SourceError
from mien.media.footage import Journal, Shot
from mien.media.live import Live
from mien.media.watch import Watch
from mien.see.face import Frame, Image
from mien.see.pipeline import Pipeline


def blind() -> Pipeline:
    return Pipeline(lambda _: [], lambda _, faces: [[] for _ in faces])


def black() -> Image:
    return np.zeros((48, 64, 3), np.uint8)


def shaky(_: Journal) -> Generator[Shot]:
    """A camera that is lost after ten pictures."""
    for number in range(10):
        time.sleep(0.01)
        yield Shot(number / 100, black)


def test_a_slow_reader_is_told_what_was_dropped_and_when_the_source_was_lost() -> None:
    stream = Watch(Live("shaky", shaky, pauses=(0.05, 0.05)), blind)
    for frame, _ in stream:
        time.sleep(0.03)
        if frame.index > 12:
            break
    stream.close()
    assert stream.journal.dropped > 3
    assert stream.journal.reconnects == len(stream.journal.gaps) >= 1
    lost, back = stream.journal.gaps[0]
    assert back - lost > 0.05


class Film:
    """A source of ours that says whether it is walked through."""

    name, live = "film", False
    journal = Journal()
    duration: float | None = 1.0
    open = False

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
        stream = Watch(film, blind)
        assert next(stream)[0].index == 0
        assert film.open
        stream.close()
        assert not film.open
        next(stream)
    stream = Watch(film, blind)
    next(stream)
    del stream
    assert not film.open


def test_an_error_of_the_source_comes_after_the_frames_before_it() -> None:
    seen = []
    with pytest.raises(SourceError):
        for frame, _ in Watch(Film(), blind):
            seen.append(frame.index)
    assert seen == list(range(20))
