"""Frames of a file wait until it shows whose a face is; nothing real is lost, and memory is bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from mien.errors import SourceError
from mien.see.face import Face, Frame, Reading
from mien.see.settle import FRAMES, PIXELS, AtOnce, Settled
from mien.see.track import Tracker

Result = tuple[Frame, list[Reading]]
SCORES = np.full(7, 1 / 7, np.float32)


def face(confidence: float, x: float = 50) -> Reading:
    return Reading(Face(np.array((x, 50, x + 60, 110), np.float32), confidence, np.zeros((5, 2), np.float32)), SCORES)


def film(*confidences: float | None, rate: float = 30, shape: tuple[int, int] = (200, 300)) -> Iterator[Result]:
    """Frames with one face each, None for none, of that confidence."""
    image = np.random.default_rng(3).integers(0, 255, (*shape, 3), np.uint8)
    for number, confidence in enumerate(confidences):
        yield Frame(image, "film", number, number / rate), [] if confidence is None else [face(confidence)]


def people(results: Iterable[Result]) -> list[list[int | None]]:
    return [[reading.person for reading in readings] for _, readings in results]


def test_frames_before_the_first_sure_one_wait_and_have_the_number_then() -> None:
    settled = Settled(Tracker())
    results = [*settled(film(0.9, 0.9, 0.99, 0.9))]
    assert [frame.index for frame, _ in results] == [0, 1, 2, 3]
    assert people(results) == [[1]] * 4
    assert settled.unconfirmed == 0


def test_a_face_that_is_never_sure_is_left_out_and_counted() -> None:
    settled = Settled(Tracker())
    results = [*settled(film(0.9, 0.95, 0.9, *[None] * 60, 0.99))]
    assert people(results) == [[]] * 63 + [[1]]
    assert settled.unconfirmed == 3


def test_live_every_frame_comes_at_once_and_the_face_has_no_number_meanwhile() -> None:
    asked: list[int] = []

    def frames() -> Iterator[Result]:
        for frame, readings in film(0.9, 0.9, 0.99, 0.9):
            asked.append(frame.index)
            yield frame, readings

    live = AtOnce(Tracker())
    numbers = []
    for frame, readings in live(frames()):
        assert asked[-1] == frame.index
        numbers += [reading.person for reading in readings]
    assert numbers == [None, None, 1, 1]
    assert live.unconfirmed == 2


def test_frames_wait_for_a_second_at_most() -> None:
    read = 0

    def frames() -> Iterator[Result]:
        nonlocal read
        for result in film(*[0.9] * 100):
            read += 1
            yield result

    for frame, _ in Settled(Tracker())(frames()):
        assert read - frame.index <= FRAMES + 2 or read == 100


def test_frames_that_are_far_apart_wait_as_well() -> None:
    results = Settled(Tracker())(film(*[0.9] * 10, 0.99, rate=1))
    assert people(results) == [[1]] * 11


def test_large_frames_wait_for_less_so_that_memory_is_bounded() -> None:
    shape = (3000, 4000)
    held = PIXELS // (shape[0] * shape[1])
    settled, read = Settled(Tracker()), 0

    def frames() -> Iterator[Result]:
        nonlocal read
        for result in film(*[0.9] * 8, shape=shape):
            read += 1
            yield result

    for frame, _ in settled(frames()):
        assert read - frame.index <= held + 1 or read == 8


def test_frames_before_an_error_are_given_out_before_it_is_raised() -> None:
    def broken() -> Iterator[Result]:
        yield from film(0.9, 0.99, 0.9)
        raise SourceError("the stream broke off")

    results = Settled(Tracker())(broken())
    assert people([next(results) for _ in range(3)]) == [[1]] * 3
    with pytest.raises(SourceError):
        next(results)


def test_who_comes_at_the_very_end_has_a_number() -> None:
    first = [(Frame(np.zeros((200, 300, 3), np.uint8), time=0.0), [face(0.99, 200)])]
    later = [(Frame(frame.image, time=1 + frame.time), readings) for frame, readings in film(0.99)]
    assert people(Settled(Tracker())([*first, *later])) == [[1], [2]]
