"""The crop of a face: upright and as FER2013 frames it, whatever the picture's size."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.labels import SIDE
from mien.see.face import Face
from mien.see.picture import Image, Part, Picture, halved, picture_of

# How FER2013 frames a face, the medians of docs/crop.md:
BY_SPREAD = 4.27  # the frame's side for the root mean square distance of the landmarks from their mean
ABOVE = 0.084  # how far the frame's centre lies above that mean, in sides of the frame
BY_BOX = 0.956  # the frame's side for the longer side of the detector's box, which has the same centre


def crop(image: Image | Picture, face: Face) -> Image:
    """The face upright and as FER2013 frames it, by its landmarks: gray bytes (48, 48) of RGB bytes (height, width, 3).

    Shrinking averages areas; beyond the picture its outermost pixels go on.
    """
    if np.isnan(face.landmarks).any():  # the box is the face
        box = face.box.astype(np.float64)
        return _sample(picture_of(image), (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()), 0.0)
    left_eye, right_eye, _, left_mouth, right_mouth = points = face.landmarks.astype(np.float64)
    mean = points.mean(0)
    side = BY_SPREAD * math.sqrt(((points - mean) ** 2).sum() / len(points))
    across, down = (right_eye - left_eye + right_mouth - left_mouth).tolist()
    roll = math.atan2(down, across)
    upward = np.array([math.sin(roll), -math.cos(roll)])
    return _sample(picture_of(image), mean + ABOVE * side * upward, side, roll)


def crop_by_box(image: Image | Picture, face: Face) -> Image:
    """The face as FER2013 frames it, by its box: as `crop`, but as it leans. For comparison."""
    box = face.box.astype(np.float64)
    return _sample(picture_of(image), (box[:2] + box[2:]) / 2, BY_BOX * float((box[2:] - box[:2]).max()), 0.0)


def _sample(picture: Picture, centre: NDArray[np.float64], side: float, roll: float) -> Image:
    """A square of the picture as gray bytes (48, 48), turned clockwise by `roll` radians."""
    x, y = centre.tolist()  # numbers from here on: arrays of two or three would take twice the time
    side = max(side, 1.0)
    scale = min(1.0, SIDE / side)
    part, (left, top) = _part(picture, (x, y), side * 0.75 + 2 / scale)  # 0.75: the half diagonal, whatever the roll
    gray, fold = picture.gray(part), 1
    while fold * scale <= 0.5 and min(gray.shape) > 1:
        gray, fold = halved(gray), 2 * fold
    height, width = gray.shape
    size = max(1, round(width * fold * scale)), max(1, round(height * fold * scale))
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)

    # From pixels of the crop to those of the picture, then to those of `small`; pixel centres lie at halves.
    cos, sin, middle = side / SIDE * math.cos(roll), side / SIDE * math.sin(roll), (SIDE - 1) / 2
    across, down = size[0] / (width * fold), size[1] / (height * fold)
    to_x = cos * across, -sin * across, (x - left - (cos - sin) * middle) * across - 0.5
    to_y = sin * down, cos * down, (y - top - (sin + cos) * middle) * down - 0.5
    matrix = np.array([to_x, to_y])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(small, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _part(picture: Picture, centre: tuple[float, float], reach: float) -> tuple[Part, tuple[int, int]]:
    """What the picture has within `reach` of a point, a pixel at least, and where that begins: x, y."""
    height, width = picture.size
    (x1, x2), (y1, y2) = (
        (int(min(max(at - reach, 0), side - 1)), int(min(max(at + reach + 1, 1), side)))
        for at, side in zip(centre, (width, height), strict=True)
    )
    return (slice(y1, y2), slice(x1, x2)), (x1, y1)
