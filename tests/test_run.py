"""The one loop: every result goes into every sink, one that fails ends no other, and nothing that was read is lost."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from mien.errors import MienError, OutputError, SourceError
from mien.run import Outcome, run
from mien.see.face import Frame, Reading
from mien.sinks.sink import Sink
from mien.sinks.tables import Counts, csv_rows, json_rows

Results = Generator[tuple[Frame, list[Reading]]]


def results(count: int, error: BaseException | None = None) -> Results:
    for number in range(count):
        yield Frame(np.zeros((6, 8, 3), np.uint8), "film", number, number / 25), []
    if error:
        raise error


class Noted:
    """A sink that notes what happens to it, and fails where it is told to."""

    def __init__(self, fails_at: int | None = None, error: Exception | None = None, *, at_end: bool = False) -> None:
        self.fails_at, self.error, self.at_end = fails_at, error or OutputError("the disk is full"), at_end
        self.frames, self.ended = list[int](), list[type[BaseException] | None]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.ended.append(kind)
        if self.at_end:
            raise self.error

    def write(self, frame: Frame, _: Sequence[Reading]) -> None:
        if frame.index == self.fails_at:
            raise self.error
        self.frames.append(frame.index)


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_every_result_goes_into_every_sink_which_is_closed_once() -> None:
    sinks, told = [Noted(), Noted()], list[int]()
    outcome = run(results(5), sinks, progress=lambda frame, _: told.append(frame.index))
    assert (outcome.frames, outcome.stopped, outcome.problem()) == (5, False, None)
    for sink in sinks:
        assert (sink.frames, sink.ended) == ([0, 1, 2, 3, 4], [None])
    assert told == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [OutputError("the disk is full"), BrokenPipeError(), ZeroDivisionError("a bug")])
def test_a_sink_that_fails_is_closed_with_what_it_has_and_ends_no_other(error: Exception) -> None:
    bad, good = Noted(2, error), Noted()
    outcome = run(results(5), [bad, good])
    assert (bad.frames, bad.ended) == ([0, 1], [None])
    assert (good.frames, good.ended) == ([0, 1, 2, 3, 4], [None])
    assert outcome.problem() is error


def test_a_sink_that_fails_when_it_is_closed_ends_no_other() -> None:
    sinks = [Noted(), Noted(at_end=True), Noted()]
    outcome = run(results(3), sinks)
    assert [sink.ended for sink in sinks] == [[None]] * 3
    assert str(outcome.problem()) == "the disk is full"


def test_a_sink_that_fails_twice_is_told_once() -> None:
    assert str(run(results(3), [Noted(1, at_end=True), Noted()]).problem()) == "the disk is full"


def test_when_nothing_is_left_to_write_to_the_run_ends() -> None:
    read = list[int]()

    def noting() -> Iterator[tuple[Frame, list[Reading]]]:
        for frame, readings in results(100):
            read.append(frame.index)
            yield frame, readings

    outcome = run(noting(), [Noted(3, BrokenPipeError()), Noted(5)])
    assert read == [0, 1, 2, 3, 4, 5]
    assert outcome.frames == 6


def test_without_sinks_it_goes_on_to_the_end() -> None:
    assert run(results(7), []).frames == 7


def test_stop_ends_it_after_the_frame_under_way() -> None:
    sink = Noted()
    outcome = run(results(100), [sink], stop=lambda: len(sink.frames) == 4)
    assert (outcome.frames, outcome.stopped, outcome.problem()) == (4, True, None)
    assert (sink.frames, sink.ended) == ([0, 1, 2, 3], [None])


def test_a_source_that_hears_of_the_stop_first_is_known_as_stopped() -> None:
    asked = iter([False, False, True])
    outcome = run(results(2), [Noted()], stop=lambda: next(asked))
    assert outcome.stopped


@pytest.mark.parametrize("error", [SourceError("the stream broke off"), MemoryError(), ZeroDivisionError("a bug")])
def test_what_breaks_off_after_a_frame_leaves_every_output_whole(tmp_path: Path, error: Exception) -> None:
    sinks: list[Sink] = [json_rows(tmp_path / "a.json", all_frames=True), Counts(tmp_path / "c.csv")]
    outcome = run(results(3, error), sinks)
    assert outcome.frames == 3
    assert outcome.problem() is error
    assert len((tmp_path / "a.json").read_text().splitlines()) == 3
    assert listing(tmp_path) == ["a.json", "c.csv"]


@pytest.mark.parametrize("error", [SourceError("there is no camera"), ZeroDivisionError("a bug"), KeyboardInterrupt()])
def test_an_error_before_the_first_frame_is_raised_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "old.csv").write_text("before")
    sinks: list[Sink] = [csv_rows(tmp_path / "old.csv"), json_rows(tmp_path / "a.json"), Counts(tmp_path / "c.csv")]
    with pytest.raises(type(error)):
        run(results(0, error), sinks)
    assert listing(tmp_path) == ["old.csv"]
    assert (tmp_path / "old.csv").read_text() == "before"


def test_a_second_ctrl_c_ends_it_at_once_and_leaves_no_part(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(results(3, KeyboardInterrupt()), [json_rows(tmp_path / "a.json", all_frames=True)])
    assert listing(tmp_path) == []


def test_a_sink_that_does_not_open_takes_those_before_it_away_again(tmp_path: Path) -> None:
    held = csv_rows(tmp_path / "held.csv")
    late = csv_rows(tmp_path / "held.csv")
    with held, pytest.raises(OutputError, match="another run"):
        run(results(3), [json_rows(tmp_path / "a.json"), late])
    assert listing(tmp_path) == ["held.csv"]


def test_the_results_are_closed_however_it_ends() -> None:
    closed = list[bool]()

    def source(error: Exception | None = None) -> Results:
        try:
            yield from results(5, error)
        finally:
            closed.append(True)

    run(source(), [], stop=lambda: True)
    run(source(SourceError("lost")), [])
    with pytest.raises(SourceError):
        run(source(), [_refusing(SourceError("no"))])
    assert closed == [True, True]  # the third was never begun


def _refusing(error: Exception) -> Sink:
    class Refusing(Noted):
        def __enter__(self) -> Self:
            raise error

    return Refusing()


def test_several_problems_are_one_line_and_a_bug_goes_first() -> None:
    ours: list[Exception] = [OutputError("no room for a"), SourceError("lost"), OutputError("no room for a")]
    both = Outcome(problems=ours).problem()
    assert isinstance(both, MienError) and str(both) == "no room for a; lost"
    bug = ZeroDivisionError()
    assert Outcome(problems=[*ours, bug]).problem() is bug
    assert str(Outcome(problems=[BrokenPipeError(), *ours]).problem()) == "no room for a; lost"
    assert isinstance(Outcome(problems=[BrokenPipeError()]).problem(), BrokenPipeError)
    assert Outcome().problem() is None


def test_plain_functions_are_enough_to_drive_it(reading: Callable[..., Reading], tmp_path: Path) -> None:
    pairs = ((frame, [reading("sad")]) for frame, _ in results(4))
    run(pairs, [Counts(tmp_path / "counts.csv")])
    assert "sad,4\n" in (tmp_path / "counts.csv").read_text()
