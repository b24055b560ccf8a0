"""Recordings and tables are whole wherever they end; videos play everywhere and keep their times and their sound."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import textwrap
import time
import wave
from collections.abc import Callable
from pathlib import Path
from socket import create_server

import av
import numpy as np
import pytest

from mien.errors import OutputError
from mien.labels import EMOTIONS
from mien.see.face import Face, Frame, Reading
from mien.see.picture import Image
from mien.sinks.rows import COLUMNS, rows
from mien.sinks.sink import Sink
from mien.sinks.summary import Summary, Timeline
from mien.sinks.tables import TextRows, ParquetRows, csv_rows, json_rows, part_of
from mien.sinks.video import Recording
from mien.sources.video import open_source

Film = Callable[..., Path]


def picture(size: tuple[int, int] = (64, 48), value: int = 120) -> Image:
    return np.full((size[1], size[0], 3), (value, 60, 200 - value // 2), np.uint8)


def reading(emotion: str = "happy", person: int | None = 1) -> Reading:
    scores = np.full(7, 0.05, np.float32)
    scores[EMOTIONS.index(emotion)] = 0.7
    face = Face(np.array((10, 20, 30, 40), np.float32), 0.99, np.zeros((5, 2), np.float32))
    return Reading(face, scores, person)


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def record(path: Path, frames: list[Frame], sound: str | None = None) -> Path:
    with Recording(path, sound) as recording:
        for frame in frames:
            recording.write(frame, [])
    return path


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".m4v", ".mkv"])
def test_a_recording_is_h264_that_browsers_play_with_every_frame_at_its_time(tmp_path: Path, ending: str) -> None:
    times = [0.0, 0.04, 0.05, 0.3, 1.0, 1.001, 2.5]
    frames = [Frame(picture(value=30 * number), "", number, time) for number, time in enumerate(times)]
    path = record(tmp_path / f"out{ending}", frames)
    assert listing(tmp_path) == [path.name]
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)
    written = list(open_source(path))
    assert [frame.time for frame in written] == pytest.approx(times, abs=1e-3)
    for before, after in zip(frames, written, strict=True):
        assert np.abs(before.image.astype(int) - after.image).mean() < 4  # the colours come back


def test_odd_sizes_are_made_even_and_other_sizes_put_between_bars(tmp_path: Path) -> None:
    frames = [Frame(picture((65, 47)), time=0), Frame(picture((130, 94)), time=0.1), Frame(picture((20, 94)), time=0.2)]
    odd, scaled, narrow = open_source(record(tmp_path / "out.mp4", frames))
    assert odd.image.shape == scaled.image.shape == narrow.image.shape == (48, 66, 3)
    assert np.abs(odd.image.astype(int) - frames[0].image[0, 0]).max() < 12
    assert narrow.image[:, :10].max() < 30
    assert narrow.image[:, 33].mean() > 60


def test_a_recording_that_is_killed_can_be_played_up_to_its_last_fragment(tmp_path: Path) -> None:
    program = f"""
        import os, signal, numpy as np
        from pathlib import Path
        from mien.sinks.video import Recording
        from mien.see.face import Frame
        noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
        with Recording(Path({str(tmp_path / "out.mp4")!r})) as recording:
            for number in range(400):
                recording.write(Frame(noise, time=number / 25), [])
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False).returncode == -9
    assert listing(tmp_path) == ["out.mp4.part"]
    (tmp_path / "out.mp4.part").rename(tmp_path / "out.mp4")
    assert len(list(open_source(tmp_path / "out.mp4"))) >= 240


@pytest.mark.parametrize("name", ["film.mp4", "film.ts", "film.mkv"])
def test_the_sound_goes_along_to_the_end_of_the_pictures(film: Film, tmp_path: Path, name: str) -> None:
    source = film(name, frames=50, sound=True)
    frames = list(open_source(source))
    whole = record(tmp_path / "whole.mp4", frames, f"file:{source}")
    half = record(tmp_path / "half.mp4", frames[:25], f"file:{source}")
    for path, seconds in ((whole, 2.0), (half, 1.0)):
        with av.open(str(path)) as container:
            assert container.streams.audio[0].codec_context.name == "aac"
            sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        assert len(sound) / 16000 == pytest.approx(seconds, abs=0.15)
        tone = np.abs(np.fft.rfft(sound[4000:12000])).argmax() * 16000 / 8000
        assert tone == pytest.approx(440, abs=5)


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
        with av.open(str(record(tmp_path / f"{number}.mp4", frames, f"file:{source}"))) as container:
            assert sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0)) > 0.9


def test_a_link_stays_a_link_and_the_video_is_where_it_points(film: Film, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "far" / "out.mp4")
    record(tmp_path / "link.mp4", list(open_source(film())))
    assert (tmp_path / "link.mp4").is_symlink()
    assert listing(tmp_path / "far") == ["out.mp4"]


def test_a_source_without_sound_gives_none(film: Film, tmp_path: Path) -> None:
    source = film()
    with av.open(str(record(tmp_path / "out.mp4", list(open_source(source)), f"file:{source}"))) as container:
        assert len(container.streams.audio) == 0


def test_a_recording_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    record(tmp_path / "out.mp4", [])
    assert listing(tmp_path) == []


def test_a_video_ending_that_cannot_be_written_names_those_that_can(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.mp4"):
        Recording(tmp_path / "out.gif")
    with pytest.raises(OutputError, match="no folder"):
        Recording(tmp_path / "missing" / "out.mp4")


@pytest.mark.parametrize("growing", [csv_rows, json_rows])
def test_rows_are_there_as_soon_as_they_are_read(growing: Callable[[Path], TextRows], tmp_path: Path) -> None:
    path = tmp_path / "out"
    with growing(path) as table:
        for number in range(3):
            table.write(Frame(picture(), "film", number, number / 25), [reading(), reading("sad", 2)])
            lines = part_of(path).read_text().splitlines()
            assert len(lines) == 2 * (number + 1) + (growing is csv_rows)
            assert table.size == part_of(path).stat().st_size
        table.write(Frame(picture(), "film", 3, 1), [])
    assert listing(tmp_path) == ["out"]


def test_a_table_goes_on_after_so_many_bytes(tmp_path: Path) -> None:
    frames = [Frame(picture(), "film", number, number / 25) for number in range(4)]
    with csv_rows(tmp_path / "whole.csv") as table:
        for frame in frames:
            table.write(frame, [reading()])
    with csv_rows(tmp_path / "out.csv") as table:
        table.write(frames[0], [reading()])
        table.write(frames[1], [reading()])
        size = table.size
        table.write(frames[3], [reading("fear")])
    with csv_rows(tmp_path / "out.csv", begin_at=size) as table:
        table.write(frames[2], [reading()])
        table.write(frames[3], [reading()])
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_csv_json_and_parquet_hold_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    frames = [Frame(picture(), "film", number, number / 3) for number in range(9_000)]
    outputs: list[Sink] = [csv_rows(tmp_path / "a.csv"), json_rows(tmp_path / "a.json")]
    outputs.append(ParquetRows(tmp_path / "a.parquet"))
    for sink in outputs:
        with sink:
            for frame in frames:
                sink.write(frame, [reading(person=None), reading("sad", 2)])
    from_json = [json.loads(line) for line in (tmp_path / "a.json").read_text().splitlines()]
    from_csv = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    file = parquet.ParquetFile(tmp_path / "a.parquet")
    assert file.read().to_pylist() == from_json
    assert file.num_row_groups == 3
    assert tuple(file.schema_arrow.names) == COLUMNS == tuple(from_csv[0])
    assert [row["person"] for row in from_csv] == ["", "2"] * 9_000
    assert from_json[-2:] == rows(frames[-1], [reading(person=None), reading("sad", 2)])


@pytest.mark.parametrize("name", ["out.csv", "out.json", "out.mp4"])
def test_a_full_disk_is_one_line_and_what_was_written_stays_readable(name: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    del resource
    program = f"""
        import resource, signal, sys, numpy as np
        from pathlib import Path
        from mien.errors import OutputError
        from mien.sinks.tables import csv_rows, json_rows
        from mien.sinks.video import Recording
        from mien.see.face import Face, Frame, Reading
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # as a disk that takes no more
        noise = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), np.uint8)
        face = Face(np.array((1, 2, 3, 4), np.float32), 1.0, np.zeros((5, 2), np.float32))
        found = [Reading(face, np.full(7, 1 / 7, np.float32), 1)]
        sinks = {{".csv": csv_rows, ".json": json_rows, ".mp4": Recording}}
        path = Path({str(tmp_path / name)!r})
        try:
            with sinks[path.suffix](path) as sink:
                for number in range(5000):
                    try:
                        sink.write(Frame(noise[number % 3], "film", number, number / 25), found)
                    except OutputError as error:
                        print(error)
                        break
        except OutputError as error:
            pass
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert f"cannot write {tmp_path / name} (" in done.stdout and done.stdout.count("\n") == 1
    assert listing(tmp_path) == [name]
    if name == "out.mp4":
        assert len(list(open_source(tmp_path / name))) > 20
    elif name == "out.csv":
        table = list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        assert [int(row["frame"]) for row in table] == list(range(len(table)))
        assert None not in table[-1].values() and len(table) > 500
    else:
        assert len([json.loads(line) for line in (tmp_path / name).read_text().splitlines()]) > 500


def test_a_summary_tells_who_was_in_view_for_how_long_with_what_emotions() -> None:
    with Summary() as summary:
        for number in range(11):
            people = [reading("happy" if number < 5 else "sad", 1)] + [reading("fear", 2)] * (3 <= number < 6)
            summary.write(Frame(picture(), "film", number, number / 10), people)
    assert summary.frames == 11
    assert summary.people[1].seconds == pytest.approx(1.0)
    assert summary.people[2].seconds == pytest.approx(0.2)
    assert summary.people[1].shares() == pytest.approx({"sad": 6 / 11, "happy": 5 / 11})
    assert list(summary.people[1].shares()) == ["sad", "happy"]


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_timeline_is_drawn_for_each_person(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    with Timeline(tmp_path / f"out{ending}") as timeline:
        for number in range(100):
            timeline.write(
                Frame(picture(), time=number / 10), [reading(person=1)] + [reading("sad", 2)] * (number > 50)
            )
    assert timeline.shown() == [1, 2]
    head = (tmp_path / f"out{ending}").read_bytes()[:5]
    assert head in (b"\x89PNG\r", b"<?xml", b"%PDF-")


def test_a_timeline_of_hours_takes_no_more_memory_than_one_of_minutes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    timeline = Timeline(tmp_path / "out.png")
    for second in range(36_000):
        timeline.write(Frame(picture(), time=float(second)), [reading("happy" if second < 18_000 else "sad")])
    parts = timeline.bins[1]
    assert len(parts) <= timeline.BINS
    assert sum(map(np.sum, parts.values())) == pytest.approx(36_000, rel=1e-3)
    half = 18_000 / timeline.width
    assert all(
        EMOTIONS[part.argmax()] == ("happy" if number < half - 1 else "sad")
        for number, part in parts.items()
        if abs(number - half) > 1
    )


def test_a_timeline_of_few_frames_has_no_holes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    timeline = Timeline(tmp_path / "out.png")
    for second in range(9):
        timeline.write(Frame(picture(), time=float(second)), [reading()] * (second != 5))
    wide = round(1 / timeline.width)
    assert sorted(timeline.bins[1]) == [*range(4 * wide + 1), *range(6 * wide, 8 * wide + 1)]


def test_nobody_in_view_is_a_timeline_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with Timeline(tmp_path / "out.png") as timeline:
        timeline.write(Frame(picture()), [])
    assert listing(tmp_path) == ["out.png"]


@pytest.mark.parametrize(
    ("package", "sink", "extra"), [("pyarrow", "growing", "parquet"), ("matplotlib", "summary", "plot")]
)
def test_a_missing_extra_names_the_command_that_installs_it(package: str, sink: str, extra: str) -> None:
    maker = {"growing": "ParquetRows", "summary": "Timeline"}[sink]
    program = f"""
        import sys
        sys.modules[{package!r}] = None  # importing it raises ImportError
        from pathlib import Path
        from mien.errors import MissingExtra
        from mien.media.{sink} import {maker}
        try:
            {maker}(Path("out.png"))
        except MissingExtra as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert f"pip install 'mien[{extra}]'" in done.stdout


def test_sound_that_does_not_come_is_left_out(tmp_path: Path) -> None:
    began = time.monotonic()
    with create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/film.mp4"
        with Recording(tmp_path / "out.mp4", url, timeout=0.5) as recording:
            for number in range(5):
                recording.write(Frame(picture(), "film", number, number / 25), [])
    assert time.monotonic() - began < 3
    assert len(list(open_source(tmp_path / "out.mp4"))) == 5
