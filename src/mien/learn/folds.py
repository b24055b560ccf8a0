"""What a run learns from and what it is checked on: five folds of the training images, grouped by duplicate."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013 import PUBLIC
from mien.data.prepare import Split, duplicate_groups, load
from mien.errors import TrainingError
from mien.learn.settings import FOLDS, Settings


def splits(folder: Path, held_out: str) -> dict[str, Split]:
    """The prepared splits, by name, that a run needs which holds out those rows."""
    names = ["train", "val", *(["test"] if held_out == "public" else [])]
    return {name: load(folder, name) for name in names}


def parts(data: dict[str, Split], settings: Settings) -> tuple[Split, Split]:
    """The split to learn from and the one to check on, as `settings.held_out` says. `data` is by the splits' names.

    Whatever is held out, nothing that is learned has a twin in it: `prepare` keeps twins of test images out of train
    and val, unless all is kept as published, and does not tear twins apart between the two, and neither do folds.
    """
    held_out = settings.held_out
    if held_out in FOLDS:
        training = whole(data)
        held = folds(training) == int(held_out)
        learn, check = take(training, ~held), take(training, held)
    elif held_out == "public":
        learn, check = whole(data), public(data["test"])
    elif held_out == "val":
        learn, check = data["train"], data["val"]
    else:
        choices = ", ".join(("val", "public", *FOLDS))
        raise TrainingError(f"cannot hold out {held_out!r}: choose one of {choices}")
    if settings.votes and learn.votes is None:
        raise TrainingError("this recipe learns FER+ votes and the data have none: prepare them with --votes")
    return learn, check


def whole(data: dict[str, Split]) -> Split:
    """Train and val together, in the order of the source."""
    train, val = data["train"], data["val"]
    joined: dict[str, Any] = {}
    for field in fields(Split):
        columns = getattr(train, field.name), getattr(val, field.name)
        if columns[0] is not None and columns[1] is not None:
            joined[field.name] = np.concatenate(columns)
    both = Split(**joined)
    return take(both, np.argsort(both.rows))


def public(test: Split) -> Split:
    """The PublicTest images, the only ones of the test split on which anything may be chosen."""
    if test.usage is None or not (test.usage == PUBLIC).any():
        raise TrainingError("the data do not say which test images are PublicTest: prepare them from the CSV")
    return take(test, test.usage == PUBLIC)


def take(split: Split, rows: NDArray[Any]) -> Split:
    """Some rows of a split: their places, or a flag for each."""
    columns = {field.name: getattr(split, field.name) for field in fields(Split)}
    return replace(split, **{name: column[rows] for name, column in columns.items() if column is not None})


def folds(training: Split) -> NDArray[np.int64]:
    """The fold, 0 to 4, of each image (n,): the same for duplicates, and a fifth of every class in each."""
    _, firsts, group = np.unique(duplicate_groups(training.images), return_index=True, return_inverse=True)
    classes = training.labels[firsts]
    chance = np.random.default_rng(0)  # one division for all: members of an ensemble must agree about it
    shuffled = chance.permutation(len(firsts))
    in_turn = shuffled[np.argsort(classes[shuffled], kind="stable")]
    of_group = np.empty(len(firsts), np.int64)
    of_group[in_turn] = np.arange(len(in_turn)) % len(FOLDS)
    return of_group[group]
