"""The order of the steps: faces are found, read and told apart in one frame after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import MienError
from mien.see.face import Face, Frame, Reading

if TYPE_CHECKING:
    from mien.see.classify import Classifier
    from mien.see.detect import Detector

Detect = Callable[[Frame], list[Face]]
Classify = Callable[[Sequence[Frame], Sequence[list[Face]]], list[list[Reading]]]
Track = Callable[[Frame, list[Reading]], list[Reading]]
Result = tuple[Frame, list[Reading]]

STREAM_SIDE = 960  # pixels: the search of a larger frame would hold up the stream for longer than a frame
BURST = 8  # frames that are read together where nobody waits for the first of them
BURST_PIXELS = 1 << 22  # that they have at most, for the sake of memory: two frames of full HD gain what eight do


def uncut(frame: Frame) -> Frame:
    """Return a frame as it is: pictures have nothing to do with one another."""
    return frame


def at_once(results: Iterable[Result]) -> Iterable[Result]:
    """Return results as they come."""
    return results


def untracked(_: Frame, readings: list[Reading]) -> list[Reading]:
    """Return readings as they are: pictures have no before and after."""
    return readings


@dataclass(frozen=True)
class Pipeline:
    """Reads a stream of frames; each step is a plain callable.

    `classify` is given the faces of several frames at once. The readings of a frame stand from left to right, by the
    centres of the faces.
    """

    detect: Detect
    classify: Classify
    track: Track = untracked
    smooth: Track = untracked
    cut: Callable[[Frame], Frame] = uncut
    settle: Callable[[Iterable[Result]], Iterable[Result]] = at_once

    def __call__(self, frames: Iterable[Frame], burst: int = 1) -> Generator[tuple[Frame, list[Reading]]]:
        """Yield every frame with its readings, `burst` frames at a time: by default each as soon as it is there.

        To take one step with several frames and then the next takes a fifth less time: a step that follows itself
        finds its code and weights in the core's cache.
        """
        with closing(self.bursts(frames, burst)) as bursts:
            for results in bursts:
                yield from results

    def bursts(self, frames: Iterable[Frame], size: int) -> Generator[list[tuple[Frame, list[Reading]]]]:
        """Yield up to `size` frames with their readings."""
        held: list[Result] = []
        try:
            for frame, readings in self.settle(self._read(frames, size)):
                held.append((frame, sorted(self.smooth(frame, readings), key=_centre)))
                if len(held) == size:
                    yield held
                    held = []
        except Exception:
            if held:
                yield held
            raise
        if held:
            yield held

    @property
    def unconfirmed(self) -> int:
        """How many faces were nobody's so far: never one that is sure. In a live stream they may turn out to be."""
        return getattr(self.settle, "unconfirmed", 0)

    def _read(self, frames: Iterable[Frame], size: int) -> Generator[Result]:
        """Every frame with its readings, `size` frames read together."""
        with closing(bursts_of(map(self.cut, frames), size)) as bursts:
            for burst in bursts:
                faces = [self.detect(frame) for frame in burst]
                for frame, readings in zip(burst, self.classify(burst, faces), strict=True):
                    yield frame, self.track(frame, readings)


def bursts_of(frames: Iterable[Frame], size: int) -> Generator[list[Frame]]:
    """The frames, `size` at a time or as many as fit in memory; those before an error come before it as well."""
    held: list[Frame] = []
    try:
        for frame in frames:
            held.append(frame)
            height, width = frame.picture.size
            if len(held) >= min(size, max(1, BURST_PIXELS // (height * width))):
                yield held
                held = []
    except MienError:
        if held:
            yield held
        raise
    if held:
        yield held


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
    if not stream:
        return picture_pipeline(Detector(min_face=min_face), classifier)
    detector = Detector(min_face=min_face, longest_side=STREAM_SIDE)
    return stream_pipeline(detector, classifier, live=False, smooth=None)


def picture_pipeline(detector: Detector, classifier: Classifier) -> Pipeline:
    """Build the pipeline of pictures that have nothing to do with one another."""
    return Pipeline(lambda frame: detector(frame.image), classifier.read_frames)


def stream_pipeline(
    detector: Detector,
    classifier: Classifier,
    *,
    live: bool,
    memory: float = 10.0,
    smooth: float | None = 0.25,
) -> Pipeline:
    """Build the pipeline of one stream, in which faces are followed and people keep their numbers.

    It remembers, so each stream needs one of its own; the networks may be shared. In a `live` stream every frame is
    given out at once. `memory` is how many seconds a person may be out of sight and keep the number; `smooth` is the
    time constant in seconds of what is shown (`Reading.shown`), None for none.
    """
    from mien.see.cut import Cuts
    from mien.see.follow import Follower
    from mien.see.settle import AtOnce, Settled
    from mien.see.smooth import Smoother
    from mien.see.track import Tracker

    tracker = Tracker(memory=memory)
    return Pipeline(
        Follower(detector),
        classifier.read_frames,
        smooth=untracked if smooth is None else Smoother(smooth),
        cut=Cuts(),
        settle=(AtOnce if live else Settled)(tracker),
    )


def _centre(reading: Reading) -> float:
    x1, _, x2, _ = reading.face.box
    return float(x1 + x2) / 2
