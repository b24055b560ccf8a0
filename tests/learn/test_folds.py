"""What is held out is not learned from, whatever is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mien.data.fer2013 import PUBLIC
from mien.data.prepare import Split
from mien.data.subsets import take
from mien.errors import DataError, TrainingError
from mien.learn.folds import all_training, folds, hold_out
from mien.learn.model import OFFICIAL
from mien.learn.settings import Settings, members_of


def test_folds_are_fifths_of_every_class_and_keep_duplicates_together(noise: dict[str, Split]) -> None:
    training = all_training(noise)
    assert training.rows.tolist() == list(range(70))
    twice = take(training, np.r_[np.arange(70), [3, 3, 40]])
    fold = folds(twice)
    assert fold[70:].tolist() == [fold[3], fold[3], fold[40]]
    counts = [np.bincount(folds(training)[training.labels == label], minlength=5) for label in range(OFFICIAL)]
    assert np.ptp(counts, axis=1).max() <= 1
    assert (folds(training) == folds(training)).all()


def test_what_is_held_out_is_not_learned_from(noise: dict[str, Split], tiny: Settings) -> None:
    held: list[int] = []
    for fold in "01234":
        learn, check = hold_out(noise, replace(tiny, held_out=fold))
        assert sorted([*learn.rows, *check.rows]) == list(range(70))
        held += check.rows.tolist()
    assert sorted(held) == list(range(70))
    learn, check = hold_out(noise, replace(tiny, held_out="public"))
    assert len(learn.rows) == 70
    assert check.usage is not None
    assert set(check.usage) == {PUBLIC}


def test_data_that_cannot_be_held_out_are_refused(noise: dict[str, Split], tiny: Settings) -> None:
    with pytest.raises(TrainingError, match="choose one of val, public, 0, 1, 2, 3, 4"):
        hold_out(noise, replace(tiny, held_out="5"))
    with pytest.raises(TrainingError, match="FER"):
        hold_out({name: replace(split, votes=None) for name, split in noise.items()}, tiny)
    with pytest.raises(DataError, match="PublicTest"):
        hold_out({**noise, "test": replace(noise["test"], usage=None)}, replace(tiny, held_out="public"))


@pytest.mark.parametrize("members", ["resnet-18", "resnet-18:5", ":0", "resnet-18:0,"])
def test_members_that_are_none_are_one_line(members: str, tiny: Settings) -> None:
    with pytest.raises(TrainingError, match="NETWORK:FOLD"):
        members_of(tiny, members)


def test_a_member_named_twice_is_refused(tiny: Settings) -> None:
    with pytest.raises(TrainingError, match="plain-s:0 is named twice"):
        members_of(tiny, "plain-s:0,plain-s:1,plain-s:0")
