"""Faces are found where they are: on the portrait that the project carries, and on photographs where they are there."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.see.detect import Detector
from mien.see.face import Face, iou
from mien.see.picture import Floats, Image
from mien.see.stage import Candidates, nms

HERE = Path(__file__).parent
PORTRAIT = HERE.parents[1] / "assets" / "astronaut.jpg"
PHOTOS = HERE.parents[2] / "shared" / "photos"
THEIRS = json.loads(
    (HERE / "mtcnn_boxes.json").read_text()
)  # what mtcnn 1.0.0 on TensorFlow 2.21 finds, on its defaults

needs_photos = pytest.mark.skipif(
    not PHOTOS.is_dir(), reason="the photographs for development are not in ../shared/photos"
)


def picture(path: Path) -> Image:
    return np.asarray(cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB), np.uint8)


def boxes(faces: list[Face]) -> Floats:
    return np.array([face.box for face in faces], np.float32).reshape(-1, 4)


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="module")
def portrait() -> Image:
    return picture(PORTRAIT)


@pytest.fixture(scope="module")
def found(detector: Detector) -> dict[str, list[Face]]:
    return {name: detector(picture(PHOTOS / name)) for name in THEIRS}


def test_the_portrait_has_one_face_and_its_features_lie_in_their_places(detector: Detector, portrait: Image) -> None:
    [face] = detector(portrait)
    (left, right, nose, left_mouth, right_mouth), (x1, y1, x2, y2) = face.landmarks, face.box
    assert face.confidence > 0.99
    assert x1 < left[0] < nose[0] < right[0] < x2
    assert y1 < left[1] < nose[1] < left_mouth[1] < y2
    assert left_mouth[0] < right_mouth[0]


def test_a_face_is_float32_in_pixels_of_the_whole_picture(detector: Detector, portrait: Image) -> None:
    [face] = detector(portrait)
    assert face.box.dtype == face.landmarks.dtype == np.float32
    assert face.box.shape == (4,)
    assert face.landmarks.shape == (5, 2)


def test_a_mirrored_picture_gives_the_mirrored_face(detector: Detector, portrait: Image) -> None:
    [face], [mirrored] = detector(portrait), detector(np.ascontiguousarray(portrait[:, ::-1]))
    x1, y1, x2, y2 = mirrored.box
    back = np.array([[portrait.shape[1] - x2, y1, portrait.shape[1] - x1, y2]], np.float32)
    assert iou(face.box[None], back) > 0.85


def test_two_faces_come_the_surest_first(detector: Detector, portrait: Image) -> None:
    blurred = np.asarray(cv2.GaussianBlur(portrait, (0, 0), 3), np.uint8)
    faces = detector(np.hstack([blurred, portrait]))
    assert len(faces) == 2
    assert faces[0].confidence >= faces[1].confidence


def test_a_large_picture_is_searched_shrunk_and_answered_in_its_own_pixels(portrait: Image) -> None:
    [small] = Detector(min_face=40)(portrait)
    [large] = Detector(min_face=40, longest_side=512)(np.asarray(cv2.resize(portrait, None, fx=3, fy=3), np.uint8))
    assert iou(small.box[None], large.box[None] / np.float32(3)) > 0.85


def test_a_face_smaller_than_min_face_is_not_found(portrait: Image) -> None:
    assert not Detector(min_face=300)(portrait)


@pytest.mark.parametrize("shape", [(1, 1), (11, 500), (12, 12), (20, 20), (37, 41), (1, 40000), (0, 0)])
def test_a_picture_without_faces_has_none_whatever_its_size(detector: Detector, shape: tuple[int, int]) -> None:
    assert detector(np.full((*shape, 3), 90, np.uint8)) == []


def test_a_picture_that_stands_in_memory_any_way_is_read_alike(detector: Detector, portrait: Image) -> None:
    turned = np.asfortranarray(portrait)
    assert np.array_equal(boxes(detector(turned)), boxes(detector(portrait)))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 4), (4, 5, 3, 1)])
def test_what_is_no_rgb_picture_is_refused_with_what_it_is(detector: Detector, shape: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match=r"RGB bytes, uint8 \(height, width, 3\), and this is uint8 \(4, 5"):
        detector(np.zeros(shape, np.uint8))


def test_a_picture_of_other_numbers_than_bytes_is_refused(detector: Detector) -> None:
    with pytest.raises(TypeError, match="this is float32"):
        detector(np.zeros((4, 5, 3), np.float32))


@pytest.mark.parametrize(
    "options", [{"min_face": 11}, {"thresholds": (0.6, 0.7, 1.0)}, {"longest_side": 0}, {"longest_side": 40_000}]
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Detector(**options)  # type: ignore[arg-type]


def test_a_face_is_found_again_from_a_box_near_it(detector: Detector, portrait: Image) -> None:
    [face] = detector(portrait)
    near, wall = face.box + floats(6, -5, 9, 4), floats(300, 300, 380, 380)
    [again, nothing] = detector.refine(portrait, np.stack([near, wall]))
    assert again and iou(face.box[None], again.box[None]) > 0.8
    [again] = detector.refine(portrait, again.box[None])  # in the next frame, which is how faces are followed
    assert again and iou(face.box[None], again.box[None]) > 0.85
    assert nothing is None


def test_nms_keeps_the_highest_score_of_boxes_that_overlap() -> None:
    boxes = np.array([(0, 0, 10, 10), (2, 0, 12, 10), (4, 0, 14, 10), (50, 0, 60, 10)], np.float32)
    candidates = Candidates(floats(0.7, 0.9, 0.8, 0.6), boxes, np.zeros((4, 5, 2), np.float32))
    assert nms(candidates, 0.5).scores.tolist() == pytest.approx([0.9, 0.6])  # the overlaps are 2/3, 2/3 and 3/7
    assert nms(candidates, 0.7).scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert nms(candidates, 0.7, of_smaller=True).scores.tolist() == pytest.approx([0.9, 0.6])


def test_no_boxes_are_refined_to_no_faces(detector: Detector, portrait: Image) -> None:
    assert detector.refine(portrait, np.empty((0, 4), np.float32)) == []


@needs_photos
def test_the_reference_packages_faces_are_all_found_with_the_same_boxes() -> None:
    overlaps, unchecked = [], Detector(min_confidence=0.05)  # the reference looks at nothing twice
    for name, theirs in THEIRS.items():
        image = picture(PHOTOS / name)
        height, width = image.shape[:2]
        within = boxes(unchecked(image)).clip(
            0, floats(width - 1, height - 1, width - 1, height - 1)
        )  # as the reference gives them
        overlaps += iou(np.array(theirs, np.float32), within).max(1).tolist()
    assert len(overlaps) == 57
    assert min(overlaps) > 0.5
    assert np.mean(overlaps) >= 0.97


@needs_photos
def test_the_marked_faces_are_found_and_few_others(found: dict[str, list[Face]]) -> None:
    marked = hits = false = 0
    for name, marks in json.loads((PHOTOS / "faces.json").read_text()).items():
        near = hit(boxes(found[name]), np.array(marks["faces"], np.float32))
        ignored = hit(boxes(found[name]), np.array(marks["ignore"], np.float32).reshape(-1, 4))
        marked, hits = marked + len(marks["faces"]), hits + int(near.any(0).sum())
        false += int((~near.any(1) & ~ignored.any(1)).sum())
    assert marked == 56
    assert hits == marked
    assert false == 0


def hit(found: Floats, marks: Floats) -> np.ndarray:
    """Whose centre lies within half a marked face of its centre, with 0.45 to 2.2 of its size: (found, marks)."""
    centres, wanted = (found[:, None, :2] + found[:, None, 2:]) / 2, (marks[:, :2] + marks[:, 2:]) / 2
    sides, side = ((b[:, 2:] - b[:, :2]).max(1, initial=0) for b in (found, marks))
    ratio = sides[:, None] / side
    return np.asarray((np.abs(centres - wanted).max(2) <= side / 2) & (ratio >= 0.45) & (ratio <= 2.2))
