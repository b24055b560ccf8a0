"""Boxes and labels stay within the picture, are seen, and hide as little as they can."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.labels import COLOURS, EMOTIONS
from mien.see.face import Face, Reading, iou
from mien.sinks.draw import annotate, caption, fitting_label, label, place, text_size

GRAY = np.full((300, 400, 3), 90, np.uint8)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def reading(*box: float, emotion: str = "happy") -> Reading:
    scores = np.full(7, 0.05, np.float32)
    scores[EMOTIONS.index(emotion)] = 0.7
    return Reading(Face(floats(*box), 0.9, np.zeros((5, 2), np.float32)), scores)


def changed(before: np.ndarray, after: np.ndarray) -> tuple[int, int, int, int]:
    """The smallest box, x1, y1, x2, y2, around all pixels that differ."""
    rows, columns = np.nonzero((before != after).any(2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_the_picture_itself_stays_as_it_is() -> None:
    before = GRAY.copy()
    annotate(GRAY, [reading(100, 100, 200, 220)])
    assert (before == GRAY).all()


def test_without_readings_every_pixel_stays() -> None:
    assert (annotate(GRAY, []) == GRAY).all()


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_the_box_has_the_colour_of_the_emotion_on_all_four_sides(emotion: str) -> None:
    drawn = annotate(GRAY, [reading(100, 100, 200, 220, emotion=emotion)])
    for x, y in ((150, 101), (150, 218), (101, 160), (198, 160)):
        assert tuple(drawn[y, x]) == COLOURS[EMOTIONS.index(emotion)]
    for x, y in ((150, 100), (150, 219), (100, 160), (199, 160)):
        assert tuple(drawn[y, x]) == (0, 0, 0)  # the seam, by which it stands out from any picture
    assert (drawn[150, 150] == 90).all()


def test_a_label_says_who_it_is_where_that_is_known() -> None:
    nobody = reading(100, 100, 200, 220)
    assert caption(nobody) == "happy 70%"
    assert caption(replace(nobody, person=3)) == "3 · happy 70%"
    assert (annotate(GRAY, [nobody]) != annotate(GRAY, [replace(nobody, person=3)])).any()


def test_a_label_stands_on_its_box_where_there_is_room() -> None:
    x1, y1, _, y2 = changed(GRAY, annotate(GRAY, [reading(100, 100, 200, 220)]))
    assert (x1, y2) == (100, 220)
    assert y1 < 100


@pytest.mark.parametrize("box", [(-30, -30, 60, 60), (350, -10, 430, 80), (0, 0, 400, 300), (-10, 250, 30, 330)])
def test_a_label_stays_whole_at_every_edge(box: tuple[float, ...]) -> None:
    patch = label("surprise 100%", text_size(GRAY, floats(*box)), (0, 0, 0))
    x, y = place(patch, floats(*box), GRAY, [floats(*box)], [])
    assert 0 <= x <= 400 - patch.shape[1]
    assert 0 <= y <= 300 - patch.shape[0]


def test_a_label_moves_inside_a_face_that_fills_the_picture() -> None:
    drawn = annotate(GRAY, [reading(0, 0, 400, 300)])
    assert (drawn[8, 8:60] != 90).all()
    assert (drawn[60, 8:60] == 90).all()


@pytest.mark.parametrize("emotion", EMOTIONS)
@pytest.mark.parametrize("person", [None, 3, 1234])
def test_on_a_picture_as_small_as_fer2013s_the_emotion_stays_legible_and_inside(
    emotion: str, person: int | None
) -> None:
    small = np.full((48, 48, 3), 90, np.uint8)
    face = replace(reading(9, 7, 38, 43, emotion=emotion), person=person)
    patch, colour = fitting_label(small, face), COLOURS[EMOTIONS.index(emotion)]
    assert patch.shape[1] <= 48
    texts = [caption(face), caption(replace(face, person=None)), caption(face).rpartition(" ")[0], emotion]
    whole = [label(text, 11, colour) for text in texts]  # in letters that do not run together
    assert any(np.array_equal(patch, one) for one in whole)
    drawn, high, wide = annotate(small, [face]), *patch.shape[:2]
    corners = [(y, x) for y in range(49 - high) for x in range(49 - wide)]
    assert any(np.array_equal(drawn[y : y + high, x : x + wide], patch) for y, x in corners)


def test_where_there_is_room_a_label_says_all() -> None:
    face = replace(reading(100, 100, 200, 220), person=12)
    size, colour = text_size(GRAY, face.face.box), COLOURS[EMOTIONS.index("happy")]
    assert np.array_equal(fitting_label(GRAY, face), label("12 · happy 70%", size, colour))


def test_labels_hide_neither_each_other_nor_the_faces_beside_them() -> None:
    faces = [floats(x, y, x + 40, y + 50) for x in (20, 75, 130, 185) for y in (60, 160)]
    patch = label("surprise 100%", 11, (0, 0, 0))
    labels: list[np.ndarray] = []
    for face in faces:
        x, y = place(patch, face, GRAY, faces, labels)
        labels.append(floats(x, y, x + patch.shape[1], y + patch.shape[0]))
    assert all(iou(one[None], other[None]) == 0 for one, other in combinations(labels, 2))
    assert all(iou(one[None], face[None]) == 0 for one in labels for face in faces)


@pytest.mark.parametrize("colour", COLOURS)
def test_text_stands_out_from_its_background(colour: tuple[int, int, int]) -> None:
    def luminance(rgb: tuple[float, ...]) -> float:  # WCAG 2.2, relative luminance
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb)]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    pixels = label("surprise 97%", 24, colour).reshape(-1, 3)
    text = pixels[np.abs(pixels.astype(int) - colour).sum(1).argmax()]
    light, dark = sorted((luminance(tuple(text)), luminance(colour)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4


def test_text_grows_with_the_face_and_with_the_picture() -> None:
    large = np.zeros((2000, 3000, 3), np.uint8)
    small, big = floats(0, 0, 20, 20), floats(0, 0, 900, 900)
    assert text_size(GRAY, small) == 11
    assert text_size(GRAY, small) < text_size(large, small) < text_size(large, big)


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.lists(st.tuples(*[st.floats(-50, 150, width=32)] * 2, *[st.floats(0, 200, width=32)] * 2), max_size=5),
)
def test_any_faces_can_be_drawn_on_any_picture(size: tuple[int, int], boxes: list[tuple[float, ...]]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    drawn = annotate(image, [reading(x, y, x + width, y + height) for x, y, width, height in boxes])
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
