"""One number per person while in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import lap
import numpy as np
from numpy.typing import NDArray

from mien.see.face import Face, Frame, Reading
from mien.see.look import SURE, are_clear, looks
from mien.see.picture import Floats

MEMORY = 15.0  # seconds for which a person may be out of sight and keep the number

LOOK_TIME = 1.0  # seconds over which looks are averaged
AGAIN = 0.77  # correlation of looks from which on a face is that of somebody known, wherever it is,
RETURNED = 0.55  # and where somebody was a few seconds ago,
HALF_SEEN = 0.35  # and of a face there that is not seen as a whole
UNLIKE = 0.56  # correlation below which a face in the place of a person is another's
MORE = 0.2  # by so much it may not look more like somebody who was lost
FADED = 0.7  # the same of the look that the person had before a fade
SETTLE = 0.2  # seconds after which a new face is a new person's: boxes take some frames to fit
WAIT = 0.5  # the same of a face that is not seen as a whole

AWAY = 4.0  # seconds for which who is out of sight is expected where they were
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
    last: Floats  # how it looked in the last frame, (2 * SIDE * SIDE,), of length 1
    look: Floats  # the mean of the clear looks, or of all while none has been clear
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
        if not self.placed:
            self.placed, self.velocity = True, np.zeros(2, np.float32)
        self.seen, self.box, self.last = frame.time, face.box, look
        if frame.fading:  # a mixture of two faces is nobody's look
            return
        if clear == self.clear:
            self.look = _unit(self.look + (look - self.look) * _weight(passed, LOOK_TIME))
        elif clear:
            self.look, self.clear = look, True

    def waited(self, time: float) -> bool:
        """Has it been sure for so long that it has to be told by now whose it is?"""
        return self.sure is not None and time - self.sure >= (SETTLE if self.clear else WAIT)

    def become(self, person: Track) -> None:
        """Turn out to be the face of somebody who was lost."""
        self.number = person.number
        if person.clear:
            self.look, self.clear = person.look, True


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
        seen, clear = looks(frame.picture, faces), are_clear(frame.picture, faces)
        if frame.fading:  # a mixture of two pictures shows nobody
            clear = [False] * len(faces)
        tracks: list[Track] = []
        for face, look, whole, known in zip(faces, seen, clear, self._assign(frame, faces, seen, clear), strict=True):
            track = known or Track(frame.time, frame.time, face.box, look, look, whole)
            if known:
                track.follow(face, look, whole, frame)
            if track.sure is None and face.confidence >= SURE and not frame.fading:
                track.sure = frame.time
            tracks.append(track)
        self._tracks = [track for track in self._tracks if track not in tracks] + tracks
        self._before = frame.time
        for track in self._tracks if frame.fading else ():
            track.placed = track.placed and track.seen == frame.time
        self._name([track for track in tracks if track.number is None], frame.time, fading=frame.fading)
        return tracks

    def end(self) -> None:
        """Give those a number who had to wait for theirs, as no frame follows."""
        self._name([track for track in self._tracks if track.number is None], self._before, over=True)

    def _forget(self, frame: Frame) -> None:
        """Leave out who was out of sight for too long; frames may be further apart than that."""
        known, new = (min(frame.time - seconds, self._before) for seconds in (self.memory, LOST))
        if frame.shot != self._shot:
            self._shot = frame.shot
            for track in self._tracks:
                track.placed = False
        over = [track for track in self._tracks if track.number is None and track.seen < new]
        self._name(over, frame.time, over=True)
        self._tracks = [t for t in self._tracks if t.seen >= known and (t.number is not None or t not in over)]

    def _assign(self, frame: Frame, faces: Sequence[Face], looks: Floats, clear: Sequence[bool]) -> list[Track | None]:
        """The track that each face goes on with, None for a new one."""
        oldest = min(frame.time - LOST, self._before)
        tracks = [t for t in self._tracks if t.seen >= oldest and (t.placed or t.number is None)]
        if not (tracks and faces):
            return [None] * len(faces)
        boxes = np.stack([face.box for face in faces])
        lost = [t for t in self._tracks if t.number is not None and t.seen < self._before]
        costs = _differences(tracks, lost, boxes, looks, np.array(clear), frame)
        _, columns, _ = lap.lapjv(costs, extend_cost=True, cost_limit=LIMIT)
        return [tracks[column] if column >= 0 else None for column in columns]

    def _name(self, new: Sequence[Track], time: float, *, fading: bool = False, over: bool = False) -> None:
        """Give new tracks the numbers of people who were lost and look alike, or else numbers of their own.

        Who was lost is waited for, unless the tracks are `over`; nobody is new in a picture that is `fading`.
        """
        lost = [track for track in self._tracks if track.number is not None and track.seen < time] if new else []
        late = [track for track in new if track.sure is not None and (over or not lost or track.waited(time))]
        if lost:
            told = [track for track in new if fading or track in late or (track.clear and track.sure is not None)]
            self._find(told, lost, fading=fading, over=over)
        for track in late if not fading else ():
            if track.number is None:
                self._count += 1
                track.number = self._count

    def _find(self, new: Sequence[Track], lost: Sequence[Track], *, fading: bool, over: bool) -> None:
        """Give new tracks the numbers of people who were lost and look alike."""
        if not new:
            return
        _, columns, _ = lap.lapjv(_strangeness(new, lost, fading=fading, over=over), extend_cost=True, cost_limit=LIMIT)
        for track, column in zip(new, columns, strict=True):
            if column >= 0:
                track.become(lost[column])
                self._tracks.remove(lost[column])


def _strangeness(new: Sequence[Track], lost: Sequence[Track], *, fading: bool, over: bool) -> NDArray[np.float64]:
    """How little each of n new tracks is each of m lost people's: (n, m), IMPOSSIBLE where it cannot be."""
    known = np.stack([person.look for person in lost]).T
    alike = np.stack([track.last for track in new]) @ known
    if not fading:
        alike = np.maximum(alike, np.stack([track.look for track in new]) @ known)
    unseen = np.array([[track.began - person.seen for person in lost] for track in new])
    away, size = _apart(np.stack([track.box for track in new]), np.stack([person.box for person in lost]))
    placed = np.array([person.placed and not fading for person in lost])
    back = (
        placed & (over | (unseen > LOST) & (unseen <= AWAY)) & (away <= REACH + REACH_A_SECOND * unseen) & (size <= 1)
    )
    whole = np.array([track.clear and not over for track in new])[:, None]
    enough = np.where(back, np.where(whole, RETURNED, HALF_SEEN), RETURNED if over else AGAIN)
    costs = 1 - alike + 0.1 * np.minimum(away, 1)
    return np.where((unseen < 0) | (alike < enough), IMPOSSIBLE, costs)


def _differences(
    tracks: Sequence[Track],
    lost: Sequence[Track],
    boxes: Floats,
    looks: Floats,
    clear: NDArray[np.bool_],
    frame: Frame,
) -> NDArray[np.float64]:
    """How little each of n faces goes on with each of m tracks: (n, m), in [0, LIMIT), IMPOSSIBLE where it cannot.

    The faces have the boxes (n, 4) and the thumbnails `looks` (n, SIDE * SIDE), which are `clear` (n,) or not.
    """
    unseen = np.array([frame.time - track.seen for track in tracks])
    alike = looks @ np.stack([track.look for track in tracks]).T
    if frame.fading:
        unlike = (alike < FADED) & np.array([track.clear for track in tracks])
    else:
        alike = np.maximum(alike, looks @ np.stack([track.last for track in tracks]).T)
        unlike = (alike < UNLIKE) & clear[:, None]
        if lost:
            other = (looks @ np.stack([person.look for person in lost]).T).max(1, keepdims=True)
            unlike |= clear[:, None] & (other >= AGAIN) & (alike < other - MORE)
    away, size = _apart(boxes, np.stack([track.expected(frame.time) for track in tracks]))
    reach, near = REACH + REACH_A_SECOND * unseen, NEAR + NEAR_A_SECOND * unseen
    moved = (away > np.where(alike < UNLIKE, near, reach)) | (size > 1)
    moved = np.where([track.placed for track in tracks], moved, alike < AGAIN)
    waited = np.minimum(unseen / LOST, 1)  # of two who may be here, the one seen last is
    costs = 0.5 * np.minimum(away / reach, 1) + 0.2 * np.minimum(size, 1) + 0.15 * (1 - alike) + 0.3 * waited
    return np.where(moved | unlike, IMPOSSIBLE, costs)


def _apart(boxes: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """How far boxes (n, 4) are from others (m, 4), in sides, and the logarithm of their sizes' ratio: (n, m) each."""
    sides, expected_sides = _sides(boxes)[:, None], _sides(expected)
    between = _centres(boxes)[:, None] - _centres(expected)
    away: Floats = np.hypot(between[..., 0], between[..., 1]) / np.maximum(sides, expected_sides)
    return away, np.abs(np.log(sides / expected_sides))


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
