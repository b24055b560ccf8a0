"""How a picture is searched: as it lies; for a face that fills it; and, where nothing sure is found, turned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mien.see.detect import SURE, Detector
from mien.see.face import Face, Frame
from mien.see.picture import Floats

TURNS = (270, 90, 180)  # degrees clockwise, the usual ones of a camera first


def searching(detector: Detector) -> Callable[[Frame], list[Face]]:
    """Return what finds the faces of a picture, at the cost of one search where that finds one that is sure.

    Otherwise the picture is also searched turned, by 90, 180 and 270 degrees; faces that are sure there have `turn`.
    """

    def search(frame: Frame) -> list[Face]:
        image = frame.image
        best = detector(image)
        if not best and (close := detector.close_up(image)):
            return close
        for turn in TURNS if _confidence(best) < SURE else ():
            turned = np.ascontiguousarray(np.rot90(image, -turn // 90))
            faces = detector(turned) or detector.close_up(turned)
            if _confidence(faces) >= max(SURE, _confidence(best)):
                best = [_turned_back(face, turn, image.shape[1], image.shape[0]) for face in faces]
        return best

    return search


def whole(frame: Frame) -> list[Face]:
    """Take a picture for one face, as crops of faces are: its box is all of the picture, its landmarks are NaN."""
    height, width = frame.picture.size
    return [Face(np.array((0, 0, width, height), np.float32), 1.0, np.full((5, 2), np.nan, np.float32))]


def _confidence(faces: list[Face]) -> float:
    """The highest confidence."""
    return max((face.confidence for face in faces), default=0.0)


def _turned_back(face: Face, turn: int, width: int, height: int) -> Face:
    """A face of a picture that was turned, in pixels of the picture (height, width) as it lies."""
    corners = _points_back(face.box.reshape(2, 2), turn, width, height)
    box = np.concatenate([corners.min(0), corners.max(0)])
    return replace(face, box=box, landmarks=_points_back(face.landmarks, turn, width, height), turn=turn)


def _points_back(points: Floats, turn: int, width: int, height: int) -> Floats:
    """Points (n, 2) of a picture that was turned clockwise, in pixels of the picture as it lies."""
    x, y = points[:, 0], points[:, 1]
    back = {90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}[turn]
    return np.stack(back, 1).astype(np.float32)
