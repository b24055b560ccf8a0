"""The sound goes along with the pictures; whatever is wrong with it, the pictures are whole."""

from __future__ import annotations

import struct
import time
import warnings
import wave
from collections.abc import Callable
from pathlib import Path
from socket import create_server

import av
import numpy as np
import pytest

from mien.errors import SourceWarning
from mien.see.face import Frame
from mien.sinks.video import Recording
from mien.sources.video import open_source

Film = Callable[..., Path]


def record(path: Path, frames: list[Frame], sound: Path | str) -> Path:
    with Recording(path, str(sound) if "://" in str(sound) else f"file:{sound}", timeout=0.5) as recording:
        for frame in frames:
            recording.write(frame, [])
    return path


def samples(path: Path) -> tuple[np.ndarray, int]:
    """The sound of a video, and its samples a second."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        return np.concatenate(parts), container.streams.audio[0].rate


def seconds(path: Path) -> float:
    sound, rate = samples(path)
    return len(sound) / rate


def pitch(path: Path) -> float:
    """The loudest frequency, a quarter of a second after the beginning."""
    sound, rate = samples(path)
    part = sound[rate // 4 : rate // 4 + rate // 2]
    return float(np.abs(np.fft.rfft(part)).argmax() * rate / len(part))


@pytest.mark.parametrize("name", ["film.mp4", "film.ts", "film.mkv"])
def test_the_sound_goes_along_to_the_end_of_the_pictures(film: Film, tmp_path: Path, name: str) -> None:
    source = film(name, frames=50, sound=True)
    frames = list(open_source(source))
    for count in (50, 25):
        path = record(tmp_path / f"{count}.mp4", frames[:count], source)
        with av.open(str(path)) as container:
            assert container.streams.audio[0].codec_context.name == "aac"
        assert seconds(path) == pytest.approx(count / 25, abs=0.15)
        assert pitch(path) == pytest.approx(440, abs=5)


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        ("film.avi", "mpeg4", "libmp3lame"),
        ("film.avi", "mpeg4", "ac3"),
        ("film.avi", "mpeg4", "mp2"),
        ("film.avi", "mpeg4", "pcm_s16le"),
        ("film.avi", "mpeg4", "adpcm_ima_wav"),
        ("film.mkv", "libx264", "flac"),
        ("film.mkv", "libx264", "libopus"),
        ("film.ts", "libx264", "ac3"),
    ],
)
def test_every_kind_of_sound_is_encoded_anew(film: Film, tmp_path: Path, name: str, codec: str, sound: str) -> None:
    if sound not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {sound}")
    source = film(name, codec=codec, frames=50, sound=sound)
    path = record(tmp_path / "out.mp4", list(open_source(source)), source)
    assert len(list(open_source(path))) == 50
    assert seconds(path) == pytest.approx(2, abs=0.2)
    assert pitch(path) == pytest.approx(440, abs=5)


def test_sound_that_begins_anew_or_has_an_odd_rate_goes_along(film: Film, tmp_path: Path) -> None:
    once = film("once.ts", frames=25, sound=True)
    twice = tmp_path / "twice.ts"
    twice.write_bytes(once.read_bytes() * 2)
    odd = tmp_path / "odd.wav"
    with wave.open(str(odd), "wb") as file:
        file.setparams((1, 2, 37_800, 0, "NONE", ""))
        file.writeframes(bytes(2 * 37_800))
    frames = list(open_source(twice))
    for number, source in enumerate((twice, odd)):
        assert seconds(record(tmp_path / f"{number}.mp4", frames, source)) > 0.9


def test_a_source_without_sound_gives_none(film: Film, tmp_path: Path) -> None:
    source = film()
    with av.open(str(record(tmp_path / "out.mp4", list(open_source(source)), source))) as container:
        assert len(container.streams.audio) == 0


def test_sound_of_a_kind_that_is_not_known_is_left_out(film: Film, tmp_path: Path) -> None:
    source = film(frames=25, sound=True)
    data = bytearray(source.read_bytes())
    entry = data.index(b"mp4a", data.index(b"soun"))
    details = data.index(b"esds", entry)
    data[entry : entry + 4], data[details : details + 4] = b"zzzz", b"xxxx"
    source.write_bytes(data)
    with pytest.warns(SourceWarning, match="the sound is left out") as said:
        path = record(tmp_path / "out.mp4", list(open_source(source)), source)
    assert len(said) == 1
    assert len(list(open_source(path))) == 25


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.avi", "film.ts"])
def test_damaged_sound_never_costs_a_picture(film: Film, tmp_path: Path, name: str) -> None:
    kind = ("mpeg4", "libmp3lame") if name == "film.avi" else ("libx264", "aac")
    whole = film(name, codec=kind[0], frames=25, sound=kind[1])
    frames = list(open_source(whole))
    with av.open(str(whole)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.pos is not None]
    original = whole.read_bytes()
    for seed in range(6):
        random, data = np.random.default_rng(seed), bytearray(original)
        for place, size in places:
            if random.random() < 0.5:
                data[place : place + size] = random.bytes(size) if seed % 2 else bytes(size)
        whole.write_bytes(data)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            path = record(tmp_path / "out.mp4", frames, whole)
        assert [str(warning.message) for warning in said if "the sound is left out" not in str(warning.message)] == []
        assert len(list(open_source(path))) == 25


def test_times_of_the_sound_that_make_no_sense_never_cost_a_picture(film: Film, tmp_path: Path) -> None:
    """Whatever the container says of the sound: here its samples a second, in an MP4's list of them."""
    source = film(frames=25, sound=True)
    frames, original = list(open_source(source)), source.read_bytes()
    place = original.index(b"mdhd", original.index(b"mdhd") + 4) + 16  # units a second of the second stream
    for units in (0, 1, 7, 2**31 - 1, 2**32 - 1):
        source.write_bytes(original[:place] + struct.pack(">I", units) + original[place + 4 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SourceWarning)
            path = record(tmp_path / "out.mp4", frames, source)
        assert len(list(open_source(path))) == 25


def test_sound_that_does_not_come_is_left_out(tmp_path: Path) -> None:
    began = time.monotonic()
    frames = [Frame(np.zeros((48, 64, 3), np.uint8), "film", number, number / 25) for number in range(5)]
    with create_server(("127.0.0.1", 0)) as silent, pytest.warns(SourceWarning, match="the sound is left out"):
        record(tmp_path / "out.mp4", frames, f"http://127.0.0.1:{silent.getsockname()[1]}/film.mp4")
    assert time.monotonic() - began < 3
    assert len(list(open_source(tmp_path / "out.mp4"))) == 5
