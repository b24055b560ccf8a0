"""One number per person while in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.see.face import Face, Frame, Reading
from mien.see.picture import Floats, Picture, halved

SIDE = 16  # pixels of the thumbnail that stands for how a face looks
REACH = 1.0  # face sides that a face may be away from where it was expected, and for each second more:
REACH_A_SECOND = 4.0
LOST = 0.3  # seconds unseen after which how a face looks must speak for it as well as where it is
ALIKE = 0.35  # correlation from which on a face looks like a person who was lost
SAME = 0.6  # and from which on it hardly is another's
UNLIKE = 0.2  # under which it looks like somebody else, and has to be where the person was:
NEAR = 0.2  # within so many face sides, and for each second more:
NEAR_A_SECOND = 2.0
WHOLE = 0.9  # of a face must lie in the frame, and apart from the others, for its look to be remembered
SURE = 0.98  # confidence that a look to be remembered has, at least: faces behind something have less
BESIDE = 0.25  # face sides from another face or the border at which a face may be a part of one
WAIT = 0.5  # seconds for which faces that do not show whose they are may be left out
LOOK_TIME = 1.0  # seconds over which looks are averaged
VELOCITY_TIME = 0.1  # seconds over which the velocity is averaged
LIMIT, IMPOSSIBLE = 1.3, 9.0  # what differs by more is not assigned


@dataclass(slots=True)
class _Person:
    """What is remembered of a person; all times in seconds, all places in pixels of the frame."""

    number: int
    seen: float
    box: Floats
    look: Floats  # the mean of the clear thumbnails, (SIDE * SIDE,), of mean 0 and length 1
    clear: bool  # False while none has been: the look is the mean of all thumbnails then
    velocity: Floats = field(default_factory=lambda: np.zeros(2, np.float32))

    def expected(self, time: float) -> Floats:
        """The box where it is expected; one that is lost is expected not far beyond where it was lost."""
        return (self.box.reshape(2, 2) + self.velocity * np.float32(min(time - self.seen, LOST))).ravel()


class Tracker:
    """Tells people apart from frame to frame.

    Faces are assigned to people by place, size and looks, all at once, so that the sum of differences is smallest
    (Jonker & Volgenant 1987). Who was in the frame before, or is out of sight for at most `memory` seconds, keeps the
    number. A face that may be cut off or half hidden and belongs to nobody here, while somebody is out of sight,
    may be that one's: for up to half a second it is left out, as SORT waits for new tracks (Bewley et al. 2016).
    """

    def __init__(self, *, memory: float = 4.0) -> None:
        self.memory = memory
        self._people: list[_Person] = []
        self._count = 0
        self._before = 0.0  # the time of the frame before
        self._waiting: float | None = None  # the time of the first frame since which faces have been left out

    def __call__(self, frame: Frame, readings: Sequence[Reading]) -> list[Reading]:
        """The readings with `person` set, in their order.

        Readings of faces that do not show yet whose they are, as said above, are left out.
        """
        oldest = min(frame.time - self.memory, self._before)  # frames may be further apart than the memory reaches
        self._people, self._before = [person for person in self._people if person.seen >= oldest], frame.time
        faces = [reading.face for reading in readings]
        looks, clear = [_look(frame.picture, face) for face in faces], _clear(frame.picture, faces)
        owners = self._assign(frame.time, faces, looks, clear)
        wait = self._wait(frame, faces, owners, clear)
        return [
            self._follow(owner, reading, look, whole, frame.time)
            if owner
            else self._meet(reading, look, whole, frame.time)
            for owner, reading, look, whole, later in zip(owners, readings, looks, clear.tolist(), wait, strict=True)
            if not later
        ]

    def _wait(
        self, frame: Frame, faces: Sequence[Face], owners: Sequence[_Person | None], clear: NDArray[np.bool_]
    ) -> list[bool]:
        """Which faces are left out for now: parts of faces, of somebody new or of somebody who was out of sight."""
        if all(owners) or len(faces) == 1:  # a frame in which anybody was found has a row
            self._waiting = None
            return [False] * len(faces)
        here = {owner.number for owner in owners if owner}
        missing = any(p.number not in here and frame.time - p.seen <= self.memory for p in self._people)
        partly = _hidden(frame.picture, faces, BESIDE) > 1 - WHOLE
        wait = partly & ~clear & np.array([missing and owner is None for owner in owners], bool)
        self._waiting = (frame.time if self._waiting is None else self._waiting) if wait.any() else None
        if self._waiting is not None and not 0 <= frame.time - self._waiting < WAIT:
            wait[:] = False
        return [bool(later) for later in wait]

    def _assign(
        self, time: float, faces: Sequence[Face], looks: Sequence[Floats], clear: NDArray[np.bool_]
    ) -> list[_Person | None]:
        """The person that each face belongs to, None for a new one."""
        if not (self._people and faces):
            return [None] * len(faces)
        import lap  # only video needs it

        costs = _differences(self._people, np.stack([face.box for face in faces]), np.stack(looks), clear, time)
        _, columns, _ = lap.lapjv(costs, extend_cost=True, cost_limit=LIMIT)
        return [self._people[column] if column >= 0 else None for column in columns]

    def _follow(self, person: _Person, reading: Reading, look: Floats, clear: bool, time: float) -> Reading:
        passed = max(time - person.seen, 1e-6)
        moved = (_centres(reading.face.box) - _centres(person.box)) / passed
        person.velocity += (moved - person.velocity) * _weight(passed, VELOCITY_TIME)
        person.seen, person.box = time, reading.face.box
        if clear == person.clear:
            person.look = _unit(person.look + (look - person.look) * _weight(passed, LOOK_TIME))
        elif clear:
            person.look, person.clear = look, True
        return replace(reading, person=person.number)

    def _meet(self, reading: Reading, look: Floats, clear: bool, time: float) -> Reading:
        self._count += 1
        self._people.append(_Person(self._count, time, reading.face.box, look, clear))
        return replace(reading, person=self._count)


def _differences(
    people: Sequence[_Person], boxes: Floats, looks: Floats, clear: NDArray[np.bool_], time: float
) -> NDArray[np.float64]:
    """How little each of n faces is each of m people's: (n, m), in [0, LIMIT), IMPOSSIBLE where it cannot be.

    The faces have the boxes (n, 4) and the thumbnails `looks` (n, SIDE * SIDE), which are `clear` (n,) or not.
    """
    unseen = np.array([time - person.seen for person in people])
    alike = looks @ np.stack([person.look for person in people]).T
    away, size = _apart(boxes, np.stack([person.expected(time) for person in people]))
    most, lost, unlike = alike.max(1, keepdims=True), unseen > LOST, alike < UNLIKE
    reach, near = REACH + REACH_A_SECOND * unseen, NEAR + NEAR_A_SECOND * unseen
    known = (alike >= ALIKE) & (alike == most)
    # Somebody was here a moment ago, but who is here now looks like another: boxes slide from face to face.
    stranger = clear[:, None] & unlike & (most >= SAME)
    moved = away > np.where(unlike & ~lost, near, reach)
    impossible = moved | (size > 1) | (lost & ~known) | stranger
    waited = np.minimum(unseen / LOST, 1)  # of two who may be here, the one seen last is
    return np.where(impossible, IMPOSSIBLE, 0.5 * away / reach + 0.2 * size + 0.15 * (1 - alike) + 0.3 * waited)


def _apart(boxes: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """How far boxes (n, 4) are from others (m, 4), in sides, and the logarithm of their sizes' ratio: (n, m) each."""
    sides, expected_sides = _sides(boxes)[:, None], _sides(expected)
    between = _centres(boxes)[:, None] - _centres(expected)
    away: Floats = np.hypot(between[..., 0], between[..., 1]) / np.maximum(sides, expected_sides)
    return away, np.abs(np.log(sides / expected_sides))


def _clear(picture: Picture, faces: Sequence[Face]) -> NDArray[np.bool_]:
    """Whether each face is surely one, in the frame as a whole, and neither before nor behind another: (n,).

    Only then does its thumbnail show how the person looks, who is known again by it.
    """
    sure = np.array([face.confidence >= SURE for face in faces], bool)
    return sure & (_hidden(picture, faces) <= 1 - WHOLE)


def _hidden(picture: Picture, faces: Sequence[Face], beside: float = 0.0) -> Floats:
    """The part of each face that others or the frame's border may hide, where faces reach further by `beside`: (n,)."""
    if not faces:
        return np.zeros(0, np.float32)
    boxes = np.stack([face.box for face in faces])
    boxes = boxes + (_sides(boxes) * np.float32(beside))[:, None] * np.array((-1, -1, 1, 1), np.float32)
    frame = np.array([[0, 0, *picture.size[::-1]]], np.float32)
    areas = _shared(boxes, boxes)
    hidden: Floats = (areas.sum(1) - _shared(boxes, frame)[:, 0]) / np.maximum(areas.diagonal(), 1e-6)
    return hidden


def _shared(a: Floats, b: Floats) -> Floats:
    """The area that every box of `a` (n, 4) shares with every one of `b` (m, 4): (n, m)."""
    corners = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    area: Floats = corners.clip(0).prod(-1)
    return area


def _look(picture: Picture, face: Face) -> Floats:
    """The face as a thumbnail of mean 0 and length 1, (SIDE * SIDE,)."""
    height, width = picture.size
    x1, y1, x2, y2 = np.rint(face.box).astype(int).tolist()
    x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    gray = picture.gray((slice(y1, max(y2, y1 + 1)), slice(x1, max(x2, x1 + 1))))
    while min(gray.shape) >= 2 * SIDE:
        gray = halved(gray)
    small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    values = small.astype(np.float32).ravel()
    return _unit(values - values.mean())


def _unit(look: Floats) -> Floats:
    """The look with length 1."""
    return look / np.float32(max(float(np.linalg.norm(look)), 1e-6))


def _weight(passed: float, constant: float) -> np.float32:
    """The weight of the new in an exponential mean of the time constant `constant` after `passed` seconds."""
    return np.float32(1 - np.exp(-passed / max(constant, 1e-9)))


def _centres(boxes: Floats) -> Floats:
    """(..., 4) → (..., 2)."""
    return (boxes[..., :2] + boxes[..., 2:]) / np.float32(2)


def _sides(boxes: Floats) -> Floats:
    """The sides of squares of the boxes' areas: (n, 4) → (n,)."""
    sides: Floats = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1)).clip(1e-3)
    return sides
