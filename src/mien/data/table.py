"""Read FER2013's CSV files: fer2013.csv, icml_face_data.csv, and what editors and spreadsheets make of them."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

import numpy as np

from mien.data.archive import MOST_BYTES, gunzipped
from mien.data.fer2013 import USAGES, Bytes, Fer2013, Row, emotion_of, gathered, usage_of
from mien.errors import DataError
from mien.labels import EMOTIONS, SIDE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

COLUMNS = ("emotion", "usage", "pixels")
DELIMITERS = ",;\t|"
MOST_LINE = 2**17  # letters in a line: FER2013's have 9,232 at most
MOST_LINES = 1_000_000  # empty ones included: FER2013 has 35,888
HEAD = 512  # bytes by which text is told from anything else
CONTROLS = set(range(32)) - set(b"\t\v\f\r")  # bytes that a line of text does not have
NUMBER = re.compile(r"([0-9]+)(\.0*)?")  # a whole number, which a spreadsheet may have written as 3.0


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A CSV file: the names of its columns in small letters, and its rows, each with the line it begins on."""

    name: str
    columns: list[str]
    rows: Iterator[tuple[int, list[str]]]
    file: HashedFile


class HashedFile(io.RawIOBase):
    """A file whose content is hashed as it is read. Raises DataError where that has no end."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self.digest = hashlib.md5(usedforsecurity=False)
        self._file, self._left = file, MOST_BYTES

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer; returns how many bytes it was given, none at the end."""
        data = self._file.read(memoryview(buffer).nbytes)
        memoryview(buffer)[: len(data)] = data
        self.digest.update(data)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self.name} has more than {MOST_BYTES >> 20:,} MiB: it is no CSV file of FER2013")
        return len(data)


def read_table(file: IO[bytes], name: str) -> Fer2013:
    """Read a CSV file, gzipped or not, that has the columns emotion, pixels and Usage in any order.

    Raises DataError, which names the line that is wrong.
    """
    with open_table(file, name) as table:
        missing = [column for column in COLUMNS if column not in table.columns]
        if missing:
            raise DataError(_not_fer2013(table, missing))
        places = [table.columns.index(column) for column in COLUMNS]
        data = gathered((_row(cells, places, f"{name}: line {line}") for line, cells in table.rows), name)
        return replace(data, form="CSV", md5=table.file.digest.hexdigest())


@contextmanager
def open_table(file: IO[bytes], name: str) -> Iterator[OpenTable]:
    """Open a CSV file, gzipped or not, in UTF-8 or UTF-16, with cells between commas, semicolons, tabs or bars.

    Bytes that are no text are kept as backslashes, so that the line that holds them can be named. Raises DataError.
    """
    with gunzipped(file) as content, HashedFile(content, name) as hashed, io.BufferedReader(hashed, 2**16) as buffered:
        encoding = _encoding(buffered.peek(HEAD)[:HEAD], name)
        with io.TextIOWrapper(buffered, encoding, errors="backslashreplace", newline="") as text:
            lines = _lines(text, name)
            first = next(lines, "")
            delimiter = max(DELIMITERS, key=first.count)
            header = csv.reader([first], delimiter=delimiter, skipinitialspace=True)
            columns = [cell.strip().lower() for cell in next(header, [])]
            yield OpenTable(name, columns, _rows(lines, delimiter, name), hashed)


def number_of(cell: str) -> int | None:
    """The whole number in a cell, whether it is written as 3 or as 3.0; None for anything else."""
    found = NUMBER.fullmatch(cell)
    return int(found[1][:20]) if found else None


def _encoding(head: bytes, name: str) -> str:
    """How the text is written that begins with these bytes."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if set(head.partition(b"\n")[0]) & CONTROLS:
        raise DataError(f"{name} is neither a CSV file nor a zip, tar or gzip archive: give FER2013 in one of these")
    return "utf-8-sig"


def _lines(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    """The lines of a file, of which neither the number nor the length is without bounds."""
    number = 0
    while line := text.readline(MOST_LINE):
        number += 1
        if number > MOST_LINES:
            raise DataError(f"{name} has more than {MOST_LINES:,} lines: it is no CSV file of FER2013")
        if len(line) == MOST_LINE and not line.endswith(("\n", "\r")):
            raise DataError(f"{name}: line {number} has more than {MOST_LINE:,} letters: it is no row of FER2013")
        yield line


def _rows(lines: Iterator[str], delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows after the header, without empty ones."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    while True:
        line = reader.line_num + 2  # the header was the first
        try:
            cells = next(reader, None)
        except csv.Error:  # a cell above `csv.field_size_limit`, which is that of a line
            raise DataError(f"{name}: line {line} begins a cell without an end: is a quotation mark missing?") from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _row(cells: list[str], places: list[int], where: str) -> Row:
    if len(cells) <= max(places):
        raise DataError(f"{where} has {len(cells)} of {len(places)} cells: is the file truncated?")
    emotion, usage, pixels = (cells[place].strip() for place in places)
    label = emotion_of(emotion) if (number := number_of(emotion)) is None else number
    if label is None or label >= len(EMOTIONS):
        raise DataError(f"{where} has the emotion {emotion[:20]!r}: codes go from 0 to {len(EMOTIONS) - 1}")
    code = usage_of(usage)
    if code is None:
        raise DataError(f"{where} has the Usage {usage[:20]!r}, which is none of {', '.join(USAGES[:3])}")
    return Row(where, label, code, _image(pixels, where))


def _image(text: str, where: str) -> Bytes:
    """The pixels (48, 48) that a cell holds as 2,304 numbers with spaces between them."""
    if text.encode().translate(None, b"0123456789 \t"):  # a letter is left, at which `fromstring` would stop
        raise DataError(f"{where} has pixels that are not whole numbers from 0 to 255")
    pixels = np.fromstring(text, np.int64, sep=" ")  # in fewer bits a number too large would come out as another
    if pixels.size != SIDE * SIDE:
        raise DataError(f"{where} has {pixels.size:,} pixels, not {SIDE * SIDE:,}: is the file truncated?")
    if pixels.max() > 255:
        raise DataError(f"{where} has pixels that are not whole numbers from 0 to 255")
    return pixels.astype(np.uint8).reshape(SIDE, SIDE)


def _not_fer2013(table: OpenTable, missing: list[str]) -> str:
    """Why a table without some of the columns cannot be read."""
    wanted = "emotion, pixels and Usage"
    if len(missing) == len(COLUMNS):
        if any(number_of(cell.partition(" ")[0]) is not None for cell in table.columns):
            return f"{table.name}: line 1 holds a row: write a line above it that names the columns, {wanted}"
        return f"{table.name} is not FER2013: its first line must name {wanted}"
    lost = " and ".join("Usage" if column == "usage" else column for column in missing)
    reason = ", which tells training rows from test rows" if missing == ["usage"] else ""
    return f"{table.name} has no column {lost}{reason}: give a CSV file that has {wanted}"
