"""Read the votes of FER+, ten people's for each image of FER2013 (Barsoum et al. 2016, arXiv:1608.01041)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.data.archive import unpacking
from mien.data.fer2013 import USAGES, Bytes, Fer2013, usage_of
from mien.data.table import OpenTable, number_of, open_table
from mien.errors import DataError
from mien.labels import FERPLUS


@dataclass(frozen=True, eq=False, slots=True)
class Votes:
    """The rows of fer2013new.csv: `counts` (n, 10) uint8 in `FERPLUS` order, `usage` as it is written, `lines`."""

    path: Path
    counts: Bytes
    usage: list[str]
    lines: list[int]

    def of(self, data: Fer2013) -> Bytes:
        """The votes (n, 10) for the rows of FER2013's CSV. Raises DataError where these are not in the same order."""
        if data.form == "pictures":
            raise DataError(
                f"{self.path} goes by the rows of FER2013's CSV file, which pictures in folders do not tell: "
                "prepare the CSV file, or leave the votes out"
            )
        if len(self.usage) != len(data.usage):
            ours, theirs = len(self.usage), len(data.usage)
            raise DataError(f"{self.path} has {ours:,} rows and FER2013 {theirs:,}: are both files whole?")
        for line, name, code in zip(self.lines, self.usage, data.usage, strict=True):
            if usage_of(name) != code:
                raise DataError(
                    f"{self.path}: line {line} is {name[:20]!r} and in FER2013 {USAGES[code]}: "
                    "votes go by the rows of FER2013's CSV, so prepare that"
                )
        return self.counts


def read_votes(path: Path) -> Votes:
    """Read FER+'s fer2013new.csv. Raises DataError."""
    try:
        with unpacking(path), path.open("rb") as file, open_table(file, path.name) as table:
            return _votes(table, path)
    except OSError as error:
        reason = f"there is no {path}" if not path.exists() else f"{path} cannot be read ({error.strerror or error})"
        raise DataError(f"{reason}: give FER+'s fer2013new.csv, or leave the votes out") from None


def _votes(table: OpenTable, path: Path) -> Votes:
    missing = [column for column in ("Usage", *FERPLUS) if column.lower() not in table.columns]
    if missing:
        raise DataError(f"{path} is not FER+'s fer2013new.csv: it has no column {missing[0]}")
    usage, *places = (table.columns.index(column.lower()) for column in ("Usage", *FERPLUS))
    lines, usages, counts = list[int](), list[str](), bytearray()
    for line, cells in table.rows:
        try:
            counts += bytes(_count(cells[place]) for place in places)
            usages.append(cells[usage].strip())
        except (IndexError, ValueError):  # `bytes` takes none above 255
            raise DataError(
                f"{path}: line {line} has a vote that is not a number from 0 to 255: is the file truncated?"
            ) from None
        lines.append(line)
    return Votes(path, np.frombuffer(counts, np.uint8).reshape(-1, len(FERPLUS)), usages, lines)


def _count(cell: str) -> int:
    number = number_of(cell.strip())
    if number is None:
        raise ValueError(cell)
    return number
