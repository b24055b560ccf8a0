"""Video files come completely, in order, upright and with their true times; broken ones are one line or a count."""

from __future__ import annotations

import os
import random
import shutil
import struct
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

from mien.errors import SourceError
from mien.sources.source import Clock, Sampling
from mien.sources.video import AHEAD, VideoFile, open_source

Film = Callable[..., Path]

MATRICES = {
    "upright": (1, 0, 0, 1),
    "90": (0, 1, -1, 0),
    "180": (-1, 0, 0, -1),
    "270": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down in a mirror": (1, 0, 0, -1),
    "90 in a mirror": (0, 1, 1, 0),
    "270 in a mirror": (0, -1, -1, 0),
}
"""The corner a, b, c, d of the matrix by which a player shows x at a·x + c·y, y at b·x + d·y, y growing downwards.

ISO/IEC 14496-12, section 8.3.2; the eight in which a camera can be held, as EXIF has them too.
"""


def times(path: Path, every: int = 1, fps: float | None = None) -> list[float]:
    return [frame.time for frame in open_source(path, every=every, fps=fps)]


def spoil(path: Path, packets: slice) -> Path:
    """Blank some packets of an AVI."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.pos is not None]
    data = bytearray(path.read_bytes())
    for place, size in places[packets]:
        data[place : place + size] = bytes(size)
    path.write_bytes(data)
    return path


def open_files() -> int | None:
    """How many files this process has open, where the system tells."""
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else None


def held(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write into an MP4 how the camera was held."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # after version, times, number, duration, layer and volume
    a, b, c, d = (65536 * part for part in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def shown(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """What a player shows, pixel by pixel: each goes to where the matrix moves it."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    down, across = np.mgrid[:height, :width]
    to_x, to_y = a * across + c * down, b * across + d * down
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    result = np.empty((to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    result[to_y, to_x] = image
    return result


def test_a_file_comes_completely_in_order_and_with_its_true_times(film: Film) -> None:
    path = film(frames=30, options={"bf": "3", "g": "10"})
    frames = list(open_source(path))
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx([index / 25 for index in range(30)])
    assert {frame.name for frame in frames} == {str(path)}
    assert all(frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8 for frame in frames)
    edges = [(frame.image.mean((0, 2)) > 30).argmax() for frame in frames]  # the portrait wanders to the right
    assert edges == sorted(edges)
    assert edges[-1] > 5


def test_a_variable_frame_rate_keeps_its_times(film: Film) -> None:
    stamps = [0, 40, 45, 300, 301, 900, 2000]
    path = film("film.mkv", frames=7, stamps=stamps, options={"bf": "2"})
    assert times(path) == pytest.approx([stamp / 1000 for stamp in stamps])


@pytest.mark.parametrize("bframes", [0, 3])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.mov", "a.flv", "a.h264"])
def test_time_begins_at_0_and_grows_by_the_rate_in_every_container(film: Film, name: str, bframes: int) -> None:
    path = film(name, options={"bf": str(bframes)})
    assert times(path) == pytest.approx([index / 25 for index in range(20)], abs=1e-3)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        ("libx264", "yuv444p"),
        ("libx264", "yuv420p10le"),
        ("libx264rgb", "rgb24"),
        ("mjpeg", "yuvj420p"),
        ("libvpx-vp9", "yuv420p"),
        ("ffv1", "yuva444p"),
    ],
)
def test_every_pixel_format_becomes_the_same_rgb_bytes(film: Film, codec: str, pix_fmt: str) -> None:
    size = (65, 47) if pix_fmt in ("yuv444p", "rgb24", "yuva444p") else (64, 48)
    exact = next(iter(open_source(film("exact.mkv", size, codec="ffv1", pix_fmt="bgr0", frames=1))))
    frames = list(open_source(film("film.mkv", size, codec=codec, pix_fmt=pix_fmt)))
    assert len(frames) == 20
    assert frames[0].image.shape == (size[1], size[0], 3)
    assert np.abs(frames[0].image.astype(int) - exact.image).mean() < 8  # one green or pink frame differs by 50


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_however_a_camera_was_held_the_frames_are_upright_and_not_mirrored(
    film: Film, matrix: tuple[int, int, int, int]
) -> None:
    path = film(frames=2)
    [lying, *_] = open_source(path)
    [upright, *_] = open_source(held(path, matrix))
    assert np.array_equal(upright.image, shown(lying.image, matrix))
    assert upright.image.flags.c_contiguous


def test_an_odd_size_and_a_mirror_go_together(film: Film) -> None:
    path = film("film.mp4", (66, 50), frames=2)
    [lying, *_] = open_source(path)
    [mirrored, *_] = open_source(held(path, MATRICES["mirrored"]))
    assert np.array_equal(mirrored.image, lying.image[:, ::-1])


def test_frames_may_change_their_size_in_mid_stream(film: Film, tmp_path: Path) -> None:
    parts = [film("a.ts", (64, 48)), film("b.ts", (128, 96))]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = list(open_source(tmp_path / "both.ts"))
    assert [frame.image.shape[1] for frame in frames] == [64] * 20 + [128] * 20
    assert np.diff([frame.time for frame in frames]) == pytest.approx(1 / 25, abs=1e-3)  # the second one's begin anew


def test_every_and_fps_choose_frames(film: Film) -> None:
    path = film(frames=50)
    assert times(path, every=20) == pytest.approx([0, 0.8, 1.6])
    assert times(path, fps=2) == pytest.approx([0, 0.52, 1.0, 1.52])  # the first at or after each half second
    assert len(times(path, fps=25)) == len(times(path, fps=1000)) == 50
    assert len(times(path, every=2, fps=12.5)) == 25
    for wrong in ({"every": 0}, {"fps": 0.0}, {"fps": float("nan")}):
        with pytest.raises(ValueError, match="take"):
            Sampling(**wrong)


def test_a_clock_fills_in_and_never_runs_backwards() -> None:
    clock = Clock(0.1)
    stamps = [None, None, 0.25, 0.2, None, 100.0, 3.0, 3.1, None]
    expected = [0.0, 0.1, 0.25, 0.25, 0.35, 100.0, 100.1, 100.2, 100.3]
    assert [clock(stamp) for stamp in stamps] == pytest.approx(expected)


def test_a_walk_that_is_left_frees_its_file(film: Film) -> None:
    path = film(frames=50)
    before = open_files()
    source = open_source(path)
    frames = iter(source)
    image = next(frames).image
    frames.close()
    assert open_files() == before
    assert image.mean() > 10  # the pixels outlive the file
    assert len(list(source)) == 50  # a second walk begins anew


def test_sound_and_covers_are_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mka"), "w") as container:
        audio = container.add_stream("aac", rate=16000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        silence.sample_rate = 16000
        container.mux([*audio.encode(silence), *audio.encode(None)])
    (tmp_path / "text.txt").write_text("FFmpeg plays any text as a video of letters\n" * 100)
    for name in ("sound.mka", "text.txt"):
        with pytest.raises(SourceError, match="has no video in it"):
            open_source(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.mp4", "there is no file"),
        ("folder", "is a folder"),
        ("empty.mp4", "is empty"),
        ("noise.mp4", "is damaged"),
        ("headless.mp4", "is damaged"),
        ("nul\0.mp4", "there is no file|cannot be opened"),
        ("n" * 300 + ".mp4", "cannot be opened"),
        ("pipe", "is not a file"),
        ("frameless.mp4", "no video"),
        ("black.avi", "no picture"),
        ("http://127.0.0.1:9/film.mp4", "cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_one_line(
    film: Film, tmp_path: Path, name: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = film().read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(random.Random(0).randbytes(10_000))
    (tmp_path / "headless.mp4").write_bytes(whole[: len(whole) // 2])
    os.mkfifo(tmp_path / "pipe")
    with av.open(str(tmp_path / "frameless.mp4"), "w") as container:
        container.add_stream("mpeg4", rate=25)
        container.start_encoding()
    spoil(film("black.avi", frames=3, codec="mjpeg", pix_fmt="yuvj420p"), slice(None))
    with pytest.raises(SourceError, match=says) as raised:
        list(open_source(name if "://" in name else tmp_path / name))
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")  # FFmpeg says nothing by itself


def test_a_file_that_was_cut_off_gives_what_is_there_and_tells_what_is_missing(film: Film) -> None:
    path = film("film.mkv", frames=100, options={"g": "5"})
    os.truncate(path, path.stat().st_size // 2)
    source = VideoFile(f"file:{path}", str(path))
    frames = list(source)
    assert 20 < len(frames) < 80
    assert source.stats.missing == pytest.approx(4 - len(frames) / 25, abs=0.1)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.mov", "film.avi"])
def test_of_a_file_whose_sound_is_longer_nothing_is_missing(film: Film, tmp_path: Path, name: str) -> None:
    kind = {"codec": "mpeg4", "sound": "ac3"} if name == "film.avi" else {"sound": "aac", "options": {"bf": "0"}}
    film(f"whole-{name}", frames=150, **kind)
    with av.open(str(tmp_path / f"whole-{name}")) as whole, av.open(str(tmp_path / name), "w") as shorter:
        streams = [shorter.add_stream_from_template(stream) for stream in whole.streams]
        for packet in whole.demux():
            assert packet.time_base is not None
            is_video = packet.stream.type == "video"
            if packet.dts is None or (is_video and packet.dts * packet.time_base > 2):
                continue
            packet.stream = streams[packet.stream.index]
            shorter.mux(packet)
    source = open_source(tmp_path / name)
    frames = list(source)
    assert 45 <= len(frames) <= 55
    assert source.duration == pytest.approx(2, abs=0.2)
    assert source.stats.missing < 0.5


def test_corrupt_packets_are_skipped_and_counted(film: Film, capfd: pytest.CaptureFixture[str]) -> None:
    path = spoil(film("film.avi", frames=60, codec="mjpeg", pix_fmt="yuvj420p"), slice(10, 15))
    source = open_source(path)
    frames = list(source)
    assert source.stats.corrupt == 5
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(60) if not 10 <= i < 15], abs=2e-3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "codec"), [("film.mkv", "libx264"), ("film.ts", "libx264"), ("film.avi", "mpeg4")])
def test_damage_that_the_decoder_conceals_is_counted(film: Film, name: str, codec: str) -> None:
    path = film(name, (320, 240), frames=60, codec=codec, options={"g": "30"})
    source = open_source(path)
    whole = len(list(source))
    assert source.stats.damaged == 0
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.pos is not None]
    data = bytearray(path.read_bytes())
    for place, size in places[10:15]:
        middle = place + size // 2
        data[middle : middle + 40] = bytes(byte ^ 0x5A for byte in data[middle : middle + 40])
    path.write_bytes(data)
    assert len(list(source)) >= whole - 5
    assert 1 <= source.stats.damaged <= 5


def test_a_number_is_a_camera_unless_a_file_has_that_name(
    film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.move(film("film.mkv"), "7")
    assert (open_source("7").live, open_source(7).live, open_source("8").live) == (False, True, True)


def test_a_name_that_looks_like_a_protocol_is_a_file(film: Film, tmp_path: Path) -> None:
    shutil.move(film(), tmp_path / "concat:a|b 笑.mp4")
    assert len(times(tmp_path / "concat:a|b 笑.mp4")) == 20


def test_a_password_is_not_shown() -> None:
    with pytest.raises(SourceError) as raised:
        open_source("http://user:secret@127.0.0.1:9/film.mp4")
    assert "secret" not in str(raised.value)


def test_200_mutated_videos_give_frames_or_one_line(film: Film, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(0)
    kinds = [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264"), ("a.webm", "libvpx")]
    films = [film(name, codec=codec, frames=8, options={"g": "4"}) for name, codec in kinds]
    wholes = [path.read_bytes() for path in films]
    read = refused = 0
    for number in range(200):
        path, data = films[number % 5], bytearray(wholes[number % 5])
        for _ in range(chance.choice((1, 4, 30))):
            place = chance.randrange(len(data)) if chance.random() < 0.5 else chance.randrange(min(len(data), 600))
            data[place] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        path.write_bytes(data)
        try:
            read += sum(frame.image.shape[2] == 3 for frame in open_source(path))
        except SourceError as error:
            refused += 1
            assert "\n" not in str(error)
    assert read > 500 and refused > 10
    assert capfd.readouterr() == ("", "")


def test_stop_ends_a_file_whose_frames_are_passed_over(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.sources.video.cores", lambda: 1)
    source = open_source(film(frames=60), every=50)
    assert [frame.index for frame in source.frames(lambda: source.stats.frames == 10)] == [0]
    assert source.stats.frames == 10


def test_frames_are_decoded_ahead_but_not_far(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.sources.video.cores", lambda: 2)
    source = open_source(film(frames=60))
    with closing(iter(source)) as frames:
        for frame in frames:
            assert source.stats.frames <= frame.index + 1 + AHEAD
            if frame.index == 20:
                end = time.monotonic() + 5
                while source.stats.frames < 21 + AHEAD:
                    assert time.monotonic() < end
                    time.sleep(0.001)
                break


def test_numbered_pictures_are_a_video(tmp_path: Path) -> None:
    for number in range(1, 6):
        PIL.Image.new("RGB", (64, 48), (40 * number, 0, 0)).save(tmp_path / f"frame_{number:03}.png")
    frames = list(open_source(tmp_path / "frame_%03d.png"))
    assert [round(float(frame.image[..., 0].mean())) for frame in frames] == [40, 80, 120, 160, 200]
    with pytest.raises(SourceError, match="is a picture"):
        open_source(tmp_path / "frame_001.png")


def test_a_files_url_is_the_file(film: Film) -> None:
    assert open_source(film("a film.mp4").as_uri()).name == str(film("a film.mp4"))
    assert open_source(film("a film.mp4").as_uri().replace("file://", "file:")).name == str(film("a film.mp4"))
