"""Rows, counts and pictures appear whole under their names, or not at all."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mien.errors import OutputError
from mien.files import check_distinct
from mien.labels import EMOTIONS
from mien.see.face import Face, Frame, Reading
from mien.sinks.pictures import (
    COLUMNS,
    FORMATS,
    AnnotatedFolder,
    AnnotatedPicture,
    Counts,
    CsvRows,
    JsonLines,
    Sink,
    rows,
    show_picture,
)
from mien.sources.pictures import open_picture

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
FRAME = Frame(IMAGE, 'a, "b" 笑.png', 7, 1.23456)
FILES: list[tuple[Callable[[Path], Sink], str]] = [
    (CsvRows, "out.csv"),
    (JsonLines, "out.json"),
    (Counts, "counts.csv"),
    (AnnotatedPicture, "out.png"),
]


def reading(emotion: str = "happy") -> Reading:
    scores = np.full(7, 0.05, np.float32)
    scores[EMOTIONS.index(emotion)] = 0.7
    return Reading(Face(np.array((10, 20.26, 40, 50), np.float32), 0.98765, np.zeros((5, 2), np.float32)), scores)


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_row_names_every_column_in_order() -> None:
    [row] = rows(FRAME, [reading()])
    assert tuple(row) == COLUMNS
    assert list(row.values())[:11] == [FRAME.name, 7, 1.235, None, 10, 20.3, 40, 50, 0.9877, "happy", 0.7]
    assert sum(row[emotion] for emotion in EMOTIONS) == pytest.approx(1)


def test_csv_and_json_hold_the_same_rows(tmp_path: Path) -> None:
    with CsvRows(tmp_path / "out.csv") as table, JsonLines(tmp_path / "out.json") as lines:
        for sink in (table, lines):
            sink.write(FRAME, [reading("sad"), reading("fear")])
            sink.write(FRAME, [])
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        from_csv = list(csv.DictReader(file))
    from_json = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert [[row["source"], row["emotion"]] for row in from_csv] == [[FRAME.name, "sad"], [FRAME.name, "fear"]]
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in from_json] == from_csv
    assert from_json == rows(FRAME, [reading("sad"), reading("fear")])


def test_counts_always_have_seven_rows(tmp_path: Path) -> None:
    with Counts(tmp_path / "counts.csv") as counts:
        counts.write(FRAME, [reading("sad"), reading("fear"), reading("sad")])
    expected = "emotion,count\nangry,0\ndisgust,0\nfear,1\nhappy,0\nsad,2\nsurprise,0\nneutral,0\n"
    assert (tmp_path / "counts.csv").read_text() == expected


@pytest.mark.parametrize("ending", [*FORMATS, ".PNG"])
def test_a_picture_is_written_in_the_format_of_its_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    with AnnotatedPicture(path) as picture:
        picture.write(FRAME, [reading()])
    with PIL.Image.open(path) as written:
        assert (written.format, written.size) == (FORMATS[ending.lower()], (80, 60))


def test_a_picture_without_faces_stays_byte_for_byte(tmp_path: Path) -> None:
    PIL.Image.fromarray(IMAGE).save(tmp_path / "in.jpg")
    with AnnotatedPicture(tmp_path / "out.jpg") as picture:
        picture.write(open_picture(tmp_path / "in.jpg"), [])
    assert (tmp_path / "out.jpg").read_bytes() == (tmp_path / "in.jpg").read_bytes()


def test_a_picture_without_faces_keeps_its_pixels_in_another_format(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(IMAGE).save(tmp_path / "in.webp", lossless=True, exif=exif)
    with AnnotatedPicture(tmp_path / "out.png") as picture:
        picture.write(open_picture(tmp_path / "in.webp"), [])
    assert (open_picture(tmp_path / "out.png").image == np.rot90(IMAGE, -1)).all()


def test_a_folder_keeps_names_and_places(tmp_path: Path) -> None:
    (tmp_path / "in" / "below").mkdir(parents=True)
    pictures = [tmp_path / "in" / "a.png", tmp_path / "in" / "below" / "a.png", tmp_path / "in" / "b.gif"]
    for picture in pictures:
        PIL.Image.fromarray(IMAGE).save(picture)
    with AnnotatedFolder(tmp_path / "out", pictures) as folder:
        for picture in pictures:
            folder.write(open_picture(picture), [reading()])
    assert listing(tmp_path / "out") == ["a.png", "b.gif.png", "below"]
    assert listing(tmp_path / "out" / "below") == ["a.png"]


def test_no_picture_leads_out_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    pictures = [Path("..", "a.png"), Path("b.png")]
    folder = AnnotatedFolder(Path("out"), pictures)
    assert [folder.place(picture) for picture in pictures] == [Path("out/a.png"), Path("out/here/b.png")]


def test_a_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    with AnnotatedFolder(tmp_path / "new", [tmp_path / "a.png"]):
        pass
    (tmp_path / "old").mkdir()
    with AnnotatedFolder(tmp_path / "old", [tmp_path / "a.png"]):
        pass
    assert listing(tmp_path) == ["old"]


@pytest.mark.parametrize(("sink", "name"), FILES)
def test_a_failure_leaves_what_was_there_before(tmp_path: Path, sink: Callable[[Path], Sink], name: str) -> None:
    (tmp_path / name).write_text("before")
    with pytest.raises(KeyboardInterrupt), sink(tmp_path / name):
        raise KeyboardInterrupt
    assert listing(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "before"


@pytest.mark.parametrize(("sink", "name"), FILES)
def test_success_replaces_what_was_there_before(tmp_path: Path, sink: Callable[[Path], Sink], name: str) -> None:
    (tmp_path / name).write_text("before")
    with sink(tmp_path / name) as opened:
        opened.write(FRAME, [reading()])
    assert listing(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() != b"before"


@pytest.mark.parametrize(("sink", "name"), FILES)
def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path, sink: Callable[[Path], Sink], name: str) -> None:
    folder = tmp_path / "folder" / name
    folder.mkdir(parents=True)
    os.mkfifo(tmp_path / name)
    (tmp_path / "file").touch()
    hopeless = [folder, tmp_path / name, tmp_path / "missing" / name, tmp_path / "file" / name]
    hopeless += [tmp_path / ("n" * 300 + name), tmp_path / f"nul\0{name}"]
    for path in hopeless:
        with pytest.raises(OutputError) as error:
            sink(path)
        assert "\n" not in str(error.value)
    assert listing(tmp_path) == sorted(["file", "folder", name])


def test_a_picture_of_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    for name in ("out.xyz", "out", "out.gif"):
        with pytest.raises(OutputError, match=r"use a name that ends in \.bmp, \.jpeg"):
            AnnotatedPicture(tmp_path / name)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_or_file_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "kept.csv").touch(mode=0o400)
    for path in (tmp_path / "locked" / "out.csv", tmp_path / "kept.csv"):
        with pytest.raises(OutputError, match="cannot write"):
            CsvRows(path)


def test_a_picture_too_large_for_its_format_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wide = Frame(np.zeros((1, 70_000, 3), np.uint8), "wide.png")
    for name in ("wide.jpg", "wide.webp"):
        with pytest.raises(OutputError, match="cannot write"), AnnotatedPicture(tmp_path / name) as picture:
            picture.write(wide, [])
    assert listing(tmp_path) == []


@pytest.mark.parametrize(("sink", "name"), FILES)
def test_a_disk_that_fills_is_one_line_and_leaves_nothing(
    tmp_path: Path, sink: Callable[[Path], Sink], name: str
) -> None:
    program = f"""
        import resource, signal
        from pathlib import Path
        import numpy as np
        from mien.errors import OutputError
        from mien.sinks.pictures import *
        from mien.see.face import Face, Frame, Reading
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, the write fails
        sink = {sink.__name__}(Path({name!r}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
        face = Face(np.zeros(4, np.float32), 0.9, np.zeros((5, 2), np.float32))
        frame, reading = Frame(np.zeros((90, 90, 3), np.uint8), "a"), Reading(face, np.eye(7, dtype=np.float32)[0])
        try:
            with sink as opened:
                opened.write(frame, [reading] * 9)
        except OutputError as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("cannot write ")
    assert listing(tmp_path) == []


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "target.csv")
    with Counts(tmp_path / "link.csv"):
        pass
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text().startswith("emotion,count")


def test_no_output_replaces_a_source_or_another_output(tmp_path: Path) -> None:
    source, output = tmp_path / "in.png", tmp_path / "out.csv"
    source.touch()
    (tmp_path / "soft.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    check_distinct([source], [output, tmp_path / "other.csv"])
    for same in (source, tmp_path / "soft.png", tmp_path / "hard.png", tmp_path / "." / "in.png"):
        with pytest.raises(OutputError, match="is read from"):
            check_distinct([source], [same])
    with pytest.raises(OutputError, match="twice"):
        check_distinct([source], [output, tmp_path / "x" / ".." / "out.csv"])


def test_rows_may_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines(Path("-")) as lines:
        lines.write(FRAME, [reading()])
    assert json.loads(capsys.readouterr().out)["emotion"] == "happy"


def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path: Path) -> None:
    with CsvRows(tmp_path / "out.csv") as table:
        table.write(Frame(IMAGE, os.fsdecode(b"caf\xe9.png")), [reading()])
    assert b"caf\xe9.png" in (tmp_path / "out.csv").read_bytes()


def test_without_a_display_no_picture_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform not in ("darwin", "win32"):
        assert show_picture(IMAGE) is False
