"""Annotated video: H.264 that browsers play, with the source's sound, whole wherever the recording ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np

from mien.errors import OutputError
from mien.files import explained
from mien.see.face import Frame, Reading
from mien.see.picture import Image
from mien.sinks.draw import annotate
from mien.sinks.tables import check_growing, part_of, take_name

if TYPE_CHECKING:
    from av import AudioStream, VideoStream
    from av.container import InputContainer, OutputContainer

FORMATS = {".m4v": "mp4", ".mkv": "matroska", ".mov": "mov", ".mp4": "mp4"}
"""The endings of videos that can be written, each with the format's name in FFmpeg."""

ENCODERS = ("libx264", "libopenh264")
"""The encoders of H.264, the better one first; which of them there are is a matter of FFmpeg's build."""

CLOCK = Fraction(1, 90_000)
"""Seconds in which times are counted: the clock of broadcasting, a multiple of every usual frame rate."""

RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""The samples a second that AAC knows, up to those of films."""

KEYFRAMES = 60
"""At most so many frames until the next one that stands alone: a killed recording ends at the last of them."""

BT709 = 1  # the colours of HD, which browsers expect of a video that does not say


class Recording:
    """Writes frames with their faces drawn, each shown at its own time.

    The file is written in fragments beside its place, and each of them is playable by itself: whatever ends the
    recording, what is there is whole. All frames get the size of the first, made even; `sound` is the address of the
    file whose sound goes along, `timeout` the seconds that it may be silent. Raises OutputError.
    """

    def __init__(self, path: Path, sound: str | None = None, timeout: float | None = None) -> None:
        if path.suffix.lower() not in FORMATS:
            raise OutputError(f"cannot write {path}: use a name that ends in {', '.join(FORMATS)}")
        check_growing(path)
        self.path, self.part, self.sound_of, self.timeout = path, part_of(path), sound, timeout
        self._opened = ExitStack()
        self._container: OutputContainer | None = None
        self._stamp = -1  # of the last frame, by the clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is still held back; a recording without a frame leaves no file."""
        if self._container is None:
            return
        try:
            with explained(self.path), self._opened:
                self._container.mux(self._video.encode(None))
                if self._sound:
                    self._sound.finish(self._last)
        finally:
            self._container = None
            if self.part.exists():
                take_name(self.path)

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
        container = av.open(str(self.part), "w", format=kind, options=options)
        self._opened.enter_context(container)
        self._video = _add_video(container, width + width % 2, height + height % 2)
        self._sound = Sound(self.sound_of, container, self._opened, self.timeout) if self.sound_of else None
        self._container = container
        return container


class Sound:
    """The sound of a file, added to a recording up to the time that the pictures have reached.

    AAC is copied as it is, anything else encoded anew; a file without sound adds none. Sound that is damaged, or
    does not come within `timeout` seconds, is left out.
    """

    def __init__(
        self, address: str, container: OutputContainer, opened: ExitStack, timeout: float | None = None
    ) -> None:
        import av

        self.container = container
        self.packets: Iterator[Any] = iter(())
        self.source = self.next = None
        try:
            self.input: InputContainer = opened.enter_context(av.open(address, timeout=timeout))
        except av.FFmpegError:
            return
        self.source = next(iter(self.input.streams.audio), None)
        self.zero = _start_of_pictures(self.input)
        if self.source is not None and self.source.codec_context is not None:
            self.copied = self.source.codec_context.name == "aac" and bool(self.source.codec_context.extradata)
            self.stream = self._add_stream(self.source)
            self.packets = self._packets(self.source)
        self.next = next(self.packets, None)

    def reach(self, time: float) -> None:
        """Add what is heard until `time` in seconds."""
        while self.next is not None and self.next.pts * self.next.time_base <= time:
            self._add(self.next)
            self.next = next(self.packets, None)

    def finish(self, time: float) -> None:
        """Add what is still held back."""
        self.reach(time)
        if self.source is not None and not self.copied:
            self.container.mux(self.stream.encode(None))

    def _add_stream(self, source: AudioStream) -> AudioStream:
        if self.copied:
            return self.container.add_stream_from_template(source)
        stream = self.container.add_stream("aac", rate=source.rate if source.rate in RATES else 44_100)
        stream.layout = "stereo" if source.channels > 1 else "mono"
        return stream

    def _packets(self, source: AudioStream) -> Iterator[Any]:
        """Yield packets, or frames where they are encoded anew, with the beginning of the pictures as time 0."""
        import av

        last = -1  # what begins anew, as where two recordings were joined, is left out
        for packet in _until_silent(self.input.demux(source)):
            try:
                parts = [packet] if self.copied else packet.decode()
            except av.FFmpegError:
                continue
            for part in parts:
                if part.pts is None or part.time_base is None:
                    continue
                part.pts -= round(self.zero / part.time_base)
                if self.copied:
                    part.dts = part.pts
                if part.pts > last:
                    last = part.pts
                    yield part

    def _add(self, part: Any) -> None:
        if self.copied:
            part.stream = self.stream
            self.container.mux(part)
        else:
            self.container.mux(self.stream.encode(part))


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


def _until_silent(packets: Iterator[Any]) -> Iterator[Any]:
    """Yield packets to the end, or until none comes any more."""
    import av

    with suppress(av.FFmpegError):
        yield from packets


def _start_of_pictures(container: InputContainer) -> Fraction:
    """Return the time in seconds, on a file's own clock, of its first picture."""
    video = next(iter(container.streams.video), None)
    return Fraction(video.start_time or 0) * (video.time_base or 0) if video else Fraction(0)


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
