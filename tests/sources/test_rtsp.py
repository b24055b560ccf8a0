"""A camera that speaks RTSP is watched, comes back after it was switched off, and gives its password to nobody else.

The camera here answers as RFC 2326 says, over one TCP connection; FFmpeg packs the video for it (RFC 6184).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import av
import numpy as np
import pytest

from mien.see.face import Face, Frame, Reading
from mien.sinks.tables import csv_rows
from mien.sources.live import Live, stream
from mien.sources.source import Sampling, Source
from mien.sources.video import open_source

Serving = Callable[[Any], AbstractContextManager[Any]]
Take = Callable[[Source, int], list[Frame]]

NOBODY = Reading(Face(np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32)), np.full(7, 1 / 7, np.float32))
SIZE = (96, 64)
RATE = 25
DESCRIPTION = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=camera
c=IN IP4 127.0.0.1
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=control:track1
""".replace("\n", "\r\n")


class Camera(ThreadingTCPServer):
    """A camera that films gray growing brighter, `length` frames for each who asks."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, port: int = 0, length: int = 10**6) -> None:
        super().__init__(("127.0.0.1", port), Viewer)
        self.length, self.asked = length, list[str]()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.server_address[1]}/live"


class Viewer(StreamRequestHandler):
    """One connection: questions are answered until PLAY, then the video is sent between them."""

    server: Camera

    def handle(self) -> None:
        try:
            while request := self.read():
                method, url, number = request
                self.server.asked.append(method)
                if method == "DESCRIBE":
                    self.answer(number, f"Content-Base: {url}/", "Content-Type: application/sdp", body=DESCRIPTION)
                elif method == "SETUP":
                    self.answer(number, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1")
                else:
                    self.answer(number, "Session: 1", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
                if method == "PLAY":
                    self.send_video()
                    return  # it is switched off
        except OSError:  # nobody looks any more
            pass

    def read(self) -> tuple[str, str, str] | None:
        """The method, the address and the number of the next question, None at the end."""
        first = self.rfile.readline().decode().split()
        if len(first) != 3:
            return None
        number = "0"
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            number = value.strip() if name.lower() == "cseq" else number
        return first[0], first[1], number

    def answer(self, number: str, *headers: str, body: str = "") -> None:
        lines = ["RTSP/1.0 200 OK", f"CSeq: {number}", *headers, f"Content-Length: {len(body)}", "", body]
        self.wfile.write("\r\n".join(lines).encode())

    def send_video(self) -> None:
        """Encode frames in real time, let FFmpeg pack them, and send each packet between `$` and its length."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
            packets.bind(("127.0.0.1", 0))
            packets.setblocking(False)
            with av.open(f"rtp://127.0.0.1:{packets.getsockname()[1]}", "w", format="rtp") as container:
                video = container.add_stream("libx264", rate=RATE, options={"tune": "zerolatency", "g": "5"})
                video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
                for index in range(self.server.length):
                    gray = np.full((SIZE[1], SIZE[0], 3), 40 + index % 200, np.uint8)
                    container.mux(video.encode(av.VideoFrame.from_ndarray(gray, "rgb24")))
                    self.forward(packets)
                    time.sleep(1 / RATE)

    def forward(self, packets: socket.socket) -> None:
        while True:
            try:
                data = packets.recv(1 << 16)
            except BlockingIOError:
                return
            self.wfile.write(b"$\x00" + len(data).to_bytes(2, "big") + data)


def test_frames_come_as_they_were_filmed(serving: Serving, take: Take, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(Camera()) as camera:
        source = open_source(camera.url)
        assert isinstance(source, Live)
        frames = take(source, 12)
    assert frames[0].image.shape == (SIZE[1], SIZE[0], 3)
    assert camera.asked[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    grays = [float(frame.image.mean()) for frame in frames]
    steps = np.diff([frame.index for frame in frames])
    assert np.allclose(np.diff(grays), steps, atol=2)  # each a gray brighter than the one before
    assert np.median(np.diff([frame.time for frame in frames]) / steps) == pytest.approx(1 / RATE, abs=0.02)
    assert capfd.readouterr() == ("", "")


def test_a_camera_that_is_switched_off_and_on_again_is_found_again(serving: Serving, take: Take) -> None:
    with serving(Camera(length=8)) as camera:
        name = camera.url
        source = Live(name, stream(name, name, 2.0), Sampling(), pauses=(0.05, 0.2))
        frames = take(source, 14)
    assert source.stats.reconnects >= 1
    assert source.stats.gaps
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)


def test_what_is_written_down_of_a_camera_is_without_its_password(serving: Serving, take: Take, tmp_path: Path) -> None:
    with serving(Camera()) as camera:
        source = open_source(camera.url.replace("//", "//user:secret@"))
        (frame,) = take(source, 1)
    assert frame.name == camera.url
    with csv_rows(tmp_path / "rows.csv") as table:
        table.write(frame, [NOBODY])
    assert camera.url in (tmp_path / "rows.csv").read_text()
    assert "secret" not in (tmp_path / "rows.csv").read_text()
