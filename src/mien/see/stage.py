"""What may be faces: candidates, their overlap, and the networks that score and correct them in a picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from mien.see.face import Face
from mien.see.picture import Floats, Image, Picture

# What one core works on at a time, so small that the layers' outputs stay in its cache:
BATCH = 8  # patches
ROWS = 64  # candidates, compared with all others in one step


class Candidates(NamedTuple):
    """Boxes that may be faces: `scores` (n,) in [0, 1], `boxes` (n, 4), `landmarks` (n, 5, 2), all float32.

    Boxes and landmarks are in pixels of the picture. Only the output network gives landmarks.
    """

    scores: Floats
    boxes: Floats
    landmarks: Floats

    def pick(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
        """Keep those that a mask or an index chooses."""
        return Candidates(self.scores[which], self.boxes[which], self.landmarks[which])


class Stage:
    """One of the two later networks: it scores and corrects the boxes that the network before it proposes."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self.session = session
        self.side: int = session.get_inputs()[0].shape[1]  # pixels of a patch
        self.outputs: int = session.get_outputs()[0].shape[1]  # a logit, four offsets, perhaps ten for the landmarks

    def __call__(self, picture: Picture, boxes: Floats) -> Candidates:
        """Score square boxes (n, 4) and correct them."""
        outputs = self.run(patches_of(picture, boxes, self.side))
        corners = boxes.reshape(-1, 2, 2)
        sizes = corners[:, 1:] - corners[:, :1] + 1  # the last pixel belongs to the box
        better = boxes + (outputs[:, 1:5].reshape(-1, 2, 2) * sizes).reshape(-1, 4)
        points = outputs[:, 5:].reshape(len(boxes), 2, (self.outputs - 5) // 2).transpose(0, 2, 1)  # all x, then all y
        return Candidates(sigmoid(outputs[:, 0]), better, points * sizes + corners[:, :1] - 1)

    def run(self, patches: Image) -> Floats:
        """Return what the network says of patches (n, side, side, 3): (n, outputs)."""
        outputs = np.empty((len(patches), self.outputs), np.float32)
        for start in range(0, len(patches), BATCH):
            outputs[start : start + BATCH] = self.session.run(None, {"image": patches[start : start + BATCH]})[0]
        return outputs


def nms(candidates: Candidates, limit: float, of_smaller: bool = False) -> Candidates:
    """Non-maximum suppression: drop what overlaps a candidate of a higher score by more than `limit`.

    The overlap is intersection over union or, `of_smaller`, intersection over the smaller of the two areas. A dropped
    candidate still drops others, as in the `mtcnn` package. The rest is returned with the highest score first.
    """
    candidates = candidates.pick(np.argsort(-candidates.scores, kind="stable"))
    order = np.argsort(candidates.boxes[:, 1])  # from top to bottom, so that what may overlap is close together
    x1, y1, x2, y2 = np.ascontiguousarray(candidates.boxes[order].T)
    # shared / (a + b - shared) > limit is shared > limit / (1 + limit) * (a + b): one matrix less.
    bounds = (x2 - x1) * (y2 - y1) * (limit if of_smaller else limit / (1 + limit))
    bound = np.minimum if of_smaller else np.add
    tallest = (y2 - y1).max(initial=0)
    keep = np.ones(len(order), bool)
    for start in range(0, len(order), ROWS):
        these = slice(start, start + ROWS)
        near = slice(*np.searchsorted(y1, (y1[start] - tallest, y2[these].max())))
        widths = np.minimum(x2[these, None], x2[near]) - np.maximum(x1[these, None], x1[near])
        heights = np.minimum(y2[these, None], y2[near]) - np.maximum(y1[these, None], y1[near])
        shared = np.maximum(widths, 0) * np.maximum(heights, 0)
        higher = order[near] < order[these, None]
        keep[order[these]] = ~(higher & (shared > bound(bounds[these, None], bounds[near]))).any(1)
    return candidates.pick(keep)


def squares(boxes: Floats) -> Floats:
    """The boxes as squares of their longer side, about the same centre."""
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True, initial=0)
    return np.hstack([centres - sides / 2, centres + sides / 2])


def patches_of(picture: Picture, boxes: Floats, side: int) -> Image:
    """The picture in each box, sampled at side x side points: (n, side, side, 3). Beyond the picture it is gray."""
    if not len(boxes):
        return np.empty((0, side, side, 3), np.uint8)
    last = np.array(picture.size[::-1], np.float32) - 1
    corners, sizes = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    steps = np.arange(side, dtype=np.float32)[:, None] / np.float32(side - 1)
    # (n, side, 2); the reference's points, TensorFlow's crop_and_resize, span the picture less a pixel.
    points = (corners[:, None] + sizes[:, None] * steps) * (last / (last + 1))
    across, down = np.empty((2, len(boxes), side, side), np.float32)
    across[:], down[:] = points[:, None, :, 0], points[:, :, None, 1]
    sampled = picture.at(across.reshape(len(boxes), -1), down.reshape(len(boxes), -1))
    return sampled.reshape(-1, side, side, 3)


def sigmoid(logits: Floats) -> Floats:
    """Logits as scores in [0, 1]."""
    return np.float32(0.5) * (1 + np.tanh(logits / 2))  # exp would overflow where the network is very sure


def faces_of(found: Candidates, scale: float) -> Iterator[Face]:
    """Candidates of a picture that was shrunk by `scale`, as faces in pixels of the picture."""
    for score, box, landmarks in zip(found.scores, found.boxes / scale, found.landmarks / scale, strict=True):
        yield Face(box, float(score), landmarks)
