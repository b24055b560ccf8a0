"""`mien watch` on real videos and streams: what it writes, how it ends, how it goes on."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from socket import create_server

import av
import numpy as np
import pytest

import mien
from mien.apps import checkpoint, watching
from mien.apps.cli import main
from mien.apps.report import silence, troubles
from mien.apps.stopping import Stop
from mien.apps.watch import Options, Outputs, Run, watch_source
from mien.errors import MienError, OutputError, SourceError
from mien.see.face import Face, Frame, Reading
from mien.see.pipeline import Pipeline
from mien.see.track import Tracker
from mien.sources.live import Live
from mien.sources.source import PendingFrame, SourceStats
from mien.sources.video import open_source

Film = Callable[..., Path]

ROOT = Path(__file__).parents[2]

WAITED = "lost: waiting until it is back"


def run(*arguments: object) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command line as a process of its own."""
    command = [sys.executable, "-m", "mien", "watch", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def only_line(text: str) -> str:
    """The one line of an error."""
    assert text.startswith("mien: ") and text.endswith("\n") and text.count("\n") == 1, text
    return text


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def brightest(frame: Frame) -> list[Face]:
    """A detector of ours, quick and never wrong: the face is where the picture is brightest."""
    image = frame.image
    y, x = np.unravel_index(image.sum(2, dtype=np.int32).argmax(), image.shape[:2])
    return [Face(np.array((x - 5, y - 5, x + 5, y + 5), np.float32), 0.9, np.zeros((5, 2), np.float32))]


def by_colour(frames: Sequence[Frame], faces: Sequence[list[Face]]) -> list[list[Reading]]:
    """A classifier of ours: scores that change from frame to frame."""
    colours = (frame.image.reshape(-1, 3)[:: frame.image.size // 21][:7].sum(1) for frame in frames)
    scores = [colour.astype(np.float32) + 1 for colour in colours]
    return [[Reading(face, score / score.sum()) for face in found] for score, found in zip(scores, faces, strict=True)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read with plain functions where the networks are not what is tested."""
    monkeypatch.setattr(Options, "open_pipeline", lambda _: Pipeline(brightest, by_colour, Tracker()))


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
    assert [int(row["frame"]) for row in rows] == list(range(25))
    assert {row["person"] for row in rows} == {"1"}
    assert [float(row["time"]) for row in rows] == pytest.approx([index / 25 for index in range(25)])
    lines = [json.loads(line) for line in (tmp_path / "a.json").read_text().splitlines()]
    assert [str(line["happy"]) for line in lines] == [row["happy"] for row in rows]
    assert f"{rows[0]['emotion']},25" in (tmp_path / "counts.csv").read_text()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 25
    expected = [*outputs.values(), "out.mp4", "portrait.mp4"]
    assert listing(tmp_path) == sorted(expected)


def test_watch_yields_frames_with_readings_and_frees_everything_when_closed(portrait: Path) -> None:
    stream = mien.watch(portrait, every=5)
    frame, [reading] = next(stream)
    assert (frame.index, reading.person) == (0, 1)
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    assert [frame.index for frame, _ in mien.watch(str(portrait), fps=5)] == [0, 5, 10, 15, 20]
    with pytest.raises(SourceError, match="no camera"):
        next(mien.watch(63))


def test_read_takes_a_video_too(portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("read", portrait, "--csv", tmp_path / "out.csv", "--counts", tmp_path / "counts.csv") == 0
    assert "25 frames, 1 person" in capsys.readouterr().out
    assert len(table(tmp_path / "out.csv")) == 25


@pytest.mark.usefixtures("quick")
def test_an_output_that_exists_needs_force(film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = film()
    (tmp_path / "out.csv").write_text("mine")
    assert run("watch", source, "--no-window", "--csv", tmp_path / "out.csv") == 2
    assert "--force" in only_line(capsys.readouterr().err)
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert run("watch", source, "--no-window", "--csv", tmp_path / "out.csv", "--force") == 0
    assert len(table(tmp_path / "out.csv")) == 20
    assert run("watch", source, "--no-window", "--video-out", source, "--force") == 2
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
        (["{portrait}"], "is a picture: use mien read"),
        (["{film}", "--csv", "/dev/full"], "is a device or a pipe"),
        (["{film}", "--csv", "{film}.csv", "--resume"], "no run that was stopped left it"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    arguments: list[str], said: str, film: Film, capsys: pytest.CaptureFixture[str]
) -> None:
    made = film(frames=2)
    Path(f"{made}.csv").write_text("mine")
    given = [argument.format(film=made, portrait=ROOT / "assets" / "astronaut.jpg") for argument in arguments]
    assert run("watch", *given, "--no-window") == 2
    assert said in only_line(capsys.readouterr().err)
    assert Path(f"{made}.csv").read_text() == "mine"


def test_no_camera_says_so() -> None:
    if Path("/dev/video0").exists():
        pytest.skip("this machine has a camera")
    with start("--no-window") as process:
        assert "no camera 0" in only_line(process.communicate(timeout=60)[1])
    assert process.returncode == 2


def test_no_display_points_to_no_window(
    portrait: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pygame")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert run("watch", portrait) == 2
    assert "--no-window" in only_line(capsys.readouterr().err)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_stream_and_leaves_every_output_whole(
    film: Film, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    source = film("long.mp4", (320, 240), frames=800, options={"preset": "ultrafast"})
    asked = ["--csv", tmp_path / "a.csv", "--counts", tmp_path / "c.csv", "--video-out", tmp_path / "a.mp4"]
    with start(source, "--no-window", *asked) as process:
        part = tmp_path / "a.csv.part"
        while not (part.exists() and part.read_bytes().count(b"\n") > 5):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, "")
    assert "1 person" in out
    assert "the tables alone with --resume go on" in out
    rows = table(tmp_path / "a.csv")
    assert 5 <= len(rows) < 800
    assert sum(int(row["count"]) for row in table(tmp_path / "c.csv")) == len(rows)
    assert len(list(open_source(tmp_path / "a.mp4"))) == int(rows[-1]["frame"]) + 1
    assert listing(tmp_path) == ["a.csv", "a.csv.checkpoint", "a.mp4", "c.csv", "long.mp4"]
    without_video = [*asked[:4], "--resume"]
    assert run("watch", source, "--no-window", *without_video) == 0
    assert [int(row["frame"]) for row in table(tmp_path / "a.csv")] == list(range(800))
    assert listing(tmp_path) == ["a.csv", "a.mp4", "c.csv", "long.mp4"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait_for_a_server_that_does_not_answer(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/film.mp4"
        asked = ("--no-window", "--csv", tmp_path / "a.csv", "--timeout", "30")
        with start(url, *asked) as process, silent.accept()[0] as connection:
            connection.recv(1)  # it is being opened
            process.send_signal(number)
            began = time.monotonic()
            out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 5  # the networks are loaded meanwhile
    assert (process.returncode, err) == (code, "")
    assert out == "0 frames, no face found\n"
    assert listing(tmp_path) == ["a.csv"] and table(tmp_path / "a.csv") == []


@pytest.mark.parametrize("asked", [6, 7])
def test_a_run_can_be_resumed_whoever_is_the_first_to_hear_of_its_end(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    """The source asks before each frame and the command after it: one of the two numbers falls to each."""
    source = film("short.mp4", (160, 120), frames=12)
    before = count(1)
    with monkeypatch.context() as patched:
        patched.setattr(Stop, "__call__", lambda _: next(before) >= asked)
        assert run("watch", source, "--no-window", "--csv", tmp_path / "a.csv") == 0
    assert "with --resume go" in capsys.readouterr().out
    assert (tmp_path / "a.csv.checkpoint").exists()
    assert run("watch", source, "--no-window", "--csv", tmp_path / "a.csv", "--resume") == 0
    assert [int(row["frame"]) for row in table(tmp_path / "a.csv")] == list(range(12))


def test_a_reader_that_stops_early_leaves_the_other_outputs_whole(portrait: Path, tmp_path: Path) -> None:
    with start(portrait, "--no-window", "--json", "-", "--csv", tmp_path / "a.csv") as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    assert len(table(tmp_path / "a.csv")) >= 1


@pytest.mark.usefixtures("quick")
def test_a_run_that_was_killed_goes_on_and_its_rows_are_those_of_an_unbroken_one(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film("film.mp4", frames=120, options={"bf": "3", "g": "25"})
    whole = Outputs(csv=tmp_path / "whole.csv", json=tmp_path / "whole.json", counts=tmp_path / "whole-counts.csv")
    assert watch_source(str(source), whole, Options(every=2)) == 0
    complete = capsys.readouterr().out
    outputs = Outputs(csv=tmp_path / "out.csv", json=tmp_path / "out.json", counts=tmp_path / "out-counts.csv")
    program = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import PosixPath, WindowsPath
        from test_watch import *
        checkpoint.INTERVAL = 0
        Options.open_pipeline = lambda _: Pipeline(deadly(37), by_colour, Tracker())
        watch_source({str(source)!r}, {outputs!r}, Options(every=2))
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert set(listing(tmp_path)) >= {"out.csv.part", "out.json.part", "out.csv.checkpoint"}
    with (tmp_path / "out.csv.part").open("a") as file:
        file.write("half a r")
    with pytest.raises(MienError, match="--resume goes on"):
        watch_source(str(source), outputs, Options(every=2))
    outputs = replace(outputs, resume=True)
    with pytest.raises(MienError, match="differs in its every"):
        watch_source(str(source), outputs, Options(every=3))
    assert watch_source(str(source), outputs, Options(every=2)) == 0
    for before, after in zip(whole.files(), outputs.files(), strict=True):
        assert before.read_bytes() == after.read_bytes()
    assert capsys.readouterr().out.endswith(complete)
    assert not [name for name in listing(tmp_path) if name.endswith((".part", ".checkpoint"))]


def test_the_usual_pipeline_goes_on_from_a_stop_as_if_there_had_been_none(portrait: Path, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole.csv", Outputs(csv=tmp_path / "halves.csv")
    assert watch_source(str(portrait), Outputs(csv=whole), Options()) == 0
    source, pipeline = open_source(portrait), Options().open_pipeline()
    assert Run(source, halves, Options(), None).through(pipeline, second_time()) is None
    assert len(table(tmp_path / "halves.csv")) == 16  # the burst is read to its end
    assert watch_source(str(portrait), replace(halves, resume=True), Options()) == 0
    assert (tmp_path / "halves.csv").read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("quick")
def test_a_run_that_is_stopped_before_its_first_frame_goes_on_from_the_beginning(
    film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, outputs = str(film()), Outputs(csv=tmp_path / "a.csv", json=tmp_path / "a.json")
    with monkeypatch.context() as patched:

        def signalled(_: Options) -> Pipeline:
            os.kill(os.getpid(), signal.SIGTERM)  # while the networks are loaded
            return Pipeline(brightest, by_colour, Tracker())

        patched.setattr(Options, "open_pipeline", signalled)
        assert watch_source(source, outputs, Options()) == 143
    assert "the same command with --resume goes on" in capsys.readouterr().out
    assert table(tmp_path / "a.csv") == []
    assert watch_source(source, replace(outputs, resume=True), Options()) == 0
    assert [int(row["frame"]) for row in table(tmp_path / "a.csv")] == list(range(20))
    assert len((tmp_path / "a.json").read_text().splitlines()) == 20
    assert listing(tmp_path) == ["a.csv", "a.json", "film.mp4"]


@pytest.mark.usefixtures("quick")
def test_a_run_whose_disk_was_full_at_once_goes_on_when_there_is_room(film: Film, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    source, outputs = str(film(frames=120)), Outputs(csv=tmp_path / "a.csv")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            watch_source(source, outputs, Options())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < len(table(tmp_path / "a.csv")) < 120
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            watch_source(source, Outputs(csv=tmp_path / "b.csv"), Options())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert listing(tmp_path) == ["a.csv", "a.csv.checkpoint", "film.mp4"]
    assert watch_source(source, replace(outputs, resume=True), Options()) == 0
    assert [int(row["frame"]) for row in table(tmp_path / "a.csv")] == list(range(120))


def second_time() -> Callable[[], bool]:
    """Return what is false when it is asked first, after the first burst of frames, and true from then on."""
    times = count(1)
    return lambda: next(times) >= 2


def deadly(frames: int) -> Callable[[Frame], list[Face]]:
    """A detector that kills the process after some frames."""
    assert checkpoint.INTERVAL == 0
    left = iter(range(frames))

    def detect(frame: Frame) -> list[Face]:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return brightest(frame)

    return detect


@pytest.mark.usefixtures("quick")
def test_resume_with_nothing_to_go_on_with_begins_and_a_finished_run_is_not_done_again(
    film: Film, tmp_path: Path
) -> None:
    source, outputs = film(), Outputs(csv=tmp_path / "out.csv", resume=True)
    assert watch_source(str(source), outputs, Options()) == 0
    assert len(table(tmp_path / "out.csv")) == 20
    with pytest.raises(MienError, match="is there already"):
        watch_source(str(source), outputs, Options())
    with pytest.raises(MienError, match="ask for these alone"):
        watch_source(str(source), Outputs(csv=tmp_path / "b.csv", plot=tmp_path / "b.png", resume=True), Options())


def called(module: str, name: str, argument: str) -> bytes:
    """A pickle that calls what has that name (pickletools: SHORT_BINUNICODE, STACK_GLOBAL, TUPLE1, REDUCE)."""
    words = (b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name, argument))
    first, second, third = words
    return b"\x80\x04" + first + second + b"\x93" + third + b"\x85R."


@pytest.mark.parametrize(
    "pickled",
    [
        b"cos\nsystem\n(S'touch hacked'\ntR.",
        called("mien.sinks.tables", "os.system", "touch hacked"),
        called("mien.apps.watch", "Path.touch", "hacked"),
        called("mien.see.track", "Tracker.__init__.__globals__", "hacked"),
        called("mien.sinks.video", "Recording", "hacked.mp4"),
    ],
)
def test_a_checkpoint_that_would_run_a_program_is_refused(film: Film, tmp_path: Path, pickled: bytes) -> None:
    (tmp_path / "out.csv.checkpoint").write_bytes(pickled)
    with pytest.raises(MienError, match="is damaged"):
        watch_source(str(film()), Outputs(csv=tmp_path / "out.csv", resume=True), Options())
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
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    connections, notices = count(), [""]

    def connect(_: SourceStats) -> Generator[PendingFrame]:
        """A camera that is switched off and on, each time when the window has shown that it is on or off."""
        number = next(connections)
        while number and notices[-1] == "":
            time.sleep(0.01)
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        yield PendingFrame(None, lambda: np.zeros((48, 64, 3), np.uint8))
        while notices[-1] != "":
            time.sleep(0.01)

    def opened(*_: object, stop: Callable[[], bool], **__: object) -> Live:
        def noting() -> bool:
            notices.append(silence(source))
            return stop()

        source = Live("camera", connect, pauses=(0.05, 0.05), stop=noting)
        return source

    monkeypatch.setattr(watching, "open_source", opened)
    assert watch_source("camera", Outputs(csv=tmp_path / "a.csv", window=True), Options()) == 143
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == [f"mien: the source is {state}" for state in (WAITED, "back", WAITED)]
    assert len(said) == 4 and "lost 2 times" in said[3] and said[3].endswith("and was not back at the end")
    assert "no picture for 0 s" in notices


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


def test_a_video_that_read_was_stopped_in_goes_on_with_watch(film: Film, tmp_path: Path) -> None:
    source = film("long.mp4", (320, 240), frames=400, options={"preset": "ultrafast"})
    table_of_rows, part = tmp_path / "a.csv", tmp_path / "a.csv.part"
    command = [sys.executable, "-m", "mien", "read", str(source), "--csv", str(table_of_rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not (part.exists() and part.read_bytes().count(b"\n") > 5):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert "mien watch with the same options and --resume goes on" in process.communicate(timeout=60)[0]
    assert run("watch", source, "--no-window", "--csv", table_of_rows, "--resume") == 0
    assert [int(row["frame"]) for row in table(table_of_rows)] == list(range(400))


@pytest.mark.usefixtures("quick")
def test_an_output_that_fails_takes_no_other_with_it(
    film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "there"
    place.mkdir()

    def detect(frame: Frame) -> list[Face]:
        shutil.rmtree(place, ignore_errors=True)
        return brightest(frame)

    monkeypatch.setattr(Options, "open_pipeline", lambda _: Pipeline(detect, by_colour, Tracker()))
    whole = ("--csv", tmp_path / "a.csv", "--video-out", tmp_path / "a.mp4")
    assert run("watch", film(), "--no-window", *whole, "--counts", place / "c.csv", "--json", place / "a.json") == 2
    line = only_line(capsys.readouterr().err)
    assert "c.csv" in line and "a.json" in line
    assert len(table(tmp_path / "a.csv")) == 20
    assert len(list(open_source(tmp_path / "a.mp4"))) == 20


@pytest.mark.usefixtures("quick")
def test_no_output_grows_over_the_source_or_another_output(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film().rename(tmp_path / "out.mp4.part")
    before = source.read_bytes()
    assert run("watch", source, "--no-window", "--video-out", tmp_path / "out.mp4", "--force") == 2
    assert "it is read from" in only_line(capsys.readouterr().err)
    assert source.read_bytes() == before
    both = ("--csv", tmp_path / "a.csv", "--json", tmp_path / "a.csv.part")
    assert run("watch", source, "--no-window", *both) == 2
    assert "twice" in only_line(capsys.readouterr().err)
    assert listing(tmp_path) == [source.name]


def test_a_recording_that_a_killed_run_left_is_not_written_over(
    film: Film, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.mp4.part").write_bytes(b"what there is")
    assert run("watch", film(), "--no-window", "--video-out", tmp_path / "out.mp4") == 2
    assert "left out.mp4.part: --force starts anew" in only_line(capsys.readouterr().err)
    assert (tmp_path / "out.mp4.part").read_bytes() == b"what there is"


@pytest.mark.usefixtures("quick")
def test_a_checkpoint_goes_with_its_table(film: Film, tmp_path: Path) -> None:
    source, outputs = open_source(film()), Outputs(csv=tmp_path / "out.csv")
    stopped = Run(source, outputs, Options(), None)
    assert stopped.through(Options().open_pipeline(), second_time()) is None
    (tmp_path / "out.csv").write_text("shorter\n")
    with pytest.raises(MienError, match="shorter than when its run was stopped"):
        watch_source(source.name, replace(outputs, resume=True), Options())

    def fails(_: Frame) -> list[Face]:
        raise SourceError("the stream broke off")

    again = Run(source, replace(outputs, force=True), Options(), None)
    with pytest.raises(SourceError):
        again.through(Pipeline(fails, by_colour, Tracker()), lambda: False)
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.mark.usefixtures("quick")
def test_a_stop_while_a_run_finds_its_place_keeps_what_there_was(film: Film, tmp_path: Path) -> None:
    source, outputs = open_source(film()), Outputs(csv=tmp_path / "out.csv")
    stopped = Run(source, outputs, Options(), None)
    assert stopped.through(Options().open_pipeline(), second_time()) is None
    early = open_source(source.name, stop=lambda: early.stats.frames == 3)
    resumed = Run(early, replace(outputs, resume=True), Options(), None)
    assert resumed.through(Options().open_pipeline(), lambda: True) is None
    assert len(table(tmp_path / "out.csv")) == 16
    assert watch_source(source.name, replace(outputs, resume=True), Options()) == 0
    assert [int(row["frame"]) for row in table(tmp_path / "out.csv")] == list(range(20))


@pytest.mark.usefixtures("quick")
def test_a_files_url_is_read_into_a_table(film: Film, tmp_path: Path) -> None:
    assert run("watch", film("a film.mp4").as_uri(), "--no-window", "--csv", tmp_path / "out.csv") == 0
    assert {row["source"] for row in table(tmp_path / "out.csv")} == {str(tmp_path / "a film.mp4")}


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
        assert not list(tmp_path.glob("*.part"))
        for path in tmp_path.glob("*out*"):
            path.unlink()
        (tmp_path / "counts.csv").unlink(missing_ok=True)
    assert codes == {0, 2}
