"""A source on its way through a pipeline, for those who watch from Python."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

from mien.see.face import Frame, Reading
from mien.see.pipeline import BURST, Pipeline
from mien.sources.source import Source, SourceStats

Results = Generator[tuple[Frame, list[Reading]]]


class Watch(Results):
    """A generator of frames, each with its readings from left to right; closing it frees everything.

    `stats` says what happened on the way: frames that were dropped to keep up, gaps in which the source was lost.
    """

    def __init__(self, source: Source, open_pipeline: Callable[[], Pipeline]) -> None:
        self.source = source
        self._results = _results(source, open_pipeline)

    @property
    def stats(self) -> SourceStats:
        """What happened to the source so far."""
        return self.source.stats

    def send(self, value: None) -> tuple[Frame, list[Reading]]:
        """Return the next frame with its readings."""
        return self._results.send(value)

    def throw(self, *error: Any) -> tuple[Frame, list[Reading]]:
        """Raise an error where the next frame is waited for; `close` does."""
        return self._results.throw(*error)


def _results(source: Source, open_pipeline: Callable[[], Pipeline]) -> Results:
    """Apart from `Watch`, so that dropping the last reference to one ends the walk at once."""
    with closing(iter(source)) as frames, closing(open_pipeline()(frames, 1 if source.live else BURST)) as results:
        yield from results
