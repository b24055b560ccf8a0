"""Boxes overlap as they should, and a crop shows what FER2013's frame would show of the face."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from mien.labels import SIDE
from mien.see.crop import ABOVE, BY_BOX, BY_SPREAD, crop, crop_by_box
from mien.see.face import Face, iou
from mien.see.picture import Floats, Image

Cut = Callable[[Image, Face], Image]

FEATURES = np.array([[-20, -20], [20, -20], [0, 2], [-16, 24], [16, 24]], np.float64)  # of a face of middling size
SPREAD = float(np.sqrt(((FEATURES - FEATURES.mean(0)) ** 2).sum(1).mean()))


def face_at(x: float, y: float, size: float = 1.0, roll: float = 0.0) -> Face:
    """A face whose landmarks' mean lies at x, y; `roll` turns it clockwise, in degrees."""
    turn = np.array(
        [[np.cos(np.radians(roll)), np.sin(np.radians(roll))], [-np.sin(np.radians(roll)), np.cos(np.radians(roll))]]
    )
    points = size * (FEATURES - FEATURES.mean(0)) @ turn + (x, y)
    half = size * BY_SPREAD * SPREAD / BY_BOX / 2
    box = np.array([x - half, y - half, x + half, y + half], np.float32)
    return Face(box, 1.0, points.astype(np.float32))


def slope(width: int, height: int) -> Image:
    """A picture whose gray is x / 2 and whose colours are equal."""
    return np.repeat(np.repeat(np.arange(width) // 2, 3).reshape(1, width, 3), height, 0).astype(np.uint8)


def boxes(*rows: tuple[float, float, float, float]) -> Floats:
    return np.array(rows, np.float32)


def test_overlap_is_one_for_the_same_box_and_nothing_for_boxes_apart() -> None:
    both = boxes((0, 0, 10, 10), (20, 0, 30, 10))
    assert np.array_equal(iou(both, both), np.eye(2))


def test_overlap_is_intersection_over_union_of_each_with_each() -> None:
    result = iou(boxes((0, 0, 10, 10)), boxes((5, 0, 15, 10), (0, 0, 10, 5), (10, 0, 20, 10)))
    assert result == pytest.approx(np.array([[1 / 3, 1 / 2, 0]]))


def test_boxes_without_area_overlap_nothing() -> None:
    assert iou(boxes((3, 3, 3, 3)), boxes((3, 3, 3, 3), (0, 0, 9, 9))).tolist() == [[0, 0]]


@pytest.mark.parametrize("cut", [crop, crop_by_box])
@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
def test_a_crop_spans_the_frame_about_the_face_whatever_its_size(cut: Cut, size: float) -> None:
    gray = cut(slope(500, 500), face_at(250, 250, size))
    assert gray.shape == (SIDE, SIDE)
    assert gray.dtype == np.uint8
    half = size * BY_SPREAD * SPREAD / 2
    assert gray[24, 0] == pytest.approx((250 - half) / 2, abs=1 + half / SIDE)
    assert gray[24, -1] == pytest.approx((250 + half) / 2, abs=1 + half / SIDE)


def test_a_crop_holds_the_features_where_fer2013_has_them() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    face = face_at(150, 150, 1.5)
    for x, y in face.landmarks:
        cv2.circle(picture, (round(float(x)), round(float(y))), 4, (255, 255, 255), -1)
    weights = crop(picture, face).astype(float)
    places = np.arange(SIDE) + 0.5
    assert np.average(places, weights=weights.sum(0)) == pytest.approx(SIDE / 2, abs=0.5)
    assert np.average(places, weights=weights.sum(1)) == pytest.approx(SIDE * (0.5 + ABOVE), abs=0.5)


@pytest.mark.parametrize("roll", [-30, 20, 45])
def test_a_face_that_leans_is_cropped_upright(roll: float) -> None:
    rng = np.random.default_rng(0)
    clouds = cv2.resize(rng.integers(0, 256, (20, 20, 3), np.uint8), (400, 400), interpolation=cv2.INTER_CUBIC)
    upright = np.asarray(clouds, np.uint8)
    matrix = cv2.getRotationMatrix2D((199.5, 199.5), -roll, 1)  # OpenCV turns the other way
    leaning = np.asarray(cv2.warpAffine(upright, matrix, (400, 400)), np.uint8)
    straight, turned = crop(upright, face_at(200, 200)), crop(leaning, face_at(200, 200, roll=roll))
    assert np.abs(straight.astype(int) - turned).mean() < 2


def test_a_large_face_is_averaged_not_sampled() -> None:
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    gray = crop(stripes, face_at(300, 300, 3.0))
    assert gray.min() >= 100
    assert gray.max() <= 155


def test_gray_is_as_opencv_makes_it() -> None:
    red = np.zeros((200, 200, 3), np.uint8)
    red[..., 0] = 200
    assert np.unique(crop(red, face_at(100, 100))).tolist() == [round(0.299 * 200)]


@pytest.mark.parametrize("cut", [crop, crop_by_box])
@pytest.mark.parametrize("where", [(0, 0), (99, 40), (-30, 20), (500, 500)])
def test_beyond_the_picture_its_outermost_pixels_go_on(cut: Cut, where: tuple[float, float]) -> None:
    gray = cut(slope(100, 60), face_at(*where))
    assert gray.max() <= 49
    if where == (500, 500):
        assert np.unique(gray).tolist() == [49]


def test_landmarks_that_all_lie_together_give_a_crop_all_the_same() -> None:
    face = Face(boxes((10, 10, 30, 30))[0], 1.0, np.full((5, 2), 20, np.float32))
    assert crop(slope(60, 60), face).shape == (SIDE, SIDE)
