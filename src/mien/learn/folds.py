"""What a run learns from and what it is validated on: five folds of the training images, grouped by duplicate."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.prepare import Split, duplicate_groups, load
from mien.data.subsets import public_test, take
from mien.errors import TrainingError
from mien.learn.settings import FOLDS, Settings


def load_splits(folder: Path, held_out: str) -> dict[str, Split]:
    """The prepared splits, by name, that a run needs which holds out `held_out`. Raises DataError."""
    names = ["train", "val", *(["test"] if held_out == "public" else [])]
    return {name: load(folder, name) for name in names}


def hold_out(data: dict[str, Split], settings: Settings) -> tuple[Split, Split]:
    """The split to learn from and the one to validate on, as `settings.held_out` says.

    `data` has the prepared splits by name. No image that is learned has a duplicate among those held out: `prepare`
    keeps duplicates of test images out of train and val, unless all is kept as published; neither it nor the folds
    separate duplicates. Raises TrainingError and DataError.
    """
    held_out = settings.held_out
    if held_out in FOLDS:
        training = all_training(data)
        held = folds(training) == int(held_out)
        learn, validation = take(training, ~held), take(training, held)
    elif held_out == "public":
        learn, validation = all_training(data), public_test(data["test"])
    elif held_out == "val":
        learn, validation = data["train"], data["val"]
    else:
        choices = ", ".join(("val", "public", *FOLDS))
        raise TrainingError(f"cannot hold out {held_out!r}: choose one of {choices}")
    if settings.votes and learn.votes is None:
        raise TrainingError("this recipe learns FER+ votes and the data have none: prepare the data with FER+'s votes")
    return learn, validation


def all_training(data: dict[str, Split]) -> Split:
    """Train and val together, in the order of the source."""
    train, val = data["train"], data["val"]
    joined: dict[str, Any] = {}
    for field in fields(Split):
        columns = getattr(train, field.name), getattr(val, field.name)
        if columns[0] is not None and columns[1] is not None:
            joined[field.name] = np.concatenate(columns)
    both = Split(**joined)
    return take(both, np.argsort(both.rows))


def folds(training: Split) -> NDArray[np.int64]:
    """The fold, 0 to 4, of each image (n,): the same for duplicates, and a fifth of every class in each."""
    _, firsts, group = np.unique(duplicate_groups(training.images), return_index=True, return_inverse=True)
    classes = training.labels[firsts]
    rng = np.random.default_rng(0)  # one division for all: the members of an ensemble must agree on it
    shuffled = rng.permutation(len(firsts))
    in_turn = shuffled[np.argsort(classes[shuffled], kind="stable")]
    of_group = np.empty(len(firsts), np.int64)
    of_group[in_turn] = np.arange(len(in_turn)) % len(FOLDS)
    return of_group[group]
