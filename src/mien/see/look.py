"""How a face looks, by thumbnails: enough to tell the people of one stream apart, and no more.

Nothing here knows who somebody is, and nothing is kept when the stream ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mien.see.face import Face
from mien.see.picture import Floats, Image, Picture

SIDE = 8  # pixels of each of the two thumbnails that stand for a face
AROUND = 1.6  # sides of the face that the one shows: hair and neck tell people apart as well; the other shows one
SAMPLES = 48  # pixels of the frame along a side of what the larger shows, at least, of which it is made
SURE = 0.98  # confidence that a face has at some time: what never has it is mostly none, or behind something
WHOLE = 0.9  # of a face must lie in the frame, and apart from the others, for its look to be remembered


def looks(picture: Picture, faces: Sequence[Face]) -> Floats:
    """How faces look, whatever the light: (n, 2 * SIDE * SIDE), each of length 1.

    The product of two is the mean correlation of their thumbnails, in [-1, 1].
    """
    small = np.array([_thumbnails(picture, face) for face in faces], np.float32).reshape(2 * len(faces), SIDE * SIDE)
    small -= small.mean(1, keepdims=True)
    small /= np.maximum(np.sqrt(2 * np.square(small).sum(1, keepdims=True)), 1e-6)
    return small.reshape(len(faces), 2 * SIDE * SIDE)


def are_clear(picture: Picture, faces: Sequence[Face]) -> list[bool]:
    """Whether each face is surely one, in the frame as a whole, and neither before nor behind another.

    Only then does its look show the person, who is known again by it.
    """
    if not faces:
        return []
    boxes = np.array([face.box for face in faces])
    frame = np.array([[0, 0, *picture.size[::-1]]], np.float32)
    areas = _shared(boxes, boxes)
    hidden = areas.sum(1) - _shared(boxes, frame)[:, 0] > (1 - WHOLE) * areas.diagonal()
    return [face.confidence >= SURE and not part for face, part in zip(faces, hidden.tolist(), strict=True)]


def _thumbnails(picture: Picture, face: Face) -> tuple[Image, Image]:
    """The face with what is around it, and the face, in gray; beyond the frame its outermost pixels go on."""
    height, width = picture.size
    x1, y1, x2, y2 = face.box.tolist()
    x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, AROUND / 2 * max(((x2 - x1) * (y2 - y1)) ** 0.5, 1.0)
    left, top, right, bottom = round(x - half), round(y - half), round(x + half), round(y + half)
    step = max(1, int(2 * half / SAMPLES))
    rows = slice(min(max(top, 0), height - 1), max(min(bottom, height), 1), step)
    columns = slice(min(max(left, 0), width - 1), max(min(right, width), 1), step)
    gray = picture.gray((rows, columns))
    beyond = [max(0, by // step) for by in (-top, bottom - height, -left, right - width)]
    if any(beyond):
        top, bottom, left, right = beyond
        gray = np.asarray(cv2.copyMakeBorder(gray, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
    inner = tuple(slice(round(n * (1 - 1 / AROUND) / 2), round(n * (1 + 1 / AROUND) / 2)) for n in gray.shape)
    return _shrunk(gray), _shrunk(gray[inner])


def _shrunk(gray: Image) -> Image:
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _shared(a: Floats, b: Floats) -> Floats:
    """The area that every box of `a` (n, 4) shares with every one of `b` (m, 4): (n, m)."""
    corners = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    area: Floats = corners.clip(0).prod(-1)
    return area
