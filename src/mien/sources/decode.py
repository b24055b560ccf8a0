"""Videos decoded by FFmpeg, through PyAV: opened, read packet by packet, turned upright, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mien.errors import SourceError
from mien.see.picture import Image, Picture
from mien.sources.names import is_sequence, reason
from mien.sources.planes import Orientation, orientation, planes_of
from mien.sources.prefetch import cores
from mien.sources.source import PendingFrame, SourceStats

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Convert = Callable[["VideoFrame"], "VideoFrame"]

MEGAPIXELS = 67
"""Larger pictures are not decoded: 8192 × 8192, more than any camera's video; damaged files claim any size."""

THREADS = 4
"""At most, for decoding: FFmpeg works that many frames ahead while Python looks at the one that is done."""

PATIENCE = 8
"""Errors in a row after which the rest of a file is given up."""

OPTIONS = {
    "rtsp_flags": "prefer_tcp",  # over UDP lost packets are gray stripes
    "reconnect": "1",  # of HTTP, in the middle of a file
    "reconnect_delay_max": "2",  # seconds
}
"""How FFmpeg opens what is not a file of this machine; it ignores those that the protocol has not."""


CLOSED = {
    "format_whitelist": "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,mjpeg",
    "protocol_whitelist": "none",
}
"""How an open file is opened: as one of the formats that hold their frames in themselves.

Playlists and session descriptions name other files and addresses, which FFmpeg would open.
"""

GENERATE_STAMPS = 1
"""FFmpeg's AVFMT_FLAG_GENPTS, which PyAV always sets."""


def open_container(
    name: str | IO[bytes], shown: str, timeout: float | None = None, *, megapixels: float = MEGAPIXELS
) -> tuple[InputContainer, VideoStream]:
    """Open a file ("file:..."), a URL or an open file and find its video. Raises SourceError, which calls it `shown`.

    `timeout` is the time in seconds that opening, and later each packet, may take. Of an open file, which may come from
    anybody, no other file and no address that it names is opened, and no frame of more than so many `megapixels`.
    """
    import av

    began = monotonic()
    if not isinstance(name, str):
        options = {**CLOSED, "max_pixels": str(int(megapixels * 1e6))}
    else:
        options = {} if name.startswith("file:") else OPTIONS
    try:
        container = av.open(name, mode="r", timeout=timeout, options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        if timeout and monotonic() - began >= timeout:  # each protocol has its own words for an interruption
            late = f"{shown} does not answer within {timeout:g} seconds: check its address, and that it is running"
            raise SourceError(late) from None
        known = error if isinstance(name, str) else EOFError()  # an open file has no name that could be wrong
        raise SourceError(unopened(shown, known)) from None
    if container.format.name == "avi":  # has no times of display, and those that FFmpeg makes up ignore B-frames
        container.flags &= ~GENERATE_STAMPS
    try:
        return container, _video_of(container, shown)
    except BaseException:
        container.close()
        raise


def decoded(
    container: InputContainer,
    stream: VideoStream,
    stats: SourceStats,
    *,
    ahead: bool = True,
    megapixels: float = MEGAPIXELS,
) -> Iterator[PendingFrame]:
    """Decode a video: its pictures in the order in which they are shown, stamped in seconds from its beginning.

    What cannot be decoded is skipped and counted; what is damaged is counted alone. `ahead` lets FFmpeg begin frames
    before they are asked for, which holds each of them back for as many frames as there are threads. Raises SourceError
    when a stream falls silent.
    """
    import av

    context, zero = stream.codec_context, stream.start_time
    context.options = {"max_pixels": str(int(megapixels * 1e6))}
    threads = min(THREADS, max(1, cores() - 1)) if ahead else 1  # one core looks at what is decoded
    context.thread_type, context.thread_count = "AUTO" if threads > 1 else "NONE", threads
    convert, first, turn_of = converter(), True, turns()
    for packet in _packets(container, stream, stats):
        try:
            frames = context.decode(packet)
        except EOFError:  # nothing is left to flush
            return
        except (av.FFmpegError, ValueError):  # ValueError: a size or format that has no name
            stats.corrupt += 1
            continue
        for frame in frames:
            stamp = frame.dts if frame.pts is None else frame.pts  # pictures come out in order, so either grows
            if zero is None or (first and frame.pts is None):
                zero = stamp
            first = False
            seconds = None if stamp is None else float((stamp - (zero or 0)) * (stream.time_base or 0))
            stats.damaged += frame.is_corrupt
            yield PendingFrame(seconds, partial(picture, frame, convert, turn_of(frame)))


def converter() -> Convert:
    """Return a function that makes RGB bytes of frames; it keeps its tables, a third of the time."""
    from av.video.reformatter import VideoReformatter

    return partial(VideoReformatter().reformat, format="rgb24", threads=1)


def turns() -> Callable[[VideoFrame], Orientation | None]:
    """Return what says how the frames of a stream are to be turned, looking anew where their rotation changes.

    A frame whose side data were looked at is freed by the garbage collector only, long after it is dropped.
    """
    known: dict[int, Orientation | None] = {}

    def turn_of(frame: VideoFrame) -> Orientation | None:
        if frame.rotation not in known:
            known.clear()
            known[frame.rotation] = orientation(frame)
        return known[frame.rotation]

    return turn_of


def picture(frame: VideoFrame, convert: Convert, turn: Orientation | None = None) -> Image | Picture:
    """Return a frame's planes, or its RGB bytes where it is turned or of an unusual kind. Raises SourceError."""
    planes = planes_of(frame, partial(upright, frame, convert)) if turn is None else None
    return planes or upright(frame, convert, turn)


def upright(frame: VideoFrame, convert: Convert, turn: Orientation | None = None) -> Image:
    """Return the pixels as RGB bytes, (height, width, 3), turned as the camera was held. Raises SourceError."""
    image = pixels(frame, convert)
    return image if turn is None else np.ascontiguousarray(turned(image, turn))


def pixels(frame: VideoFrame, convert: Convert) -> Image:
    """Return the pixels as RGB bytes, (height, width, 3), as they are coded. Raises SourceError."""
    import av

    try:
        plane = convert(frame).planes[0]
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise SourceError(f"a picture cannot be decoded ({reason(error)})") from None
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)  # padded to whole vectors
    return lines[:, : plane.width * 3].reshape(plane.height, plane.width, 3)


def turned(image: Image, turn: Orientation) -> Image:
    """Return the pixels as a display matrix wants them shown: a view, transposed and mirrored."""
    a, b, c, d = turn
    if abs(b) > abs(a):
        image, across, down = image.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def unopened(shown: str, error: Exception) -> str:
    """Say why something did not open, and what to do."""
    import av

    if isinstance(error, (av.error.InvalidDataError, EOFError)):
        return f"{shown} is damaged, or not a video that can be read: get a whole copy of it, or try MP4"
    return f"{shown} cannot be opened ({reason(error)}): check its name"


def _video_of(container: InputContainer, shown: str) -> VideoStream:
    """Return the first stream of moving pictures that can be decoded."""
    import av

    if (container.format.name == "image2" and not is_sequence(shown)) or container.format.name.endswith("_pipe"):
        saved = "save it as a file and " if "://" in shown else ""
        raise SourceError(f"{shown} is a picture: {saved}read it as a picture")
    videos = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not videos or container.format.name == "tty":  # FFmpeg plays any text as a video of letters
        raise SourceError(f"{shown} has no video in it: give one with moving pictures")
    if videos[0].codec_context is None:
        raise SourceError(f"{shown} is in a format that cannot be decoded: convert it to H.264")
    assert isinstance(videos[0], av.video.stream.VideoStream)
    return videos[0]


def _is_cover(stream: Any) -> bool:
    """Is this the picture on a record's sleeve?"""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _packets(
    container: InputContainer, stream: VideoStream, stats: SourceStats
) -> Iterator[Packet[VideoStream] | None]:
    """Yield the packets of a stream, then None, at which the decoder gives out what it holds.

    Errors are skipped, and counted when packets follow; too many in a row are the end.
    """
    import av

    failures = 0
    while failures < PATIENCE:
        try:
            for packet in container.demux(stream):
                stats.corrupt += failures
                failures = 0
                if packet.size:  # an empty one would end the decoder: AVI marks repeated frames with those
                    yield packet
            break
        except av.error.ExitError:  # the time limit of ours
            silence = f"{container.read_timeout:g} seconds"
            raise SourceError(f"the stream was silent for {silence}: check that it is running") from None
        except (ConnectionError, TimeoutError) as error:
            raise SourceError(f"the stream broke off ({reason(error)})") from None
        except (av.FFmpegError, ValueError):
            failures += 1
    yield None
