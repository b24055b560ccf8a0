"""The order of the steps: faces are found, read and told apart in one frame after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
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
Detected = tuple[list[Frame], list[list[Face]]]
Ahead = Callable[[Generator[Detected]], Generator[Detected]]

STREAM_SIDE = 960  # pixels: the search of a larger frame would hold up the stream for longer than a frame
MEMORY = 10.0  # seconds for which a person may be out of sight and keep the number
BURST = 8  # frames that are read together where nobody waits for the first of them
BURST_PIXELS = 1 << 22  # that they have at most, for the sake of memory: two frames of full HD gain what eight do


def uncut(frame: Frame) -> Frame:
    """Return a frame as it is: pictures have nothing to do with one another."""
    return frame


def at_once(results: Iterable[Result]) -> Iterable[Result]:
    """Return results as they come."""
    return results


def in_turn(detected: Generator[Detected]) -> Generator[Detected]:
    """Return bursts as they come, each when it is asked for."""
    return detected


def untracked(_: Frame, readings: list[Reading]) -> list[Reading]:
    """Return readings as they are: pictures have no before and after."""
    return readings


@dataclass(frozen=True)
class Pipeline:
    """Reads a stream of frames; each step is a plain callable.

    `classify` is given the faces of several frames at once. The readings of a frame stand from left to right, by the
    centres of the faces. `ahead` may let a thread find the faces of the next burst meanwhile.
    """

    detect: Detect
    classify: Classify
    track: Track = untracked
    smooth: Track = untracked
    cut: Callable[[Frame], Frame] = uncut
    settle: Callable[[Iterable[Result]], Iterable[Result]] = at_once
    ahead: Ahead = in_turn

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
        detected = self._detected(frames, size)
        with closing(self.ahead(detected) if size > 1 else detected) as found:
            for burst, faces in found:
                for frame, readings in zip(burst, self.classify(burst, faces), strict=True):
                    yield frame, self.track(frame, readings)

    def _detected(self, frames: Iterable[Frame], size: int) -> Generator[Detected]:
        """Bursts of frames with the faces found in each."""
        with closing(bursts_of(map(self.cut, frames), size)) as bursts:
            for burst in bursts:
                yield burst, [self.detect(frame) for frame in burst]


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


def picture_pipeline(detector: Detector, classifier: Classifier, *, faces: bool = False) -> Pipeline:
    """Build the pipeline of pictures that have nothing to do with one another; with `faces` each is a face already."""
    from mien.see.search import searching, whole

    return Pipeline(whole if faces else searching(detector), classifier.read_frames)


def stream_pipeline(
    detector: Detector,
    classifier: Classifier,
    *,
    live: bool,
    memory: float = MEMORY,
    smooth: float | None = 0.25,
    ahead: Ahead = in_turn,
) -> Pipeline:
    """Build the pipeline of one stream, in which faces are followed and people keep their numbers.

    It remembers, so each stream needs one of its own; the networks may be shared. In a `live` stream every frame is
    given out at once. `memory` is how many seconds a person may be out of sight and keep the number; `smooth` is the
    time constant in seconds of what is shown (`Reading.shown`), None for none. `ahead` may let a thread find the faces
    of the next burst meanwhile.
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
        ahead=ahead,
    )


def _centre(reading: Reading) -> float:
    x1, _, x2, _ = reading.face.box
    return float(x1 + x2) / 2
