"""Tables of rows, written as they come and whole wherever they end: CSV, JSON lines, Parquet; counts of emotions.

A full disk, a signal or a lost source ends a table behind the last row that fitted.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any, Self

from mien.errors import MissingExtra, OutputError
from mien.files import WholeFile, text_file
from mien.labels import EMOTIONS
from mien.see.face import Frame, Reading
from mien.sinks.rows import COLUMNS, Row, row_without_face, rows

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would run; an apostrophe before it makes it text (OWASP)."""

ROW_GROUP = 8192
"""Rows that Parquet keeps in memory before it writes them: about two megabytes."""

LEAST = 32  # rows that are written as a group of their own where the disk is full

FOOTER = 1 << 15
"""Bytes of a Parquet file's table of contents for each group of rows, at most."""


class TextRows:
    """Writes rows as text, those of a frame whole or not at all. Raises OutputError.

    With `all_frames` a frame without a face has a row that names it.
    """

    def __init__(self, path: Path, encode: Callable[[list[Row]], str], head: str = "", *, all_frames: bool) -> None:
        self.path, self.encode, self.head, self.all_frames = path, encode, head, all_frames
        self._file = text_file(path)

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            opened.enter_context(self._file)
            self._file.write(self.head)
            opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.__exit__(kind)

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Write the rows of one frame."""
        if found := _rows(frame, readings, self.all_frames):
            self._file.write(self.encode(found))


def csv_rows(path: Path, *, all_frames: bool = False) -> TextRows:
    """Return a table of comma-separated lines under a line with the names of the columns; `-` is the terminal."""
    return TextRows(path, csv_lines, ",".join(COLUMNS) + "\n", all_frames=all_frames)


def json_rows(path: Path, *, all_frames: bool = False) -> TextRows:
    """Return a table of one JSON object a line; `-` is the terminal."""
    return TextRows(path, json_lines, all_frames=all_frames)


def csv_lines(table: Sequence[Row]) -> str:
    """Return rows as comma-separated lines; a name that a spreadsheet would run as a formula begins with '."""
    lines = list[str]()
    for row in table:
        line, name = StringIO(), row["source"]
        writer = csv.DictWriter(line, COLUMNS, lineterminator="\r\n")  # either letter in a name puts it in quotes
        writer.writerow(row | {"source": f"'{name}"} if name.startswith(FORMULA) else row)
        lines.append(line.getvalue()[:-2] + "\n")
    return "".join(lines)


def json_lines(table: Sequence[Row]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in table)


class ParquetRows:
    """Writes rows into a Parquet file, a group at a time. Raises OutputError, and MissingExtra without pyarrow.

    Room for a group and for the table of contents is taken before the group is written, so that a full disk leaves a
    file that is whole up to the last group that fitted.
    """

    def __init__(self, path: Path, *, all_frames: bool = False) -> None:
        try:
            import pyarrow  # noqa: F401 - tens of megabytes that most users never need
        except ImportError:
            raise MissingExtra("Parquet needs pyarrow: pip install 'mien[parquet]'") from None
        if path.suffix.lower() in (".csv", ".json", ".jsonl", ".txt"):
            raise OutputError(f"cannot write Parquet to {path}: use a name that ends in .parquet")
        self.path, self.all_frames = path, all_frames
        self._file = WholeFile(path)
        self._held: list[Row] = []
        self._groups = 0

    def __enter__(self) -> Self:
        import pyarrow.parquet

        with ExitStack() as opened:
            opened.enter_context(self._file).reserve(FOOTER)
            self._writer = pyarrow.parquet.ParquetWriter(self._file, parquet_schema(), compression="zstd")
            opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the rows that are held back, and the table of contents at the end, without which there is no file."""
        failed: OutputError | None = None
        try:
            if kind is None:
                self._write_group()
        except OutputError as error:  # a full disk: the groups before are kept
            failed = error
        with ExitStack() as closing:
            closing.push(self._file)
            if kind is not None:
                closing.callback(self._file.discard)
            self._writer.close()
        if failed:
            raise failed

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Take in the rows of one frame."""
        self._held += _rows(frame, readings, self.all_frames)
        if len(self._held) >= ROW_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        held, self._held = self._held, []
        for row in held:  # the bytes of a name may be no text, which Parquet wants
            row["source"] = row["source"].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if held:
            self._write(held)

    def _write(self, group: list[Row]) -> None:
        """Write a group, or where the disk is full as much of it as fits."""
        import pyarrow

        table = pyarrow.Table.from_pylist(group, parquet_schema())
        try:
            self._file.reserve(table.nbytes + table.nbytes // 4 + FOOTER * (self._groups + 2))
        except OutputError:
            if len(group) < 2 * LEAST:
                raise
            self._write(group[: len(group) // 2])
            self._write(group[len(group) // 2 :])
            return
        self._writer.write_table(table)
        self._groups += 1


def parquet_schema() -> Any:
    """Return the columns of `rows()` with their types, so that a file without rows has them too."""
    import pyarrow

    kinds = dict.fromkeys(("source", "emotion", "shown"), pyarrow.string())
    kinds |= {"frame": pyarrow.int64(), "person": pyarrow.int64(), "turn": pyarrow.int64(), "time": pyarrow.float64()}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.float32())) for name in COLUMNS])


class Counts:
    """Counts the faces of each emotion and writes them at the end: `emotion,count`, a row for each of the seven."""

    def __init__(self, path: Path) -> None:
        self.path, self._file = path, text_file(path)
        self.counts = Counter[str]()

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with ExitStack() as closing:
            closing.push(self._file)
            if kind is None:
                lines = "".join(f"{emotion},{self.counts[emotion]}\n" for emotion in EMOTIONS)
                self._file.write("emotion,count\n" + lines)
            else:
                self._file.discard()

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:  # noqa: ARG002 - the shape of every sink
        """Count each face."""
        self.counts.update(reading.emotion for reading in readings)


def _rows(frame: Frame, readings: Sequence[Reading], all_frames: bool) -> list[Row]:
    return rows(frame, readings) if readings or not all_frames else [row_without_face(frame)]
