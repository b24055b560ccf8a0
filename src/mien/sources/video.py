"""Video files and URLs → frames, completely and in order; `open_source` opens these and what is live."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from contextlib import closing
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mien.errors import SourceError
from mien.see.face import Frame
from mien.see.picture import Image, Picture
from mien.sources.decode import MEGAPIXELS, decoded, open_container
from mien.sources.live import Live, camera, stream
from mien.sources.names import check_file, is_camera, is_sequence, is_url, local_path, without_password
from mien.sources.prefetch import LEAVE, Ask, cores, never, prefetch
from mien.sources.source import Clock, PendingFrame, Sampling, Source, SourceStats

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

ALWAYS_LIVE = ("rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
"""The protocols of cameras and broadcasts; behind HTTP may be either."""

PLAYLISTS = ("dash", "hls")
"""The formats whose file is a list of others, and has a size although the list goes on."""

AHEAD = 4
"""Frames that are decoded before they are asked for: as many more of a full HD video take 12 MB of memory."""

RATE = 25.0
"""Frames a second of a file that does not say."""


def open_source(
    source: str | os.PathLike[str] | int,
    *,
    every: int = 1,
    fps: float | None = None,
    timeout: float = 10.0,
    stop: Callable[[], bool] = never,
) -> Source:
    """Open a camera by number or path, a video file, or a URL: HTTP, RTSP and whatever else FFmpeg knows.

    `every` and `fps` choose which frames are taken; a stream that is silent for `timeout` seconds is lost; `stop` is
    asked while a file over a network is opened, and ends that by True. Raises SourceError for what cannot be opened: a
    camera and a stream when their first frame is asked for; ValueError where `every` or `fps` make no sense.
    """
    name = str(source) if isinstance(source, int) else os.fspath(source)
    sampling = Sampling(every, fps)
    if not name:
        raise SourceError("a source has no name: give a video, a URL or a camera")
    if isinstance(source, int) or is_camera(name):
        return Live(f"camera {name}", camera(name), sampling)
    if not is_url(name) or name.lower().startswith("file:"):
        path = local_path(name)
        if not is_sequence(str(path)):
            check_file(path, "give a video, or a camera")
        return VideoFile(f"file:{path}", str(path), sampling, stop=stop)
    shown = without_password(name)
    if urlsplit(name).scheme.lower() not in ALWAYS_LIVE:
        file = VideoFile(name, shown, sampling, timeout, stop=stop)
        if file.ends:
            return file
    return Live(shown, stream(name, shown, timeout), sampling)


class VideoFile:
    """A video file of this machine ("file:...") or behind a URL; raises SourceError when there is none.

    `ends` is false for what may be an endless stream. `stop` is asked while a file over a network is opened.
    """

    live = False
    megapixels: float = MEGAPIXELS  # of a frame, at most

    def __init__(
        self,
        address: str,
        name: str,
        sampling: Sampling | None = None,
        timeout: float | None = None,
        *,
        stop: Callable[[], bool] = never,
    ) -> None:
        self.address, self.name, self.timeout = address, name, timeout
        self.sound: str | None = address
        self.sampling = sampling or Sampling()
        self.stats = SourceStats()
        with closing(self._look(stop) if self._is_local() else prefetch(self._look, stop)) as looks:
            stopped = None, True, 1 / RATE
            self.duration, self.ends, self.step = next(looks, stopped)

    def __iter__(self) -> Generator[Frame]:
        return self.frames()

    def frames(self, stop: Callable[[], bool] = never) -> Generator[Frame]:
        """Yield the frames in order, which a thread decodes ahead where there is a core for it."""
        self.stats = SourceStats()
        if self._is_local() and cores() == 1:
            yield from self._frames(stop)
        else:
            yield from prefetch(self._frames, stop, depth=AHEAD, leave=None if self._is_local() else LEAVE)

    def notice(self) -> str:
        """Say nothing: a file is there or is not."""
        return ""

    def _is_local(self) -> bool:
        """Whether it is a file of this machine: what comes over a network may take any time."""
        return self.address.startswith(("file:", "memory:"))

    def _open(self) -> tuple[InputContainer, VideoStream]:
        return open_container(self.address, self.name, self.timeout)

    def _look(self, _: Ask) -> Generator[tuple[float | None, bool, float]]:
        """Yield the seconds it lasts, whether it ends, and the seconds of a frame."""
        container, video = self._open()
        with container:
            duration = _duration(container, video)
            ends = duration is not None or (container.size > 0 and container.format.name not in PLAYLISTS)
            yield duration, ends, 1 / float(video.average_rate or video.guessed_rate or RATE)

    def _frames(self, stop: Ask) -> Generator[Frame]:
        takes, clock = self.sampling.start(), Clock(self.step)
        container, video = self._open()
        with container:
            for pending in decoded(container, video, self.stats, megapixels=self.megapixels):
                if stop():
                    return
                index, time = self.stats.frames, clock(pending.stamp)
                self.stats.frames += 1
                if not takes(index, time):
                    continue
                if (image := self._image(pending)) is not None:
                    yield Frame(image, self.name, index, time)
        if not self.stats.frames:
            raise SourceError(f"{self.name} has no picture in it that can be decoded: get a whole copy of it")
        self.stats.missing = max(0.0, (self.duration or 0.0) - clock.time - self.step)

    def _image(self, pending: PendingFrame) -> Image | Picture | None:
        try:
            return pending.image()
        except SourceError:
            self.stats.corrupt += 1
            return None


class VideoBytes(VideoFile):
    """A video file that is in memory, whoever it comes from: nothing else is opened, whatever it names.

    One whose frames have more than so many `megapixels` is refused before it is decoded. Raises SourceError.
    """

    def __init__(self, data: bytes, name: str = "the video", *, megapixels: float = MEGAPIXELS) -> None:
        self.data, self.megapixels = data, megapixels
        super().__init__("memory:", name)
        self.sound = None

    def _open(self) -> tuple[InputContainer, VideoStream]:
        container, video = open_container(BytesIO(self.data), self.name, megapixels=self.megapixels)
        if video.width * video.height > self.megapixels * 1e6:
            container.close()
            raise SourceError(f"{self.name} has frames of more than {self.megapixels:g} megapixels: make it smaller")
        return container, video


def _duration(container: InputContainer, video: VideoStream) -> float | None:
    """Return how many seconds the pictures last by what the file says of them; without that what it says of itself.

    The sound may be longer. Matroska has no place for the length of a stream but a tag, which its usual writers fill.
    """
    if video.duration and video.duration > 0 and video.time_base:
        return float(video.duration * video.time_base)
    if tag := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", video.metadata.get("DURATION", "")):
        hours, minutes, seconds = map(float, tag.groups())
        return 3600 * hours + 60 * minutes + seconds
    return container.duration / 1e6 if container.duration and container.duration > 0 else None
