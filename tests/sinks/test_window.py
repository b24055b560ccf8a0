"""The window shows what is read and obeys its keys: on SDL's dummy driver, and for real on an X server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pygame
import pytest

from mien.errors import OutputError
from mien.files import part_of
from mien.labels import COLOURS, EMOTIONS
from mien.see.face import Face, Frame, Reading
from mien.see.picture import Image
from mien.sinks.window import Rate, Window
from mien.sources.video import open_source

Film = Callable[..., Path]

FRAME = Frame(np.full((240, 320, 3), 90, np.uint8), "film", 0, 0.0)


def reading() -> Reading:
    scores = np.full(7, 0.05, np.float32)
    scores[EMOTIONS.index("happy")] = 0.7
    face = Face(np.array((100, 100, 180, 180), np.float32), 0.99, np.zeros((5, 2), np.float32))
    return Reading(face, scores, 3)


def press(*keys: str) -> None:
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.key.key_code(key)))


def shown() -> Image:
    """The pixels in the window."""
    surface = pygame.display.get_surface()
    assert surface
    return np.ascontiguousarray(pygame.surfarray.array3d(surface).swapaxes(0, 1))


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with Window(folder=tmp_path) as window:
        yield window


def test_a_frame_is_shown_with_boxes_and_the_rate(window: Window) -> None:
    window.write(FRAME, [reading()])
    pixels = shown()
    assert pixels.shape == (240, 320, 3)
    assert tuple(pixels[140, 101]) == COLOURS[EMOTIONS.index("happy")]
    assert (pixels[225:, :60] != 90).any()  # the rate, in the corner
    assert (FRAME.image == 90).all()


def test_q_and_the_windows_own_button_close_it(window: Window) -> None:
    window.write(FRAME, [])
    assert not window.closed
    press("q")
    assert window.poll()
    window.closed = False
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.write(FRAME, [])
    assert window.closed


def test_space_pauses_until_it_is_pressed_again(window: Window) -> None:
    window.write(FRAME, [])
    press("space")
    window.poll()
    assert window.paused
    pygame.time.set_timer(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_SPACE), 300, loops=1)
    began = time.monotonic()
    window.write(FRAME, [])
    assert 0.2 < time.monotonic() - began < 5
    assert not window.paused


def test_a_signal_ends_a_pause_and_the_wait_for_the_next_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    began = time.monotonic()
    with Window(folder=tmp_path, paced=True, stop=lambda: time.monotonic() > began + 0.2) as window:
        window.write(FRAME, [])
        press("space")
        window.write(FRAME, [])
        assert window.paused
        window.write(Frame(FRAME.image, time=60.0), [])
    assert 0.2 < time.monotonic() - began < 5


def test_s_takes_a_snapshot_and_never_writes_over_another(window: Window, tmp_path: Path) -> None:
    window.write(FRAME, [reading()])
    press("s", "s")
    window.poll()
    first, second = sorted(tmp_path.glob("mien-*.png"))
    assert first.read_bytes() == second.read_bytes()
    with PIL.Image.open(first) as picture:
        assert picture.size == (320, 240)


def test_r_begins_and_ends_a_recording(window: Window, tmp_path: Path) -> None:
    for number in range(10):
        window.write(Frame(FRAME.image, "film", number, 5 + number / 10), [reading()])
        if number in (1, 7):
            press("r")
            window.poll()
    [path] = tmp_path.iterdir()
    assert path.suffix == ".mp4"
    assert len(list(open_source(path))) == 6


def test_a_recording_under_way_is_whole_when_the_window_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with Window(folder=tmp_path) as window:
        press("r")
        window.poll()
        window.write(FRAME, [])
    [path] = tmp_path.iterdir()
    assert len(list(open_source(path))) == 1


@pytest.mark.parametrize("key", ["s", "r"])
def test_what_cannot_be_written_is_said_in_the_window_which_goes_on(window: Window, tmp_path: Path, key: str) -> None:
    window.write(FRAME, [])
    assert (shown()[225:, 200:] == 90).all()
    tmp_path.rmdir()
    press(key)
    assert not window.poll()
    window.write(FRAME, [])
    assert (shown()[225:, 200:] != 90).any()  # a line across the window


def test_a_notice_takes_the_place_of_the_rate_while_there_is_one(window: Window) -> None:
    window.write(FRAME, [])
    usual = shown()
    window.notice = lambda: "no picture for 12 s"
    window.poll()  # no frame comes
    assert (shown()[225:, 80:130] != usual[225:, 80:130]).any()
    window.notice = lambda: ""
    window.poll()
    assert np.array_equal(shown(), usual)


def test_a_recording_whose_disk_is_full_ends_with_a_message(window: Window, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    random = np.random.default_rng(0)
    press("r")
    window.poll()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        for number in range(80):
            noise = random.integers(0, 255, (240, 320, 3)).astype(np.uint8)
            window.write(Frame(noise, "film", number, number / 25), [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    window.write(FRAME, [])
    assert (shown()[225:, 200:] != 90).any()
    [recording] = tmp_path.iterdir()
    assert recording.suffix == ".mp4"


def test_a_file_is_shown_in_its_own_time(window: Window) -> None:
    window.paced = True
    began = time.monotonic()
    for number in range(6):
        window.write(Frame(FRAME.image, "film", number, number / 10), [])
    assert 0.45 < time.monotonic() - began < 2


def test_a_frame_larger_than_the_screen_is_shrunk(window: Window) -> None:
    large = Frame(np.zeros((4000, 6000, 3), np.uint8))
    window.write(large, [])
    height, width = shown().shape[:2]
    across, down = pygame.display.get_desktop_sizes()[0]
    assert width <= across and height <= down
    assert width / height == pytest.approx(1.5, abs=0.02)
    window.write(FRAME, [])  # a frame of another size stays in the window
    assert shown().shape[:2] == (height, width)


def test_the_rate_follows_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    rate, now = Rate(), iter(index / 20 for index in range(100))
    monkeypatch.setattr("mien.sinks.window.time.monotonic", lambda: next(now))
    for _ in range(90):
        rate.tick()
    assert rate.value == pytest.approx(20)


def test_without_a_display_there_is_one_line_that_points_to_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OutputError, match="go without a window"):
        Window()
    monkeypatch.setenv("SDL_VIDEODRIVER", "no-such-driver")
    with pytest.raises(OutputError, match="go without a window") as raised, Window():
        pass
    assert "\n" not in str(raised.value)


def test_a_display_that_is_not_there_is_one_line(film: Film) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SDL_", "WAYLAND"))}
    command = [sys.executable, "-m", "mien", "watch", str(film())]
    done = subprocess.run(command, env=environment | {"DISPLAY": ":77"}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("mien: ") and "--no-window" in done.stderr and done.stderr.count("\n") == 1


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An X server without a monitor; gives the environment in which programs find it."""
    missing = [program for program in ("Xvfb", "xdotool") if not shutil.which(program)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: apt-get install xvfb xdotool")
    reader, writer = os.pipe()
    log = (tmp_path / "xvfb.log").open("w")
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writer], stdout=log, stderr=log) as server:
        os.close(writer)
        with os.fdopen(reader) as answer:
            number = answer.readline().strip()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SDL_", "WAYLAND"))}
        yield environment | {"DISPLAY": f":{number}"}
        server.terminate()
    log.close()


def test_the_real_window_shows_a_video_and_obeys_its_keys(film: Film, tmp_path: Path, screen: dict[str, str]) -> None:
    source = film("film.mp4", (320, 240), frames=1500, options={"preset": "ultrafast"})
    folder = tmp_path / "here"
    folder.mkdir()
    command = [sys.executable, "-m", "mien", "watch", str(source), "--csv", str(tmp_path / "out.csv")]

    def tool(*arguments: str) -> str:
        done = subprocess.run(["xdotool", *arguments], env=screen, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def until(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)

    part = part_of(tmp_path / "out.csv")
    with subprocess.Popen(command, cwd=folder, env=screen, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: tool("search", "--class", "mien"))
        until(lambda: part.exists() and part.stat().st_size > 1000)
        window = tool("search", "--class", "mien").splitlines()[0]
        tool("windowfocus", "--sync", window)
        tool("key", "r")
        time.sleep(0.5)
        tool("key", "s")
        until(lambda: list(folder.glob("*.png")))
        if shutil.which("import"):
            picture = tmp_path / "screen.png"
            subprocess.run(["import", "-window", "root", str(picture)], env=screen, check=True)
            with PIL.Image.open(picture) as pixels:
                assert np.asarray(pixels.convert("RGB")).std() > 20  # not an empty screen
        tool("key", "space")
        time.sleep(0.5)
        size = part.stat().st_size
        time.sleep(0.5)
        assert part.stat().st_size == size
        tool("key", "space")
        until(lambda: part.stat().st_size > size)
        tool("key", "q")
        assert process.wait(30) == 0
        assert process.stderr and process.stderr.read() == ""
    [recording] = folder.glob("*.mp4")
    assert len(list(open_source(recording))) > 3
    with PIL.Image.open(next(folder.glob("*.png"))) as snapshot:
        assert snapshot.size == (320, 240)
    assert 5 < len((tmp_path / "out.csv").read_text().splitlines()) < 1500
