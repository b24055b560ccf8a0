"""A picture of who was seen when, and what each face showed over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mien.errors import MissingExtra, OutputError
from mien.files import WholeFile
from mien.labels import COLOURS, EMOTIONS
from mien.see.face import Frame, Reading
from mien.see.picture import Floats
from mien.sinks.summary import Steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOTS = (".pdf", ".png", ".svg")
"""The endings of plots that can be written."""


class Timeline:
    """Draws each person's emotions over time; raises OutputError, and MissingExtra without matplotlib.

    Time is cut into at most `BINS` parts of equal length, which double when the stream outgrows them: the picture
    cannot show more, and memory stays the same for hours.
    """

    BINS = 512
    PEOPLE = 12  # at most, those longest in view: more rows would be too thin to read

    def __init__(self, path: Path) -> None:
        try:
            import matplotlib  # noqa: F401 - tens of megabytes that most users never need
        except ImportError:
            raise MissingExtra("a timeline needs matplotlib: pip install 'mien[plot]'") from None
        if path.suffix.lower() not in PLOTS:
            raise OutputError(f"cannot write {path}: use a name that ends in {', '.join(PLOTS)}")
        self._file, self.path = WholeFile(path), path
        self.width = 0.1  # seconds of a part
        self.end = 0.0
        self._before: set[int | None] = set()  # who was in the last frame
        self._steps = Steps()
        self.bins: dict[int | None, dict[int, Floats]] = {}  # by person and part: sums of the seven scores

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Draw the picture."""
        with ExitStack() as closing:
            closing.push(self._file)
            if kind is None:
                self._file.write(self._picture())
            else:
                self._file.discard()

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Take in the readings of one frame."""
        while frame.time >= self.width * self.BINS:
            self._halve()
        number, last = int(frame.time / self.width), int(self.end / self.width)
        before = self._before if self._steps(frame.time) else set()
        for reading in readings:
            parts = self.bins.setdefault(reading.person, {})
            first = min(last + 1, number) if reading.person in before else number  # frames may be far apart
            share = (reading.shown or reading).scores / np.float32(number + 1 - first)
            for at in range(first, number + 1):
                parts[at] = parts.get(at, np.zeros(len(EMOTIONS), np.float32)) + share
        self._before, self.end = {reading.person for reading in readings}, frame.time

    def _halve(self) -> None:
        """Make parts twice as long, and half as many."""
        self.width *= 2
        for person, parts in self.bins.items():
            pairs = groupby(sorted(parts), lambda number: number // 2)
            self.bins[person] = {half: np.sum([parts[number] for number in pair], axis=0) for half, pair in pairs}

    def shown(self) -> list[int | None]:
        """Return those who get a row: the longest in view, by number."""
        longest = sorted(self.bins, key=lambda person: len(self.bins[person]), reverse=True)[: self.PEOPLE]
        return sorted(longest, key=lambda person: person or 0)

    def _picture(self) -> bytes:
        from matplotlib.figure import Figure

        people = self.shown()
        figure = Figure(figsize=(12, 1.6 + 0.7 * max(len(people), 1)), layout="constrained")
        rows = figure.subplots(max(len(people), 1), 1, sharex=True, squeeze=False)[:, 0]
        for axes, person in zip(rows, people, strict=False):
            self._draw_row(axes, self.bins[person])
            axes.set_ylabel("faces" if person is None else f"person {person}", rotation=0, ha="right", va="center")
        for axes in rows:
            axes.set(ylim=(0, 1), yticks=[], xlim=(0, max(self.end, self.width)))
        left_out = len(self.bins) - len(people)
        others = "" if not left_out else f"; {left_out} more, who were in view for less time, are not drawn"
        rows[-1].set_xlabel(f"time (s){others}")
        patches = [_patch(number) for number in range(len(EMOTIONS))]
        figure.legend(patches, EMOTIONS, loc="outside upper center", ncols=len(EMOTIONS), frameon=False)
        data = BytesIO()
        figure.savefig(data, format=self.path.suffix.lower()[1:], dpi=120)
        return data.getvalue()

    def _draw_row(self, axes: Axes, parts: dict[int, Floats]) -> None:
        """Draw the share of each emotion, one above the other, wherever the person was in view."""
        for run in _runs(sorted(parts)):
            shares = np.stack([parts[number] / parts[number].sum() for number in run], axis=1).cumsum(axis=0)
            edges = np.append(run, run[-1] + 1) * self.width
            tops = np.concatenate([shares, shares[:, -1:]], axis=1)  # a step is drawn up to the next edge
            bottoms = np.vstack([np.zeros_like(tops[:1]), tops[:-1]])
            for number, (bottom, top) in enumerate(zip(bottoms, tops, strict=True)):
                axes.fill_between(edges, bottom, top, step="post", color=_rgb(number), linewidth=0)


def _runs(numbers: list[int]) -> Iterator[list[int]]:
    """Cut growing numbers where some are missing."""
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        yield [number for _, number in run]


def _rgb(number: int) -> tuple[float, float, float]:
    red, green, blue = COLOURS[number]
    return red / 255, green / 255, blue / 255


def _patch(number: int) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=_rgb(number))
