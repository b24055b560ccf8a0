"""A person keeps a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from mien.labels import EMOTIONS
from mien.see.face import Face, Frame, Reading
from mien.see.picture import Image
from mien.see.track import Tracker

SIDE = 60
HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")


def looks(count: int) -> list[Image]:
    """Faces that differ from one another, as smooth as real ones are."""
    chance = np.random.default_rng(7)
    coarse = chance.integers(0, 256, (count, 4, 4, 3), np.uint8)
    return [np.kron(face, np.ones((SIDE // 4, SIDE // 4, 1), np.uint8)) for face in coarse]


def scene(places: Sequence[tuple[float, float] | None], time: float) -> tuple[Frame, list[Reading]]:
    """A frame with a face at each place, given by its corner; a face behind another is not found."""
    image = np.full((480, 640, 3), 90, np.uint8)
    readings: list[Reading] = []
    for look, place in zip(looks(len(places)), places, strict=True):
        if place is None or not (0 <= place[0] <= 640 - SIDE):
            continue
        x, y = map(round, place)
        image[y : y + SIDE, x : x + SIDE] = look
        readings.append(reading(x, y))
    boxes = [r.face.box for r in readings]
    visible = [
        r for n, r in enumerate(readings) if all(np.abs(r.face.box - b).max() > SIDE / 2 for b in boxes[n + 1 :])
    ]
    return Frame(image, time=time), visible


def reading(x: float, y: float, emotion: int = HAPPY, score: float = 0.7) -> Reading:
    scores = np.full(7, (1 - score) / 6, np.float32)
    scores[emotion] = score
    return Reading(Face(np.array([x, y, x + SIDE, y + SIDE], np.float32), 0.99, np.zeros((5, 2), np.float32)), scores)


def test_a_person_keeps_the_number_from_frame_to_frame() -> None:
    tracker = Tracker()
    seen = [tracker(*scene([(100 + 5 * n, 100)], n / 30))[0].person for n in range(30)]
    assert set(seen) == {1}


def test_two_people_have_two_numbers() -> None:
    assert [r.person for r in Tracker()(*scene([(100, 100), (300, 100)], 0))] == [1, 2]


def test_a_face_that_is_lost_for_a_moment_keeps_its_number() -> None:
    tracker = Tracker()
    tracker(*scene([(100, 100)], 0))
    tracker(*scene([None], 0.5))
    assert tracker(*scene([(110, 100)], 1.0))[0].person == 1


def test_another_face_in_the_place_of_one_that_left_has_a_number_of_its_own() -> None:
    tracker = Tracker()
    tracker(*scene([(100, 100), None], 0))
    assert tracker(*scene([None, (100, 100)], 1.0))[0].person == 2


def test_three_people_who_cross_leave_and_come_back_keep_their_numbers() -> None:
    tracker = Tracker()
    numbers: dict[int, list[int | None]] = {0: [], 1: [], 2: []}
    for n in range(300):
        time = n / 30
        across = [640 * (0.5 + 0.6 * np.sin(time * speed + phase)) for speed, phase in ((0.9, 0), (-1.1, 1), (0.7, 2))]
        places = [(x, 150 + 30 * row) for row, x in enumerate(across)]
        frame, readings = scene(places, time)
        for tracked in tracker(frame, readings):
            row = int(np.argmin([np.abs(np.subtract(place, tracked.face.box[:2])).max() for place in places]))
            numbers[row].append(tracked.person)
    switches = sum(a != b for seen in numbers.values() for a, b in pairwise(seen))
    assert all(numbers.values())
    assert switches <= 1


def unsure(frame_and_readings: tuple[Frame, list[Reading]]) -> tuple[Frame, list[Reading]]:
    """The same, with faces of which little is seen."""
    frame, readings = frame_and_readings
    return frame, [replace(reading, face=replace(reading.face, confidence=0.9)) for reading in readings]


def test_a_face_at_the_border_that_may_be_anybodys_is_left_out_while_somebody_is_out_of_sight() -> None:
    tracker = Tracker()
    tracker(*scene([(100, 100), (300, 100), None], 0))
    frame, readings = scene([(100, 100), None, (578, 100)], 1.0)
    _, [_, part] = unsure((frame, readings))
    assert [reading.person for reading in tracker(frame, [readings[0], part])] == [1]
    assert [reading.person for reading in tracker(*scene([(100, 100), None, (560, 100)], 1.1))] == [1, 3]


def test_a_face_that_is_unsure_has_a_number_where_nobody_is_out_of_sight() -> None:
    tracker = Tracker(memory=4)
    assert tracker(*unsure(scene([(100, 100), None], 0)))[0].person == 1
    assert tracker(*unsure(scene([None, (578, 100)], 5.0)))[0].person == 2


def test_who_was_half_hidden_before_leaving_is_known_again() -> None:
    tracker = Tracker()
    for n in range(30):
        tracker(*scene([(100, 100)], n / 30))
    for n in range(3):  # a face of other looks in the same place
        frame, readings = unsure(scene([None, (100, 100)], 1 + n / 30))
        assert tracker(frame, readings)[0].person == 1
    assert tracker(*scene([(200, 100)], 2.5))[0].person == 1


def test_who_is_in_every_frame_keeps_the_number_however_far_apart_they_are() -> None:
    tracker = Tracker(memory=4)
    assert [tracker(*scene([(100, 100)], 10.0 * number))[0].person for number in range(6)] == [1] * 6
