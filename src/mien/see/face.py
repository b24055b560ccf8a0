"""A frame, a face in it and what the face shows: the values that every room passes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.labels import EMOTIONS

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)  # eq=False: arrays do not compare to one bool
class Frame:
    """One picture of a source: `image` is RGB bytes, (height, width, 3)."""

    image: Image
    name: str = ""  # the file or stream that it comes from
    index: int = 0  # its number within that source, from 0
    time: float = 0.0  # seconds since the source began


@dataclass(frozen=True, eq=False, slots=True)
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
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
