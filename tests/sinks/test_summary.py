"""What a stream came to: everybody who was in view, for as long as they were, and not longer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mien.see.face import Frame, Reading
from mien.sinks.summary import Steps, Summary

Make = Callable[..., Reading]

IMAGE = np.zeros((6, 8, 3), np.uint8)


def test_a_summary_tells_who_was_in_view_for_how_long_with_what_emotions(reading: Make) -> None:
    with Summary() as summary:
        for number in range(11):
            people = [reading("happy" if number < 5 else "sad", 1)] + [reading("fear", 2)] * (3 <= number < 6)
            summary.write(Frame(IMAGE, "film", number, number / 10), people)
    assert summary.frames == 11
    assert summary.people[1].seconds == pytest.approx(1.0)
    assert summary.people[2].seconds == pytest.approx(0.2)
    assert summary.people[1].shares() == pytest.approx({"sad": 6 / 11, "happy": 5 / 11})
    assert list(summary.people[1].shares()) == ["sad", "happy"]


def test_what_the_network_said_is_counted_and_not_what_was_shown(reading: Make) -> None:
    summary = Summary()
    summary.write(Frame(IMAGE), [reading("sad", 1, shown="happy")])
    assert summary.people[1].emotions == {"sad": 1}


def test_nobody_was_in_view_while_the_source_was_lost(reading: Make) -> None:
    summary = Summary()
    for time in (0.0, 0.5, 1.0, 12.0, 12.5, 13.0):
        summary.write(Frame(IMAGE, time=time), [reading(person=1)])
    assert summary.people[1].seconds == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("times", "steps"),
    [
        ([0, 0.04, 0.08, 3.08, 3.12], [0, 0.04, 0.04, 0, 0.04]),  # three seconds without a picture
        ([0, 5, 10, 15], [0, 5, 5, 5]),  # a frame every five seconds, as was asked for
        ([0, 5, 10, 40, 45], [0, 5, 5, 0, 5]),
        ([0, 0.9, 1.0], [0, 0.9, 0.1]),  # within a second nothing is a gap
        ([0, 0, 0.1], [0, 0, 0.1]),
    ],
)
def test_a_gap_is_told_from_the_usual_time_between_two_frames(times: list[float], steps: list[float]) -> None:
    step = Steps()
    assert [step(time) for time in times] == pytest.approx(steps)
