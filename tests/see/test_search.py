"""A picture's faces are found however it lies, and where one fills it; a texture is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from mien.see.classify import Classifier
from mien.see.crop import crop
from mien.see.detect import Detector
from mien.see.face import Face, Frame, iou
from mien.see.picture import Image
from mien.see.search import searching, whole

ROOT = Path(__file__).parents[2]
CASES = ROOT.parent / "shared" / "cases"
PORTRAIT = np.asarray(PIL.Image.open(ROOT / "assets" / "astronaut.jpg").convert("RGB"))
EYES = (181, 64, 265, 172)  # the face in it


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


def faces_in(detector: Detector, image: Image) -> list[Face]:
    return searching(detector)(Frame(np.ascontiguousarray(image)))


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_face_is_found_whichever_way_the_picture_lies_and_read_upright(detector: Detector, turn: int) -> None:
    lying = np.ascontiguousarray(np.rot90(PORTRAIT, turn // 90))  # counter-clockwise: turned back by `turn` it stands
    [face] = faces_in(detector, lying)
    assert face.turn == turn
    height, width = lying.shape[:2]
    x1, y1, x2, y2 = EYES
    side = PORTRAIT.shape[0]
    expected = {
        0: (x1, y1, x2, y2),
        90: (y1, side - x2, y2, side - x1),
        180: (side - x2, side - y2, side - x1, side - y1),
        270: (side - y2, x1, side - y1, x2),
    }[turn]
    assert height == width == side
    assert iou(face.box[None], np.array([expected], np.float32))[0, 0] > 0.9
    upright = crop(PORTRAIT, faces_in(detector, PORTRAIT)[0])
    assert np.abs(crop(lying, face).astype(int) - upright).mean() < 6
    assert Classifier()(crop(lying, face)[None]).argmax() == 3


@pytest.mark.parametrize("size", [48, 100, 400])
def test_a_face_that_fills_the_picture_is_found(detector: Detector, size: int) -> None:
    tight = cv2.resize(PORTRAIT[76:162, 180:266], (size, size), interpolation=cv2.INTER_AREA)
    [face] = faces_in(detector, np.asarray(tight, np.uint8))
    assert face.turn == 0
    assert (face.box[2:] - face.box[:2]).max() > 0.8 * size


def test_a_picture_that_is_a_face_already_is_classified_whole() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    [face] = whole(Frame(np.repeat(gray[:, :, None], 3, 2)))
    assert face.box.tolist() == [0, 0, 48, 48]
    assert np.isnan(face.landmarks).all()
    assert (crop(np.repeat(gray[:, :, None], 3, 2), face) == gray).all()
    [wide] = whole(Frame(np.zeros((30, 90, 3), np.uint8)))
    assert crop(np.zeros((30, 90, 3), np.uint8), wide).shape == (48, 48)


@pytest.mark.parametrize("kind", ["noise", "stripes", "blobs", "gray"])
def test_a_texture_has_no_face(detector: Detector, kind: str) -> None:
    rng = np.random.default_rng(3)
    small = {
        "noise": rng.integers(0, 256, (120, 120), np.uint8),
        "stripes": np.tile((np.arange(120) // 6 % 2 * 255).astype(np.uint8), (120, 1)),
        "blobs": cv2.resize(rng.integers(0, 256, (12, 12), np.uint8), (120, 120), interpolation=cv2.INTER_CUBIC),
        "gray": np.full((120, 120), 90, np.uint8),
    }[kind]
    assert faces_in(detector, np.repeat(np.asarray(small, np.uint8)[:, :, None], 3, 2)) == []


def test_a_dark_picture_has_its_face(detector: Detector) -> None:
    [face] = faces_in(detector, (PORTRAIT * 0.12).astype(np.uint8))
    assert iou(face.box[None], np.array([EYES], np.float32))[0, 0] > 0.8


def test_a_small_face_of_a_large_picture_is_found_where_it_is_not_shrunk(detector: Detector) -> None:
    panorama = np.full((300, 8000, 3), 120, np.uint8)
    small = cv2.resize(PORTRAIT, (180, 180), interpolation=cv2.INTER_AREA)  # a face of 35 pixels
    panorama[60:240, 5000:5180] = small
    assert faces_in(detector, panorama) == []
    assert len(faces_in(detector.resized(20, 8000), panorama)) == 1


@pytest.mark.parametrize("size", [(20, 40_000), (40_000, 20), (1, 1), (3, 32_800)])
def test_a_picture_of_any_shape_has_no_face_and_no_error(detector: Detector, size: tuple[int, int]) -> None:
    assert faces_in(detector, np.full((*size, 3), 90, np.uint8)) == []


def test_a_confidence_that_is_asked_for_holds_for_all_faces() -> None:
    assert len(Detector(min_confidence=0.9)(PORTRAIT)) == 1
    assert Detector(min_confidence=0.9999)(PORTRAIT) == []
    with pytest.raises(ValueError, match="min_confidence"):
        Detector(min_confidence=1.0)


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases for development are not in ../shared/cases")
@pytest.mark.parametrize(
    ("name", "faces"),
    [
        ("tight-crop/a.png", 1),
        ("tight-crop/d.png", 1),
        *((f"false-face/{name}.png", 0) for name in ("bark", "twig", "magazine", "wrist", "sand")),
        ("false-face/portrait-1280.png", 1),
        ("sideways/turned-180.png", 1),
        ("sideways/turned-270.png", 1),
    ],
)
def test_the_cases_have_the_faces_that_are_in_them(detector: Detector, name: str, faces: int) -> None:
    assert len(faces_in(detector, np.asarray(PIL.Image.open(CASES / name).convert("RGB")))) == faces
