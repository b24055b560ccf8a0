"""The one loop: results go into sinks until the source ends, an end is wanted, or nothing is left to write to.

The command line, the benchmark, the server and the batch all call it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from mien.errors import MienError
from mien.see.face import Frame, Reading
from mien.sinks.sink import Sink


@dataclass
class Outcome:
    """How a run ended: the frames that were read, whether it was stopped before the end, what went wrong on the way."""

    frames: int = 0
    stopped: bool = False
    problems: list[Exception] = field(default_factory=list)

    def problem(self) -> Exception | None:
        """Return one error that says what all of them do, None where all went well; a bug goes before our errors."""
        ours = [error for error in self.problems if isinstance(error, MienError)]
        bugs = [error for error in self.problems if not isinstance(error, MienError | BrokenPipeError)]
        if bugs or not ours:
            return next(iter(bugs or self.problems), None)
        return ours[0] if len(ours) == 1 else MienError("; ".join(dict.fromkeys(map(str, ours))))


def run(
    results: Iterable[tuple[Frame, Sequence[Reading]]],
    sinks: Sequence[Sink],
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Frame, Sequence[Reading]], object] = lambda *_: None,
) -> Outcome:
    """Write every result into every sink; `stop` is asked after each, `progress` called with each.

    A sink that fails is closed with what it has, and the others go on; whatever breaks off the results, every sink is
    whole. What went wrong is returned. Errors before the first frame are raised, and leave no output behind.
    """
    outcome = Outcome()
    with ExitStack() as stack:
        open_sinks = [stack.enter_context(_Apart(sink, outcome)) for sink in sinks]
        try:
            for frame, readings in results:
                outcome.frames += 1
                for sink in open_sinks:
                    sink.write(frame, readings)
                progress(frame, readings)
                if stop() or (sinks and all(sink.closed for sink in open_sinks)):
                    break
            outcome.stopped = stop()  # the source may have heard of it first
        except Exception as error:  # a lost stream; too little memory; a bug, which is not to cost what was read before
            if not outcome.frames:
                raise
            outcome.problems.append(error)
        finally:
            if close := getattr(results, "close", None):
                close()
    return outcome


class _Apart:
    """A sink whose failure is noted and does not end the others."""

    def __init__(self, sink: Sink, outcome: Outcome) -> None:
        self.sink, self.outcome = sink, outcome
        self.closed = False

    def __enter__(self) -> _Apart:
        self.sink.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None and not self.closed:
            self.closed = True
            self.sink.__exit__(kind, error, None)
        self._close()

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Write, unless it has failed before."""
        if self.closed:
            return
        try:
            self.sink.write(frame, readings)
        except Exception as error:  # a full disk; a program that has read enough; a bug
            self.outcome.problems.append(error)
            self._close()

    def _close(self) -> None:
        """Keep what was written."""
        if self.closed:
            return
        self.closed = True
        try:
            self.sink.__exit__(None, None, None)
        except Exception as error:
            self.outcome.problems.append(error)
