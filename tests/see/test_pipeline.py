"""The steps run in their order on one frame after the other, and readings stand from left to right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.see.face import Face, Frame, Reading
from mien.see.pipeline import Pipeline


def dark(count: int) -> list[Frame]:
    return [Frame(np.zeros((60, 80, 3), np.uint8), "dark", index) for index in range(count)]


def face(x1: float, x2: float) -> Face:
    return Face(np.array((x1, 10, x2, 40), np.float32), 0.9, np.zeros((5, 2), np.float32))


def all_happy(_: Frame, faces: list[Face]) -> list[Reading]:
    return [Reading(face, np.eye(7, dtype=np.float32)[3]) for face in faces]


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


def test_the_tracker_comes_after_the_classifier() -> None:
    def numbered(_: Frame, readings: list[Reading]) -> list[Reading]:
        return [Reading(reading.face, reading.scores, person=7) for reading in readings]

    [(_, [reading])] = Pipeline(lambda _: [face(0, 20)], all_happy, numbered)(dark(1))
    assert (reading.person, reading.emotion) == (7, "happy")
