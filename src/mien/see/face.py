"""A frame, a face in it and what the face shows: the values that every room passes on; the crop of a face."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.labels import EMOTIONS
from mien.see.picture import Part, Picture, picture_of

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIDE = 48  # pixels of a side of FER2013's pictures, and so of every crop

# How FER2013 frames a face, the medians of docs/crop.md:
BY_SPREAD = 4.27  # the frame's side for the root mean square distance of the landmarks from their mean
ABOVE = 0.084  # how far the frame's centre lies above that mean, in sides of the frame
BY_BOX = 0.956  # the frame's side for the longer side of the detector's box, which has the same centre


class Frame:
    """One picture of a source: RGB bytes (height, width, 3), or what becomes those when `image` is first asked for.

    `name` is the file or stream that it comes from, `index` its number within that source, from 0, and `time` the
    seconds since the source began.
    """

    __slots__ = ("index", "name", "picture", "time")

    def __init__(self, image: Image | Picture, name: str = "", index: int = 0, time: float = 0.0) -> None:
        self.picture = picture_of(image)
        self.name, self.index, self.time = name, index, time

    def __reduce__(self) -> tuple[type[Frame], tuple[Image, str, int, float]]:
        """Copy and pickle it with its RGB bytes: a decoder's planes cannot be."""
        return Frame, (self.image, self.name, self.index, self.time)

    @property
    def image(self) -> Image:
        """RGB bytes, (height, width, 3)."""
        return self.picture.rgb


@dataclass(frozen=True, eq=False, slots=True)  # eq=False: arrays do not compare to one bool
class Face:
    """Where a face is, in pixels of the whole frame.

    `box` is x1, y1, x2, y2 and may reach beyond the frame; `confidence` lies in [0, 1]; `landmarks` is (5, 2): the
    centres of the two eyes (the one further left in the picture first), the nose, the two corners of the mouth.
    """

    box: Floats
    confidence: float
    landmarks: Floats


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """A face and what it shows: `scores` is (7,) float32 in `EMOTIONS` order and sums to 1."""

    face: Face
    scores: Floats
    person: int | None = None  # same number, same person, while in view
    held: int | None = None  # the emotion that a tracker still shows while another is only just ahead

    @property
    def emotion(self) -> str:
        """The name of the emotion with the highest score, or of the one that is held."""
        return EMOTIONS[self._shown]

    @property
    def probability(self) -> float:
        """The score of that emotion."""
        return float(self.scores[self._shown])

    @property
    def _shown(self) -> int:
        return int(self.scores.argmax()) if self.held is None else self.held


def overlap(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4): (n, m), each in [0, 1]."""
    a, b = a[:, None], b[None]
    inner = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = inner.clip(0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def crop(image: Image | Picture, face: Face) -> Image:
    """The face upright and as FER2013 frames it, by its landmarks: gray bytes (48, 48) of RGB bytes (height, width, 3).

    Shrinking averages areas; beyond the picture its outermost pixels go on.
    """
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


def halved(image: Image) -> Image:
    """Half the size, each pixel the mean of four, which is several times as fast as other sizes.

    The last line of an odd number is left out.
    """
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _part(picture: Picture, centre: tuple[float, float], reach: float) -> tuple[Part, tuple[int, int]]:
    """What the picture has within `reach` of a point, a pixel at least, and where that begins: x, y."""
    height, width = picture.size
    (x1, x2), (y1, y2) = (
        (int(min(max(at - reach, 0), side - 1)), int(min(max(at + reach + 1, 1), side)))
        for at, side in zip(centre, (width, height), strict=True)
    )
    return (slice(y1, y2), slice(x1, x2)), (x1, y1)
