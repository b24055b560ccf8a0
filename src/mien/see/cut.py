"""Where a stream shows something else: cuts, and fades from one picture into another."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from mien.see.face import Frame
from mien.see.picture import Image, Picture

WIDTH, HEIGHT = 32, 24  # pixels of the thumbnail that stands for a frame
CHANGED = 3.0  # levels of gray by which thumbnails differ on average, at least, where anything happened
CUT = 0.08  # how far a frame lies outside of what the frame before had nearby, on average, in standard deviations
FADED = 0.02  # the same of the beginning and the end of a part of a fade
STEADY = 0.9  # correlation of how the first and the second half of it change the picture
PARTS = (0.27, 0.53)  # seconds of the parts of a fade: short fades change much in them, long ones enough
EVERY = 0.1  # seconds after which a fade is looked for again
NEARBY = np.ones((3, 3), np.uint8)  # how far things move from frame to frame, in pixels of the thumbnail
DEVIATION = 40  # levels of gray that stand for a standard deviation


class Cuts:
    """Says of each frame which shot it belongs to, and whether it is part of a fade.

    After a cut a frame shows much that the frame before had nowhere near, whatever the light: pans, zooms and flashes
    show less. In a fade each pixel goes straight from one picture to the other, so the second half of any part of it
    changes the picture as the first half did; things that move do not. Both are seen in thumbnails of brightness.
    """

    def __init__(self) -> None:
        self._past: deque[tuple[float, Image]] = deque()  # times and thumbnails
        self._shot = 0
        self._fading = False
        self._looked = 0.0  # the time of the frame at which a fade was looked for

    def __call__(self, frame: Frame) -> Frame:
        """The next frame, with `shot` and `fading`."""
        time, small = frame.time, _thumbnail(frame.picture)
        past = self._past
        if past and not 0 <= time - past[-1][0] < PARTS[-1]:  # a gap is no cut, and too long for a fade
            past.clear()
        if past and _change(past[-1][1], small) > CUT:
            past.clear()
            self._shot += 1
        if not past:
            self._fading, self._looked = False, time
        elif not 0 <= time - self._looked < EVERY:
            self._fading, self._looked = any(self._fades(time, small, seconds) for seconds in PARTS), time
        past.append((time, small))
        while time - past[0][0] > PARTS[-1] + EVERY:
            past.popleft()
        return Frame(frame.picture, frame.name, frame.index, time, self._shot, self._fading)

    def _fades(self, time: float, small: Image, seconds: float) -> bool:
        """Are the last so many seconds part of a fade?"""
        start, middle = (min(self._past, key=lambda past: abs(time - ago - past[0])) for ago in (seconds, seconds / 2))
        if not (time - start[0] > 0.8 * seconds and start[0] < middle[0]) or _change(start[1], small) <= FADED:
            return False
        first, second = (cv2.subtract(b, a, dtype=cv2.CV_32F) for a, b in ((start[1], middle[1]), (middle[1], small)))
        together = float(np.vdot(first, second))
        return together > STEADY * float(np.sqrt(np.vdot(first, first) * np.vdot(second, second)))


def _thumbnail(picture: Picture) -> Image:
    """The brightness of a frame, small: gray bytes (24, 32)."""
    height, width = picture.size
    rows, columns = (slice(step // 2, None, step) for step in (max(1, height // 48), max(1, width // 64)))
    return np.asarray(
        cv2.resize(picture.gray((rows, columns)), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8
    )


def _change(before: Image, after: Image) -> float:
    """How far one thumbnail lies outside of what the other has nearby, whatever the light, in standard deviations."""
    if cv2.norm(before, after, cv2.NORM_L1) < CHANGED * before.size:
        return 0.0
    a, b = _normal(before), _normal(after)
    return min(_outside(a, b), _outside(b, a))


def _outside(a: Image, b: Image) -> float:
    above, below = cv2.subtract(b, cv2.dilate(a, NEARBY)), cv2.subtract(cv2.erode(a, NEARBY), b)
    return (cv2.sumElems(above)[0] + cv2.sumElems(below)[0]) / a.size / DEVIATION


def _normal(small: Image) -> Image:
    """In the same light as any other thumbnail: bytes of mean 128 and the same deviation, or of less if it is dim."""
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(small))
    gain = DEVIATION / max(deviation, 8)
    return cv2.convertScaleAbs(small, alpha=gain, beta=128 - mean * gain)  # type: ignore[return-value]
