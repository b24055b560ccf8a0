"""Corruptions change a face in the way and by the amount that the report names."""

from __future__ import annotations

import numpy as np
import pytest

from mien.measure.corruptions import CORRUPTIONS, SEVERITIES, corrupted

SMOOTH = np.linspace(40, 215, 48)
FACES = np.stack([np.add.outer(SMOOTH, SMOOTH), np.subtract.outer(SMOOTH, SMOOTH) + 255, 255 * np.eye(48) + 60])
FACES = (FACES * 255 / FACES.max((1, 2), keepdims=True)).astype(np.uint8).repeat(8, 0)


def changed_by(name: str, severity: int) -> float:
    return float(np.abs(corrupted(FACES, name, severity).astype(float) - FACES).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_changes_a_face_more_the_more_severe_it_is(name: str) -> None:
    faces = corrupted(FACES, name, 0)
    assert faces.shape == FACES.shape
    assert faces.dtype == np.uint8
    assert 0 < changed_by(name, 0) < changed_by(name, 2) < changed_by(name, 4)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_change(name: str) -> None:
    for severity in SEVERITIES:
        assert np.array_equal(corrupted(FACES, name, severity), corrupted(FACES, name, severity))


def test_a_box_is_shifted_by_15_percent_of_its_side_at_most() -> None:
    dot = np.zeros((20, 48, 48), np.uint8)
    dot[:, 22:26, 22:26] = 255
    rows = np.argwhere(corrupted(dot, "box jitter", 4) > 128)[:, 1:]
    assert np.abs(rows - 23.5).max() <= 0.15 * 48 + 2 * 1.15 + 1
    assert np.abs(rows - 23.5).max() > 0.15 * 48 - 2


def test_a_quarter_of_the_face_is_covered_at_most() -> None:
    hidden = corrupted(np.full((50, 48, 48), 77, np.uint8), "occlusion", 4) != 77
    assert hidden.mean((1, 2)).max() == pytest.approx(0.25)
