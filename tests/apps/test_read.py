"""`mien read` on real pictures: what it prints and writes, and how it ends when something is wrong."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import mien
from mien.apps.cli import main
from mien.apps.read import Outputs, read_pictures
from mien.apps.stopping import Stop
from mien.labels import EMOTIONS

ROOT = Path(__file__).parents[2]
ASTRONAUT = ROOT / "assets" / "astronaut.jpg"
ZEROS = "emotion,count\n" + "".join(f"{emotion},0\n" for emotion in EMOTIONS)


def run(*arguments: object) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def start(*arguments: object, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """Start the command line as a process of its own."""
    command = [sys.executable, "-m", "mien", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def only_line(text: str) -> str:
    """The one line of an error."""
    assert text.startswith("mien: ") and text.endswith("\n") and text.count("\n") == 1, text
    return text


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A picture without a face."""
    PIL.Image.linear_gradient("L").convert("RGB").save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def test_a_picture_is_annotated_counted_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ("--image-out", tmp_path / "out.png", "--counts", tmp_path / "counts.csv")
    assert run("read", ASTRONAUT, *outputs, "--csv", tmp_path / "out.csv", "--json", tmp_path / "out.json") == 0
    [reading] = mien.read(ASTRONAUT)
    printed = capsys.readouterr()
    assert f"1 face: 1 {reading.emotion}" in printed.out
    assert printed.err == ""
    [row] = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    [line] = (tmp_path / "out.json").read_text().splitlines()
    assert (row["source"], row["emotion"]) == (str(ASTRONAUT), reading.emotion)
    assert {key: "" if value is None else str(value) for key, value in json.loads(line).items()} == row
    assert [float(row[name]) for name in EMOTIONS] == pytest.approx(reading.scores.tolist(), abs=1e-7)
    assert (tmp_path / "counts.csv").read_text() == ZEROS.replace(f"{reading.emotion},0", f"{reading.emotion},1")
    with PIL.Image.open(tmp_path / "out.png") as drawn, PIL.Image.open(ASTRONAUT) as before:
        assert drawn.size == before.size
        assert (np.asarray(drawn) != np.asarray(before)).any()


def test_a_picture_without_a_face_says_so_and_stays_unchanged(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("read", scene, "--image-out", tmp_path / "out.png", "--counts", tmp_path / "counts.csv") == 0
    assert "no face found" in capsys.readouterr().out
    assert (tmp_path / "out.png").read_bytes() == scene.read_bytes()
    assert (tmp_path / "counts.csv").read_text() == ZEROS


@pytest.mark.parametrize(
    "name",
    [
        *("missing.jpg", "empty.jpg", "text.jpg", "cut.jpg", "nul\0.jpg", ".", "no*.jpg", "http://host/a.jpg", "-"),
        *("data:image/png;base64," + "A" * 97_776, "A" * 97_776, "n" * 300),
    ],
    ids=lambda name: name[:20],
)
def test_one_bad_picture_is_one_short_line_and_nothing_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    monkeypatch.chdir(source)
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO()))
    Path("empty.jpg").touch()
    Path("text.jpg").write_text("no picture")
    Path("cut.jpg").write_bytes(ASTRONAUT.read_bytes()[:200])
    if name == ".":
        for file in source.iterdir():
            file.unlink()
    outputs = ("--image-out", out / "out.png", "--counts", out / "counts.csv", "--csv", out / "out.csv")
    tables_only = outputs[2:] if "://" in name else outputs  # what may be a video has no annotated picture
    assert run("read", name, *tables_only, "--json", out / "out.json") == 2
    assert len(only_line(capsys.readouterr().err)) < 250
    assert listing(out) == []


def test_of_a_picture_that_ends_early_what_is_there_is_read_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.jpg").write_bytes(ASTRONAUT.read_bytes()[:-2000])
    assert run("read", tmp_path / "cut.jpg") == 0
    printed = capsys.readouterr()
    assert "cut.jpg ends early: the part that is there is read" in only_line(printed.err)
    assert "1 face: 1 happy" in printed.out


@pytest.mark.parametrize("option", ["--image-out", "--counts", "--csv", "--json"])
def test_an_output_that_cannot_be_written_is_one_line_before_anything_is_read(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ASTRONAUT, tmp_path / "in.png")
    (tmp_path / "folder.png").mkdir()
    before = listing(tmp_path)
    names = ("missing/out.png", "in.png", "in.png/out.png", "n" * 300 + ".png")
    for name in names if option == "--image-out" else ("folder.png", *names):
        good = ("--counts", tmp_path / "good.csv") if option != "--counts" else ("--csv", tmp_path / "good.csv")
        assert run("read", tmp_path / "in.png", *good, option, tmp_path / name, "--model", "unread.onnx") == 2
        assert "unread" not in only_line(capsys.readouterr().err)
        assert listing(tmp_path) == before


def test_a_picture_ending_that_cannot_be_written_names_those_that_can(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("read", ASTRONAUT, "--image-out", "out.xyz") == 2
    assert ".jpg" in only_line(capsys.readouterr().err)


def test_two_outputs_never_share_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("read", ASTRONAUT, "--csv", tmp_path / "out", "--json", tmp_path / "." / "out") == 2
    assert "twice" in only_line(capsys.readouterr().err)
    assert run("read", ASTRONAUT, "--csv", "-", "--json", "-") == 2
    assert listing(tmp_path) == []


def test_a_model_that_is_none_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.onnx").write_text("no model")
    for model in ("bad.onnx", "missing.onnx"):
        assert run("read", ASTRONAUT, "--csv", tmp_path / "out.csv", "--model", tmp_path / model) == 2
        only_line(capsys.readouterr().err)
    assert listing(tmp_path) == ["bad.onnx"]


def test_of_several_pictures_the_bad_one_is_reported_and_the_rest_go_on(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    out = tmp_path / "out"
    assert run("read", ASTRONAUT, tmp_path / "bad.jpg", scene, "--image-out", out, "--csv", tmp_path / "out.csv") == 1
    printed = capsys.readouterr()
    assert "bad.jpg" in only_line(printed.err)
    assert "2 pictures, 1 face" in printed.out
    assert "no face in 1 picture" in printed.out
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(row["source"], row["emotion"]) for row in rows] == [(str(ASTRONAUT), "happy"), (str(scene), "")]
    assert sorted(path.name for path in out.rglob("*.*")) == ["astronaut.jpg", "scene.png"]


def test_when_every_picture_is_bad_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("read", "missing1.jpg", "missing2.jpg", "--image-out", out, "--counts", tmp_path / "counts.csv") == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert listing(tmp_path) == []


def test_a_folder_of_one_picture_is_written_to_a_folder(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    scene.rename(tmp_path / "in" / "scene.png")
    assert run("read", tmp_path / "in", "--image-out", tmp_path / "out") == 0
    assert listing(tmp_path / "out") == ["scene.png"]


def test_a_folder_is_never_written_over_its_own_pictures(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = scene.read_bytes()
    assert run("read", tmp_path, "--image-out", tmp_path) == 2
    assert "is read from" in only_line(capsys.readouterr().err)
    assert scene.read_bytes() == before
    (tmp_path / "file").touch()
    assert run("read", tmp_path, "--image-out", tmp_path / "file") == 2
    assert "need a folder" in only_line(capsys.readouterr().err)


def test_a_pattern_that_the_shell_did_not_expand_is_expanded(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("read", scene.parent / "*.png") == 0
    assert "1 picture, 0 faces" in capsys.readouterr().out


def test_a_name_that_would_break_the_line_is_spelled_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("read", tmp_path / "two\nlines \x1b[31m[red]笑.jpg") == 2
    assert r"two\nlines \x1b[31m[red]笑.jpg" in only_line(capsys.readouterr().err)


def test_rows_on_standard_output_stand_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("read", ASTRONAUT, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["source"] == str(ASTRONAUT)


def test_without_a_display_show_says_so_in_one_line(
    scene: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert run("read", scene, "--show") == 0
    assert "no display" in only_line(capsys.readouterr().err)
    assert run("read", scene, ASTRONAUT, "--show") == 2


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--min-face", "big"], "number"),
        (["--every", "1.5"], "whole number|integer"),
    ],
)
def test_a_number_that_is_none_is_called_so(option: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("watch", "a.mp4", *option) == 2
    line = only_line(capsys.readouterr().err)
    assert re.fullmatch(f"mien: Invalid value for '{option[0]}': .*({said}).*: see `mien watch --help`\n", line)


@pytest.mark.parametrize(
    ("wrong", "command"),
    [
        (["read"], "mien read"),
        (["read", "a.jpg", "--min-face", "3"], "mien read"),
        (["read", "a.jpg", "--min-face", "nan"], "mien read"),
        (["watch", "a.mp4", "--fps", "inf"], "mien watch"),
        (["watch", "a.mp4", "--fps", "1e308"], "mien watch"),
        (["read", "--no-such"], "mien read"),
        (["data", "prepare"], "mien data prepare"),
        (["raed"], "mien"),
    ],
)
def test_a_wrong_command_is_one_line_and_ends_with_2(
    wrong: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*wrong) == 2
    assert only_line(capsys.readouterr().err).endswith(f": see `{command} --help`\n")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    shown = capsys.readouterr()
    assert "Usage: mien" in shown.out and not shown.err


def test_the_help_says_what_is_done_without_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets are markup for the library that draws the help: unescaped they vanish."""
    assert run("read", "--help") == 0
    assert "default: 20, in video 40" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert run("train", "--help") == 0
    assert "default: the free cores" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_a_piped_table_has_its_lines_unbroken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    shutil.copy(ASTRONAUT, folder / "a.jpg")
    assert run("read", folder / "a.jpg", ASTRONAUT) == 0
    assert f" {folder / 'a.jpg'} " in capsys.readouterr().out


@pytest.mark.parametrize("outputs", [[], ["--csv", "-"]])
def test_a_full_standard_output_is_one_line(outputs: list[str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-m", "mien", "read", str(ASTRONAUT), *outputs]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2
    assert "cannot write to standard output (No space left on device)" in only_line(ended.stderr)


def test_a_closed_standard_output_loses_no_file(tmp_path: Path) -> None:
    command = f"{sys.executable} -m mien read {ASTRONAUT} --counts {tmp_path / 'c.csv'} >&-"
    ended = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "happy,1" in (tmp_path / "c.csv").read_text()


def test_a_video_among_pictures_has_no_annotated_picture_and_is_named(
    tmp_path: Path, film: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = shutil.copy(ASTRONAUT, tmp_path)
    source = film(frames=2)
    assert run("read", source, picture, "--image-out", tmp_path / "out") == 1
    assert "film.mp4 is a video, and left out: for an annotated video" in only_line(capsys.readouterr().err)
    assert listing(tmp_path / "out") == ["astronaut.jpg"]
    assert run("read", source, "--image-out", tmp_path / "other.png") == 2
    assert "use mien watch with --video-out" in only_line(capsys.readouterr().err)


@pytest.mark.usefixtures("quick")
def test_a_folder_of_pictures_and_videos_goes_into_folders(tmp_path: Path, film: Callable[..., Path]) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(ASTRONAUT, tmp_path / "in")
    film("in/film.mp4", frames=4)
    assert run("read", tmp_path / "in", "--csv", tmp_path / "csv", "--json", tmp_path / "json") == 0
    assert listing(tmp_path / "csv") == ["film.mp4.csv", "pictures.csv"]
    assert listing(tmp_path / "json") == ["film.mp4.jsonl", "pictures.jsonl"]
    assert len((tmp_path / "json" / "film.mp4.jsonl").read_text().splitlines()) == 4
    (tmp_path / "in" / "film.mp4").write_bytes(b"no video")
    assert run("read", tmp_path / "in", "--csv", tmp_path / "other") == 1
    assert listing(tmp_path / "other") == ["pictures.csv"]


def test_read_takes_a_video_too(tmp_path: Path, film: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    source = film(size=(320, 240), frames=25)
    assert run("read", source, "--csv", tmp_path / "out.csv", "--counts", tmp_path / "counts.csv") == 0
    assert "25 frames, 1 person" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert len(rows) == 25 and {row["shown"] for row in rows} == {""}


def test_folders_below_are_read_when_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nested" / "one").mkdir(parents=True)
    shutil.copy(ASTRONAUT, tmp_path / "nested" / "one")
    assert run("read", tmp_path / "nested") == 2
    said = only_line(capsys.readouterr().err)
    assert "nested has no picture or video in it: --recursive reads the folders in it" in said
    assert run("read", tmp_path / "nested", "--recursive", "--image-out", tmp_path / "out") == 0
    assert "1 picture, 1 face" in capsys.readouterr().out


def test_what_looks_like_a_picture_and_is_not_read_is_named(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drawing.svg").write_text("<svg/>")
    (tmp_path / "empty").mkdir()
    assert run("read", tmp_path, tmp_path / "empty") == 1
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 2
    assert "drawing.svg is left out: .svg is not read" in printed.err and "empty has no picture" in printed.err
    assert "1 picture, 0 faces" in printed.out
    scene.unlink()
    assert run("read", tmp_path) == 2
    assert "drawing.svg" in only_line(capsys.readouterr().err)


def test_a_picture_on_standard_input_is_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mien", "read", "-", "--json", "-", "--image-out", str(tmp_path / "out.png")]
    ended = subprocess.run(command, input=ASTRONAUT.read_bytes(), stdout=subprocess.PIPE, check=True)
    [row] = map(json.loads, ended.stdout.splitlines())
    assert (row["source"], row["emotion"]) == ("-", "happy")
    assert listing(tmp_path) == ["out.png"]


def test_a_picture_by_its_file_url_is_one_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ASTRONAUT, tmp_path / "a b.jpg")
    assert run("read", (tmp_path / "a b.jpg").as_uri(), "--image-out", tmp_path / "out.png") == 0
    assert "1 face: 1 happy" in capsys.readouterr().out
    assert listing(tmp_path) == ["a b.jpg", "out.png"]


@pytest.mark.usefixtures("quick")
def test_the_table_ends_after_some_rows_and_can_be_silenced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(60):
        PIL.Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / f"{number:02}.png")
    assert run("read", tmp_path) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2] == "and 10 more"
    assert sum(".png" in line for line in printed) == 50
    assert run("read", tmp_path, "--quiet") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("60 pictures, 60 faces: ")


@pytest.mark.usefixtures("quick")
def test_pictures_whose_output_is_there_can_be_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.gif"):
        PIL.Image.new("RGB", (20, 20), "red").save(tmp_path / "in" / name)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("done")
    asked = ("read", tmp_path / "in", "--image-out", out, "--skip-existing")
    assert run(*asked, "--csv", tmp_path / "rest.csv") == 0
    assert (out / "a.png").read_text() == "done"
    assert listing(out) == ["a.png", "b.gif.png"]
    assert "1 picture, 1 face" in capsys.readouterr().out
    assert run(*asked) == 0
    assert "all annotated pictures are there already" in capsys.readouterr().out
    before = (tmp_path / "rest.csv").read_text()
    assert run(*asked, "--csv", tmp_path / "rest.csv") == 2  # whose rows would be lost
    assert "would lack the pictures that are skipped" in only_line(capsys.readouterr().err)
    assert (tmp_path / "rest.csv").read_text() == before
    assert run("read", tmp_path / "in", "--skip-existing") == 2
    assert "--image-out" in only_line(capsys.readouterr().err)


def test_a_name_that_a_spreadsheet_would_run_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ASTRONAUT, "=cmd|'calc'!A0.jpg")
    assert run("read", "=cmd|'calc'!A0.jpg", "--csv", "out.csv", "--json", "out.json") == 0
    [row] = csv.DictReader(Path("out.csv").read_text().splitlines())
    assert row["source"] == "'=cmd|'calc'!A0.jpg"
    assert json.loads(Path("out.json").read_text())["source"] == "=cmd|'calc'!A0.jpg"


def test_parquet_is_not_written_into_a_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    assert run("read", ASTRONAUT, "--parquet", tmp_path / "x.csv") == 2
    assert "use a name that ends in .parquet" in only_line(capsys.readouterr().err)
    assert listing(tmp_path) == []


def test_one_picture_goes_into_a_folder_and_several_need_one(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    assert run("read", scene, "--image-out", tmp_path / "out") == 0
    assert listing(tmp_path / "out") == ["scene.png"]
    capsys.readouterr()
    assert run("read", scene, ASTRONAUT, "--image-out", tmp_path / "out.jpg") == 2
    assert "give a folder" in only_line(capsys.readouterr().err)


def test_the_head_that_is_asked_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = {}
    for head in ("official", "ferplus", "blend"):
        assert run("read", ASTRONAUT, "--head", head, "--json", tmp_path / head) == 0
        told[head] = json.loads((tmp_path / head).read_text())["happy"]
    assert told["official"] != told["ferplus"]
    assert told["blend"] == pytest.approx((told["official"] + told["ferplus"]) / 2, abs=1e-3)
    capsys.readouterr()
    [reading] = mien.read(ASTRONAUT, head="ferplus")
    assert reading.scores[EMOTIONS.index("happy")] == pytest.approx(told["ferplus"], abs=1e-3)
    assert run("read", ASTRONAUT, "--head", "best") == 2
    assert "choose one of official, ferplus, blend" in only_line(capsys.readouterr().err)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"mien {mien.__version__}\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_the_middle_of_many_pictures_keeps_what_was_read(
    scene: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    pytest.importorskip("pyarrow")
    pictures = tmp_path / "in"
    pictures.mkdir()
    for index in range(300):
        shutil.copy(scene, pictures / f"{index:03}.png")
    scene.unlink()
    names = {"csv": "a.csv", "json": "a.json", "parquet": "a.parquet", "counts": "c.csv", "image-out": "out"}
    with start("read", pictures, *(f"--{kind}={tmp_path / name}" for kind, name in names.items())) as process:
        while not len(list((tmp_path / "out").glob("*.png"))) > 5:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (code, "")
    assert out.endswith("stopped before the end: the outputs hold what was read until then\n")
    assert listing(tmp_path) == sorted([*names.values(), "in"])
    read = [row["source"] for row in csv.DictReader((tmp_path / "a.csv").read_text().splitlines())]
    assert read == [str(picture) for picture in sorted(pictures.iterdir())[: len(read)]]
    assert 5 < len(read) < 300
    assert [json.loads(line)["source"] for line in (tmp_path / "a.json").read_text().splitlines()] == read
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(tmp_path / "a.parquet")["source"].to_pylist() == read
    assert (tmp_path / "c.csv").read_text() == ZEROS
    assert listing(tmp_path / "out") == [Path(name).name for name in read]


@pytest.mark.usefixtures("quick")
def test_a_stop_while_every_picture_is_bad_is_heard(tmp_path: Path, quick: Any) -> None:
    del quick
    bad = [tmp_path / f"{number}.png" for number in range(50)]
    for path in bad:
        path.write_text("no picture")
    asked = count()
    stop = Stop.__call__
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Stop, "__call__", lambda self: next(asked) >= 5 or stop(self))
        assert read_pictures(bad, Outputs(counts=tmp_path / "c.csv"), mien.Reader, several=True) == 1
    assert next(asked) < 20


def test_a_reader_that_stops_early_is_no_error_to_show() -> None:
    with start("read", ASTRONAUT, "--csv", "-") as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_the_documents_script_does_the_same_from_its_own_folder(tmp_path: Path) -> None:
    image, counts = tmp_path / "out.png", tmp_path / "counts.csv"
    command = [sys.executable, "emotion_detection.py", "--image", "../assets/astronaut.jpg"]
    script = [*command, "--output_image", str(image), "--output_csv", str(counts)]
    done = subprocess.run(script, cwd=ROOT / "scripts", capture_output=True, text=True, check=True)
    assert "1 face" in done.stdout
    assert run("read", ASTRONAUT, "--image-out", tmp_path / "same.png", "--counts", tmp_path / "same.csv") == 0
    assert image.read_bytes() == (tmp_path / "same.png").read_bytes()
    assert counts.read_text() == (tmp_path / "same.csv").read_text()


def test_read_takes_a_file_or_an_array() -> None:
    with PIL.Image.open(ASTRONAUT) as picture:
        array = np.asarray(picture)
    assert picture.mode == "RGB"
    for source in (ASTRONAUT, str(ASTRONAUT), os.fspath(ASTRONAUT), array):
        [reading] = mien.read(source)
        assert reading.scores.shape == (7,)
        assert reading.scores.sum() == pytest.approx(1, abs=1e-4)
        assert reading.emotion in mien.EMOTIONS
        assert reading.face.landmarks.shape == (5, 2)
    assert len(mien.read(array[:, :, 1])) == 1
    assert list(mien.read(array, min_face=400)) == []
    assert mien.read(array, model="m")[0].scores[0] != mien.read(array)[0].scores[0]
    with pytest.raises(mien.SourceError, match="give bytes"):
        mien.read(array / 255)


def test_faces_come_from_left_to_right() -> None:
    with PIL.Image.open(ASTRONAUT) as picture:
        array = np.asarray(picture)
    three = mien.read(np.hstack([array, array[:, ::-1], array]))
    lefts = [reading.face.box[0] for reading in three]
    assert len(three) == 3
    assert lefts == sorted(lefts)
