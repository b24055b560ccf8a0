"""A row says what the network said of one face: every column in its order, nothing rounded."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable

import numpy as np
import pytest

from mien.labels import EMOTIONS
from mien.see.face import Face, Frame, Reading
from mien.sinks.rows import COLUMNS, LANDMARKS, NUMBERS, row_without_face, rows

Make = Callable[..., Reading]

FRAME = Frame(np.zeros((60, 80, 3), np.uint8), 'a, "b" 笑.png', 7, 1 / 3)


def test_a_row_names_every_column_in_order(reading: Make) -> None:
    [row] = rows(FRAME, [reading("sad", 4, shown="happy")])
    assert tuple(row) == COLUMNS
    first = {"source": FRAME.name, "frame": 7, "time": 1 / 3, "person": 4, "confidence": 0.9875}
    first |= {"x1": 10, "y1": 20.25, "x2": 40, "y2": 50, "emotion": "sad", "probability": 0.7, "shown": "happy"}
    assert {name: row[name] for name in first} == first
    assert [row[emotion] for emotion in EMOTIONS] == [0.7 if emotion == "sad" else 0.05 for emotion in EMOTIONS]
    assert [row[name] for name in LANDMARKS] == list(range(10))


def test_without_tracking_and_smoothing_nobody_is_named_and_nothing_shown(reading: Make) -> None:
    [row] = rows(FRAME, [reading()])
    assert (row["person"], row["shown"]) == (None, None)


def test_a_row_for_each_face_and_none_without_one(reading: Make) -> None:
    assert [row["emotion"] for row in rows(FRAME, [reading("sad"), reading("fear")])] == ["sad", "fear"]
    assert rows(FRAME, []) == []


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e4, 1e15, 1e20])
def test_no_number_loses_anything(size: float) -> None:
    random = np.random.default_rng(0)
    box, scores = (random.normal(0, size, count).astype(np.float32) for count in (4, 7))
    landmarks = random.normal(0, size, (5, 2)).astype(np.float32)
    confidence = float(np.float32(random.random()))
    [row] = rows(FRAME, [Reading(Face(box, confidence, landmarks), scores)])
    exact = np.concatenate([box, [confidence, scores.max()], scores, landmarks.ravel()]).astype(np.float32)
    assert np.array([row[name] for name in NUMBERS], np.float32).tolist() == exact.tolist()
    assert (
        max(len(repr(row[name])) for name in NUMBERS) < 20
    )  # the shortest decimals, not float32 spelled out as float64


def test_a_picture_without_a_face_has_a_row_that_names_it() -> None:
    row = row_without_face(FRAME)
    assert tuple(row) == COLUMNS
    assert {name for name, value in row.items() if value is not None} == {"source", "frame", "time"}
    assert (row["source"], row["frame"], row["time"]) == (FRAME.name, 7, 1 / 3)


def test_rows_need_neither_pillow_nor_ffmpeg_nor_onnx_runtime() -> None:
    program = """
        import sys
        for name in ("PIL", "av", "onnxruntime", "pyarrow"):
            sys.modules[name] = None  # importing it raises ImportError
        import mien
        print(len(mien.rows(mien.Frame(None), [])))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
