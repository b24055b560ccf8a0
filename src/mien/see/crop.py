"""Crops of faces as FER2013 frames them: upright, gray, 48 x 48 pixels."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.labels import SIDE
from mien.see.face import Face
from mien.see.picture import Image, Part, Picture, check_rgb, halved, picture_of

# How FER2013 frames a face, as medians (docs/crop.md):
BY_SPREAD = 4.27  # side of the frame / root mean square distance of the landmarks from their mean
ABOVE = 0.084  # how far the frame's centre is above that mean, in sides of the frame
BY_BOX = 0.956  # side of the frame / longer side of the detector's box, about the same centre


def crop(image: Image | Picture, face: Face) -> Image:
    """Return a face as FER2013 frames it, upright by its landmarks: gray bytes (48, 48).

    `image` is RGB bytes (height, width, 3). Shrinking averages areas; beyond its edges the picture repeats its
    outermost pixels.
    """
    if isinstance(image, np.ndarray):
        check_rgb(image)
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
    """Return a face as `crop` does, but framed by its box and not turned upright: for comparison (docs/crop.md)."""
    box = face.box.astype(np.float64)
    return _sample(picture_of(image), (box[:2] + box[2:]) / 2, BY_BOX * float((box[2:] - box[:2]).max()), 0.0)


def _sample(picture: Picture, centre: NDArray[np.float64], side: float, roll: float) -> Image:
    """A square of the picture, `side` pixels wide and turned clockwise by `roll` radians, as gray bytes (48, 48)."""
    x, y = centre.tolist()  # plain numbers from here on: arrays of two or three would take twice the time
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
    """The part of the picture within `reach` of a point, at least a pixel, and the x, y where it begins."""
    height, width = picture.size
    (x1, x2), (y1, y2) = (
        (int(min(max(at - reach, 0), side - 1)), int(min(max(at + reach + 1, 1), side)))
        for at, side in zip(centre, (width, height), strict=True)
    )
    return (slice(y1, y2), slice(x1, x2)), (x1, y1)
