"""The order of the steps: faces are found, read and told apart in one frame after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from mien.see.face import Face, Frame, Reading

Detect = Callable[[Frame], list[Face]]
Classify = Callable[[Frame, list[Face]], list[Reading]]
STREAM_SIDE = 960  # pixels: the search of a larger frame would hold up the stream for longer than a frame
Track = Callable[[Frame, list[Reading]], list[Reading]]


def untracked(_: Frame, readings: list[Reading]) -> list[Reading]:
    """Return readings as they are: pictures have no before and after."""
    return readings


@dataclass(frozen=True)
class Pipeline:
    """Reads a stream of frames; each step is a plain callable.

    The readings of a frame stand from left to right, by the centres of the faces.
    """

    detect: Detect
    classify: Classify
    track: Track = untracked

    def __call__(self, frames: Iterable[Frame]) -> Generator[tuple[Frame, list[Reading]]]:
        """Yield every frame with its readings as soon as it is read; holds no frame back."""
        for frame in frames:
            faces = self.detect(frame)
            readings = self.track(frame, self.classify(frame, faces))
            yield frame, sorted(readings, key=_centre)


def open_pipeline(
    model: str | Path | None = None, *, head: str | None = None, min_face: float = 20, stream: bool = False
) -> Pipeline:
    """Build the usual pipeline: MTCNN, then the emotion network on all faces of a frame at once.

    `model` is "s", "m" or an ONNX file, and `head` the one of its heads that is asked, as `Classifier` has them;
    `min_face` is the side in pixels of the smallest face looked for. In a `stream`, frames follow one another: faces
    are followed from frame to frame and people are told apart. Such a pipeline remembers, so each stream needs one of
    its own.
    Raises ModelError.
    """
    from mien.see.classify import Classifier  # loads ONNX Runtime, which a pipeline of plain functions goes without
    from mien.see.detect import Detector

    classifier = Classifier(model, head=head)

    def classify(frame: Frame, faces: list[Face]) -> list[Reading]:
        return classifier.read(frame.picture, faces)

    if not stream:
        search = Detector(min_face=min_face)
        return Pipeline(lambda frame: search(frame.image), classify)
    from mien.see.follow import Follower
    from mien.see.track import Tracker

    detector = Detector(min_face=min_face, longest_side=STREAM_SIDE)
    return Pipeline(Follower(detector), classify, Tracker())


def _centre(reading: Reading) -> float:
    x1, _, x2, _ = reading.face.box
    return float(x1 + x2) / 2
