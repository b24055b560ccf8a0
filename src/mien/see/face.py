"""A frame, a face in it and what the face shows: the values that every room passes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.labels import EMOTIONS
from mien.see.picture import Floats, Image, Picture, picture_of


class Frame:
    """One picture of a source: RGB bytes (height, width, 3), or what becomes those when `image` is first asked for.

    `name` is the file or stream that it comes from, `index` its number within that source, from 0, and `time` the
    seconds since the source began. `shot` counts the cuts before it, and `fading` says that it is a mixture of two
    pictures; both stay as they are where nobody looked for cuts.
    """

    __slots__ = ("fading", "index", "name", "picture", "shot", "time")

    def __init__(
        self,
        image: Image | Picture,
        name: str = "",
        index: int = 0,
        time: float = 0.0,
        shot: int = 0,
        fading: bool = False,
    ) -> None:
        self.picture = picture_of(image)
        self.name, self.index, self.time = name, index, time
        self.shot, self.fading = shot, fading

    def __reduce__(self) -> tuple[type[Frame], tuple[Image, str, int, float, int, bool]]:
        """Copy and pickle it with its RGB bytes: a decoder's planes cannot be."""
        return Frame, (self.image, self.name, self.index, self.time, self.shot, self.fading)

    @property
    def image(self) -> Image:
        """RGB bytes, (height, width, 3)."""
        return self.picture.rgb


@dataclass(frozen=True, eq=False, slots=True)  # eq=False: arrays do not compare to one bool
class Face:
    """Where a face is, in pixels of the whole frame.

    `box` is x1, y1, x2, y2 and may reach beyond the frame; `confidence` lies in [0, 1]; `landmarks` is (5, 2): the
    centres of the two eyes (the one further left in the picture first), the nose, the two corners of the mouth, or NaN
    where nobody looked for them. `turn` is 0, 90, 180 or 270: by so many degrees clockwise the picture had to be
    turned for the face to stand upright, which is what left, right and above mean then.
    """

    box: Floats
    confidence: float
    landmarks: Floats
    turn: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Shown:
    """What is drawn beside a face: `scores` (7,) averaged over the last moments, and the emotion that is held on to."""

    scores: Floats
    emotion: str

    @property
    def probability(self) -> float:
        """The averaged score of that emotion, in [0, 1]."""
        return float(self.scores[EMOTIONS.index(self.emotion)])


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """A face and what the network says of it in this frame: `scores` is (7,) float32 in `EMOTIONS` order, sum 1."""

    face: Face
    scores: Floats
    person: int | None = None  # same number, same person, while in view; None where nobody told people apart
    shown: Shown | None = None  # what is drawn in place of `scores`, where they were smoothed over time

    @property
    def emotion(self) -> str:
        """The emotion with the highest score."""
        return EMOTIONS[int(self.scores.argmax())]

    @property
    def probability(self) -> float:
        """The score of that emotion, in [0, 1]."""
        return float(self.scores.max())

    @property
    def probabilities(self) -> dict[str, float]:
        """The score of each emotion, by its name."""
        return dict(zip(EMOTIONS, map(float, self.scores), strict=True))

    def __repr__(self) -> str:
        who = "" if self.person is None else f", person {self.person}"
        x1, y1, x2, y2 = (round(float(at)) for at in self.face.box)
        return f"<Reading: {self.emotion} {self.probability:.0%}{who}, box ({x1}, {y1}, {x2}, {y2})>"


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4): (n, m), each in [0, 1]."""
    a, b = a[:, None], b[None]
    inner = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = inner.clip(0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio
