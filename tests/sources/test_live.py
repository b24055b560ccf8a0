"""A live source gives its newest frame, counts what it drops, comes back after a loss, and never hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from typing import Any

import av
import cv2
import numpy as np
import pytest

from mien.errors import SourceError
from mien.see.face import Frame
from mien.see.picture import Image
from mien.sources.live import Live, stream
from mien.sources.source import PendingFrame, Sampling, SourceStats
from mien.sources.video import open_source

Serving = Callable[[Any], AbstractContextManager[Any]]
Take = Callable[[Live, int], list[Frame]]
Film = Callable[..., Path]

FAST = (0.05, 0.2)
"""Pauses between attempts to reconnect, seconds."""


def gray(value: int) -> Image:
    return np.full((48, 64, 3), value, np.uint8)


def jpeg(value: int) -> bytes:
    return bytes(cv2.imencode(".jpg", gray(value))[1])


class Mjpeg(ThreadingHTTPServer):
    """A camera on the network: a JPEG every `interval` seconds, its brightness counting up; None for no answer at all.

    After `length` pictures a connection is closed.
    """

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int] = ("127.0.0.1", 0), interval: float = 0.02, length: int = 10**6
    ) -> None:
        super().__init__(address, Pictures)
        self.interval, self.length, self.sent = interval, length, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/camera.mjpg"


class Pictures(BaseHTTPRequestHandler):
    """Answers with pictures one after the other, as cameras do."""

    server: Mjpeg

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        try:
            for _ in range(self.server.length):
                self.server.sent += 1
                data = jpeg(self.server.sent % 256)
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                time.sleep(self.server.interval)
        except OSError:  # nobody looks any more
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        pass


class Stalled(BaseHTTPRequestHandler):
    """Sends the first bytes of a file, as many as `begins` says, and then nothing until `over`."""

    def __init__(self, *arguments: Any, data: bytes, begins: int, over: threading.Event) -> None:
        self.data, self.begins, self.over = data, begins, over
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        self.wfile.write(self.data[: self.begins])
        self.over.wait(30)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        pass


@pytest.fixture
def stalling(serving: Serving, film: Film) -> Iterator[Callable[[float], str]]:
    """Serve a film of 60 frames, all that is behind a share of it held back; give its address."""
    data, over = film("film.ts", frames=60, options={"g": "5"}).read_bytes(), threading.Event()
    with ExitStack() as stack:

        def serve(share: float) -> str:
            answer = partial(Stalled, data=data, begins=int(share * len(data)), over=over)
            server = stack.enter_context(serving(ThreadingHTTPServer(("127.0.0.1", 0), answer)))
            return f"http://127.0.0.1:{server.server_port}/film.ts"

        yield serve
        over.set()


def threads() -> list[str]:
    """The threads that read sources."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mien ")]


def gone(condition: Callable[[], object], seconds: float = 5) -> bool:
    """Does a condition end to hold within some time?"""
    until = time.monotonic() + seconds
    while condition() and time.monotonic() < until:
        time.sleep(0.01)
    return not condition()


def counting(stats: SourceStats, interval: float = 0.01, length: int = 10**6) -> Generator[PendingFrame]:
    """A camera of ours: gray pictures that count up."""
    del stats
    for number in range(length):
        yield PendingFrame(None, partial(gray, number % 256))
        time.sleep(interval)


def test_a_stream_over_http_gives_frames_with_the_time_at_which_they_came(
    serving: Serving, take: Take, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(Mjpeg(interval=0.05)) as server:
        source = open_source(server.url)
        assert isinstance(source, Live)
        frames = take(source, 10)
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[0].name == server.url
    steps = np.diff([frame.time for frame in frames])
    assert np.median(steps) == pytest.approx(0.05, abs=0.03)
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert gone(threads)
    assert capfd.readouterr() == ("", "")


def test_who_is_slow_gets_the_newest_frame_and_the_others_are_counted() -> None:
    source = Live("camera", partial(counting, interval=0.005))
    with closing(iter(source)) as walk:
        first = next(walk)
        time.sleep(0.5)
        second = next(walk)
        third = next(walk)
    assert second.index - first.index > 30
    assert third.index - second.index < 5
    assert (second.image == second.index % 256).all()
    assert source.stats.dropped >= second.index - first.index - 1
    assert gone(threads)


def test_a_lost_stream_is_reconnected_and_the_gap_is_noted(serving: Serving) -> None:
    with serving(Mjpeg(length=5)) as server:
        source = Live(server.url, stream(server.url, server.url, 5), pauses=FAST)
        with closing(iter(source)) as walk:
            times = [next(walk).time for _ in range(3)]
            server.length = 10**6
            times += [next(walk).time for _ in range(20)]
    assert (source.stats.reconnects, source.stats.corrupt) == (1, 0)
    [(lost, back)] = source.stats.gaps
    assert FAST[0] <= back - lost < 2
    assert times == sorted(times)
    assert max(np.diff(times)) == pytest.approx(back - lost, abs=0.1)


def test_a_gap_that_is_still_open_at_the_end_is_noted(serving: Serving) -> None:
    with serving(Mjpeg(length=5)) as server:
        source = Live(server.url, stream(server.url, server.url, 5), pauses=(0.3, 0.3), patience=0.4)
        assert (source.stats.lost, source.notice()) == (False, "")
        walk = iter(source)
        next(walk)
        assert not source.stats.lost
        server.length = 0
        with pytest.raises(SourceError, match="did not come back"):
            list(walk)
        assert source.stats.reconnects == 0
        [(lost, over)] = source.stats.gaps
        assert 0.3 < over - lost < 3

        server.length = 5
        asked = threading.Event()
        source = Live(server.url, stream(server.url, server.url, 5), pauses=(5, 5))
        walk = source.frames(asked.is_set)
        next(walk)
        assert gone(lambda: not source.stats.lost)
        assert source.stats.lost and source.notice() == "no picture for 0 s"
        asked.set()
        assert list(walk) == []
        assert (source.stats.reconnects, len(source.stats.gaps)) == (0, 1)


def test_a_server_that_stops_and_comes_back_is_found_again(serving: Serving) -> None:
    with serving(Mjpeg(length=10)) as server:
        port = server.server_port
        source = Live(server.url, stream(server.url, server.url, 5), pauses=FAST)
        walk = iter(source)
        next(walk)
    seen: list[Frame] = []
    later = threading.Thread(target=lambda: seen.extend(frame for frame, _ in zip(walk, range(30), strict=False)))
    later.start()
    time.sleep(0.5)
    with serving(Mjpeg(("127.0.0.1", port))):
        later.join(10)
        walk.close()
    assert len(seen) == 30
    assert source.stats.reconnects >= 1
    assert gone(threads)


def test_a_stream_that_never_answers_is_one_line_after_the_time_limit() -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        began = time.monotonic()
        with pytest.raises(SourceError, match="does not answer within"):
            next(iter(open_source(url, timeout=0.5)))
        with pytest.raises(SourceError, match="does not answer within"):
            next(iter(open_source(url.replace("http", "rtsp"), timeout=0.5)))
        assert time.monotonic() - began < 4


def test_a_stream_that_falls_silent_is_lost_after_the_time_limit(serving: Serving) -> None:
    with serving(Mjpeg(interval=0.01)) as server:
        source = Live(server.url, stream(server.url, server.url, 0.5), pauses=FAST, patience=1)
        walk = iter(source)
        next(walk)
        server.interval = 3
        with pytest.raises(SourceError, match="was lost and did not come back within 1 seconds"):
            while True:
                next(walk)


@pytest.mark.parametrize("share", [0, 0.1, 0.7])
def test_stop_ends_the_wait_for_a_file_over_http_wherever_it_hangs(
    stalling: Callable[[float], str], share: float
) -> None:
    began = time.monotonic()
    over = partial(lambda: time.monotonic() > began + 1)
    source = open_source(stalling(share), timeout=20, stop=over)
    assert len(list(source.frames(over))) < 60
    assert 1 < time.monotonic() - began < 2


def test_a_file_over_http_that_falls_silent_says_for_how_long(stalling: Callable[[float], str]) -> None:
    source = open_source(stalling(0.7), timeout=0.7)
    with pytest.raises(SourceError, match=r"was silent for 0\.7 seconds"):
        list(source)
    assert gone(threads)


def test_a_stream_that_does_not_exist_is_one_line() -> None:
    for url in ("rtsp://127.0.0.1:9/camera", "http://127.0.0.1:9/camera", "udp://nowhere.invalid:1"):
        with pytest.raises(SourceError, match="cannot be opened") as raised:
            next(iter(open_source(url, timeout=2)))
        assert "\n" not in str(raised.value)


def test_stop_ends_the_wait_for_a_silent_source() -> None:
    asked = iter([False] * 5 + [True])
    source = Live("camera", partial(counting, interval=10))
    assert len(list(source.frames(lambda: next(asked)))) <= 1


def test_every_and_fps_choose_from_a_live_source_too(take: Take) -> None:
    source = Live("camera", partial(counting, interval=0.005), Sampling(every=7))
    assert {frame.index % 7 for frame in take(source, 5)} == {0}
    slow = [frame.time for frame in take(Live("camera", counting, Sampling(fps=10)), 4)]
    assert np.diff(slow) == pytest.approx(0.1, abs=0.05)


def test_what_fails_in_the_thread_is_raised_where_the_frames_are_taken() -> None:
    def broken(stats: SourceStats) -> Generator[PendingFrame]:
        yield from counting(stats, length=1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Live("camera", broken))


def test_no_camera_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    for camera in (63, "63", "/dev/video63"):
        with pytest.raises(SourceError, match=r"(no|does not open).*camera|camera.*(no|does not open)") as raised:
            next(iter(open_source(camera)))
        assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_a_device_that_is_no_camera_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/zero").is_char_device():
        pytest.skip("this system has no /dev/zero")
    with pytest.raises(SourceError, match="does not open"):
        next(iter(open_source("/dev/zero")))
    assert capfd.readouterr() == ("", "")


def test_a_clock_that_begins_anew_does_not_stop_the_time(take: Take) -> None:
    def restarted(_: SourceStats) -> Generator[PendingFrame]:
        for stamp in (100.0, 100.02, 0.0, 0.02, 0.04, 0.06):
            yield PendingFrame(stamp, lambda: np.zeros((8, 8, 3), np.uint8))
            time.sleep(0.02)

    times = [frame.time for frame in take(Live("camera", restarted), 6)]
    assert (np.diff(times) > 0.005).all()
    assert times[-1] - times[0] < 2


def test_a_file_over_http_that_states_no_length_is_read_completely(
    serving: Serving, film: Film, tmp_path: Path
) -> None:
    film("film.mkv", options={"bf": "0"})
    with (
        av.open(str(tmp_path / "film.mkv")) as whole,
        av.open(str(tmp_path / "live.mkv"), "w", format="matroska", options={"live": "1"}) as live,
    ):
        video = live.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = video
                live.mux(packet)
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=tmp_path))) as server:
        source = open_source(f"http://127.0.0.1:{server.server_port}/live.mkv")
        assert source.duration is None and not source.live
        assert [frame.index for frame in source] == list(range(20))
