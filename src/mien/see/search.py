"""How a picture is searched: as it lies; for a face that fills it; and, where nothing sure is found, turned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mien.see.detect import SURE, Detector
from mien.see.face import Face, Frame
from mien.see.picture import Floats, Image

TURNS = (270, 90, 180)  # degrees clockwise, the usual ones of a camera first


def searching(detector: Detector) -> Callable[[Frame], list[Face]]:
    """Return what finds the faces of a picture, at the cost of one search where that finds one that surely stands.

    Otherwise the picture is also searched turned, by 90, 180 and 270 degrees. Where its faces are surer and more than
    those of the picture as it lies, these count, with their `turn`: a face that lies on its side is often found as it
    lies, too, and then read wrongly.
    """

    def search(frame: Frame) -> list[Face]:
        image, scale = detector.shrunk(frame.image)
        found = _search(detector, image)
        return found if scale == 1 else [_enlarged(face, 1 / scale) for face in found]

    return search


def _search(detector: Detector, image: Image) -> list[Face]:
    """The faces of a picture of no more than the detector's longest side."""
    best = detector(image)
    if not best and (close := detector.close_up(image)):
        return close
    upright, others = _uprightness(detector, image, best)
    if upright >= others and best[0].confidence >= SURE:
        return best
    weight, (height, width) = upright * _total(best), image.shape[:2]
    for turn in TURNS:
        turned = np.ascontiguousarray(np.rot90(image, -turn // 90))
        faces = detector(turned) or detector.close_up(turned)
        turned_weight = _uprightness(detector, turned, faces)[0] * _total(faces)
        if turned_weight > weight and faces[0].confidence >= SURE:
            weight, best = turned_weight, [_turned_back(face, turn, width, height) for face in faces]
    return best


def whole(frame: Frame) -> list[Face]:
    """Take a picture for one face, as crops of faces are: its box is all of the picture, its landmarks are NaN."""
    height, width = frame.picture.size
    return [Face(np.array((0, 0, width, height), np.float32), 1.0, np.full((5, 2), np.nan, np.float32))]


def _uprightness(detector: Detector, image: Image, faces: list[Face]) -> tuple[float, float]:
    """How much the first face looks like one as it is, and at most when it is turned; 0 and 1 where there is none."""
    if not faces:
        return 0.0, 1.0
    as_it_is, *turned = detector.scores_turned(image, faces[0])
    return as_it_is, max(turned)


def _total(faces: list[Face]) -> float:
    return sum(face.confidence for face in faces)


def _enlarged(face: Face, by: float) -> Face:
    """A face of a picture that was shrunk, in pixels of the picture as it was."""
    return replace(face, box=face.box * np.float32(by), landmarks=face.landmarks * np.float32(by))


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
