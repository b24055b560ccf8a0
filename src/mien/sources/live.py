"""Cameras and streams → the newest frame each time one is asked for; what is lost is connected again."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from time import monotonic

import numpy as np

from mien.errors import SourceError
from mien.see.face import Frame
from mien.see.picture import Image
from mien.sources.decode import decoded, open_container
from mien.sources.prefetch import POLL, never
from mien.sources.source import PendingFrame, Sampling, SourceStats

Connect = Callable[[SourceStats], Generator[PendingFrame]]
"""Connects and yields pictures as they come; ends where it is lost, raises SourceError where nothing is there."""

PAUSES = (0.5, 30.0)
"""Seconds between the first two attempts to reconnect, and at most; each pause is twice the one before."""

SILENT = 2.0
"""Seconds without a frame from which on a viewer is told."""


class Live:
    """A camera or a stream, read by a thread that keeps only its newest picture.

    So a frame is never older than the time that the one before it took; what was dropped is counted. Where a
    connection is lost the pauses between attempts grow; after `patience` seconds without a picture it is given up by
    SourceError.
    """

    live = True
    duration: float | None = None
    sound: str | None = None

    def __init__(
        self,
        name: str,
        connect: Connect,
        sampling: Sampling | None = None,
        *,
        patience: float = 120.0,
        pauses: tuple[float, float] = PAUSES,
    ) -> None:
        self.name, self.connect, self.sampling = name, connect, sampling or Sampling()
        self.patience, self.pauses = patience, pauses
        self.stats = SourceStats()
        self._newest = LatestFrame(self.stats)

    def notice(self) -> str:
        """Say for how long no frame has come, whether it was taken or not; empty while some come."""
        newest = self._newest
        silence = 0.0 if newest.seen is None else newest.now - newest.seen
        return f"no picture for {silence:.0f} s" if self.stats.lost or silence >= SILENT else ""

    def __iter__(self) -> Generator[Frame]:
        return self.frames()

    def frames(self, stop: Callable[[], bool] = never) -> Generator[Frame]:
        """Yield the newest frame each time one is asked for."""
        self.stats = SourceStats()
        newest = self._newest = LatestFrame(self.stats)
        thread = Thread(target=self._read, args=(newest,), name=f"mien {self.name}", daemon=True)
        thread.start()
        try:
            while (taken := newest.take(stop)) is not None:
                index, time, pending = taken
                try:
                    image = pending.image()
                except SourceError:
                    self.stats.corrupt += 1
                else:
                    yield Frame(image, self.name, index, time)
        finally:
            newest.close()
            thread.join(1)  # one that waits for a silent stream frees everything when FFmpeg's time limit is up
            if self.stats.lost:
                newest.note_gap()

    def _read(self, newest: LatestFrame) -> None:
        """Put every picture there, over all connections, until nobody takes them any more."""
        try:
            self._connections(newest)
        except BaseException as error:  # it is raised where the frames are taken, whatever it is
            newest.fail(error)

    def _connections(self, newest: LatestFrame) -> None:
        takes, pause, time = self.sampling.start(), self.pauses[0], 0.0  # seconds, of the last picture
        while not newest.closed:
            zero: float | None = None  # when the connection's own clock stood at 0
            try:
                with closing(self.connect(self.stats)) as connection:
                    for pending in connection:
                        now = newest.now
                        if newest.closed:
                            return
                        if zero is None:
                            zero = now - (pending.stamp or 0.0)
                            if self.stats.lost:
                                newest.note_gap()
                                self.stats.reconnects += 1
                            self.stats.lost = False
                        newest.seen, pause = now, self.pauses[0]
                        if pending.stamp is not None and zero + pending.stamp < time:  # the clock began anew
                            zero = now - pending.stamp
                        time = max(time, now if pending.stamp is None else zero + pending.stamp)
                        if takes(self.stats.frames, time):
                            newest.put((self.stats.frames, time, pending))
                        self.stats.frames += 1
            except SourceError:
                if newest.seen is None:
                    raise
            if newest.seen is None:
                raise SourceError(f"{self.name} gives no picture: is another program using it?")
            self.stats.lost = True
            if newest.now - newest.seen > self.patience:
                raise SourceError(f"{self.name} was lost and did not come back within {self.patience:g} seconds")
            newest.wait(pause)
            pause = min(2 * pause, self.pauses[1])


Taken = tuple[int, float, PendingFrame]  # the number of a picture, its time in seconds, and itself


class LatestFrame:
    """Room for one picture between two threads: a newer one drives out the one that nobody took."""

    def __init__(self, stats: SourceStats) -> None:
        self.stats = stats
        self.closed = False
        self.seen: float | None = None  # when the last picture came, in seconds since the beginning
        self._began = monotonic()
        self._picture: Taken | None = None
        self._error: BaseException | None = None
        self._change = Condition()

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return monotonic() - self._began

    def note_gap(self) -> None:
        """Note that the source was lost from the last picture until now."""
        if self.seen is not None:
            self.stats.gaps.append((round(self.seen, 3), round(self.now, 3)))

    def put(self, picture: Taken) -> None:
        """Leave a picture; the one that is still there is dropped and counted."""
        with self._change:
            self.stats.dropped += self._picture is not None
            self._picture = picture
            self._change.notify_all()

    def take(self, stop: Callable[[], bool]) -> Taken | None:
        """Wait for a picture; None once `stop` says so. Raises what the other thread failed with."""
        while not stop():
            with self._change:
                if self._picture is None and self._error is None:
                    self._change.wait(POLL)
                if self._picture is not None:
                    picture, self._picture = self._picture, None
                    return picture
                if self._error is not None:
                    raise self._error
        return None

    def fail(self, error: BaseException) -> None:
        """Leave an error for the one who waits."""
        with self._change:
            self._error = error
            self._change.notify_all()

    def close(self) -> None:
        """Take no more."""
        with self._change:
            self.closed = True
            self._change.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until it is closed, at most some seconds."""
        with self._change:
            self._change.wait_for(lambda: self.closed, seconds)


def stream(address: str, name: str, timeout: float) -> Connect:
    """Return what connects to a URL through FFmpeg; silence of `timeout` seconds ends the connection."""

    def connect(stats: SourceStats) -> Generator[PendingFrame]:
        container, video = open_container(address, name, timeout)
        with container:
            has_clock = container.format.name != "mpjpeg"  # pictures over HTTP: FFmpeg stamps them by a made-up rate
            for pending in decoded(container, video, stats, ahead=False):
                yield pending if has_clock else pending._replace(stamp=None)

    return connect


def camera(number: str) -> Connect:
    """Return what connects to a camera, by its number or path, through OpenCV and the system's own interface."""

    def connect(_: SourceStats) -> Generator[PendingFrame]:
        import cv2

        interfaces = {"win32": cv2.CAP_DSHOW, "darwin": cv2.CAP_AVFOUNDATION}
        interface = interfaces.get(sys.platform, cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY)
        _check_camera(number)
        with _opencv_quiet():
            capture = cv2.VideoCapture(int(number) if number.isdecimal() else number, interface)
        try:
            if not capture.isOpened():
                raise SourceError(f"camera {number} does not open: is another program using it? {_others(number)}")
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # or what it hands out first is old
            while (pending := capture.read())[0]:
                yield PendingFrame(None, partial(_rgb, np.asarray(pending[1], np.uint8)))
        finally:
            capture.release()

    return connect


def _rgb(image: Image) -> Image:
    """Return OpenCV's blue, green, red as red, green, blue."""
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _check_camera(number: str) -> None:
    """Raise SourceError when Linux knows of no such camera, or keeps it from this user."""
    device = Path(f"/dev/video{number}" if number.isdecimal() else number)
    if not sys.platform.startswith("linux"):
        return
    if not device.exists():
        raise SourceError(f"there is no camera {number}: connect one. {_others(number)}")
    with contextlib.suppress(PermissionError):
        device.open("rb").close()
        return
    raise SourceError(f"camera {number} may not be used: add yourself to the group video, or run as its owner")


def _others(number: str) -> str:
    """Name the cameras that there are besides, where the system lists them."""
    others = sorted(device.name.removeprefix("video") for device in Path("/dev").glob("video[0-9]*"))
    found = [other for other in others if other not in number]
    return f"Try camera {found[0]}" if found else "Or give a video file or a URL"


@contextlib.contextmanager
def _opencv_quiet() -> Iterator[None]:
    """Keep OpenCV from telling the terminal why a camera does not open."""
    import cv2

    log = getattr(cv2.utils, "logging", cv2)  # OpenCV 5 has moved these functions
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)
