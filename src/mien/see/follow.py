"""Faces in a stream of frames: searched for twice a second, and in between looked for where they were."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from mien.see.detect import Detector
from mien.see.face import Face, Frame, iou
from mien.see.picture import Floats, Image

MARGIN = 1.0  # face sides around a lost face in which it is searched for
ROUNDING = 1e-6  # seconds, by which the clock of the frames may differ from itself
SOON = 0.1  # seconds from one search to the next while a picture fades into another, or just after all faces were lost
SAME = 0.5  # overlap from which on two boxes are one face


class Follower:
    """Finds the faces of one frame after the other, at a small part of the cost of searching each.

    Every `search_every` seconds, on the clock of the frames, the detector searches the whole frame. In between its last
    network, without the image pyramid, refines the boxes of the frame before and says whether the face is still there;
    one that is not is searched for around its place, and when nobody is left the whole frame is searched, so that a cut
    is not missed.
    """

    def __init__(self, detector: Detector, search_every: float = 0.5) -> None:
        self.detector, self.search_every = detector, search_every
        self._faces: list[Face] = []
        self._shot = 0
        self._known = -math.inf  # the time of the last frame before which a face was known
        self._searched: float | None = None  # the time of the frame that was searched last

    def __call__(self, frame: Frame) -> list[Face]:
        """The faces of the next frame."""
        known, self._faces = self._faces, []
        if known:
            self._known = frame.time
        soon = not known and 0 <= frame.time - self._known < self.search_every
        every = min(SOON, self.search_every) if frame.fading or soon else self.search_every
        cut, self._shot = frame.shot != self._shot, frame.shot
        due = cut or self._searched is None or not 0 <= frame.time - self._searched < every - ROUNDING
        if not due:
            self._faces = _distinct(self._follow(frame, known))
        if due or (known and not self._faces):
            self._faces, self._searched = self.detector(frame.image), frame.time
        if cut and not self._faces and known:  # a flash looks like a cut, and faces in it are not found anew
            self._faces = _distinct(self._refined(frame, known))
        return self._faces

    def _refined(self, frame: Frame, known: list[Face]) -> Iterator[Face]:
        boxes = np.stack([face.box for face in known])
        return (face for face in self.detector.refine(frame.picture, boxes) if face is not None)

    def _follow(self, frame: Frame, known: list[Face]) -> Iterator[Face]:
        if not known:
            return
        boxes = np.stack([face.box for face in known])
        for box, face in zip(boxes, self.detector.refine(frame.picture, boxes), strict=True):
            if face is not None:
                yield face
            else:
                yield from self._search_around(frame.image, box)

    def _search_around(self, rgb: Image, box: Floats) -> list[Face]:
        """The faces near a box and of about its size: in the shrunk region smaller ones are too small to be found."""
        side = float((box[2:] - box[:2]).max())
        reach = np.tile([-MARGIN * side, MARGIN * side], (2, 1)).T.ravel()
        x1, y1, x2, y2 = np.rint(box + reach).astype(int).clip(0, np.tile(rgb.shape[1::-1], 2)).tolist()
        region = rgb[y1:y2, x1:x2]
        if not region.size:
            return []
        scale = min(1.0, 1.5 * self.detector.min_face / side)
        size = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
        small = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
        scales, corner = np.array(region.shape[1::-1]) / size, np.array((x1, y1))
        return [_moved(face, scales, corner) for face in self.detector(small.astype(np.uint8, copy=False))]


def _moved(face: Face, scales: np.ndarray, corner: np.ndarray) -> Face:
    """A face of a shrunk region in pixels of the frame."""
    box = face.box * np.tile(scales, 2) + np.tile(corner, 2)
    return Face(box.astype(np.float32), face.confidence, (face.landmarks * scales + corner).astype(np.float32))


def _distinct(faces: Iterator[Face]) -> list[Face]:
    """Without those that overlap a surer one: two boxes that were followed may have come upon one face."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        if not kept or iou(face.box[None], np.stack([other.box for other in kept])).max() < SAME:
            kept.append(face)
    return kept
