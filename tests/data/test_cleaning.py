"""Twins of test images, blank images and conflicts are dropped from training; validation has a share of each class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.cleaning import (
    BLANK,
    CONFLICT,
    TWIN,
    blank_images,
    duplicate_groups,
    facts,
    rows_to_drop,
    split_rows,
    validation_rows,
)
from mien.data.fer2013 import PRIVATE, PUBLIC, TRAINING

from .forms import make


def test_the_rarer_label_of_duplicates_loses_and_a_tie_loses_both() -> None:
    data = make([0, 0, 1, 3, 4, 5, 5, 6], [TRAINING] * 7 + [PUBLIC])
    images = data.images.copy()
    images[1] = images[2] = images[0]  # angry, angry, disgust
    images[4] = images[3]  # happy, sad
    images[6] = images[5]  # surprise twice
    groups = duplicate_groups(images)
    assert rows_to_drop(replace(data, images=images), groups) == {2: CONFLICT, 3: CONFLICT, 4: CONFLICT}


def test_test_images_are_never_dropped_and_their_twins_in_training_always() -> None:
    data = make([0, 0, 1, 2], [TRAINING, PUBLIC, PRIVATE, PUBLIC])
    images = data.images.copy()
    images[:3] = images[0]
    images[3] = 9
    data = replace(data, images=images)
    assert rows_to_drop(data, duplicate_groups(images)) == {0: TWIN}
    assert facts(data, duplicate_groups(images)) == {
        "Training": 1,
        "PublicTest": 2,
        "PrivateTest": 1,
        "Test": 0,
        "groups of duplicates": 1,
        "groups with conflicting labels": 1,
        "PublicTest images also in Training": 1,
        "PrivateTest images also in Training": 1,
        "blank images": 1,
    }


@given(
    rows=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), min_size=1, max_size=200),
    share=st.floats(0.05, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_duplicates_stay_on_one_side_and_no_class_gives_more_than_its_share(
    rows: list[tuple[int, int]], share: float, seed: int
) -> None:
    groups = np.array([group for group, _ in rows], np.int64)
    first = dict(reversed(rows))  # duplicates that are labelled apart count as the first of them
    labels = np.array([label for _, label in rows], np.uint8)
    chosen = validation_rows(groups, labels, share, seed)
    assert not set(groups[chosen]) & set(groups[~chosen])
    classes = np.array([first[int(group)] for group in groups])
    for code in range(7):
        different = len(set(groups[classes == code]))
        due = max(round(share * (classes == code).sum()), int(different > 1))
        assert chosen[classes == code].sum() <= due
        if different == (classes == code).sum():  # no duplicates in it
            assert chosen[classes == code].sum() == due


def test_a_class_gives_one_image_where_it_has_another() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2], np.uint8)
    chosen = validation_rows(np.arange(6), labels, 0.1, seed=0)
    assert np.bincount(labels[chosen], minlength=3).tolist() == [0, 1, 1]
    assert not validation_rows(np.array([7, 7]), np.array([1, 1], np.uint8), 0.1, seed=0).any()  # twins stay together


def test_images_of_one_gray_are_blank_and_others_are_not() -> None:
    images = np.full((3, 48, 48), 200, np.uint8)
    images[1, 5, 7] = 201
    images[2] = 0
    assert blank_images(images).tolist() == [True, False, True]


@given(labels=st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_images_have_the_same_group_where_they_are_equal_to_the_byte(labels: list[int]) -> None:
    images = make(range(10), [TRAINING] * 10).images[labels]
    groups = duplicate_groups(images)
    for first in range(len(labels)):
        assert [labels[first] == label for label in labels] == (groups == groups[first]).tolist()


def test_every_row_is_in_one_split_or_dropped() -> None:
    data = make([0, 1] * 20, [TRAINING] * 30 + [PUBLIC] * 5 + [PRIVATE] * 5)
    groups = duplicate_groups(data.images)
    splits = split_rows(data, groups, {3: BLANK, 4: TWIN}, val=0.2, seed=1)
    rows = np.concatenate([*splits.values(), [3, 4]])
    assert sorted(rows.tolist()) == list(range(40))
    assert splits["test"].tolist() == list(range(30, 40))
