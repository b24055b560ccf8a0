"""One number per person while in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import lap
import numpy as np
from numpy.typing import NDArray

from mien.see.face import Face, Frame, Reading
from mien.see.picture import Floats, Picture

MEMORY = 10.0  # seconds for which a person may be out of sight and keep the number

SIDE = 8  # pixels of the thumbnail that stands for how a face looks
AROUND = 1.6  # sides of the face that the thumbnail shows: hair and neck tell people apart as well
SAMPLES = 48  # pixels of the frame along a side of the thumbnail, at least, of which it is made
LOOK_TIME = 1.0  # seconds over which looks are averaged
AGAIN = 0.77  # correlation of looks from which on a face is that of somebody known, wherever it is,
RETURNED = 0.6  # and where somebody was a moment ago
HALF_SEEN = 0.35  # and of a face that is not seen as a whole
UNLIKE = 0.68  # correlation below which a face in the place of a person is another's
SURE = 0.98  # confidence that a face has at some time: what never has it is mostly none, or behind something
WHOLE = 0.9  # of a face must lie in the frame, and apart from the others, for its look to be remembered
WAIT = 0.5  # seconds after which a face that is never seen as a whole has to be somebody's as it is

LOST = 0.3  # seconds unseen after which a face is not followed any more, but has to be known again
REACH = 1.0  # face sides that a face may be away from where it was expected, and for each second more:
REACH_A_SECOND = 4.0
NEAR = 0.2  # the same of a face that is not seen as a whole and looks unlike the person
NEAR_A_SECOND = 2.0
VELOCITY_TIME = 0.1  # seconds over which the velocity is averaged
LIMIT, IMPOSSIBLE = 1.3, 9.0  # what differs by more is not assigned


@dataclass(slots=True, eq=False)
class Track:
    """A face that is followed from frame to frame, and the number of the person whose it turns out to be.

    All times are in seconds, all places in pixels of the frame.
    """

    began: float
    seen: float
    box: Floats
    last: Floats  # how it looked in the last frame, a thumbnail (SIDE * SIDE,) of mean 0 and length 1
    look: Floats  # the mean of the clear thumbnails, or of all while none has been clear
    clear: bool
    number: int | None = None
    sure: float | None = None  # the time of the first frame that was sure
    placed: bool = True  # False after a cut: where it was says nothing of where it is
    velocity: Floats = field(default_factory=lambda: np.zeros(2, np.float32))

    def expected(self, time: float) -> Floats:
        """The box where it is expected; one that is lost is expected not far beyond where it was lost."""
        return (self.box.reshape(2, 2) + self.velocity * np.float32(min(time - self.seen, LOST))).ravel()

    def follow(self, face: Face, look: Floats, clear: bool, frame: Frame) -> None:
        """Take in the face in the next frame."""
        passed = max(frame.time - self.seen, 1e-6)
        moved = (_centres(face.box) - _centres(self.box)) / passed
        self.velocity += (moved - self.velocity) * _weight(passed, VELOCITY_TIME)
        self.seen, self.box, self.last = frame.time, face.box, look
        if frame.fading:  # a mixture of two faces is nobody's look
            return
        if clear == self.clear:
            self.look = _unit(self.look + (look - self.look) * _weight(passed, LOOK_TIME))
        elif clear:
            self.look, self.clear = look, True

    def become(self, person: Track) -> None:
        """Turn out to be the face of somebody who was lost."""
        self.number = person.number
        if person.clear:
            self.look = _unit(self.look + person.look) if self.clear else person.look
            self.clear = True


class Tracker:
    """Tells people apart from frame to frame.

    Faces are assigned to those of the frame before by place, size and looks, all at once, so that the sum of
    differences is smallest (Jonker & Volgenant 1987). A face that looks unlike the one in its place is another's. A
    new face gets a number once it was sure, and seen as a whole or waited for: that of a person who was out of sight
    for at most `memory` seconds and looks alike, or a new one. Where somebody was counts until the next cut.
    """

    def __init__(self, *, memory: float = MEMORY) -> None:
        self.memory = memory
        self._tracks: list[Track] = []
        self._count = 0
        self._before = 0.0  # the time of the frame before
        self._shot = 0

    def __call__(self, frame: Frame, readings: Sequence[Reading]) -> list[Reading]:
        """The readings of the next frame with `person` set, or None while it is not known, in their order."""
        tracks = self.follow(frame, [reading.face for reading in readings])
        return [replace(reading, person=track.number) for reading, track in zip(readings, tracks, strict=True)]

    def follow(self, frame: Frame, faces: Sequence[Face]) -> list[Track]:
        """The track of each face of the next frame, in their order; its number may come later."""
        self._forget(frame)
        looks = [_look(frame.picture, face) for face in faces]
        clear = _clear(frame.picture, faces)
        tracks: list[Track] = []
        for face, look, whole, known in zip(faces, looks, clear, self._assign(frame, faces, looks, clear), strict=True):
            track = known or Track(frame.time, frame.time, face.box, look, look, whole)
            if known:
                track.follow(face, look, whole, frame)
            if track.sure is None and face.confidence >= SURE:
                track.sure = frame.time
            tracks.append(track)
        self._tracks = [track for track in self._tracks if track not in tracks] + tracks
        if not frame.fading:
            self._identify(
                frame.time, [t for t, whole in zip(tracks, clear, strict=True) if _told(t, whole, frame.time)]
            )
        self._before = frame.time
        return tracks

    def _forget(self, frame: Frame) -> None:
        """Leave out who was out of sight for too long; frames may be further apart than that."""
        if frame.shot != self._shot:
            self._shot = frame.shot
            for track in self._tracks:
                track.placed = False
        known, new = (min(frame.time - seconds, self._before) for seconds in (self.memory, LOST))
        self._tracks = [
            track
            for track in self._tracks
            if (track.seen >= known if track.number is not None else track.placed and track.seen >= new)
        ]

    def _assign(
        self, frame: Frame, faces: Sequence[Face], looks: Sequence[Floats], clear: Sequence[bool]
    ) -> list[Track | None]:
        """The track that each face goes on with, None for a new one."""
        oldest = min(frame.time - LOST, self._before)
        tracks = [track for track in self._tracks if track.placed and track.seen >= oldest]
        if not (tracks and faces):
            return [None] * len(faces)
        boxes = np.stack([face.box for face in faces])
        costs = _differences(tracks, boxes, np.stack(looks), np.array(clear), frame)
        _, columns, _ = lap.lapjv(costs, extend_cost=True, cost_limit=LIMIT)
        return [tracks[column] if column >= 0 else None for column in columns]

    def _identify(self, time: float, new: Sequence[Track]) -> None:
        """Give each new track the number of a person who was lost, or else one of its own."""
        lost = [track for track in self._tracks if track.number is not None and track.seen < time] if new else []
        if lost:
            costs = _strangeness(new, lost)
            _, columns, _ = lap.lapjv(costs, extend_cost=True, cost_limit=LIMIT)
            for track, column in zip(new, columns, strict=True):
                if column >= 0:
                    track.become(lost[column])
                    self._tracks.remove(lost[column])
        for track in new:
            if track.number is None:
                self._count += 1
                track.number = self._count


def _told(track: Track, whole: bool, time: float) -> bool:
    """Can it be told whose track this is, and is not yet?"""
    return track.number is None and track.sure is not None and (whole or time - track.sure >= WAIT)


def _strangeness(new: Sequence[Track], lost: Sequence[Track]) -> NDArray[np.float64]:
    """How little each of n new tracks is each of m lost people's: (n, m), IMPOSSIBLE where it cannot be."""
    alike = np.stack([track.look for track in new]) @ np.stack([person.look for person in lost]).T
    unseen = np.array([[track.began - person.seen for person in lost] for track in new])
    away, size = _apart(np.stack([track.box for track in new]), np.stack([person.box for person in lost]))
    placed = np.array([person.placed for person in lost])
    back = placed & (unseen > LOST) & (away <= REACH + REACH_A_SECOND * unseen) & (size <= 1)
    whole = np.array([track.clear for track in new])[:, None]
    enough = np.where(back, np.where(whole, RETURNED, HALF_SEEN), AGAIN)
    return np.where((unseen < 0) | (alike < enough), IMPOSSIBLE, 1 - alike)


def _differences(
    tracks: Sequence[Track], boxes: Floats, looks: Floats, clear: NDArray[np.bool_], frame: Frame
) -> NDArray[np.float64]:
    """How little each of n faces goes on with each of m tracks: (n, m), in [0, LIMIT), IMPOSSIBLE where it cannot.

    The faces have the boxes (n, 4) and the thumbnails `looks` (n, SIDE * SIDE), which are `clear` (n,) or not.
    """
    unseen = np.array([frame.time - track.seen for track in tracks])
    alike = looks @ np.stack([track.look for track in tracks]).T
    if frame.fading:
        unlike = alike < AGAIN
    else:
        alike = np.maximum(alike, looks @ np.stack([track.last for track in tracks]).T)
        unlike = (alike < UNLIKE) & clear[:, None]
    away, size = _apart(boxes, np.stack([track.expected(frame.time) for track in tracks]))
    reach, near = REACH + REACH_A_SECOND * unseen, NEAR + NEAR_A_SECOND * unseen
    moved = away > np.where(alike < UNLIKE, near, reach)
    waited = np.minimum(unseen / LOST, 1)  # of two who may be here, the one seen last is
    costs = 0.5 * away / reach + 0.2 * size + 0.15 * (1 - alike) + 0.3 * waited
    return np.where(moved | (size > 1) | unlike, IMPOSSIBLE, costs)


def _apart(boxes: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """How far boxes (n, 4) are from others (m, 4), in sides, and the logarithm of their sizes' ratio: (n, m) each."""
    sides, expected_sides = _sides(boxes)[:, None], _sides(expected)
    between = _centres(boxes)[:, None] - _centres(expected)
    away: Floats = np.hypot(between[..., 0], between[..., 1]) / np.maximum(sides, expected_sides)
    return away, np.abs(np.log(sides / expected_sides))


def _clear(picture: Picture, faces: Sequence[Face]) -> list[bool]:
    """Whether each face is surely one, in the frame as a whole, and neither before nor behind another.

    Only then does its thumbnail show how the person looks, who is known again by it.
    """
    if not faces:
        return []
    boxes = np.stack([face.box for face in faces])
    frame = np.array([[0, 0, *picture.size[::-1]]], np.float32)
    areas = _shared(boxes, boxes)
    hidden = (areas.sum(1) - _shared(boxes, frame)[:, 0]) / np.maximum(areas.diagonal(), 1e-6)
    sure = np.array([face.confidence >= SURE for face in faces])
    return (sure & (hidden <= 1 - WHOLE)).tolist()  # type: ignore[no-any-return]


def _shared(a: Floats, b: Floats) -> Floats:
    """The area that every box of `a` (n, 4) shares with every one of `b` (m, 4): (n, m)."""
    corners = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    area: Floats = corners.clip(0).prod(-1)
    return area


def _look(picture: Picture, face: Face) -> Floats:
    """The face and what is around it as a thumbnail of mean 0 and length 1, (SIDE * SIDE,)."""
    height, width = picture.size
    x1, y1, x2, y2 = face.box.tolist()
    x, y, side = (x1 + x2) / 2, (y1 + y2) / 2, AROUND * max(((x2 - x1) * (y2 - y1)) ** 0.5, 1.0)
    step = max(1, int(side / SAMPLES))
    left, top, right, bottom = round(x - side / 2), round(y - side / 2), round(x + side / 2), round(y + side / 2)
    part = (
        slice(min(max(top, 0), height - 1), max(min(bottom, height), 1), step),
        slice(min(max(left, 0), width - 1), max(min(right, width), 1), step),
    )
    gray = picture.gray(part)
    beyond = [max(0, by // step) for by in (-top, bottom - height, -left, right - width)]
    if any(beyond):
        gray = cv2.copyMakeBorder(gray, *beyond, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
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
