"""How a face looks stays the same in other light and other sizes, and is another for another face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from mien.see.face import Face
from mien.see.look import SIDE, are_clear, looks
from mien.see.picture import Image, picture_of

PORTRAIT = np.asarray(Pillow.open(Path(__file__).parents[2] / "assets/astronaut.jpg").convert("RGB"))
BOX = (180, 70, 270, 190)


def face(*box: float, confidence: float = 0.99) -> Face:
    return Face(np.array(box, np.float32), confidence, np.zeros((5, 2), np.float32))


def alike(a: Image, box: tuple[float, ...], b: Image, other: tuple[float, ...]) -> float:
    [one], [two] = looks(picture_of(a), [face(*box)]), looks(picture_of(b), [face(*other)])
    return float(one @ two)


def test_a_look_has_length_1() -> None:
    found = looks(picture_of(PORTRAIT), [face(*BOX), face(0, 0, 50, 60)])
    assert found.shape == (2, 2 * SIDE * SIDE)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_no_faces_have_no_looks() -> None:
    assert looks(picture_of(PORTRAIT), []).shape == (0, 2 * SIDE * SIDE)
    assert are_clear(picture_of(PORTRAIT), []) == []


@pytest.mark.parametrize("light", [0.3, 0.6])
def test_light_and_size_do_not_matter(light: float) -> None:
    large = cv2.resize(PORTRAIT, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC)
    assert alike(PORTRAIT, BOX, (large * light).astype(np.uint8), tuple(1.7 * at for at in BOX)) > 0.97


def test_noise_hardly_matters() -> None:
    noise = np.random.default_rng(1).normal(0, 25, PORTRAIT.shape)
    assert alike(PORTRAIT, BOX, (PORTRAIT + noise).clip(0, 255).astype(np.uint8), BOX) > 0.95


def test_another_face_looks_unlike() -> None:
    assert alike(PORTRAIT, BOX, np.ascontiguousarray(PORTRAIT[::-1]), (180, 322, 270, 442)) < 0.5


@pytest.mark.parametrize("box", [(-40, -40, 60, 80), (480, 470, 560, 560), (600, 600, 640, 650), (-90, 10, -20, 90)])
def test_a_face_may_reach_beyond_the_frame_or_lie_there(box: tuple[float, ...]) -> None:
    assert np.isfinite(looks(picture_of(PORTRAIT), [face(*box)])).all()


def test_a_face_is_clear_when_it_is_sure_whole_and_apart() -> None:
    faces = [face(*BOX), face(300, 70, 390, 190, confidence=0.9), face(-30, 300, 60, 420)]
    assert are_clear(picture_of(PORTRAIT), faces) == [True, False, False]
    assert are_clear(picture_of(PORTRAIT), [face(*BOX), face(230, 70, 320, 190)]) == [False, False]
