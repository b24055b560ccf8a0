"""One number, one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import pytest

from mien.see.face import Face, Frame, Reading
from mien.see.picture import Image
from mien.see.track import Tracker

SIDE = 60
Place = tuple[float, float] | None


def face_of(number: int) -> Image:
    """A face that differs from others, as smooth as real ones are."""
    coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def reading(x: float, y: float, confidence: float = 0.99) -> Reading:
    face = Face(np.array([x, y, x + SIDE, y + SIDE], np.float32), confidence, np.zeros((5, 2), np.float32))
    return Reading(face, np.full(7, 1 / 7, np.float32))


def scene(
    places: dict[int, Place] | Sequence[Place], time: float, shot: int = 0, *, confidence: float = 0.99
) -> tuple[Frame, list[Reading]]:
    """A frame with faces, by their numbers, at their corners; a face behind a later one is not found."""
    image = np.full((480, 640, 3), 90, np.uint8)
    readings: list[Reading] = []
    for number, place in places.items() if isinstance(places, dict) else enumerate(places):
        if place is None or not (0 <= place[0] <= 640 - SIDE):
            continue
        x, y = map(round, place)
        image[y : y + SIDE, x : x + SIDE] = face_of(number)
        readings.append(reading(x, y, confidence))
    boxes = [r.face.box for r in readings]
    visible = [
        r for n, r in enumerate(readings) if all(np.abs(r.face.box - b).max() > SIDE / 2 for b in boxes[n + 1 :])
    ]
    return Frame(image, time=time, shot=shot), visible


@dataclass
class Story:
    """A tracker that is shown one frame after the other, 30 a second."""

    tracker: Tracker
    time: float = 0.0
    shot: int = 0

    def cut(self) -> None:
        self.shot += 1

    def pause(self, seconds: float) -> None:
        """Show frames without anybody."""
        for _ in range(round(30 * seconds)):
            self({})

    def __call__(
        self, places: dict[int, Place], frames: int = 1, *, confidence: float = 0.99, fading: bool = False
    ) -> list[int | None]:
        """The numbers in the last of so many frames, from face to face."""
        for _ in range(frames):
            frame, readings = scene(places, self.time, self.shot, confidence=confidence)
            shown = self.tracker(Frame(frame.image, time=self.time, shot=self.shot, fading=fading), readings)
            self.time += 1 / 30
        return [reading.person for reading in shown]


@pytest.fixture
def story() -> Story:
    return Story(Tracker())


HERE, THERE = (100, 100), (400, 250)


def test_a_person_keeps_the_number_from_frame_to_frame() -> None:
    tracker = Tracker()
    assert {tracker(*scene([(100 + 5 * n, 100)], n / 30))[0].person for n in range(30)} == {1}


def test_two_people_have_two_numbers(story: Story) -> None:
    assert story({0: HERE, 1: THERE}) == [1, 2]


def test_a_person_is_one_once_a_frame_is_sure(story: Story) -> None:
    assert story({0: HERE}, 30, confidence=0.95) == [None]
    assert story({0: HERE}) == [1]
    assert story({0: HERE}, 30, confidence=0.95) == [1]


def test_a_face_that_is_lost_for_a_moment_keeps_its_number(story: Story) -> None:
    story({0: HERE})
    story.pause(0.5)
    assert story({0: (110, 100)}) == [1]


@pytest.mark.parametrize(("away", "number"), [(2, 1), (8, 1), (14, 1), (17, 2)])
def test_who_comes_back_within_the_memory_keeps_the_number(story: Story, away: float, number: int) -> None:
    story({0: HERE}, 30)
    story.pause(away)
    assert story({0: HERE}, 10) == [number]


def test_the_memory_can_be_shorter() -> None:
    story = Story(Tracker(memory=1))
    story({0: HERE}, 30)
    story.pause(1.5)
    assert story({0: HERE}) == [2]


def test_another_face_in_the_place_of_one_that_left_has_a_number_of_its_own(story: Story) -> None:
    story({0: HERE})
    story.pause(1)
    assert story({1: HERE}) == [None]  # whose it is has to show: boxes take some frames to fit
    assert story({1: HERE}, 10) == [2]


def test_an_unlike_face_in_the_same_place_is_another_person_though_nobody_else_is_known(story: Story) -> None:
    assert story({0: HERE}, 30) == [1]
    assert story({1: HERE}, 10) == [2]
    assert story({0: HERE}, 10) == [1]


def test_who_trade_places_take_their_numbers_along(story: Story) -> None:
    assert story({0: HERE, 1: THERE, 2: (250, 300)}, 30) == [1, 2, 3]
    assert story({0: THERE, 1: HERE, 2: (250, 300)}, 10) == [1, 2, 3]


def test_after_a_cut_who_looks_alike_keeps_the_number_wherever_they_are(story: Story) -> None:
    story({0: HERE, 1: THERE}, 30)
    story.cut()
    assert story({0: THERE, 1: (250, 50)}) == [1, 2]


def test_after_a_cut_somebody_else_in_the_same_place_has_a_number_of_their_own(story: Story) -> None:
    story({0: HERE}, 30)
    story.cut()
    assert story({1: HERE}) != [1]
    assert story({1: HERE}, 10) == [2]
    story.cut()
    assert story({0: HERE}) == [1]


def test_people_of_a_shot_that_is_shorter_than_the_wait_have_numbers(story: Story) -> None:
    story({0: HERE}, 30)
    story.cut()
    frame, readings = scene({1: HERE}, story.time, story.shot)
    [track] = story.tracker.follow(frame, [reading.face for reading in readings])
    assert track.number is None
    story.time += 1 / 30
    story.cut()
    assert story({0: HERE}, 15) == [1]
    assert track.number == 2


def test_nobody_is_new_in_a_fade_and_after_it_the_new_face_is_another(story: Story) -> None:
    story({0: HERE}, 30)
    assert story({0: HERE}, 5, fading=True) == [1]
    assert story({1: HERE}, 10, fading=True) == [None]
    assert story({1: HERE}, 10) == [2]


def test_who_is_known_is_known_while_the_picture_fades_in(story: Story) -> None:
    story({0: HERE}, 30)
    story.pause(1)
    assert story({0: HERE}, 3, fading=True) == [1]


def test_three_people_who_cross_leave_and_come_back_keep_their_numbers() -> None:
    tracker = Tracker()
    numbers: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for n in range(300):
        time = n / 30
        across = [640 * (0.5 + 0.6 * np.sin(time * speed + phase)) for speed, phase in ((0.9, 0), (-1.1, 1), (0.7, 2))]
        places = [(x, 150 + 30 * row) for row, x in enumerate(across)]
        frame, readings = scene(places, time)
        for tracked in tracker(frame, readings):
            row = int(np.argmin([np.abs(np.subtract(place, tracked.face.box[:2])).max() for place in places]))
            if tracked.person is not None:
                numbers[row].append(tracked.person)
    switches = sum(a != b for seen in numbers.values() for a, b in pairwise(seen))
    assert all(len(seen) > 100 for seen in numbers.values())
    assert switches <= 1
    assert len({number for seen in numbers.values() for number in seen}) <= 4


def test_a_face_at_the_border_waits_for_its_number_while_somebody_is_out_of_sight(story: Story) -> None:
    story({0: HERE, 1: THERE}, 30)
    story.pause(1)
    edge: dict[int, Place] = {0: HERE, 2: (580, 100)}
    image, [first, part] = scene(edge, story.time)
    part = reading(605, 100)  # reaches beyond the frame
    assert [r.person for r in story.tracker(image, [first, part])] == [1, None]
    story.time += 1 / 30
    assert story(edge, 10) == [1, 3]


def test_who_is_in_every_frame_keeps_the_number_however_far_apart_they_are() -> None:
    tracker = Tracker(memory=4)
    assert [tracker(*scene([(100, 100)], 10.0 * number))[0].person for number in range(6)] == [1] * 6


def test_a_hand_before_a_face_does_not_make_another_person(story: Story) -> None:
    story({0: HERE}, 30)
    for _ in range(5):
        frame, _ = scene({0: HERE}, story.time)
        frame.image[110:170, 100:140] = (198, 150, 125)
        [shown] = story.tracker(frame, [reading(*HERE, confidence=0.9)])
        assert shown.person == 1
        story.time += 1 / 30
    story.pause(1.5)
    assert story({0: HERE}) == [1]
