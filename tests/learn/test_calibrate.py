"""How sure a network may be: what is fitted, and what keeps it from extremes."""

from __future__ import annotations

import pytest
import torch

from mien.learn.calibrate import Calibration, calibrate

WANTED = torch.randn(2000, 7, generator=torch.Generator().manual_seed(0)).softmax(1)


@pytest.mark.parametrize("sought", [0.5, 1.0, 2.5])
def test_the_temperature_that_logits_were_given_is_found(sought: float) -> None:
    found = calibrate(WANTED.log() * sought, WANTED)
    assert found.temperature == pytest.approx(sought, rel=0.01)
    assert found.shifts == pytest.approx([0.0] * 7, abs=0.02)


def test_what_oversampling_made_of_the_frequencies_is_taken_back() -> None:
    too_often = torch.tensor([0.0, 1.5, 0, 0, -0.5, 0, 0])
    found = calibrate(WANTED.log() + too_often, WANTED)
    assert found.shifts[1] - found.shifts[0] == pytest.approx(-1.5, abs=0.05)
    assert found.shifts[4] - found.shifts[0] == pytest.approx(0.5, abs=0.05)
    assert torch.allclose(found(WANTED.log() + too_often).softmax(1), WANTED, atol=0.01)


def test_a_few_rows_move_little() -> None:
    found = calibrate(torch.eye(7)[:3] * 9, torch.eye(7)[:3])  # right each time, and four classes that never come
    assert 0.2 < found.temperature < 1
    assert all(abs(shift) < 1 for shift in found.shifts)


def test_rows_without_votes_count_for_nothing() -> None:
    assert calibrate(torch.randn(20, 8), torch.zeros(20, 8)) == Calibration.none(8)
