"""Cuts and fades are seen; what moves, flashes or goes dark is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from mien.see.cut import Cuts
from mien.see.face import Frame
from mien.see.picture import Image

PORTRAIT = np.asarray(Pillow.open(Path(__file__).parents[2] / "assets/astronaut.jpg").convert("RGB"))
WIDTH, HEIGHT = 320, 240


def room(number: int) -> Image:
    """A picture unlike others, as smooth as most are."""
    coarse = np.random.default_rng(number).integers(20, 230, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def shots(images: Iterator[Image] | list[Image], rate: float = 30) -> list[Frame]:
    cuts = Cuts()
    return [cuts(Frame(image, "film", number, number / rate)) for number, image in enumerate(images)]


def seen_from(x: float, y: float, zoom: float, turn: float = 0) -> Image:
    """The portrait as a camera sees it whose middle is at x, y."""
    matrix = cv2.getRotationMatrix2D((x, y), turn, zoom)
    matrix[:, 2] = matrix[:, 2] + (WIDTH / 2 - x, HEIGHT / 2 - y)
    return cv2.warpAffine(PORTRAIT, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT).astype(np.uint8)


def lit(light: float) -> Image:
    return (seen_from(256, 200, 0.6) * light).astype(np.uint8)


def noisy(number: int) -> Image:
    noise = np.random.default_rng(number).normal(0, 20, (HEIGHT, WIDTH, 3))
    return (seen_from(256, 200, 0.6) + noise).clip(0, 255).astype(np.uint8)


def hand(number: int) -> Image:
    image = seen_from(256, 200, 0.6)
    return np.asarray(cv2.ellipse(image, (6 * number - 60, 120), (40, 60), 15, 0, 360, (198, 150, 125), -1), np.uint8)


STEADY: dict[str, Callable[[int], Image]] = {
    "pan": lambda n: seen_from(160 + 6 * n, 200 + 40 * np.sin(n / 9), 1),
    "zoom": lambda n: seen_from(225, 130, 0.5 * 1.04**n),
    "turn": lambda n: seen_from(225, 150, 0.8, 30 * np.sin(n / 8)),
    "lamp": lambda n: lit(0.4 if n // 7 % 2 else 1),
    "dusk": lambda n: lit(1 - n / 45),
    "noise": noisy,
    "hand": hand,
    "stillness": lambda _: room(0),
}


def test_a_cut_begins_a_shot() -> None:
    frames = shots([room(number // 10) for number in range(40)])
    assert [frame.shot for frame in frames] == [number // 10 for number in range(40)]
    assert not any(frame.fading for frame in frames)


@pytest.mark.parametrize("rate", [10, 25, 60])
def test_a_cut_is_one_at_any_frame_rate(rate: int) -> None:
    frames = shots([seen_from(200 + n, 200, 0.6) if n < rate else room(1) for n in range(2 * rate)], rate)
    assert [frame.shot for frame in frames] == [0] * rate + [1] * rate


@pytest.mark.parametrize(("seconds", "rate"), [(0.3, 30), (0.5, 25), (1.0, 30), (1.5, 30), (1.0, 60)])
def test_a_fade_is_seen_before_its_middle_and_until_it_ends(seconds: float, rate: int) -> None:
    length = round(seconds * rate)
    shares = np.clip((np.arange(3 * rate + length) - rate) / length, 0, 1)
    frames = shots([cv2.addWeighted(room(1), 1 - a, room(2), a, 0).astype(np.uint8) for a in shares], rate)
    fading = [number for number, frame in enumerate(frames) if frame.fading]
    assert fading[0] <= rate + max(length / 2, 0.27 * rate)
    assert rate + length <= fading[-1] + 1 <= rate + length + 0.55 * rate
    assert len(fading) == fading[-1] - fading[0] + 1
    assert {frame.shot for frame in frames} == {0}


@pytest.mark.parametrize("kind", STEADY)
def test_what_moves_or_changes_its_light_is_neither(kind: str) -> None:
    frames = shots([STEADY[kind](number) for number in range(40)])
    assert {frame.shot for frame in frames} == {0}
    assert not any(frame.fading for frame in frames)


def test_a_gap_is_no_cut() -> None:
    cuts = Cuts()
    assert [cuts(Frame(room(number), time=2.0 * number)).shot for number in range(4)] == [0, 0, 0, 0]


def test_a_frame_stays_what_it_is() -> None:
    frame = Frame(room(0), "film", 7, 0.5)
    cut = Cuts()(frame)
    assert (cut.picture, cut.name, cut.index, cut.time) == (frame.picture, "film", 7, 0.5)
