"""Annotated video: H.264 that browsers play, with the source's sound, whole wherever the recording ends."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

from mien.errors import OutputError
from mien.files import WholeFile, explained
from mien.see.face import Frame, Reading
from mien.see.picture import Image
from mien.sinks.draw import annotate
from mien.sinks.sound import Sound

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import OutputContainer

FORMATS = {".m4v": "mp4", ".mkv": "matroska", ".mov": "mov", ".mp4": "mp4"}
"""The endings of videos that can be written, each with the format's name in FFmpeg."""

ENCODERS = ("libx264", "libopenh264")
"""The encoders of H.264, the better one first; which of them there are is a matter of FFmpeg's build."""

CLOCK = Fraction(1, 90_000)
"""Seconds in which times are counted: the clock of broadcasting, a multiple of every usual frame rate."""

KEYFRAMES = 60
"""At most so many frames until the next one that stands alone: a killed recording ends at the last of them."""

BT709 = 1  # the colours of HD, which browsers expect of a video that does not say


class Recording:
    """Writes frames with their faces drawn, each shown at its own time.

    The file is written in fragments beside its place, and each of them is playable by itself: whatever ends the
    recording, what is there is whole. All frames get the size of the first, made even; `sound` is the address of the
    file whose sound goes along, `timeout` the seconds that it may be silent. Raises OutputError; what is wrong with the
    sound is told by a SourceWarning, and the pictures go on.
    """

    def __init__(self, path: Path, sound: str | None = None, timeout: float | None = None) -> None:
        if path.suffix.lower() not in FORMATS:
            raise OutputError(f"cannot write {path}: use a name that ends in {', '.join(FORMATS)}")
        self.path, self.sound_of, self.timeout = path, sound, timeout
        self._file = WholeFile(path)
        self._opened = ExitStack()
        self._container: OutputContainer | None = None
        self._sound: Sound | None = None
        self._stamp = -1  # of the last frame, by the clock

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is still held back; a recording without a frame leaves no file."""
        container, self._container = self._container, None
        if container is None:
            self._file.discard()
            return
        try:
            with explained(self.path), self._opened:
                container.mux(self._video.encode(None))
                if self._sound:
                    self._sound.finish(self._last)
        finally:
            self._file.__exit__(None)

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Draw the faces of one frame and add it."""
        import av

        image = annotate(frame.image, readings) if readings else frame.image
        with explained(self.path):
            container = self._container or self._open(*image.shape[1::-1])
            picture = av.VideoFrame.from_ndarray(fitted(image, self._video.width, self._video.height), "rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=1, threads=1)
            stamp = max(round(frame.time / CLOCK), self._stamp + 1)
            picture.pts, picture.time_base, self._stamp, self._last = stamp, CLOCK, stamp, frame.time
            container.mux(self._video.encode(picture))
            if self._sound:
                self._sound.reach(frame.time)

    def _open(self, width: int, height: int) -> OutputContainer:
        """Begin the file with the size of the first frame."""
        import av

        kind = FORMATS[self.path.suffix.lower()]
        options = {"flush_packets": "1"}  # what is written is there, should the process be killed
        if kind != "matroska":
            options["movflags"] = "frag_keyframe+empty_moov+default_base_moof"
        container = av.open(str(self._file.part), "w", format=kind, options=options)
        self._opened.enter_context(container)
        self._video = _add_video(container, width + width % 2, height + height % 2)
        if self.sound_of:
            self._sound = Sound(self.sound_of, container, self._opened, self.timeout)
        self._container = container
        return container


def _add_video(container: OutputContainer, width: int, height: int) -> VideoStream:
    """Add the pictures to a file. Raises OutputError where FFmpeg was built without H.264."""
    import av

    encoder = next((name for name in ENCODERS if name in av.codecs_available), None)
    if encoder is None:
        raise OutputError("cannot write H.264: this FFmpeg has no encoder for it; pip install --force-reinstall av")
    options = {"preset": "veryfast", "crf": "23"} if encoder == "libx264" else {"b": "4M"}
    stream = container.add_stream(encoder, rate=30, options=options)
    assert isinstance(stream, av.VideoStream)
    context = stream.codec_context
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context.time_base, context.gop_size = CLOCK, KEYFRAMES
    context.max_b_frames = 0  # they would delay the pictures against the sound: fragments have no list to correct it
    context.colorspace = context.color_primaries = context.color_trc = context.color_range = BT709
    return stream


def fitted(image: Image, width: int, height: int) -> Image:
    """Return an image in another size: a missing line or column is repeated, all else scaled and put between bars."""
    high, wide = image.shape[:2]
    if (high, wide) == (height, width):
        return image
    if not (0 <= height - high <= 1 and 0 <= width - wide <= 1):
        scale = min(height / high, width / wide)
        high, wide = max(1, round(high * scale)), max(1, round(wide * scale))
        image = np.asarray(cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)
        top, left = (height - high) // 2, (width - wide) // 2
        bars = (top, height - high - top, left, width - wide - left)
        return np.asarray(cv2.copyMakeBorder(image, *bars, cv2.BORDER_CONSTANT, value=(0, 0, 0)), np.uint8)
    border = (0, height - high, 0, width - wide)
    return np.asarray(cv2.copyMakeBorder(image, *border, cv2.BORDER_REPLICATE), np.uint8)
