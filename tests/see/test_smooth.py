"""What is shown follows what the network says and does not flicker; what the network said stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from mien.labels import EMOTIONS
from mien.see.face import Face, Frame, Reading
from mien.see.smooth import Smoother

HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")


def seen(time: float, emotion: int, score: float = 0.7, person: int | None = 1) -> tuple[Frame, list[Reading]]:
    scores = np.full(7, (1 - score) / 6, np.float32)
    scores[emotion] = score
    face = Face(np.array([0, 0, 60, 60], np.float32), 0.99, np.zeros((5, 2), np.float32))
    return Frame(np.zeros((60, 60, 3), np.uint8), time=time), [Reading(face, scores, person)]


def shown(smoother: Smoother, *arguments: float | int | None) -> Reading:
    [reading] = smoother(*seen(*arguments))  # type: ignore[arg-type]
    return reading


@pytest.mark.parametrize("rate", [5, 30, 120])
def test_scores_follow_at_the_same_pace_at_every_frame_rate(rate: int) -> None:
    smoother = Smoother(0.25)
    shown(smoother, 0, HAPPY)
    for n in range(1, rate + 1):
        after = shown(smoother, n / rate, SAD)
    assert after.shown is not None
    assert after.shown.scores[SAD] == pytest.approx(0.7 - 0.65 * np.exp(-4), abs=0.01)
    assert after.shown.scores.sum() == pytest.approx(1, abs=1e-5)


def test_the_label_does_not_flicker_between_two_emotions_that_are_as_likely() -> None:
    smoother = Smoother(0.01)
    labels = {shown(smoother, n / 30, (HAPPY, SAD)[n % 2], 0.18).shown.emotion for n in range(60)}  # type: ignore[union-attr]
    assert labels == {"happy"}


def test_a_clear_change_is_shown_within_half_a_second_and_said_at_once() -> None:
    smoother = Smoother()
    for n in range(30):
        shown(smoother, n / 30, HAPPY)
    after = [shown(smoother, 1 + n / 30, SAD) for n in range(15)]
    assert after[0].emotion == "sad"
    assert after[0].probability == pytest.approx(0.7)
    assert after[0].shown is not None and after[0].shown.emotion == "happy"
    assert after[-1].shown is not None and after[-1].shown.emotion == "sad"


def test_a_person_who_was_away_for_long_begins_anew() -> None:
    smoother = Smoother()
    shown(smoother, 0, HAPPY)
    assert shown(smoother, 60, SAD).shown.emotion == "sad"  # type: ignore[union-attr]


def test_after_a_cut_the_old_label_is_gone_at_once_also_of_somebody_who_is_known_again() -> None:
    smoother = Smoother()
    for n in range(30):
        shown(smoother, n / 30, HAPPY)
    frame, readings = seen(1, SAD)
    [after] = smoother(Frame(frame.image, time=1, shot=1), readings)
    assert after.shown is not None
    assert after.shown.emotion == "sad"
    assert after.shown.probability == pytest.approx(0.7)


def test_a_face_of_nobody_in_particular_is_not_smoothed() -> None:
    assert shown(Smoother(), 0, HAPPY, 0.7, None).shown is None


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_constant_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="time_constant"):
        Smoother(seconds)
