"""MTCNN: an image pyramid and three networks give the boxes and landmarks of the faces in a picture.

Zhang, Zhang, Li, Qiao 2016, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks",
IEEE SPL 23(10), arXiv:1604.02878; its constants and weights are those of the `mtcnn` package.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import cv2
import numpy as np

from mien.see.face import Face
from mien.see.picture import Floats, Image, Picture, check_rgb, halved, picture_of
from mien.see.stage import Candidates, Stage, faces_of, nms, patches_of, sigmoid, squares
from mien.see.weights import Device, open_session, read

CELL, STRIDE = 12, 2  # pixels: the proposal network scores cells of 12 x 12, one at every second pixel
FACTOR = 0.709  # scale from one level of the pyramid to the next: the square root of 1/2, as in the paper

# What one core works on at a time, so small that the layers' outputs stay in its cache:
TILE = 128  # pixels of a side of a level of the pyramid

THRESHOLDS = (0.6, 0.7, 0.7)  # scores from which on a candidate passes each of the three networks
SURE = 0.99  # confidence from which on nobody looks a second time
LEAST = ((36, 0.76), (math.inf, 0.54))  # confidence after the second look, under so many pixels; docs/crop.md measures
LOW = 0.2  # the quantile of the scores of a second look that is the confidence
STILL_THERE = 0.8  # confidence from which on a face that is followed is still one

BESIDE = ((0, 0, 1), (-0.1, 0, 1), (0.1, 0, 1), (0, -0.1, 1), (0, 0.1, 1), (0, 0, 0.85), (0, 0, 1.2))
VIEWS = np.array(BESIDE, np.float32)
"""Of a second look: how far the square lies to the right and below, in sides, and its side."""
DARK, LIT = 160, 200  # a face whose bright pixels are under `DARK` is looked at with these at `LIT`

CLOSE_UP = 0.95  # confidence of a face that fills the picture
CLOSE_UP_SIDE = 192  # pixels of the shorter side of a picture in which one is looked for
CLOSE_UP_RATIO = 3  # of its sides, at most: no face fills a stripe
CLOSE_UP_SIZES = (0.75, 0.9, 1.05, 1.2)  # of that side

LONGEST_SIDE = 1920  # pixels: a larger picture is shrunk before the search, unless asked otherwise
LARGEST_SIDE = 30_000  # OpenCV samples pictures of less than 2¹⁵ pixels a side


class Detector:
    """Finds the faces in a picture.

    `min_face` is the side of the smallest face to look for, in pixels; half of it takes four times as long. A picture
    whose longer side exceeds `longest_side` pixels is shrunk to that before the search, and `min_face` then counts
    pixels of the shrunk picture. `thresholds` are the scores, between 0 and 1, that a candidate must exceed at the
    proposal, refinement and output network. A face that the output network is not sure of is looked at once more, from
    seven places and sizes and in the mirror, and its confidence is a low one of those; faces under `min_confidence`, by
    default 0.76 for those under 36 pixels and 0.54 for larger ones, are left out. `threads` work on one network at a
    time.

    Raises ValueError where an option makes no sense, and ModelError where a model file or the device cannot be used.
    """

    def __init__(
        self,
        min_face: float = 20,
        thresholds: tuple[float, float, float] = THRESHOLDS,
        longest_side: int = LONGEST_SIDE,
        min_confidence: float | None = None,
        threads: int = 1,
        device: Device = "cpu",
    ):
        if not all(0 < threshold < 1 for threshold in thresholds):
            raise ValueError(f"thresholds are {thresholds}: each lies between 0 and 1")
        if min_confidence is not None and not 0 < min_confidence < 1:
            raise ValueError(f"min_confidence is {min_confidence}: it lies between 0 and 1")
        self.thresholds = (*thresholds[:2], min(thresholds[2], min_confidence or 1.0))
        self.min_confidence = min_confidence
        self._look_for(min_face, longest_side)
        self._pnet, rnet, onet = (
            open_session(read(f"{net}.onnx"), threads=threads, device=device) for net in ("pnet", "rnet", "onet")
        )
        self._rnet, self._onet = Stage(rnet), Stage(onet)

    def resized(self, min_face: float, longest_side: int) -> Detector:
        """A detector with the same networks that looks for other sizes. Raises ValueError."""
        other = copy.copy(self)
        other._look_for(min_face, longest_side)
        return other

    def _look_for(self, min_face: float, longest_side: int) -> None:
        if not CELL <= min_face < math.inf:
            raise ValueError(f"min_face is {min_face}: MTCNN finds no faces under {CELL} pixels")
        if not CELL <= longest_side <= LARGEST_SIDE:
            raise ValueError(f"longest_side is {longest_side}: it lies between {CELL} and {LARGEST_SIDE}")
        self.min_face, self.longest_side = min_face, longest_side

    def __call__(self, rgb: Image) -> list[Face]:
        """Find the faces in a picture, RGB bytes (height, width, 3), the highest confidence first."""
        image, scale = self.shrunk(rgb)
        picture, boxes = picture_of(image), squares(self._propose(image))
        refined = self._rnet(picture, boxes)
        refined = nms(refined.pick(refined.scores > self.thresholds[1]), 0.7)
        found = self._onet(picture, squares(refined.boxes))
        found = nms(found.pick(found.scores > self.thresholds[2]), 0.7, of_smaller=True)
        return list(faces_of(self._confirmed(picture, found), scale))

    def close_up(self, rgb: Image) -> list[Face]:
        """Find one face that fills a picture, or nearly, which the proposal network takes for no face."""
        check_rgb(rgb)
        if max(rgb.shape[:2]) > CLOSE_UP_RATIO * min(rgb.shape[:2]):
            return []
        scale = min(1.0, CLOSE_UP_SIDE / max(1, min(rgb.shape[:2])))
        image = _resize(rgb, round(rgb.shape[0] * scale), round(rgb.shape[1] * scale)) if scale < 1 else rgb
        found = self._onet(picture_of(image), _about_all_of(image))
        best = found.pick(found.scores.argsort()[-1:])
        sure = best.pick(best.scores >= max(CLOSE_UP, self.min_confidence or 0.0))
        return list(faces_of(sure, scale))

    def refine(self, rgb: Image | Picture, boxes: Floats) -> list[Face | None]:
        """Return the face at each of the boxes (n, 4), in pixels of the picture, or None where there is none.

        This runs the output network alone and takes half a millisecond a box, which makes it cheap to follow faces
        from frame to frame. A box that lies a tenth of its side beside the face takes two frames to fit.
        """
        if isinstance(rgb, np.ndarray):
            check_rgb(rgb)
        found = self._onet(picture_of(rgb), squares(np.asarray(boxes, np.float32).reshape(-1, 4)))
        sure = found.scores > STILL_THERE
        return [face if yes else None for face, yes in zip(faces_of(found, 1.0), sure, strict=True)]

    def scores_turned(self, rgb: Image, face: Face) -> list[float]:
        """The scores of a face as it is, and turned by 90, 180 and 270 degrees: where it stands it has the highest."""
        patch = patches_of(picture_of(rgb), squares(face.box[None]), self._onet.side)[0]
        turned = np.stack([np.rot90(patch, quarters) for quarters in range(4)])
        scores: list[float] = sigmoid(self._onet.run(turned)[:, 0]).tolist()
        return scores

    def _confirmed(self, picture: Picture, found: Candidates) -> Candidates:
        """Look a second time at what is not sure, and keep what stays likely, the highest confidence first.

        Bark, cloth and sand look like a face at one place and of one size; a face looks like one a little beside, too.
        """
        unsure = np.flatnonzero(found.scores < SURE)
        if len(unsure):
            scores = found.scores.copy()
            scores[unsure] = self._second_look(picture, found.pick(unsure))
            found = found._replace(scores=scores).pick(np.argsort(-scores, kind="stable"))
        if self.min_confidence is not None:
            return found.pick(found.scores >= self.min_confidence)
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(1, initial=0)
        least = [next(score for under, score in LEAST if side < under) for side in sides]
        return found.pick(found.scores >= np.array(least, np.float32))

    def _second_look(self, picture: Picture, found: Candidates) -> Floats:
        """A low score of each candidate over `VIEWS`, upright by its landmarks, mirrored and, if dark, lit: (n,)."""
        boxes, side = squares(found.boxes), self._onet.side
        eyes, mouth = (found.landmarks[:, at + 1] - found.landmarks[:, at] for at in (0, 3))
        roll = np.arctan2(*(eyes + mouth).T[::-1])[:, None, None]
        steps = np.arange(side, dtype=np.float32) / np.float32(side - 1) - np.float32(0.5)
        # (n, views, side * side): how far each point lies from the middle of the box, in sides, before it is turned
        right = np.tile(VIEWS[:, :1] + VIEWS[:, 2:] * np.tile(steps, side), (len(boxes), 1, 1))
        below = np.tile(VIEWS[:, 1:2] + VIEWS[:, 2:] * np.repeat(steps, side), (len(boxes), 1, 1))
        sides = (boxes[:, 2] - boxes[:, 0])[:, None, None]
        x, y = ((boxes[:, at] + boxes[:, at + 2])[:, None, None] / 2 for at in (0, 1))
        across = x + sides * (np.cos(roll) * right - np.sin(roll) * below)
        down = y + sides * (np.sin(roll) * right + np.cos(roll) * below)
        patches = picture.at(across.reshape(-1, side * side), down.reshape(-1, side * side)).reshape(len(boxes), -1)
        bright = np.percentile(patches, 99, axis=1).clip(20)
        gains = np.where(bright < DARK, LIT / bright, 1.0).astype(np.float32)[:, None]
        lit = (patches * gains).clip(0, 255).astype(np.uint8).reshape(-1, side, side, 3)
        logits = [
            self._onet.run(np.ascontiguousarray(each))[:, 0].reshape(len(boxes), -1) for each in (lit, lit[:, :, ::-1])
        ]
        scores: Floats = np.quantile(sigmoid(np.hstack(logits)), LOW, axis=1).astype(np.float32)
        return scores

    def shrunk(self, rgb: Image) -> tuple[Image, float]:
        """The picture with no side over `longest_side`, and its scale."""
        check_rgb(rgb)
        height, width = rgb.shape[:2]
        scale = self.longest_side / max(1, height, width)
        return (_resize(rgb, int(height * scale), int(width * scale)), scale) if scale < 1 else (rgb, 1.0)

    def _propose(self, image: Image) -> Floats:
        """Boxes (n, 4) that the proposal network takes for faces at some level of the pyramid."""
        levels = [nms(self._propose_at(level, scale), 0.5) for level, scale in _pyramid(image, self.min_face)]
        if not levels:
            return np.empty((0, 4), np.float32)
        return nms(Candidates(*map(np.concatenate, zip(*levels, strict=True))), 0.7).boxes

    def _propose_at(self, level: Image, scale: float) -> Candidates:
        """The cells of one level that may be faces, as boxes of the picture."""
        outputs, threshold = self.score_cells(level), self.thresholds[0]
        rows, columns = np.nonzero(outputs[0] > np.log(threshold / (1 - threshold)))
        logits, offsets = outputs[0, rows, columns], outputs[1:, rows, columns].T
        corners = np.stack([columns, rows], 1) * STRIDE
        # The network was trained on boxes that count pixels from 1 and include the last one: its cells are 1 to 12.
        boxes = (np.hstack([corners + 1, corners + CELL]) + offsets * (CELL - 1)) / scale
        return Candidates(sigmoid(logits), boxes.astype(np.float32), np.empty((len(boxes), 5, 2), np.float32))

    def score_cells(self, level: Image) -> Floats:
        """Run the proposal network on a level of the pyramid, tile by tile.

        Returns (5, rows, columns): for every cell the logit of its being a face, then the four offsets of the box.
        """
        rows, columns = ((side - CELL + 1) // STRIDE + 1 for side in level.shape[:2])
        outputs = np.empty((5, rows, columns), np.float32)
        step = (TILE - CELL) // STRIDE + 1  # cells a tile; neighbouring tiles share the pixels that their cells share
        for row in range(0, rows, step):
            for column in range(0, columns, step):
                y, x = row * STRIDE, column * STRIDE
                tile = level[None, y : y + TILE, x : x + TILE]
                outputs[:, row : row + step, column : column + step] = self._pnet.run(None, {"image": tile})[0][0]
        return outputs


def _about_all_of(image: Image) -> Floats:
    """Squares (n, 4) that hold nearly all of a picture, along its longer side beside one another."""
    height, width = image.shape[:2]
    side = min(height, width)
    xs, ys = (
        np.linspace(0.4 * side, length - 0.4 * side, 3 + round((length - side) / (0.2 * side)))
        for length in (width, height)
    )
    middles = np.array([(x, y) for x in xs for y in ys], np.float32)
    halves = np.array(CLOSE_UP_SIZES, np.float32)[:, None, None] * side / 2
    squares: Floats = np.concatenate([middles - halves, middles + halves], 2).reshape(-1, 4)
    return squares


def _pyramid(image: Image, min_face: float) -> Iterator[tuple[Image, float]]:
    """Every level of the image pyramid with its scale; the first is the one where `min_face` pixels fill a cell."""
    height, width = image.shape[:2]
    scale = CELL / min_face
    while min(height, width) * scale >= CELL:
        # Halving is several times as fast as other ratios, and exact but for rounding.
        while image.shape[0] >= 3 * scale * height and not any(side % 2 for side in image.shape[:2]):
            image = halved(image)
        yield _resize(image, int(height * scale), int(width * scale)), scale
        scale *= FACTOR


def _resize(image: Image, height: int, width: int) -> Image:
    """The picture at another size, anti-aliased."""
    return cv2.resize(image, (max(1, width), max(1, height)), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
