"""Tables that grow while a stream is read, and are kept whatever ends it: CSV, JSON lines and Parquet.

They grow in a part beside their place, `out.csv.part`, which takes its name when the stream ends: by itself, by a key,
by a signal, or because the disk is full. Only a killed process leaves the part behind, with whole rows in it.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Sequence
from io import RawIOBase, StringIO
from pathlib import Path
from typing import Any, Self

from mien.errors import MissingExtra, OutputError
from mien.files import STANDARD_OUTPUT, check_output, explained
from mien.see.face import Frame, Reading
from mien.sinks.pictures import COLUMNS, rows

Rows = list[dict[str, Any]]

ROW_GROUP = 8192
"""Rows that Parquet keeps in memory before it writes them: about a megabyte."""

RESERVE = 2 << 20
"""Bytes kept free for the last group and the table of contents of a Parquet file, should the disk fill up."""


class GrowingRows:
    """Writes the rows of each frame as text as soon as it is read: all of them or none. Raises OutputError.

    `begin_at` goes on with the part that a killed run left, after so many of its bytes.
    """

    def __init__(
        self, path: Path, encode: Callable[[Rows], str], head: str = "", *, begin_at: int | None = None
    ) -> None:
        if path != STANDARD_OUTPUT:
            check_growing(path)
        self.path, self.encode, self.head, self.begin_at = path, encode, head, begin_at

    def __enter__(self) -> Self:
        self._file = _Standard() if self.path == STANDARD_OUTPUT else _Part(self.path, self.begin_at or 0)
        if self.begin_at is None:
            try:
                self._file.append(self.head)
            except BaseException:
                self._file.close(keep=False)
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give the part its name; an error before the first frame leaves nothing."""
        self._file.close(keep=kind is None)

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Write the rows of one frame."""
        if readings:
            self._file.append(self.encode(rows(frame, readings)))

    @property
    def size(self) -> int:
        """The bytes of the part, up to the end of the last row."""
        return self._file.size


class _Part:
    """The part of a file, without a buffer: what a full disk does not take is cut off, so that it ends with a row."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.part, self.size = path, part_of(path), size
        with explained(path):
            if size and not self.part.exists():  # the run was not killed but stopped
                Path(os.path.realpath(path)).replace(self.part)
            self.file = self.part.open("r+b" if size else "wb", buffering=0)
            if self.file.seek(0, os.SEEK_END) < size:
                self.file.close()
                raise OutputError(f"{self.part} is shorter than when its run was stopped: --force starts anew")
            self.file.truncate(size)
            self.file.seek(size)

    def append(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "surrogateescape"))
        with explained(self.path):
            try:
                written = 0
                while written < len(data):
                    written += self.file.write(data[written:])
            except BaseException:
                self.file.truncate(self.size)
                self.file.seek(self.size)
                raise
        self.size += written

    def close(self, keep: bool) -> None:
        self.file.close()
        with explained(self.path):
            if keep:
                take_name(self.path)
            else:
                self.part.unlink(missing_ok=True)


class _Standard:
    """Standard output, where the next program waits for every row."""

    size = 0

    def append(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def close(self, keep: bool) -> None:
        """Do nothing: what was written is with its reader."""


class ParquetRows:
    """Writes rows into a Parquet file, a group at a time. Raises OutputError, and MissingExtra without pyarrow."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow  # noqa: F401 - tens of megabytes that most users never need
        except ImportError:
            raise MissingExtra("--parquet needs pyarrow: pip install 'mien[parquet]'") from None
        check_growing(path)
        self.path, self.part = path, part_of(path)
        self._held: Rows = []
        self._told: OSError | None = None  # that the disk is full, once

    def __enter__(self) -> Self:
        import pyarrow.parquet

        with explained(self.path):
            self._file = _Reserved(self.part)
            self._writer = pyarrow.parquet.ParquetWriter(self._file, parquet_schema(), compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the rows that are held back, and the table of contents at the end, without which there is no file."""
        keep = False
        try:
            with explained(self.path):
                try:
                    self._write_group()
                finally:
                    self._writer.close()
                    self._file.close()
            keep = kind is None
        finally:
            if keep:
                take_name(self.path)
            else:
                self.part.unlink(missing_ok=True)

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Take in the rows of one frame."""
        self._held += rows(frame, readings)
        if len(self._held) >= ROW_GROUP:
            with explained(self.path):
                self._write_group()

    def _write_group(self) -> None:
        import pyarrow

        held, self._held = self._held, []
        if held:
            for row in held:  # the bytes of a name may be no text, which Parquet wants
                row["source"] = row["source"].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            self._writer.write_table(pyarrow.Table.from_pylist(held, parquet_schema()))
        if self._file.full and self._file.full is not self._told:
            self._told = self._file.full
            raise self._file.full


class _Reserved(RawIOBase):
    """A file with room in reserve: when the disk is full that is given free, so that the file can still be ended."""

    def __init__(self, path: Path) -> None:
        self.full: OSError | None = None
        self._file = path.open("wb", buffering=0)
        self._reserve = path.with_name(path.name + "-reserve")
        try:
            self._reserve.write_bytes(bytes(RESERVE))
        except BaseException:
            self.close()
            path.unlink()
            raise

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        while rest:
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as error:
                if self.full:
                    raise
                self.full = error
                self._reserve.unlink(missing_ok=True)
        return memoryview(data).nbytes

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        self._reserve.unlink(missing_ok=True)
        super().close()


def growing_csv(path: Path, *, begin_at: int | None = None) -> GrowingRows:
    """Return a table of comma-separated lines under a line with the names of the columns."""
    return GrowingRows(path, csv_lines, ",".join(COLUMNS) + "\n", begin_at=begin_at)


def growing_json(path: Path, *, begin_at: int | None = None) -> GrowingRows:
    """Return a table of one JSON object per line."""
    return GrowingRows(path, json_lines, begin_at=begin_at)


def csv_lines(table: Rows) -> str:
    """Return rows as comma-separated lines."""
    text = StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(table)
    return text.getvalue()


def json_lines(table: Rows) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in table)


def parquet_schema() -> Any:
    """Return the columns of `rows()` with their types, so that a file without rows has them too."""
    import pyarrow

    kinds = {"source": pyarrow.string(), "emotion": pyarrow.string()}
    kinds |= {"frame": pyarrow.int64(), "person": pyarrow.int64()}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in COLUMNS])


def part_of(path: Path) -> Path:
    """Return the name under which a file grows."""
    place = Path(os.path.realpath(path))  # a link stays a link: what it points to is written
    return place.with_name(place.name + ".part")


def take_name(path: Path) -> None:
    """Give what has grown its name."""
    part_of(path).replace(os.path.realpath(path))


def check_growing(path: Path) -> None:
    """Raise OutputError when a file, or its part, cannot be written there."""
    check_output(path)
    check_output(part_of(path))
