"""A window that shows frames as they are read, with keys: q ends, space pauses, s takes a snapshot, r records."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mien.errors import OutputError
from mien.see.face import Frame, Reading
from mien.see.picture import Image
from mien.sinks.draw import annotate, label
from mien.sinks.pictures import write_picture
from mien.sinks.video import Recording, fitted

if TYPE_CHECKING:
    import pygame

NO_WINDOW = "go without a window, and keep what is seen in a table or a video"


class NoDisplay(OutputError):  # noqa: N818 - the name of what is wrong
    """There is no display to open a window on."""


UNSEEN = ("dummy", "offscreen")
"""SDL's drivers without a screen."""

WAIT = 0.01
"""Seconds between two looks at the keyboard while nothing else is to be done."""

LASTING = 2.0
"""Seconds for which a message stays."""

SCREEN = 0.9
"""The share of the screen that a large frame is shrunk to."""


class Window:
    """Shows each frame with its faces drawn; raises NoDisplay where there is none.

    `paced` shows a file in its own time, where it is read faster than that. After `q`, or when the window is closed,
    `closed` is true. Snapshots and recordings go into `folder`; where they cannot, the window says so and goes on.
    `notice` is what there is to say in place of the rate, where it is anything. `stop` is asked while it waits, and
    ends that by True.
    """

    def __init__(
        self,
        title: str = "Mien",
        *,
        paced: bool = False,
        folder: Path = Path(),
        notice: Callable[[], str] = lambda: "",
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.title, self.paced, self.folder, self.notice, self.stop = title, paced, folder, notice, stop
        self.closed = self.paused = False
        self.rate = Rate()
        self._recording: Recording | None = None
        self._message, self._message_until = "", 0.0
        self._notice = ""
        self._late = 0.0  # the clock when the source's time was 0
        self._shown: tuple[Frame, Sequence[Reading]] | None = None
        check_display()

    def __enter__(self) -> Self:
        import pygame

        try:
            pygame.display.init()
            pygame.display.set_caption(self.title)
        except pygame.error as error:
            raise NoDisplay(f"a window cannot be opened ({error}): {NO_WINDOW}") from None
        driver = pygame.display.get_driver()
        if driver in UNSEEN and os.environ.get("SDL_VIDEODRIVER") != driver:  # SDL's last resort
            pygame.display.quit()
            raise NoDisplay(f"the display cannot be reached, so no window can be opened: {NO_WINDOW}")
        self._screen: pygame.Surface | None = None
        return self

    def __exit__(self, *_: object) -> None:
        import pygame

        try:
            self._stop_recording()
        finally:
            pygame.display.quit()

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Show one frame, and wait while the window is paused."""
        self._wait_for(frame.time)
        self._shown = frame, readings
        self.rate.tick()
        with self._excused():
            self._record(frame, readings)
        self._draw()
        self.poll()
        while self.paused and not (self.poll() or self.stop()):
            time.sleep(WAIT)

    def poll(self) -> bool:
        """Look at the keyboard; true once the window is closed."""
        import pygame

        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                self.closed = True
            elif event.type == pygame.KEYDOWN:
                with self._excused():
                    self._press(event.key)
                self._draw()
            elif event.type == pygame.VIDEORESIZE:
                self._draw()
        if self.notice() != self._notice:
            self._draw()
        return self.closed

    @contextmanager
    def _excused(self) -> Iterator[None]:
        """Say what cannot be written, and go on: what is watched does not wait."""
        try:
            yield
        except OutputError as error:
            self._say(str(error))

    def _press(self, key: int) -> None:
        import pygame

        if key == pygame.K_q:
            self.closed = True
        elif key == pygame.K_SPACE:
            self.paused = not self.paused
            self._late = 0.0
        elif key == pygame.K_s and self._shown:
            self._say(f"saved {self._snapshot()}")
        elif key == pygame.K_r:
            if self._recording:
                self._stop_recording()
            else:
                self._recording = Recording(self._free_name(".mp4")).__enter__()

    def _snapshot(self) -> str:
        assert self._shown
        path = self._free_name(".png")
        write_picture(path, *self._shown)
        return path.name

    def _record(self, frame: Frame, readings: Sequence[Reading]) -> None:
        if recording := self._recording:
            try:
                recording.write(frame, readings)
            except OutputError:  # a full disk: what is written stays
                self._recording = None
                with suppress(OutputError):
                    recording.__exit__(None, None, None)
                raise

    def _stop_recording(self) -> None:
        if self._recording:
            recording, self._recording = self._recording, None
            recording.__exit__(None, None, None)
            self._say(f"saved {recording.path.name}")

    def _free_name(self, ending: str) -> Path:
        """Return a name that says when it was made; what is there is never written over."""
        stem, number = datetime.now().strftime("mien-%Y%m%d-%H%M%S"), 1
        path = self.folder / (stem + ending)
        while path.exists():
            number += 1
            path = self.folder / f"{stem}-{number}{ending}"
        return path

    def _say(self, message: str) -> None:
        self._message, self._message_until = message, time.monotonic() + LASTING

    def _wait_for(self, moment: float) -> None:
        """Wait until a frame is due; one that is late moves those after it, so that none of them hurries."""
        now = time.monotonic()
        if not self.paced:
            return
        if now > self._late + moment:
            self._late = now - moment
        while time.monotonic() < self._late + moment and not (self.poll() or self.stop()):
            time.sleep(min(WAIT, max(0.0, self._late + moment - time.monotonic())))

    def _draw(self) -> None:
        import pygame

        if not self._shown:
            return
        frame, readings = self._shown
        image = annotate(frame.image, readings)
        _print(image, self._status())
        screen = self._screen = self._screen or self._open(image)
        width, height = screen.get_size()
        image = fitted(image, width, height)
        screen.blit(pygame.image.frombuffer(image.tobytes(), (width, height), "RGB"), (0, 0))
        pygame.display.flip()

    def _open(self, image: Image) -> pygame.Surface:
        """Open the window as large as the frame, or as the screen allows."""
        import pygame

        height, width = image.shape[:2]
        across, down = pygame.display.get_desktop_sizes()[0]
        scale = min(1.0, SCREEN * across / width, SCREEN * down / height)
        return pygame.display.set_mode((max(1, int(width * scale)), max(1, int(height * scale))), pygame.RESIZABLE)

    def _status(self) -> str:
        self._notice = self.notice()
        parts = [self._notice or f"{self.rate.value:.0f} frames/s"]
        parts += ["paused"] * self.paused + ["recording"] * bool(self._recording)
        return " · ".join(parts + [self._message] * (time.monotonic() < self._message_until))


class Rate:
    """Frames per second, averaged over about the last second."""

    def __init__(self) -> None:
        self.value = 0.0
        self._last: float | None = None

    def tick(self) -> None:
        """Count a frame."""
        now = time.monotonic()
        if self._last is not None and now > self._last:
            passed = now - self._last
            share = min(1.0, passed) if self.value else 1.0
            self.value += share * (1 / passed - self.value)
        self._last = now


def check_display() -> None:
    """Raise NoDisplay where no window can be opened."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame would greet on standard output
    os.environ.setdefault("SDL_VIDEO_X11_WMCLASS", "mien")  # what X calls the program
    on_unix = sys.platform not in ("darwin", "win32")
    if on_unix and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")):
        raise NoDisplay(f"there is no display to open a window on: {NO_WINDOW}")
    if on_unix and not os.environ.get("WAYLAND_DISPLAY"):
        os.environ.setdefault("SDL_VIDEODRIVER", "x11")  # Wayland's library, asked in vain, complains by itself


def _print(image: Image, text: str) -> None:
    """Print a line into the lower left corner of an image."""
    patch = label(text, max(11, image.shape[0] // 40), (0, 0, 0))[: image.shape[0], : image.shape[1]]
    image[image.shape[0] - patch.shape[0] :, : patch.shape[1]] = patch
