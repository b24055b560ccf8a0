"""Video files and URLs → frames, completely and in order; `open_source` opens these and what is live."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from stat import S_ISCHR, S_ISREG
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from mien.errors import SourceError
from mien.see.face import Frame
from mien.see.picture import Image, Picture
from mien.sources.decode import decoded, open_container, reason
from mien.sources.live import Live, camera, stream
from mien.sources.prefetch import Ask, Item, interruptible
from mien.sources.source import Clock, PendingFrame, Sampling, Source, SourceStats

ENDINGS = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm"}
)
"""The files that are taken for videos where pictures are read too; here a file is opened whatever its ending."""

ALWAYS_LIVE = ("rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
"""The protocols of cameras and broadcasts; behind HTTP may be either."""

PLAYLISTS = ("dash", "hls")
"""The formats whose file is a list of others, and has a size although the list goes on."""

RATE = 25.0
"""Frames a second of a file that does not say."""


def open_source(
    source: str | os.PathLike[str] | int,
    *,
    every: int = 1,
    fps: float | None = None,
    timeout: float = 10.0,
    stop: Callable[[], bool] = lambda: False,
) -> Source:
    """Open a camera by number or path, a video file, or a URL: HTTP, RTSP and whatever else FFmpeg knows.

    `every` and `fps` choose which frames are taken; a stream that is silent for `timeout` seconds is lost; `stop` is
    asked while no frame comes, and ends the source by True. Raises SourceError for what cannot be opened: a
    camera and a stream when their first frame is asked for.
    """
    name = str(source) if isinstance(source, int) else path_of(os.fspath(source))
    sampling = Sampling(every, fps)
    if not name:
        raise SourceError("a source has no name: give a video, a URL or a camera")
    if isinstance(source, int) or _is_camera(name):
        return Live(f"camera {name}", camera(name), sampling, stop=stop)
    if not _is_url(name):
        _check_file(Path(name))
        return VideoFile(f"file:{name}", name, sampling, stop=stop)
    shown = without_password(name)
    if urlsplit(name).scheme.lower() not in ALWAYS_LIVE:
        file = VideoFile(name, shown, sampling, timeout, stop=stop)
        if file.ends:
            return file
    return Live(shown, stream(name, shown, timeout), sampling, stop=stop)


class VideoFile:
    """A video file of this machine ("file:...") or behind a URL; raises SourceError when there is none.

    Frames are handed out from the one behind `after` on: decoding those before is how it comes out the same. `ends` is
    false for what may be an endless stream.
    """

    live = False

    def __init__(
        self,
        address: str,
        name: str,
        sampling: Sampling | None = None,
        timeout: float | None = None,
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.address, self.name, self.timeout, self.stop = address, name, timeout, stop
        self.sampling = sampling or Sampling()
        self.stats = SourceStats()
        self.after = -1
        with closing(self._interruptible(self._look)) as looks:
            stopped = None, True, 1 / RATE
            self.duration, self.ends, self.step = next(looks, stopped)

    def __iter__(self) -> Generator[Frame]:
        self.stats = SourceStats()
        yield from self._interruptible(self._frames)

    def _interruptible(self, items: Callable[[Ask], Generator[Item]]) -> Generator[Item]:
        """Let a thread fetch what comes over a network, which may take any time."""
        return items(self.stop) if self.address.startswith("file:") else interruptible(items, self.stop)

    def _look(self, _: Ask) -> Generator[tuple[float | None, bool, float]]:
        """Yield the seconds it lasts, whether it ends, and the seconds of a frame."""
        container, video = open_container(self.address, self.name, self.timeout)
        with container:
            duration = container.duration / 1e6 if container.duration and container.duration > 0 else None
            ends = duration is not None or (container.size > 0 and container.format.name not in PLAYLISTS)
            yield duration, ends, 1 / float(video.average_rate or video.guessed_rate or RATE)

    def _frames(self, stop: Ask) -> Generator[Frame]:
        takes, clock = self.sampling.start(), Clock(self.step)
        container, video = open_container(self.address, self.name, self.timeout)
        with container:
            for pending in decoded(container, video, self.stats):
                if stop():
                    return
                index, time = self.stats.frames, clock(pending.stamp)
                self.stats.frames += 1
                if not takes(index, time) or index <= self.after:
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


def path_of(name: str) -> str:
    """Return the path of a "file://" URL; any other name is returned as it is."""
    return url2pathname(urlsplit(name).path) if name.lower().startswith("file://") else name


def without_password(url: str) -> str:
    """Return a URL as it may be shown and written down: who may look at a table need not know the camera's password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_video(name: str) -> bool:
    """Does a name look like a video's, and not like a picture's?"""
    return Path(name).suffix.lower() in ENDINGS or _is_url(name)


def _is_url(name: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name) is not None  # two letters or more: C:\ is a drive


def _is_camera(name: str) -> bool:
    """Is this the number of a camera, or its device? A file may have a number for its name."""
    if name.isdecimal():
        return not Path(name).is_file()
    try:
        return sys.platform.startswith("linux") and S_ISCHR(os.stat(name).st_mode)  # noqa: PTH116 - a name with NUL
    except (OSError, ValueError):
        return name.startswith("/dev/video")


def _check_file(path: Path) -> None:
    """Raise SourceError when there is no file to open, or one that would never end."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise SourceError(f"there is no file {path}: check its name") from None
    except (OSError, ValueError) as error:  # a NUL in the name, a name too long, a folder that may not be entered
        raise SourceError(f"{path} cannot be opened ({reason(error)}): check its name") from None
    if path.is_dir():
        raise SourceError(f"{path} is a folder: give a video in it")
    if not S_ISREG(stat.st_mode):
        raise SourceError(f"{path} is not a file: give a video or a camera")
    if stat.st_size == 0:
        raise SourceError(f"{path} is empty: get a whole copy of it")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path} may not be read: ask its owner for permission")
