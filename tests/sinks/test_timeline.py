"""A timeline shows each person's emotions over time, in a picture whose memory does not grow with the hours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.errors import OutputError
from mien.labels import EMOTIONS
from mien.see.face import Frame, Reading
from mien.sinks.timeline import Timeline

pytest.importorskip("matplotlib")

Make = Callable[..., Reading]

IMAGE = np.zeros((6, 8, 3), np.uint8)


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_a_timeline_is_drawn_for_each_person(tmp_path: Path, ending: str, reading: Make) -> None:
    with Timeline(tmp_path / f"out{ending}") as timeline:
        for number in range(100):
            found = [reading(person=1)] + [reading("sad", 2)] * (number > 50)
            timeline.write(Frame(IMAGE, time=number / 10), found)
    assert timeline.shown() == [1, 2]
    head = (tmp_path / f"out{ending}").read_bytes()[:5]
    assert head in (b"\x89PNG\r", b"<?xml", b"%PDF-")


def test_what_is_shown_of_a_face_is_what_is_drawn(tmp_path: Path, reading: Make) -> None:
    timeline = Timeline(tmp_path / "out.png")
    timeline.write(Frame(IMAGE), [reading("sad", 1, shown="happy")])
    assert EMOTIONS[timeline.bins[1][0].argmax()] == "happy"


def test_a_timeline_of_hours_takes_no_more_memory_than_one_of_minutes(tmp_path: Path, reading: Make) -> None:
    timeline = Timeline(tmp_path / "out.png")
    happy, sad = [reading("happy")], [reading("sad")]
    for second in range(36_000):
        timeline.write(Frame(IMAGE, time=float(second)), happy if second < 18_000 else sad)
    parts = timeline.bins[None]
    assert len(parts) <= timeline.BINS
    assert sum(map(np.sum, parts.values())) == pytest.approx(36_000, rel=1e-3)
    half = 18_000 / timeline.width
    assert all(
        EMOTIONS[part.argmax()] == ("happy" if number < half - 1 else "sad")
        for number, part in parts.items()
        if abs(number - half) > 1
    )


def test_a_timeline_of_few_frames_has_no_holes(tmp_path: Path, reading: Make) -> None:
    timeline = Timeline(tmp_path / "out.png")
    for second in range(9):
        timeline.write(Frame(IMAGE, time=float(second)), [reading(person=1)] * (second != 5))
    wide = round(1 / timeline.width)
    assert sorted(timeline.bins[1]) == [*range(4 * wide + 1), *range(6 * wide, 8 * wide + 1)]


def test_a_gap_in_the_source_stays_open(tmp_path: Path, reading: Make) -> None:
    timeline = Timeline(tmp_path / "out.png")
    for time in (0.0, 0.5, 1.0, 9.0, 9.5):
        timeline.write(Frame(IMAGE, time=time), [reading(person=1)])
    assert sorted(timeline.bins[1]) == [*range(11), *range(90, 96)]


def test_the_picture_says_how_many_people_it_leaves_out(tmp_path: Path, reading: Make) -> None:
    with Timeline(tmp_path / "out.svg") as timeline:
        for number in range(20):
            everybody = [reading(person=person) for person in range(1, 24) if person < 15 or number < 10]
            timeline.write(Frame(IMAGE, time=number / 10), everybody)
    assert len(timeline.shown()) == timeline.PEOPLE == 12
    drawn = (tmp_path / "out.svg").read_text()
    assert "11 more, who were in view for less time, are not drawn" in drawn


def test_nobody_in_view_is_a_timeline_too(tmp_path: Path) -> None:
    with Timeline(tmp_path / "out.png") as timeline:
        timeline.write(Frame(IMAGE), [])
    assert listing(tmp_path) == ["out.png"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out.png").write_text("before")
    with pytest.raises(ZeroDivisionError), Timeline(tmp_path / "out.png"):
        raise ZeroDivisionError
    assert (tmp_path / "out.png").read_text() == "before"
    assert listing(tmp_path) == ["out.png"]


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"ends in \.pdf, \.png, \.svg"):
        Timeline(tmp_path / "out.jpg")
    with pytest.raises(OutputError, match="no folder"):
        Timeline(tmp_path / "missing" / "out.png")
    with Timeline(tmp_path / "out.png"), pytest.raises(OutputError, match="another run"):
        Timeline(tmp_path / "out.png")
