"""What every source is: the protocol, which frames are taken, their time, what happened on the way."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mien.see.face import Frame
from mien.see.picture import Image, Picture


class PendingFrame(NamedTuple):
    """A frame whose pixels are not made yet: of a live source most are dropped before anybody looks at them."""

    stamp: float | None  # seconds on the clock of the container or the camera; None where that has none
    image: Callable[[], Image | Picture]  # raises SourceError where the pixels cannot be made


@dataclass
class SourceStats:
    """What happened to a source while it was read."""

    frames: int = 0  # decoded, whether they were handed out or not
    dropped: int = 0  # of a live source: a newer frame came before anybody had asked for them
    corrupt: int = 0  # packets and frames that could not be decoded and were skipped
    damaged: int = 0  # frames with a part that the decoder had to make up; they are handed out
    reconnects: int = 0
    lost: bool = False  # whether a live source has no connection now, after it had one
    gaps: list[tuple[float, float]] = field(default_factory=list)  # from when to when a live source was lost, seconds
    missing: float = 0.0  # seconds that a file is shorter than it says: its end was cut off


class Source(Protocol):
    """Where frames come from. Each walk through it opens it anew; closing the walk frees all that it holds."""

    name: str
    live: bool  # frames come when they happen, and those that nobody takes are lost
    duration: float | None  # seconds, where it is known beforehand
    sound: str | None  # the address of the file that the sound of the frames is in
    stats: SourceStats  # of the walk under way, or the last one

    def frames(self, stop: Callable[[], bool]) -> Generator[Frame]:
        """Yield the frames; `stop` is asked while one is waited for, and ends the walk by True. Raises SourceError."""

    def __iter__(self) -> Generator[Frame]:
        """Yield the frames to the end. Raises SourceError."""

    def notice(self) -> str:
        """Say what a viewer should know of the connection now; empty where all is well."""


@dataclass(frozen=True)
class Sampling:
    """Which frames are taken: every one, every N-th, or so many a second, whichever of the two leaves fewer."""

    every: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}: take every 1st, 2nd, 3rd ... frame")
        if self.fps is not None and not self.fps > 0:
            raise ValueError(f"fps is {self.fps}: take more than 0 frames a second")

    def start(self) -> Callable[[int, float], bool]:
        """Return a function that says of each frame in turn, by index and time in seconds, whether it is taken."""
        due = 0  # the tick of the `fps` from which on a frame is taken

        def takes(index: int, time: float) -> bool:
            nonlocal due
            if index % self.every:
                return False
            if self.fps is None:
                return True
            tick = int(time * self.fps + 1e-6)  # a frame on the tick must not fall before it by rounding
            taken, due = tick >= due, max(due, tick + 1)
            return taken

        return takes


class Clock:
    """Seconds since the source began, from stamps that may be missing or jump back; never runs backwards.

    `step` is the time in seconds that a frame without a stamp comes after the one before.
    """

    JUMP = 0.5  # seconds back from which on the stamps have started anew, as where two recordings were joined

    def __init__(self, step: float) -> None:
        self.step = step
        self.shift = 0.0
        self.time = -step

    def __call__(self, stamp: float | None) -> float:
        """Return the time of the next frame."""
        follows = self.time + self.step
        if stamp is None:
            self.time = follows
            return follows
        if stamp + self.shift < self.time - self.JUMP:
            self.shift = follows - stamp
        self.time = max(self.time, stamp + self.shift, 0.0)
        return self.time
