"""Tables hold every row that was read, wherever they end, and nothing half-written."""

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
import pytest

from mien.errors import OutputError
from mien.files import part_of
from mien.labels import EMOTIONS
from mien.see.face import Frame, Reading
from mien.sinks.rows import COLUMNS, NUMBERS, rows
from mien.sinks.sink import Sink
from mien.sinks.tables import ROW_GROUP, Counts, ParquetRows, TextRows, csv_rows, json_rows

Make = Callable[..., Reading]

IMAGE = np.zeros((6, 8, 3), np.uint8)
FRAME = Frame(IMAGE, 'a, "b" 笑.png', 7, 1.23456)
ZEROS = "emotion,count\n" + "".join(f"{emotion},0\n" for emotion in EMOTIONS)
FILES: list[tuple[Callable[[Path], Sink], str]] = [
    (csv_rows, "out.csv"),
    (json_rows, "out.json"),
    (Counts, "counts.csv"),
    (ParquetRows, "out.parquet"),
]


@pytest.fixture(autouse=True)
def pyarrow() -> None:
    pytest.importorskip("pyarrow")


def numbered(count: int) -> list[Frame]:
    return [Frame(IMAGE, "film", number, number / 3) for number in range(count)]


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def from_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def from_json(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_csv_and_json_hold_the_same_rows(tmp_path: Path, reading: Make) -> None:
    for sink in (csv_rows(tmp_path / "out.csv"), json_rows(tmp_path / "out.json")):
        with sink:
            sink.write(FRAME, [reading("sad"), reading("fear", 3, shown="sad")])
            sink.write(FRAME, [])
    lines = from_json(tmp_path / "out.json")
    assert lines == rows(FRAME, [reading("sad"), reading("fear", 3, shown="sad")])
    text = [{key: "" if value is None else str(value) for key, value in line.items()} for line in lines]
    assert from_csv(tmp_path / "out.csv") == text
    assert [row["source"] for row in text] == [FRAME.name] * 2


def test_parquet_holds_the_rows_of_the_json_in_groups(tmp_path: Path, reading: Make) -> None:
    import pyarrow.parquet

    frames = numbered(ROW_GROUP)
    for sink in (json_rows(tmp_path / "a.json"), ParquetRows(tmp_path / "a.parquet")):
        with sink:
            for frame in frames:
                sink.write(frame, [reading(), reading("sad", 2, shown="happy")])
            sink.write(FRAME, [reading("fear")])
    file = pyarrow.parquet.ParquetFile(tmp_path / "a.parquet")
    assert file.num_row_groups == 3
    assert tuple(file.schema_arrow.names) == COLUMNS
    table, lines = file.read().to_pylist(), from_json(tmp_path / "a.json")
    for found, expected in zip(table[::997] + table[-1:], lines[::997] + lines[-1:], strict=True):
        as_written = {name: np.float32(value) if name in NUMBERS else value for name, value in expected.items()}  # type: ignore[arg-type]
        assert found == as_written
    assert len(table) == len(lines) == 2 * ROW_GROUP + 1


@pytest.mark.parametrize("table", [csv_rows, json_rows, ParquetRows])
def test_with_all_frames_a_picture_without_a_face_has_a_row(
    table: Callable[..., Sink], tmp_path: Path, reading: Make
) -> None:
    import pyarrow.parquet

    path = tmp_path / "out.parquet"
    with table(path, all_frames=True) as sink:
        sink.write(Frame(IMAGE, "empty.jpg"), [])
        sink.write(Frame(IMAGE, "one.jpg"), [reading()])
    if table is ParquetRows:
        found = pyarrow.parquet.read_table(path).to_pylist()
    else:
        found = from_json(path) if table is json_rows else from_csv(path)
    assert [(row["source"], row["emotion"] or None) for row in found] == [("empty.jpg", None), ("one.jpg", "happy")]


def test_counts_always_have_seven_rows(tmp_path: Path, reading: Make) -> None:
    with Counts(tmp_path / "counts.csv") as counts:
        counts.write(FRAME, [reading("sad"), reading("fear"), reading("sad")])
    assert (tmp_path / "counts.csv").read_text() == ZEROS.replace("sad,0", "sad,2").replace("fear,0", "fear,1")


@pytest.mark.parametrize("table", [csv_rows, json_rows])
def test_rows_are_there_as_soon_as_they_are_read(
    table: Callable[[Path], TextRows], tmp_path: Path, reading: Make
) -> None:
    path = tmp_path / "out"
    with table(path) as sink:
        for number, frame in enumerate(numbered(3)):
            sink.write(frame, [reading(), reading("sad", 2)])
            assert part_of(path).read_text().count("\n") == 2 * (number + 1) + (table is csv_rows)
        assert not path.exists()
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "name", ["=cmd|'/c calc'!A0.png", "+1.png", "-1.png", "@sum.png", "\tx.png", "\rx.png", "\r\nx.png"]
)
def test_a_name_that_a_spreadsheet_would_run_is_text(tmp_path: Path, reading: Make, name: str) -> None:
    for sink in (csv_rows(tmp_path / "out.csv"), json_rows(tmp_path / "out.json")):
        with sink:
            sink.write(Frame(IMAGE, name), [reading()])
    assert [row["source"] for row in from_csv(tmp_path / "out.csv")] == [f"'{name}"]
    assert [row["source"] for row in from_json(tmp_path / "out.json")] == [name]


def test_parquet_is_not_written_into_a_file_of_another_kind(tmp_path: Path) -> None:
    for name in ("x.csv", "x.json", "x.JSONL", "x.txt"):
        with pytest.raises(OutputError, match=r"ends in \.parquet"):
            ParquetRows(tmp_path / name)


@pytest.mark.parametrize(("sink", "name"), FILES)
def test_a_failure_leaves_what_was_there_before(tmp_path: Path, sink: Callable[[Path], Sink], name: str) -> None:
    (tmp_path / name).write_text("before")
    with pytest.raises(KeyboardInterrupt), sink(tmp_path / name):
        raise KeyboardInterrupt
    assert listing(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "before"


@pytest.mark.parametrize(("sink", "name"), FILES)
def test_success_replaces_what_was_there_before(
    tmp_path: Path, sink: Callable[[Path], Sink], name: str, reading: Make
) -> None:
    (tmp_path / name).write_text("before")
    with sink(tmp_path / name) as opened:
        opened.write(FRAME, [reading()])
    assert listing(tmp_path) == [name]
    assert b"before" not in (tmp_path / name).read_bytes()


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


@pytest.mark.parametrize(("sink", "name"), FILES)
def test_who_writes_first_keeps_the_output(tmp_path: Path, sink: Callable[[Path], Sink], name: str) -> None:
    with sink(tmp_path / name), pytest.raises(OutputError, match="another run is writing it"):
        sink(tmp_path / name)
    assert listing(tmp_path) == [name]


def on_a_full_disk(path: Path, sink: str, size: int, frames: int) -> str:
    """Write a table where a file may have `size` bytes; return the error that is printed, once for each that is new."""
    program = f"""
        import resource, signal, numpy as np
        from pathlib import Path
        from mien.errors import OutputError
        from mien.sinks.tables import *
        from mien.see.face import Face, Frame, Reading
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, the write fails
        path = Path({str(path)!r})
        sink, said = {sink}(path), set()
        resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
        random = np.random.default_rng(0)
        def found():
            face = Face(*random.random((1, 4), np.float32), 1.0, random.random((5, 2), np.float32))
            return [Reading(face, random.random(7, np.float32), 1)]
        try:
            with sink as opened:
                for number in range({frames}):
                    try:
                        opened.write(Frame(None, "film", number, number / 25), found())
                    except OutputError as error:
                        said.add(str(error))
                        break
        except OutputError as error:
            said.add(str(error))
        print("\\n".join(said))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", ["out.csv", "out.json"])
def test_a_full_disk_is_one_line_and_every_row_that_fitted_stays(name: str, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    said = on_a_full_disk(tmp_path / name, name[4:] + "_rows", 200_000, 5000)
    assert said == f"cannot write {tmp_path / name} (File too large): use another name or place\n"
    assert listing(tmp_path) == [name]
    found = from_csv(tmp_path / name) if name == "out.csv" else from_json(tmp_path / name)
    assert [int(str(row["frame"])) for row in found] == list(range(len(found)))
    assert len(found) > 300
    if name == "out.csv":
        assert None not in found[-1].values()  # no cell is missing
    assert 200_000 - (tmp_path / name).stat().st_size < 1000


@pytest.mark.parametrize("size", [200_000, 1_100_000, 1_600_000, 2_500_000])
def test_parquet_on_a_full_disk_is_whole_up_to_the_last_rows_that_fitted(tmp_path: Path, size: int) -> None:
    import pyarrow.parquet

    pytest.importorskip("resource")
    said = on_a_full_disk(tmp_path / "out.parquet", "ParquetRows", size, 30_000)
    assert said == f"cannot write {tmp_path / 'out.parquet'} (File too large): use another name or place\n"
    assert listing(tmp_path) == ["out.parquet"]
    found = pyarrow.parquet.read_table(tmp_path / "out.parquet")["frame"].to_pylist()
    assert found == list(range(len(found)))
    assert (tmp_path / "out.parquet").stat().st_size > size / 3  # the rest was room for a table of contents


@pytest.mark.parametrize("sink", ["csv_rows", "Counts", "ParquetRows"])
def test_a_disk_that_takes_nothing_is_one_line_and_leaves_nothing(sink: str, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    assert on_a_full_disk(tmp_path / "out.x", sink, 50, 9).startswith(f"cannot write {tmp_path / 'out.x'} (")
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("package", "maker", "extra"),
    [("pyarrow", "tables.ParquetRows", "parquet"), ("matplotlib", "timeline.Timeline", "plot")],
)
def test_a_missing_extra_names_the_command_that_installs_it(package: str, maker: str, extra: str) -> None:
    program = f"""
        import sys
        sys.modules[{package!r}] = None  # importing it raises ImportError
        from pathlib import Path
        from mien.errors import MissingExtra
        import mien.sinks.{maker.partition(".")[0]}
        try:
            mien.sinks.{maker}(Path("out.png"))
        except MissingExtra as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert f"pip install 'mien[{extra}]'" in done.stdout


def test_rows_may_go_to_standard_output(capsys: pytest.CaptureFixture[str], reading: Make) -> None:
    with json_rows(Path("-")) as lines:
        lines.write(FRAME, [reading()])
        assert json.loads(capsys.readouterr().out)["emotion"] == "happy"


def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path: Path, reading: Make) -> None:
    import pyarrow.parquet

    for sink in (csv_rows(tmp_path / "out.csv"), ParquetRows(tmp_path / "out.parquet")):
        with sink:
            sink.write(Frame(IMAGE, os.fsdecode(b"caf\xe9.png")), [reading()])
    assert b"caf\xe9.png" in (tmp_path / "out.csv").read_bytes()
    [row] = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert row["source"] == "caf�.png"
