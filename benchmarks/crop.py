"""How FER2013 frames its faces, and what a crop framed alike costs.

    mien data prepare SOURCE --out processed
    python benchmarks/crop.py processed --docs docs/crop.md

Every picture is enlarged four times and padded by its outermost pixels; the detector's surest face whose centre lies
in the picture's middle half is its face. The relation of frame to face comes from training pictures; the accuracy from
PublicTest pictures in which a face is found: straight into the network, and through detection and crop, upright and
turned; last, that of `mien read` on the pictures as they are. `--docs` puts the figures into the text block of that
file.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mien.data.fer2013 import PUBLIC
from mien.data.prepare import load
from mien.labels import SIDE
from mien.reader import Reader
from mien.see.classify import Classifier
from mien.see.crop import crop, crop_by_box
from mien.see.detect import Detector
from mien.see.face import Face
from mien.see.picture import Floats, Image

ENLARGED = 4
FRAME = SIDE * ENLARGED  # pixels of the enlarged picture's side
PAD = FRAME // 2  # all round
MIDDLE = PAD + FRAME / 2  # x and y of its centre then
ANGLES = (0, 15, 30)  # degrees, one half of the pictures to either side


class Seen(NamedTuple):
    """A picture as published, its label, the face found in it and its two crops; pictures and crops are (48, 48)."""

    straight: Image
    label: int
    face: Face
    upright: Image
    by_box: Image


def main() -> None:
    """Print the figures, or put them into a document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("processed", type=Path, help="the folder that `mien data prepare` wrote")
    parser.add_argument("--model", help="s, m, or an ONNX file (s)")
    parser.add_argument("--train", type=int, default=4000, help="training pictures to learn the frame from (4000)")
    parser.add_argument("--test", type=int, default=3589, help="PublicTest pictures to measure with (3589, all)")
    parser.add_argument("--docs", type=Path, help="a document whose text block is to hold the figures")
    options = parser.parse_args()
    cv2.setNumThreads(1)

    train, test = load(options.processed, "train"), load(options.processed, "test")
    if test.usage is None:
        parser.error("this form of FER2013 does not say which test pictures are PublicTest: prepare fer2013.csv")
    some = np.random.default_rng(0).permutation(len(train.labels))[: options.train]
    public = np.flatnonzero(test.usage == PUBLIC)[: options.test]
    detector, classifier = Detector(min_face=FRAME / 2.4), Classifier(options.model)
    lines = relation(look(detector, train.images[some], train.labels[some]), len(some))
    for angle in ANGLES:
        lines += accuracy(
            classifier, look(detector, test.images[public], test.labels[public], angle), len(public), angle
        )
    lines += as_read(Reader(options.model or "s"), test.images[public], test.labels[public])
    text = "\n".join(lines)
    print(text)
    if options.docs:
        document = options.docs.read_text(encoding="utf-8")
        block = f"```text\n{text}\n```"
        options.docs.write_text(re.sub(r"```text\n.*?```", block, document, flags=re.DOTALL), encoding="utf-8")


def look(detector: Detector, images: Image, labels: Image, angle: float = 0) -> list[Seen]:
    """The pictures in which a face is found, turned by the angle one way and the other in turn."""
    found = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        enlarged = padded(image, angle if number % 2 else -angle)
        central = [face for face in detector(enlarged) if np.abs(middle(face) - MIDDLE).max() < FRAME / 4]
        if central:
            face = central[0]  # the surest
            found.append(Seen(image, int(label), face, crop(enlarged, face), crop_by_box(enlarged, face)))
    return found


def padded(image: Image, angle: float) -> Image:
    """A picture of FER2013 enlarged and padded, as RGB."""
    enlarged = cv2.resize(image, (FRAME, FRAME), interpolation=cv2.INTER_CUBIC)
    enlarged = cv2.copyMakeBorder(enlarged, PAD, PAD, PAD, PAD, cv2.BORDER_REPLICATE)
    if angle:
        matrix = cv2.getRotationMatrix2D((MIDDLE, MIDDLE), angle, 1)
        enlarged = cv2.warpAffine(enlarged, matrix, enlarged.shape, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(enlarged, cv2.COLOR_GRAY2RGB), np.uint8)


def middle(face: Face) -> Floats:
    """The centre of a face's box."""
    return (face.box[:2] + face.box[2:]) / np.float32(2)


def relation(seen: list[Seen], tried: int) -> list[str]:
    """The relation of FER2013's frame to the face that is found in it."""
    boxes, points = np.stack([one.face.box for one in seen]), np.stack([one.face.landmarks for one in seen])
    sides, means = boxes[:, 2:] - boxes[:, :2], points.mean(1)
    spread = np.sqrt(((points - means[:, None]) ** 2).sum(2).mean(1))
    eyes = points[:, 1] - points[:, 0]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    rows = {
        "frame's side / longer side of the box": FRAME / sides.max(1),
        "box's centre right of the frame's, in sides of the frame": (centres[:, 0] - MIDDLE) / FRAME,
        "box's centre below the frame's": (centres[:, 1] - MIDDLE) / FRAME,
        "frame's side / distance of the eyes": FRAME / np.hypot(*eyes.T),
        "frame's side / spread of the landmarks": FRAME / spread,
        "landmarks' mean right of the frame's centre": (means[:, 0] - MIDDLE) / FRAME,
        "landmarks' mean below the frame's centre": (means[:, 1] - MIDDLE) / FRAME,
        "roll of the line between the eyes, degrees": np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0])),
    }
    head = f"{tried} training pictures, a face found in {len(seen) / tried:.1%}"
    lines = [f"{head:58}{'median':>8}  quartiles"]
    for name, values in rows.items():
        low, median, high = np.percentile(values, [25, 50, 75])
        lines.append(f"{name:58}{median:8.3f}  {low:.3f} {high:.3f}")
    return lines


def accuracy(classifier: Classifier, seen: list[Seen], tried: int, angle: float) -> list[str]:
    """How often the network is right on the pictures as they are and on their crops."""
    ways = {
        "straight, as published": [one.straight for one in seen],
        "cropped by the landmarks, upright": [one.upright for one in seen],
        "cropped by the box": [one.by_box for one in seen],
    }
    turn = f", turned by {angle}°" if angle else ""
    lines = ["", f"{tried} PublicTest pictures{turn}, a face found in {len(seen) / tried:.1%}; right of these"]
    for name, faces in ways.items():
        right = (classifier(np.stack(faces)).argmax(1) == [one.label for one in seen]).mean()
        lines.append(f"{name:58}{right:8.2%}")
    return lines


def as_read(reader: Reader, images: Image, labels: Image) -> list[str]:
    """How many of the pictures as they are, 48 pixels wide, `mien read` finds a face in, and how often it is right."""
    pictures = list(np.repeat(images[..., None], 3, 3))
    lines = ["", f"{len(labels)} PublicTest pictures as published, 48 pixels wide"]
    for name, faces in (("mien read", False), ("mien read --faces", True)):
        seen = [
            max(result, key=lambda one: one.face.confidence, default=None)
            for result in reader.read(pictures, faces=faces)
        ]
        found = np.array([reading is not None for reading in seen])
        right = np.array(
            [one is not None and one.scores.argmax() == label for one, label in zip(seen, labels, strict=True)]
        )
        lines.append(f"{name + ', a face found in':58}{found.mean():8.2%}")
        lines.append(f"{name + ', right of these':58}{right[found].mean():8.2%}")
    return lines


if __name__ == "__main__":
    main()
