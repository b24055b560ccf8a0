"""Rows: one for each face in each frame. The one list of columns, wherever Mien writes or answers with a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.labels import EMOTIONS
from mien.see.face import Frame, Reading

BOX = ("x1", "y1", "x2", "y2")
POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
LANDMARKS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")

NUMBERS = (*BOX, "confidence", "probability", *EMOTIONS, *LANDMARKS)  # the columns that hold a float32

COLUMNS = (
    "source",
    "frame",
    "time",
    "person",
    *BOX,
    "confidence",
    "turn",
    "emotion",
    "probability",
    "shown",
    *EMOTIONS,
    *LANDMARKS,
)
"""The columns of a row; docs/columns.md gives their meanings, units and ranges."""

Row = dict[str, Any]


def rows(frame: Frame, readings: Sequence[Reading]) -> list[Row]:
    """Return a row for each face, `COLUMNS` as its keys.

    Boxes and landmarks are in pixels of the frame, times in seconds, probabilities in [0, 1]. The numbers are those of
    the readings, as float32 has them: nothing is rounded. `person` and `shown` are None where nobody was tracked or
    nothing was smoothed.
    """
    return [
        {
            "source": frame.name,
            "frame": frame.index,
            "time": frame.time,
            "person": reading.person,
            **dict(zip(NUMBERS[:5], numbers, strict=False)),
            "turn": reading.face.turn,
            "emotion": reading.emotion,
            "probability": numbers[5],
            "shown": None if reading.shown is None else reading.shown.emotion,
            **dict(zip(NUMBERS[6:], numbers[6:], strict=True)),
        }
        for reading, numbers in zip(readings, _numbers(readings), strict=True)
    ]


def row_without_face(frame: Frame) -> Row:
    """Return a row that names a picture in which no face was found: all that belongs to a face is None."""
    return dict.fromkeys(COLUMNS) | {"source": frame.name, "frame": frame.index, "time": frame.time}


def _numbers(readings: Sequence[Reading]) -> list[list[float | None]]:
    """Of each reading the values of `NUMBERS`, each the shortest decimal number that is the same float32."""
    if not readings:
        return []
    values = [
        np.concatenate([r.face.box, (r.face.confidence, r.probability), r.scores, r.face.landmarks.ravel()])
        for r in readings
    ]
    exact = np.array(values, np.float32).astype("S24").astype(float).tolist()
    return [[None if value != value else value for value in row] for row in exact]  # NaN: nobody looked for it
