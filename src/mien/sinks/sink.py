"""What every sink is: a context manager that takes in the readings of one frame after the other."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from mien.see.face import Frame, Reading


class Sink(Protocol):
    """Where readings go. Making one checks what it will write, so that what is known to fail fails before reading.

    All sinks raise OutputError.
    """

    def __enter__(self) -> Self:
        """Open what is written to."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Keep what was written, or remove it when an error ended the block."""

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Take in the readings of one frame."""
