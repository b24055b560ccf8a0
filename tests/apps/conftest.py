"""A reader of plain functions, where the networks are not what is tested."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mien.errors import SourceError
from mien.reader import Result
from mien.see.face import Face, Frame, Reading
from mien.see.pipeline import Pipeline
from mien.sources.pictures import AnyPicture, open_picture


def brightest(frame: Frame) -> list[Face]:
    """A detector that is quick and never wrong: the face is where the picture is brightest."""
    image = frame.image
    y, x = np.unravel_index(image.sum(2, dtype=np.int32).argmax(), image.shape[:2])
    return [Face(np.array((x - 5, y - 5, x + 5, y + 5), np.float32), 0.99, np.zeros((5, 2), np.float32))]


def by_colour(frames: Sequence[Frame], faces: Sequence[list[Face]]) -> list[list[Reading]]:
    """A classifier whose scores change from frame to frame."""
    colours = (frame.image.reshape(-1, 3)[:: max(1, frame.image.size // 21)][:7].sum(1) for frame in frames)
    scores = [np.resize(colour, 7).astype(np.float32) + 1 for colour in colours]
    return [[Reading(face, score / score.sum()) for face in found] for score, found in zip(scores, faces, strict=True)]


def all_one(_: Frame, readings: list[Reading]) -> list[Reading]:
    """A tracker for which everybody is person 1."""
    return [replace(reading, person=1) for reading in readings]


class QuickReader:
    """A `Reader` without networks; `detect` may be replaced."""

    detect: Callable[[Frame], list[Face]] = staticmethod(brightest)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def pipeline(self, **_: object) -> Pipeline:
        return Pipeline(self.detect, by_colour, all_one)

    def read(
        self, pictures: Iterable[AnyPicture], *, on_error: Callable[[SourceError], object] | None = None, **_: object
    ) -> Iterator[Result]:
        pipeline = Pipeline(self.detect, by_colour)
        for picture in pictures:
            try:
                [(frame, readings)] = pipeline([open_picture(picture)])
            except SourceError as error:
                if on_error is None:
                    raise
                on_error(error)
            else:
                yield Result(frame, tuple(readings))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Read with plain functions; returns the class, whose `detect` may be replaced."""
    quick_reader = type("Quick", (QuickReader,), {})
    monkeypatch.setattr("mien.reader.Reader", quick_reader)
    return quick_reader
