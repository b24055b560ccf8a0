"""Footage for the tests, made of NASA's portrait of Eileen Collins, and servers that stand in for cameras."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from socketserver import BaseServer
from typing import Any

import av
import cv2
import numpy as np
import PIL.Image
import pytest
from av.container import OutputContainer

from mien.labels import EMOTIONS
from mien.see.face import Face, Frame, Reading, Shown
from mien.see.picture import Image
from mien.sources.source import Source

ASTRONAUT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"

Film = Callable[..., Path]

BOX = (10.0, 20.25, 40.0, 50.0)


def scores_of(emotion: str) -> np.ndarray:
    """Scores that are highest for an emotion, and sum to 1."""
    scores = np.full(7, 0.05, np.float32)
    scores[EMOTIONS.index(emotion)] = 0.7
    return scores


def make_reading(
    emotion: str = "happy", person: int | None = None, *, shown: str | None = None, box: Sequence[float] = BOX
) -> Reading:
    """A reading of a face in a box, as `shown` where that is given."""
    face = Face(np.array(box, np.float32), 0.9875, np.arange(10, dtype=np.float32).reshape(5, 2))
    smoothed = None if shown is None else Shown(scores_of(shown), shown)
    return Reading(face, scores_of(emotion), person, smoothed)


def pan(width: int, height: int, count: int, zoom: float = 0.9) -> Iterator[Image]:
    """Pictures in which the portrait fills `zoom` of the height and wanders to and fro."""
    portrait = np.asarray(PIL.Image.open(ASTRONAUT))
    scale = zoom * height / portrait.shape[0]
    for number in range(count):
        away = 50 - abs(number % 100 - 50)  # to the right and back again, so that nobody leaves
        move = np.array([[scale, 0, away * width / 200], [0, scale, height * (1 - zoom) / 2]], np.float32)
        yield np.asarray(cv2.warpAffine(portrait, move, (width, height)), np.uint8)


def write_film(
    path: Path,
    size: tuple[int, int] = (64, 48),
    *,
    frames: int = 20,
    rate: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    stamps: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    sound: bool | str = False,
    zoom: float = 0.9,
) -> Path:
    """Write a video; `stamps` are the times of its frames in milliseconds, which stand for a fixed rate otherwise.

    `sound` adds a tone of 440 Hz, as AAC or by the encoder of that name.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(video, av.VideoStream)
        video.width, video.height = size
        video.pix_fmt, video.thread_count = pix_fmt, 1
        if stamps:
            video.codec_context.time_base = Fraction(1, 1000)
        audio = add_sound(container, sound if isinstance(sound, str) else "aac") if sound else None
        for number, image in enumerate(pan(*size, count=frames, zoom=zoom)):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts = stamps[number] if stamps else number
            frame.time_base = Fraction(1, 1000) if stamps else Fraction(1, rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux([*tone(audio, frames / rate), *audio.encode(None)])
    return path


def add_sound(container: OutputContainer, codec: str) -> av.AudioStream:
    """Add a stream of sound, at a rate that the codec knows."""
    rate = {"ac3": 32_000, "libopus": 48_000}.get(codec, 16_000)
    stream = container.add_stream(codec, rate=rate, layout="mono")
    assert isinstance(stream, av.AudioStream)
    return stream


def tone(stream: av.AudioStream, seconds: float) -> list[Any]:
    """A tone of 440 Hz, encoded."""
    rate = stream.rate
    wave = (np.sin(np.arange(int(seconds * rate)) / rate * 440 * 2 * np.pi) * 8000).astype(np.int16)
    sample = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    sample.sample_rate, sample.pts = rate, 0
    resampler = av.AudioResampler(stream.format, stream.layout, rate, stream.codec_context.frame_size or None)
    return [
        packet for part in (*resampler.resample(sample), *resampler.resample(None)) for packet in stream.encode(part)
    ]


@pytest.fixture(name="write_film", scope="session")
def film_writer() -> Film:
    """Write a video anywhere."""
    return write_film


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """Write a video into the test's own folder, by its name and what `write_film` takes."""
    return lambda name="film.mp4", *arguments, **options: write_film(tmp_path / name, *arguments, **options)


@contextmanager
def run_server(server: BaseServer) -> Iterator[BaseServer]:
    """Serve until the block ends."""
    thread = threading.Thread(target=partial(server.serve_forever, 0.01))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def first_frames(source: Source, count: int) -> list[Frame]:
    """The first frames of a walk, which is closed then."""
    with closing(iter(source)) as walk:
        return list(islice(walk, count))


@pytest.fixture
def reading() -> Callable[..., Reading]:
    """Make a reading, by what `make_reading` takes."""
    return make_reading


@pytest.fixture
def serving() -> Callable[[Any], AbstractContextManager[Any]]:
    """Run a server in a `with` block."""
    return run_server


@pytest.fixture
def take() -> Callable[[Source, int], list[Frame]]:
    """Take the first frames of a source."""
    return first_frames
