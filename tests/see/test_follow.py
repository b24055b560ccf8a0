"""A follower gives the faces that searching every frame would, at a fraction of the searches."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from mien.see.detect import Detector
from mien.see.face import Face, Frame, iou
from mien.see.follow import Follower
from mien.see.picture import Image

PORTRAIT = np.asarray(Pillow.open(Path(__file__).parents[2] / "assets/astronaut.jpg").convert("RGB"))


class Counting(Detector):
    """A detector that counts how often it searches a whole frame."""

    def __init__(self) -> None:
        super().__init__(min_face=40)
        self.searches = 0

    def __call__(self, rgb: Image) -> list[Face]:
        self.searches += rgb.shape[:2] == (480, 640)
        return super().__call__(rgb)


def view(step: int) -> Image:
    """The portrait from a camera that sways, turns and zooms."""
    matrix = cv2.getRotationMatrix2D((224, 120), 8 * np.sin(step / 15), 1 + 0.25 * np.sin(step / 20))
    matrix[:, 2] = matrix[:, 2] + (96 + 80 * np.sin(step / 18), 60)
    return cv2.warpAffine(PORTRAIT, matrix, (640, 480)).astype(np.uint8)


@pytest.fixture
def counting() -> Counting:
    return Counting()


def test_followed_boxes_are_those_of_searching_every_frame(counting: Counting) -> None:
    follower = Follower(counting)
    searcher = Detector(min_face=40)
    overlaps = []
    for step in range(40):
        frame = Frame(view(step), index=step, time=step / 30)
        [followed], [searched] = follower(frame), searcher(frame.image)
        overlaps.append(iou(followed.box[None], searched.box[None])[0, 0])
    assert np.mean(overlaps) > 0.9
    assert counting.searches == 3


def test_a_cut_to_another_place_is_noticed_at_once(counting: Counting) -> None:
    follower = Follower(counting)
    follower(Frame(view(0)))
    [face] = follower(Frame(np.ascontiguousarray(view(0)[:, ::-1])))
    assert iou(face.box[None], counting(view(0)[:, ::-1].copy())[0].box[None])[0, 0] > 0.9


def test_a_face_that_leaves_is_not_followed(counting: Counting) -> None:
    follower = Follower(counting)
    assert len(follower(Frame(view(0)))) == 1
    dark = np.zeros((480, 640, 3), np.uint8)
    assert [len(follower(Frame(dark, time=step / 30))) for step in (1, 2, 3)] == [0, 0, 0]
    assert counting.searches == 2


def test_a_face_that_jumps_a_little_is_found_around_its_place(counting: Counting) -> None:
    follower = Follower(counting)
    follower(Frame(view(0)))
    moved = np.roll(view(0), 70, axis=1)
    [face] = follower(Frame(moved))
    assert iou(face.box[None], Detector(min_face=40)(moved)[0].box[None])[0, 0] > 0.8
    assert counting.searches == 1


def test_a_newcomer_is_seen_when_the_frame_is_next_searched(counting: Counting) -> None:
    follower = Follower(counting, search_every=0.2)
    both = np.concatenate([view(0)[:, 160:480], view(0)[:, 160:480]], 1)
    one = both.copy()
    one[:, 320:] = 0
    assert len(follower(Frame(one))) == 1
    assert [len(follower(Frame(both, time=step / 25))) for step in range(1, 6)] == [1, 1, 1, 1, 2]


def test_frames_that_are_far_apart_are_all_searched(counting: Counting) -> None:
    follower = Follower(counting)
    dark = np.zeros((480, 640, 3), np.uint8)
    assert [len(follower(Frame(image, time=second))) for second, image in enumerate((dark, view(0), dark))] == [0, 1, 0]


def test_a_clock_that_begins_anew_is_searched_again(counting: Counting) -> None:
    follower = Follower(counting)
    for time in (60.0, 0.0):
        follower(Frame(view(0), time=time))
    assert counting.searches == 2
