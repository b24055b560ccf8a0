"""How fast video is read, how late a live view is, how much memory an hour takes.

    python benchmarks/video.py [--frames 600] [--minutes 60]

Makes footage from the portrait in assets/: the camera sways, turns and zooms over one face or a row of five, in H.264.
Each line is a process of its own: `mien bench video` on one core, for 640x480 and 1920x1080 at 30 frames a second, and
beside it on the same frames and core, where TensorFlow is installed, the packages `fer`, with its MTCNN, and `mtcnn`; a
live view of 640x480 at 30 frames a second, from the moment at which a frame is there until it is drawn in the window;
the resident memory after one minute and after `--minutes` of 640x480 at 10 frames a second, read into a CSV. Wall-clock
figures want a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image as Pillow

from mien.apps.bench import keep_to_one_core
from mien.reader import Reader
from mien.run import run
from mien.see.face import Frame
from mien.see.picture import Image
from mien.see.pipeline import BURST
from mien.sinks.tables import csv_rows
from mien.sinks.window import Window
from mien.sources.live import Live
from mien.sources.source import PendingFrame, SourceStats
from mien.sources.video import open_source

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
RATE = 30  # frames a second
PEER_FRAMES = 30  # are enough for a package that takes a fifth of a second for each
SLOW = 10  # frames a second of the hour, which would take a quarter of one to read otherwise
FACE = (100, 20, 340, 260)  # of the portrait: the face and what is around it
FOOTAGE = {
    "vga-one-face.mp4": ((640, 480), 1),
    "vga-five-faces.mp4": ((640, 480), 5),
    "fhd-one-face.mp4": ((1920, 1080), 1),
}


def main() -> None:
    """Make the footage in a temporary folder and measure it, one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=600, help="frames of each video (600)")
    parser.add_argument("--minutes", type=int, default=60, help="of video whose memory is measured; 0: none (60)")
    parser.add_argument("--measure", choices=tuple(MEASURES), help=argparse.SUPPRESS)
    parser.add_argument("--video", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(MEASURES[options.measure](options.video))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, (size, faces) in FOOTAGE.items():
            path = Path(folder) / name
            write_footage(path, size, faces, options.frames)
            command = [sys.executable, "-m", "mien", "bench", "video", str(path), "--frames", str(options.frames)]
            subprocess.run(command, check=True)
            for peer, needs in PEERS.items():
                if all(map(find_spec, needs)):
                    itself(peer, path)
        for name in list(FOOTAGE)[:2]:
            itself("live", Path(folder) / name)
        if options.minutes:
            minute, whole = Path(folder) / "minute.mp4", Path(folder) / "whole.mp4"
            write_footage(minute, (640, 480), 1, 60 * SLOW, rate=SLOW)
            repeat(minute, whole, options.minutes)
            itself("memory", whole)


def itself(measure: str, video: Path) -> None:
    """Run one of the measurements below in a process of its own."""
    subprocess.run([sys.executable, __file__, "--measure", measure, "--video", str(video)], check=True)


def fer(path: Path) -> str:
    """One line: frames a second of the package `fer` with its MTCNN, on one core."""
    keep_to_one_core()
    from fer.fer import FER  # the package's own README imports it from a place where it is not

    detector = FER(mtcnn=True)
    frames = [np.ascontiguousarray(frame.image[..., ::-1]) for frame in islice(open_source(path), PEER_FRAMES)]
    detector.detect_emotions(frames[0])  # its first call loads and compiles
    began = time.perf_counter()
    faces = sum(len(detector.detect_emotions(frame)) for frame in frames)
    rate = len(frames) / (time.perf_counter() - began)
    return f"{path.name}, fer with MTCNN: {rate:.1f} frames a second, {faces / len(frames):.1f} faces a frame"


def mtcnn(path: Path) -> str:
    """One line: frames a second of the package `mtcnn`, which only finds the faces of each frame, on one core."""
    keep_to_one_core()
    from mtcnn import MTCNN

    detector = MTCNN(device="CPU:0")
    frames = [frame.image for frame in islice(open_source(path), PEER_FRAMES)]
    detector.detect_faces(frames[0])  # its first call loads and compiles; for larger faces only it fails with Keras 3
    began = time.perf_counter()
    faces = sum(len(detector.detect_faces(frame)) for frame in frames)
    rate = len(frames) / (time.perf_counter() - began)
    return f"{path.name}, mtcnn, finding only: {rate:.1f} frames a second, {faces / len(frames):.1f} faces a frame"


def live_view(path: Path) -> str:
    """One line: how long after it is there a frame is drawn, where frames come 30 times a second."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    frames = [frame.image for frame in open_source(path)]
    came: list[float] = []
    late: list[float] = []
    source = Live("camera", partial(camera, frames, came))
    pipeline = Reader().pipeline(live=True, smooth=0.25)
    with Window() as window:
        for frame, readings in pipeline(source):
            window.write(frame, readings)
            late.append(1000 * (time.perf_counter() - came[frame.index]))
            if frame.index + 1 >= len(frames) - RATE:  # Live would take the end for a loss and begin anew
                break
    median, most = np.percentile(late, (50, 95))
    dropped = source.stats.dropped
    return f"{path.name}, live at {RATE}: drawn after {median:.0f} ms, 95 % within {most:.0f} ms; {dropped} dropped"


def camera(frames: list[Image], came: list[float], _: SourceStats) -> Generator[PendingFrame]:
    """A camera that shows what was filmed, noting when each frame came."""
    began = time.perf_counter()
    for number, image in enumerate(frames):
        time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        came.append(time.perf_counter())
        yield PendingFrame(number / RATE, image.copy)


def memory(path: Path) -> str:
    """One line: the resident memory after the first minute, at the end, and the most that there was between."""
    sizes = list[float]()

    def look(frame: Frame, _: object) -> None:
        if (frame.index + 1) % (60 * SLOW) == 0:
            sizes.append(resident())

    with tempfile.TemporaryDirectory() as folder:
        pipeline = Reader().pipeline(live=False)
        run(pipeline(iter(open_source(path)), BURST), [csv_rows(Path(folder) / "rows.csv")], progress=look)
    first, last = sizes[0], sizes[-1]
    return f"{len(sizes)} minutes: {first:.0f} MiB after one, {last:.0f} MiB at the end, {max(sizes):.0f} MiB at most"


def resident() -> float:
    """MiB of memory that this process holds (proc(5): the second number of statm, in pages)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def write_footage(path: Path, size: tuple[int, int], faces: int, frames: int, rate: int = RATE) -> None:
    """Write a video of `frames` frames at `size`, width and height in pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "medium"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, rate)
        for image in views(size, faces, frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def repeat(path: Path, out: Path, times: int) -> None:
    """Write a video `times` over without encoding it anew."""
    with av.open(str(out), "w") as container:
        video, end = None, 0
        for _ in range(times):
            with av.open(str(path)) as source:
                stream = source.streams.video[0]
                video = video or container.add_stream_from_template(stream)
                length = int(stream.duration or 0)
                for packet in source.demux(stream):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + end, packet.dts + end, video
                        container.mux(packet)
                end += length


def views(size: tuple[int, int], faces: int, frames: int) -> Iterator[Image]:
    """What a swaying camera sees of one portrait, or of a row of faces on gray."""
    scene = row_of_faces(faces) if faces > 1 else np.asarray(Pillow.open(PORTRAIT).convert("RGB"))
    height, width = scene.shape[:2]
    fit = min(size[0] / width, size[1] / height)
    for step in range(frames):
        turn, zoom = 5 * np.sin(step / 25), fit * (1 + 0.1 * np.sin(step / 40))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
        sway = np.array([np.sin(step / 30), np.cos(step / 37)]) * 0.05 * min(size)
        matrix[:, 2] = matrix[:, 2] + np.array(size) / 2 - (width / 2, height / 2) + sway
        yield cv2.warpAffine(scene, matrix, size, borderValue=(90, 90, 90)).astype(np.uint8)


def row_of_faces(count: int) -> Image:
    """The portrait's face `count` times, side by side, each of another brightness."""
    x1, y1, x2, y2 = FACE
    face = np.asarray(Pillow.open(PORTRAIT).convert("RGB"))[y1:y2, x1:x2]
    lights = np.linspace(0.6, 1.0, count)
    return np.concatenate([(face * light).astype(np.uint8) for light in lights], 1)


PEERS = {"fer": ("fer", "tensorflow"), "mtcnn": ("mtcnn", "tensorflow")}
"""Other packages, with what each needs to be installed."""

MEASURES = {"fer": fer, "mtcnn": mtcnn, "live": live_view, "memory": memory}

if __name__ == "__main__":
    main()
