"""`mien watch` on real videos and streams: what it writes, how it ends, and that nothing is lost."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from socket import create_server
from typing import Any

import av
import numpy as np
import pytest

from mien.apps import watch as watching
from mien.apps.cli import main
from mien.apps.report import ConnectionNotice, troubles
from mien.apps.watch import Options, Outputs, find_sources, watch_source
from mien.errors import OutputError, SourceError
from mien.files import part_of
from mien.labels import EMOTIONS
from mien.see.face import Face, Frame
from mien.sources.live import Live
from mien.sources.source import PendingFrame, SourceStats
from mien.sources.video import open_source

Film = Callable[..., Path]

ROOT = Path(__file__).parents[2]
ASTRONAUT = ROOT / "assets" / "astronaut.jpg"
LOST = "the source is lost: waiting until it is back"


def run(*arguments: object) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def start(*arguments: object, ignored: bool = False) -> subprocess.Popen[str]:
    """Start the command line as a process of its own, with `ignored` as a shell in the background would."""

    def background() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)

    command = [sys.executable, "-m", "mien", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=background
    )


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def only_line(text: str) -> str:
    """The one line of an error."""
    assert text.startswith("mien: ") and text.endswith("\n") and text.count("\n") == 1, text
    return text


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def frames_of(path: Path) -> list[int]:
    return [int(row["frame"]) for row in table(path)]


def until(process: subprocess.Popen[str], condition: Callable[[], object]) -> None:
    """Wait for a condition while a process runs."""
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory, write_film: Film) -> Path:
    """A video that takes seconds to read, in a folder of its own."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return write_film(path, (320, 240), frames=2000, options={"preset": "ultrafast"})


@pytest.fixture
def portrait(film: Film) -> Path:
    """A second of the portrait, large enough to be found, with sound."""
    return film("portrait.mp4", (320, 240), frames=25, sound=True)


def test_a_video_is_read_into_every_output(portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("matplotlib")
    outputs = {"csv": "a.csv", "json": "a.json", "parquet": "a.parquet", "counts": "counts.csv", "plot": "plot.png"}
    asked = [f"--{option}={tmp_path / name}" for option, name in outputs.items()]
    assert run("watch", portrait, "--no-window", *asked, "--video-out", tmp_path / "out.mp4") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "25 frames, 1 person, 25 faces" in printed.out
    rows = table(tmp_path / "a.csv")
    assert frames_of(tmp_path / "a.csv") == list(range(25))
    assert {row["person"] for row in rows} == {"1"}
    assert all(row["shown"] for row in rows)
    assert [float(row["time"]) for row in rows] == pytest.approx([index / 25 for index in range(25)])
    lines = [json.loads(line) for line in (tmp_path / "a.json").read_text().splitlines()]
    assert [str(line["happy"]) for line in lines] == [row["happy"] for row in rows]
    assert sum(int(row["count"]) for row in table(tmp_path / "counts.csv")) == 25
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 25
    assert listing(tmp_path) == sorted([*outputs.values(), "out.mp4", "portrait.mp4"])


def test_what_the_network_said_is_not_smoothed(portrait: Path, tmp_path: Path) -> None:
    assert run("watch", portrait, "--no-window", "--csv", tmp_path / "a.csv") == 0
    assert run("watch", portrait, "--no-window", "--csv", tmp_path / "b.csv", "--smooth", "0") == 0
    smoothed, plain = table(tmp_path / "a.csv"), table(tmp_path / "b.csv")
    assert [{**row, "shown": ""} for row in smoothed] == plain
    for row in plain:
        assert row["emotion"] == max(EMOTIONS, key=lambda name: float(row[name]))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("command", [["watch", "--no-window"], ["read"]])
def test_an_output_that_exists_needs_force(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    source = film()
    (tmp_path / "out.csv").write_text("mine")
    assert run(*command, source, "--csv", tmp_path / "out.csv") == 2
    assert "--force" in only_line(capsys.readouterr().err)
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert run(*command, source, "--csv", tmp_path / "out.csv", "--force") == 0
    assert len(table(tmp_path / "out.csv")) == 20
    assert run(*command, source, "--json", source, "--force") == 2
    assert "it is read from" in only_line(capsys.readouterr().err)


@pytest.mark.parametrize("source", ["missing.mp4", "63", "http://127.0.0.1:9/a.mp4", "rtsp://127.0.0.1:9/a"])
def test_a_source_that_cannot_be_opened_is_one_line_and_nothing_is_written(
    source: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["--csv", tmp_path / "a.csv", "--video-out", tmp_path / "a.mp4", "--counts", tmp_path / "c.csv"]
    assert run("watch", source, "--no-window", *asked) == 2
    printed = capfd.readouterr()
    assert only_line(printed.err) and printed.out == ""
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{film}", "--camera", "1"], "give one of them"),
        ([""], "has no name"),
        (["{portrait}"], "is a picture: read it as a picture"),
        (["{film}", "--csv", "/dev/full"], "is a device or a pipe"),
        (["{film}", "--parquet", "{film}.csv", "--force"], "use a name that ends in .parquet"),
        (["n" * 300], "cannot be opened"),
        (["{film}", "{film}", "--csv", "{film}.csv"], "name a folder for it"),
        (["{film}", "{film}.mp4", "--csv", "-"], "name a folder for it"),
        (["{folder}/*.mkv"], "there is no video in what was given"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    arguments: list[str], said: str, film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = film(frames=2)
    Path(f"{made}.csv").write_text("mine")
    given = [argument.format(film=made, portrait=ASTRONAUT, folder=tmp_path) for argument in arguments]
    assert run("watch", *given, "--no-window") == 2
    assert said in only_line(capsys.readouterr().err)
    assert Path(f"{made}.csv").read_text() == "mine"
    assert listing(tmp_path) == ["film.mp4", "film.mp4.csv"]


def test_no_camera_says_so() -> None:
    if Path("/dev/video0").exists():
        pytest.skip("this machine has a camera")
    with start("watch", "--no-window") as process:
        assert "no camera 0" in only_line(process.communicate(timeout=60)[1])
    assert process.returncode == 2


def test_no_display_points_to_no_window(
    portrait: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert run("watch", portrait) == 2
    assert "--no-window" in only_line(capsys.readouterr().err)


@pytest.mark.usefixtures("quick")
def test_several_videos_go_into_folders(film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in" / "below").mkdir(parents=True)
    for name, frames in (("in/a.mp4", 5), ("in/b.mkv", 7), ("in/below/a.mp4", 9)):
        film(name, frames=frames)
    out = [f"--{kind}={tmp_path / kind}" for kind in ("csv", "json", "counts", "video-out")]
    assert run("watch", tmp_path / "in" / "a.mp4", tmp_path / "in" / "b.mkv", *out, "--no-window") == 0
    assert listing(tmp_path / "csv") == ["a.mp4.csv", "b.mkv.csv"]
    assert listing(tmp_path / "json") == ["a.mp4.jsonl", "b.mkv.jsonl"]
    assert listing(tmp_path / "video-out") == ["a.mp4.mp4", "b.mkv.mp4"]
    assert frames_of(tmp_path / "csv" / "b.mkv.csv") == list(range(7))
    printed = capsys.readouterr()
    assert "5 frames" in printed.out and "7 frames" in printed.out
    assert run("watch", tmp_path / "in" / "**" / "*.mp4", f"--csv={tmp_path / 'other'}", "--no-window") == 0
    assert [(name, len(table(tmp_path / "other" / name))) for name in listing(tmp_path / "other")] == [
        ("a.mp4-2.csv", 9),
        ("a.mp4.csv", 5),
    ]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("command", [["watch", "--no-window"], ["read"]])
def test_a_folder_of_videos_is_read_and_a_bad_one_does_not_stop_the_others(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (tmp_path / "in").mkdir()
    film("in/a.mp4", frames=5)
    film("in/c.mp4", frames=6)
    (tmp_path / "in" / "b.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    assert run(*command, tmp_path / "in", "--csv", out) == 1
    assert listing(out) == ["a.mp4.csv", "c.mp4.csv"]
    assert "b.mp4 is damaged" in capsys.readouterr().err
    assert run(*command, tmp_path / "in", "--csv", out) == 2  # all that could be read is there already
    assert capsys.readouterr().err.count("--force") == 2
    (out / "a.mp4.csv").unlink()
    assert run(*command, tmp_path / "in", "--csv", out, "--force") == 1
    assert listing(out) == ["a.mp4.csv", "c.mp4.csv"]


@pytest.mark.usefixtures("quick")
def test_videos_that_are_done_can_be_skipped(film: Film, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        film(f"in/{name}", frames=5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.mp4.csv").write_text("done")
    assert run("read", tmp_path / "in", "--csv", tmp_path / "out", "--skip-existing") == 0
    assert (tmp_path / "out" / "a.mp4.csv").read_text() == "done"
    assert len(table(tmp_path / "out" / "b.mp4.csv")) == 5


@pytest.mark.usefixtures("quick")
def test_where_no_video_can_be_read_no_folder_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("watch", "a.mp4", "b.mp4", "--csv", tmp_path / "out", "--no-window") == 2
    assert "no video could be read" in capsys.readouterr().err.splitlines()[-1]
    assert listing(tmp_path) == []


def test_names_stand_for_videos(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mkv", "c.jpg", "frame_1.png"):
        (tmp_path / name).touch()
    a, b = str(tmp_path / "a.mkv"), str(tmp_path / "b.mp4")
    assert find_sources([str(tmp_path)]) == [a, b]
    assert find_sources([b, str(tmp_path / "*")]) == [b, a]
    named = ["rtsp://[::1]/live", "0", str(tmp_path / "frame_%d.png"), "missing.mp4"]
    assert find_sources(named) == named


def test_outputs_of_streams_are_named_without_their_passwords() -> None:
    named = ["rtsp://user:secret@host/live?token=1", "rtsp://user:secret@host:554", "a/live", "b/live"]
    assert watching._distinct_names(named) == ["live", "stream", "live-2", "live-3"]


@pytest.mark.usefixtures("quick")
def test_numbered_pictures_are_watched_as_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 6):
        shutil.copy(ASTRONAUT, tmp_path / f"frame_{number:03}.jpg")
    source = tmp_path / "frame_%03d.jpg"
    assert run("watch", source, "--no-window", "--csv", tmp_path / "a.csv") == 0
    assert frames_of(tmp_path / "a.csv") == list(range(5))
    assert run("read", source, "--csv", tmp_path / "b.csv") == 0
    assert "5 pictures" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_the_table_can_be_silenced(film: Film, capsys: pytest.CaptureFixture[str]) -> None:
    source = film(frames=3)
    assert run("watch", source, "--no-window") == 0
    assert "in view" in capsys.readouterr().out
    assert run("watch", source, "--no-window", "--quiet") == 0
    assert capsys.readouterr().out == "3 frames, 1 person, 3 faces\n"


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_ends_the_stream_and_leaves_every_output_whole(
    long_film: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    pytest.importorskip("pyarrow")
    names = {"csv": "a.csv", "parquet": "a.parquet", "counts": "c.csv", "video-out": "a.mp4"}
    asked = [f"--{option}={tmp_path / name}" for option, name in names.items()]
    with start("watch", long_film, "--no-window", *asked) as process:
        part = part_of(tmp_path / "a.csv")
        until(process, lambda: part.exists() and part.read_bytes().count(b"\n") > 5)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, "")
    assert "1 person" in out
    assert out.endswith("stopped before the end: the outputs hold what was read until then\n")
    frames = frames_of(tmp_path / "a.csv")
    assert 5 <= len(frames) < 2000
    assert sum(int(row["count"]) for row in table(tmp_path / "c.csv")) == len(frames)
    assert len(list(open_source(tmp_path / "a.mp4"))) == frames[-1] + 1
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(tmp_path / "a.parquet")["frame"].to_pylist() == frames
    assert listing(tmp_path) == sorted(names.values())


def test_ctrl_c_is_heard_in_the_background_too(long_film: Path, tmp_path: Path) -> None:
    """A shell starts what runs in the background with SIGINT ignored."""
    with start("watch", long_film, "--no-window", "--csv", tmp_path / "a.csv", ignored=True) as process:
        part = part_of(tmp_path / "a.csv")
        until(process, lambda: part.exists() and part.read_bytes().count(b"\n") > 5)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert frames_of(tmp_path / "a.csv")


def test_of_two_runs_with_one_output_the_second_is_refused(
    long_film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start("watch", long_film, "--no-window", "--csv", tmp_path / "a.csv", "--quiet") as first:
        part = part_of(tmp_path / "a.csv")
        until(first, lambda: part.exists() and part.read_bytes().count(b"\n") > 5)
        for command in (
            ["watch", long_film, "--no-window", "--force"],
            ["read", long_film, "--force"],
            ["read", ASTRONAUT],
        ):
            assert run(*command, "--csv", tmp_path / "a.csv") == 2
            assert "another run is writing it" in only_line(capsys.readouterr().err)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 143
    frames = frames_of(tmp_path / "a.csv")
    assert frames == list(range(len(frames)))
    assert listing(tmp_path) == ["a.csv"]


@pytest.mark.parametrize(("number", "code"), SIGNALS[:2])
def test_a_signal_ends_the_wait_for_a_server_that_does_not_answer(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/film.mp4"
        asked = ("--no-window", "--csv", tmp_path / "a.csv", "--timeout", "30")
        with start("watch", url, *asked) as process, silent.accept()[0] as connection:
            connection.recv(1)  # it is being opened
            process.send_signal(number)
            began = time.monotonic()
            out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 10  # the networks are loaded meanwhile
    assert (process.returncode, err) == (code, "")
    assert out.startswith("0 frames, no face found\n")
    assert listing(tmp_path) == ["a.csv"] and table(tmp_path / "a.csv") == []


def test_a_reader_that_stops_early_leaves_the_other_outputs_whole(portrait: Path, tmp_path: Path) -> None:
    with start("watch", portrait, "--no-window", "--json", "-", "--csv", tmp_path / "a.csv") as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    assert frames_of(tmp_path / "a.csv") == list(range(25))


def test_a_stream_whose_only_reader_stops_early_ends(long_film: Path) -> None:
    with start("watch", long_film, "--no-window", "--json", "-") as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        began = time.monotonic()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("sinks", [["--json", "-"], ["--json", "-", "--csv", "a.csv"]])
def test_a_full_standard_output_is_one_line_and_the_other_outputs_are_whole(
    portrait: Path, tmp_path: Path, sinks: list[str]
) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-m", "mien", "watch", str(portrait), "--no-window", *sinks]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert "cannot write to standard output (No space left on device)" in only_line(ended.stderr)
    if "a.csv" in sinks:
        assert frames_of(tmp_path / "a.csv") == list(range(25))


@pytest.mark.usefixtures("quick")
def test_a_full_disk_ends_a_table_behind_its_last_row_and_a_later_run_is_whole(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resource = pytest.importorskip("resource")
    source, out = film(frames=120), tmp_path / "a.csv"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal_before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        assert run("watch", source, "--no-window", "--csv", out) == 2
        assert "File too large" in only_line(capsys.readouterr().err)
        assert 0 < len(table(out)) < 120
        resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
        assert run("watch", source, "--no-window", "--csv", tmp_path / "b.csv") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, signal_before)
    assert listing(tmp_path) == ["a.csv", "film.mp4"]
    assert run("watch", source, "--no-window", "--csv", out, "--force") == 0
    assert frames_of(out) == list(range(120))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("sound", [("film.avi", "mpeg4", "libmp3lame"), ("film.avi", "mpeg4", "ac3")])
def test_sound_of_any_kind_stops_neither_pictures_nor_tables(
    film: Film, tmp_path: Path, sound: tuple[str, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    source = film(sound[0], codec=sound[1], sound=sound[2], frames=50)
    asked = ("--csv", tmp_path / "a.csv", "--video-out", tmp_path / "a.mp4")
    assert run("watch", source, "--no-window", *asked) == 0
    assert capsys.readouterr().err == ""
    assert frames_of(tmp_path / "a.csv") == list(range(50))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(container.streams.audio) == 1
    assert len(list(open_source(tmp_path / "a.mp4"))) == 50


@pytest.mark.usefixtures("quick")
def test_sound_of_an_unknown_kind_is_one_line_and_the_rest_is_whole(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film(frames=25, sound=True)
    source.write_bytes(source.read_bytes().replace(b"mp4a", b"zzzz").replace(b"esds", b"xxxx"))
    asked = ("--csv", tmp_path / "a.csv", "--video-out", tmp_path / "a.mp4")
    assert run("watch", source, "--no-window", *asked) == 0
    assert "the sound is left out" in only_line(capsys.readouterr().err)
    assert len(table(tmp_path / "a.csv")) == len(list(open_source(tmp_path / "a.mp4"))) == 25


@pytest.mark.usefixtures("quick")
def test_an_output_that_fails_takes_no_other_with_it(
    film: Film, tmp_path: Path, quick: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    place, find_faces = tmp_path / "there", quick.detect
    place.mkdir()

    def detect(frame: Frame) -> list[Face]:
        shutil.rmtree(place, ignore_errors=True)
        return find_faces(frame)  # type: ignore[no-any-return]

    quick.detect = staticmethod(detect)
    whole = ("--csv", tmp_path / "a.csv", "--video-out", tmp_path / "a.mp4")
    assert run("watch", film(), "--no-window", *whole, "--counts", place / "c.csv", "--json", place / "a.json") == 2
    line = only_line(capsys.readouterr().err)
    assert "c.csv" in line and "a.json" in line
    assert len(table(tmp_path / "a.csv")) == 20
    assert len(list(open_source(tmp_path / "a.mp4"))) == 20
    assert not list(tmp_path.glob("*.mien-part"))


@pytest.mark.usefixtures("quick")
def test_a_bug_in_the_middle_loses_nothing_that_was_read(film: Film, tmp_path: Path, quick: Any) -> None:
    find_faces = quick.detect

    def detect(frame: Frame) -> list[Face]:
        if frame.index == 12:
            raise ZeroDivisionError("a bug")
        return find_faces(frame)  # type: ignore[no-any-return]

    quick.detect = staticmethod(detect)
    with pytest.raises(ZeroDivisionError):
        main(["watch", str(film()), "--no-window", "--csv", str(tmp_path / "a.csv")])
    assert frames_of(tmp_path / "a.csv") == list(range(8))  # the burst before
    assert listing(tmp_path) == ["a.csv", "film.mp4"]


@pytest.mark.usefixtures("quick")
def test_no_output_grows_over_the_source_or_another_output(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film().rename(part_of(tmp_path / "out.mp4"))
    before = source.read_bytes()
    assert run("watch", source, "--no-window", "--video-out", tmp_path / "out.mp4", "--force") == 2
    assert "it is read from" in only_line(capsys.readouterr().err)
    assert source.read_bytes() == before
    both = ("--csv", tmp_path / "a.csv", "--json", part_of(tmp_path / "a.csv"))
    assert run("watch", source, "--no-window", *both) == 2
    assert "twice" in only_line(capsys.readouterr().err)
    assert listing(tmp_path) == [source.name]


@pytest.mark.usefixtures("quick")
def test_what_a_killed_run_left_is_written_over_only_when_asked(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = film("long.mp4", frames=25), tmp_path / "out.csv"
    part = part_of(out)
    part.write_bytes(b"what there is")
    assert run("watch", source, "--no-window", "--csv", out) == 2
    assert f"left what it had of {out} in {part.name}: rename that to keep it" in only_line(capsys.readouterr().err)
    assert part.read_bytes() == b"what there is"
    assert run("watch", source, "--no-window", "--csv", out, "--force") == 0
    assert frames_of(out) == list(range(25))
    assert listing(tmp_path) == ["long.mp4", "out.csv"]


def test_a_killed_run_leaves_its_rows_in_the_part(long_film: Path, tmp_path: Path) -> None:
    part = part_of(tmp_path / "a.csv")
    with start("watch", long_film, "--no-window", "--csv", tmp_path / "a.csv") as process:
        until(process, lambda: part.exists() and part.read_bytes().count(b"\n") > 20)
        process.send_signal(signal.SIGKILL)
    frames = frames_of(part)
    assert frames[:20] == list(range(20))
    assert listing(tmp_path) == ["a.csv.mien-part"]


def test_no_pickle_beside_the_outputs_is_opened(film: Film, tmp_path: Path, quick: Any) -> None:
    del quick
    for name in ("out.csv.checkpoint", "out.csv.pickle"):
        (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    assert run("watch", film(), "--no-window", "--csv", tmp_path / "out.csv") == 0
    assert not Path("hacked").exists()


def test_what_went_wrong_on_the_way_is_told() -> None:
    stats = SourceStats(frames=9, corrupt=3, damaged=2, reconnects=1, gaps=[(1.0, 2.0), (5.0, 7.5)], missing=12.0)
    assert troubles(stats) == [
        "3 corrupt packets skipped",
        "2 damaged pictures, with parts that the decoder made up",
        "the source was lost 2 times, for 3.5 seconds, and was not back at the end",
        "the file ends 12 seconds before the length that it states",
    ]
    assert troubles(SourceStats(frames=9, corrupt=1, damaged=1, reconnects=1, gaps=[(1.0, 2.0)], missing=0.1)) == [
        "1 corrupt packet skipped",
        "1 damaged picture, with parts that the decoder made up",
        "the source was lost 1 time, for 1.0 seconds",
    ]


@pytest.mark.usefixtures("quick")
def test_a_live_source_that_is_lost_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    connections, notices = count(), [""]

    def connect(_: SourceStats) -> Generator[PendingFrame]:
        """A camera that is switched off and on, each time when the window has shown that it is on or off."""
        number = next(connections)
        while number and notices[-1] == "":
            time.sleep(0.01)
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        if number >= 2:
            return
        yield PendingFrame(None, lambda: np.zeros((48, 64, 3), np.uint8))
        while notices[-1] != "":
            time.sleep(0.01)

    source = Live("camera", connect, pauses=(0.05, 0.05))
    look = ConnectionNotice.look

    def noting(notice: ConnectionNotice) -> None:
        notices.append(source.notice())
        look(notice)

    monkeypatch.setattr(ConnectionNotice, "look", noting)
    monkeypatch.setattr(watching, "open_source", lambda *_, **__: source)
    assert run("watch", "rtsp://camera", "--csv", tmp_path / "a.csv") == 143
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == [f"mien: {LOST}", "mien: the source is back", f"mien: {LOST}"]
    assert len(said) == 4 and "lost 2 times" in said[3] and said[3].endswith("and was not back at the end")
    assert "no picture for 0 s" in notices


@pytest.mark.usefixtures("quick")
def test_a_files_url_is_read_into_a_table(film: Film, tmp_path: Path) -> None:
    assert run("watch", film("a film.mp4").as_uri(), "--no-window", "--csv", tmp_path / "out.csv") == 0
    assert {row["source"] for row in table(tmp_path / "out.csv")} == {str(tmp_path / "a film.mp4")}


def test_the_documents_script_does_the_same_from_its_own_folder(portrait: Path, tmp_path: Path) -> None:
    command = [sys.executable, "real_time_emotion_detection.py", "--no-window", "--csv", str(tmp_path / "out.csv")]
    script = [*command, "--source", str(portrait), "--every", "5"]
    done = subprocess.run(script, cwd=ROOT / "scripts", capture_output=True, text=True, check=True)
    assert "5 frames, 1 person" in done.stdout
    assert len(table(tmp_path / "out.csv")) == 5


def test_the_documents_script_names_itself_and_its_option_in_its_help() -> None:
    command = [sys.executable, "real_time_emotion_detection.py", "--help"]
    done = subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True, check=True)
    first = done.stdout.strip().splitlines()[0]
    assert "real_time_emotion_detection.py" in first and "--source" in first
    assert "--no-window" in done.stdout


@pytest.mark.usefixtures("quick")
def test_mutated_videos_leave_whole_outputs_or_none(
    film: Film, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(1)
    films = [film(name, frames=8, sound=True, options={"g": "4"}) for name in ("a.mp4", "a.mkv", "a.ts")]
    wholes = [path.read_bytes() for path in films]
    csv_out, video_out = tmp_path / "out.csv", tmp_path / "out.mp4"
    asked = ("--no-window", "--csv", csv_out, "--counts", tmp_path / "counts.csv", "--video-out", video_out)
    codes = set[int]()
    for number in range(60):
        source, data = films[number % 3], bytearray(wholes[number % 3])
        for _ in range(chance.choice((1, 4, 30))):
            place = chance.randrange(len(data)) if chance.random() < 0.5 else chance.randrange(min(len(data), 600))
            data[place] = chance.randrange(256)
        source.write_bytes(data)
        code = run("watch", source, *asked)
        codes.add(code)
        printed = capfd.readouterr()
        assert all(line.startswith("mien: ") for line in printed.err.splitlines())
        assert bool(code) == (not video_out.exists()) or "broke off" in printed.err
        if csv_out.exists():
            assert len({row["frame"] for row in table(csv_out)}) == len(list(open_source(video_out)))
        assert not list(tmp_path.glob("*.mien-part"))
        for path in tmp_path.glob("*out*"):
            path.unlink()
        (tmp_path / "counts.csv").unlink(missing_ok=True)
    assert codes == {0, 2}


def test_a_run_from_python_checks_its_outputs_before_the_networks_are_opened(film: Film, tmp_path: Path) -> None:
    def never() -> Any:
        raise AssertionError("the networks are opened")

    for outputs in (Outputs(csv=tmp_path), Outputs(video=tmp_path / "a.gif"), Outputs(plot=tmp_path / "a.txt")):
        with pytest.raises(OutputError):
            watch_source(str(film()), outputs, Options(never))
    with pytest.raises(SourceError):
        watch_source(str(tmp_path / "missing.mp4"), Outputs(), Options(never))
