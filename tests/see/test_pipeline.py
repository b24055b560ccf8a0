"""The steps run in their order on one frame after the other, and readings stand from left to right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from mien.errors import SourceError
from mien.see.face import Face, Frame, Reading
from mien.see.pipeline import Pipeline, bursts_of


def dark(count: int) -> list[Frame]:
    return [Frame(np.zeros((60, 80, 3), np.uint8), "dark", index) for index in range(count)]


def face(x1: float, x2: float) -> Face:
    return Face(np.array((x1, 10, x2, 40), np.float32), 0.9, np.zeros((5, 2), np.float32))


def all_happy(_: Sequence[Frame], faces: Sequence[list[Face]]) -> list[list[Reading]]:
    return [[Reading(face, np.eye(7, dtype=np.float32)[3]) for face in found] for found in faces]


def test_readings_stand_from_left_to_right() -> None:
    pipeline = Pipeline(lambda _: [face(50, 70), face(0, 20), face(10, 30)], all_happy)
    [(_, readings)] = pipeline(dark(1))
    assert [reading.face.box[0] for reading in readings] == [0, 10, 50]


def test_every_frame_comes_out_in_order_also_without_faces() -> None:
    pipeline = Pipeline(lambda _: [], all_happy)
    assert [(frame.index, readings) for frame, readings in pipeline(dark(3))] == [(0, []), (1, []), (2, [])]


def test_no_frame_is_asked_for_before_the_last_one_is_taken() -> None:
    asked = []

    def frames() -> Iterator[Frame]:
        for frame in dark(3):
            asked.append(frame.index)
            yield frame

    for frame, _ in Pipeline(lambda _: [], all_happy)(frames()):
        assert asked == list(range(frame.index + 1))


def test_a_burst_is_read_step_by_step_and_ends_with_the_frames() -> None:
    steps: list[str] = []

    def found(frame: Frame) -> list[Face]:
        steps.append(f"found {frame.index}")
        return [face(0, 20)] * frame.index

    def told(frame: Frame, readings: list[Reading]) -> list[Reading]:
        steps.append(f"told {frame.index}")
        return readings

    bursts = [*Pipeline(found, all_happy, told).bursts(dark(3), 2)]
    assert [[(frame.index, len(readings)) for frame, readings in burst] for burst in bursts] == [
        [(0, 0), (1, 1)],
        [(2, 2)],
    ]
    assert steps == ["found 0", "found 1", "told 0", "told 1", "found 2", "told 2"]


def test_a_burst_of_large_frames_is_short() -> None:
    def large() -> Iterator[Frame]:
        yield from (Frame(np.zeros((1080, 1920, 3), np.uint8)) for _ in range(5))

    assert [len(burst) for burst in bursts_of(large(), 8)] == [2, 2, 1]


def test_frames_before_an_error_are_read_before_it_is_raised() -> None:
    def broken() -> Iterator[Frame]:
        yield from dark(3)
        raise SourceError("the stream broke off")

    results = Pipeline(lambda _: [], all_happy)(broken(), 2)
    assert [next(results)[0].index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError):
        next(results)


def test_the_tracker_comes_after_the_classifier() -> None:
    def numbered(_: Frame, readings: list[Reading]) -> list[Reading]:
        return [Reading(reading.face, reading.scores, person=7) for reading in readings]

    [(_, [reading])] = Pipeline(lambda _: [face(0, 20)], all_happy, numbered)(dark(1))
    assert (reading.person, reading.emotion) == (7, "happy")
